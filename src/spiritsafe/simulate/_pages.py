"""A sheet as record batches: the canonical log and the truth beside it, a chunk at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe import schema
from spiritsafe.simulate._ids import dotted, identifiers
from spiritsafe.simulate._register import coded
from spiritsafe.simulate._sheet import CHUNK, entries, gathered
from spiritsafe.simulate._strings import Page, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from spiritsafe.simulate._sheet import Sheet, Stretch

    Ints = NDArray[np.int64]

MODELS = ("teacher-large", "teacher-small", "teacher-reasoner", "teacher-large-2")
LONG = 4_000
CODED = (
    "account_id", "organization_id", "payment_id", "device_id", "plan", "relation", "user_agent", "model",
    "operation", "finish_reason",
)  # fmt: skip
"""Columns that are written as a dictionary and its indices."""
_WORD = pa.dictionary(pa.int32(), pa.string())
_TYPES: dict[str, Any] = {
    "time": pa.timestamp("us", "UTC"), "string": pa.string(), "number": pa.float64(), "integer": pa.int64(),
    "boolean": pa.bool_(), "strings": pa.list_(pa.string()),
}  # fmt: skip
LOG = pa.schema(
    [(column.name, _WORD if column.name in CODED else _TYPES[column.kind]) for column in schema.COLUMNS]
)
TRUTH = pa.schema(
    [("exchange_id", pa.string())]
    + [
        (name, _WORD)
        for name in ("account_id", "campaign", "family", "account_campaign", "label", "replaces")
    ]
)


class Rows:
    """Integers of the exchanges of one stretch of time, in time order."""

    def __init__(self, stretch: Stretch) -> None:
        parts = stretch.parts
        self.sizes = [end - begin for begin, end in stretch.spans]
        time = gathered(stretch, "time")
        self.order = np.argsort(time, kind="stable")
        self.time = time[self.order]

        def column(name: str, default: int = -1) -> Ints:
            return gathered(stretch, name, default)[self.order]

        def each(values: list[Any]) -> Any:
            return np.repeat(np.array(values), self.sizes)[self.order]

        offset, number = each([part.offset for part in parts]), each([part.number for part in parts])
        self.code = column("row") + offset
        self.account, self.network = column("account"), column("network")
        self.address, self.model, self.status = column("address"), column("model"), column("status")
        self.turn, self.output, self.key = column("turn", 0), column("output"), column("key")
        self.tool = column("tool")
        self.session = _tagged(column("session"), number << 40)
        self.end_user = _tagged(column("end_user"), each([part.block for part in parts]) << 40)
        self.redeems = _tagged(column("redeems"), offset)
        self.issued = np.where(column("issued", 0) > 0, self.code, -1)
        self.inside = each([part.campaign for part in parts])


def batches(sheet: Sheet, stock: Any = None) -> Iterator[tuple[Any, Any]]:
    """The log in time order and its truth, as record batches; ``stock`` replaces the strings text is taken from."""
    tools = pa.array([list(names) for names in sheet.tools], pa.list_(pa.string()))
    for stretch in sheet.stretches():
        if not stretch.parts:
            continue
        rows = Rows(stretch)
        prompt = Page(sheet.strings, entries(stretch, "prompt"), rows.sizes, rows.order)
        system = Page(sheet.strings, entries(stretch, "system"), rows.sizes, rows.order)
        weight = prompt.sums(sheet.strings.bytes) + system.sums(sheet.strings.bytes)
        chars = prompt.sums(sheet.strings.chars) + system.sums(sheet.strings.chars)
        for begin, end in _cuts(stretch.chunks, weight):
            here = slice(begin, end)
            texts = {
                "prompt": _filled(prompt.text(begin, end, stock)),
                "system": system.text(begin, end, stock),
            }
            texts["tools"] = tools.take(pa.array(rows.tool[here], mask=rows.tool[here] < 0))
            log = _log(sheet, rows, here, texts, chars[here])
            yield log, _truth(sheet, rows, here, log)


def _cuts(chunks: Ints, weight: Ints) -> Iterator[tuple[int, int]]:
    """Where the batches of a stretch begin and end: each within one chunk, and of bounded text."""
    first = 0
    for size in chunks:
        for begin, end in pieces(weight[first : first + size], CHUNK):
            yield first + begin, first + end
        first += int(size)


def _log(sheet: Sheet, rows: Rows, here: slice, texts: dict[str, Any], chars: Ints) -> Any:
    seed, account, register = sheet.seed, rows.account[here], sheet.accounts
    size, failed = len(account), rows.status[here] >= 400
    reason = seed * 3 + 5
    hidden = register.blank("session_id", account)
    session = rows.session[here]
    columns: dict[str, Any] = {
        "time": pa.array(sheet.start + rows.time[here]).cast(_TYPES["time"]),
        "exchange_id": identifiers("ex_", rows.code[here], seed),
        "api_key_id": identifiers("key_", account * 64 + rows.key[here], seed + 1),
        "session_id": identifiers(
            "s_", session if hidden is None else np.where(hidden, -1, session), seed + 2
        ),
        "end_user_id": identifiers("u_", rows.end_user[here], seed + 3),
        "client_ip": dotted(_shown(rows.address[here], register.blank("client_ip", account))),
        "asn": pa.array(rows.network[here], mask=register.blank("asn", account)),
        "model": coded(rows.model[here].astype(np.int32), pa.array(MODELS)),
        "operation": coded(np.zeros(size, np.int32), pa.array(["chat"])),
        "turns": pa.array(rows.turn[here] * 2 + 1),
        "n": pa.array(np.ones(size, np.int64)),
        "reasoning_issued": identifiers("rs_", rows.issued[here], reason),
        "reasoning_redeemed": identifiers("rs_", rows.redeems[here], reason),
        "input_tokens": pa.array(chars // 4 + 8),
        "output_tokens": pa.array(rows.output[here]),
        "status": pa.array(rows.status[here]),
        "finish_reason": coded(
            (rows.output[here] > LONG).astype(np.int32), pa.array(["stop", "length"]), failed
        ),
        **texts,
        **register.pick(account),
    }
    return pa.record_batch(
        [columns[one.name] if one.name in columns else pa.nulls(size, one.type) for one in LOG], schema=LOG
    )


def _truth(sheet: Sheet, rows: Rows, here: slice, log: Any) -> Any:
    columns = {
        "exchange_id": log.column("exchange_id"),
        "account_id": log.column("account_id"),
        **sheet.accounts.truth(rows.account[here], rows.inside[here]),
    }
    return pa.record_batch([columns[name] for name in TRUTH.names], schema=TRUTH)


def _tagged(values: Ints, tag: Ints) -> Ints:
    return np.where(values < 0, -1, values + tag)


def _shown(values: Ints, blank: NDArray[np.bool_] | None) -> Ints:
    return values if blank is None else np.where(blank, -1, values)


def _filled(text: Any) -> Any:
    """A required text: what is empty is an empty string."""
    return text.fill_null("") if text.null_count else text
