"""One number an account, for everything that a lazy detector would look at: volume, hours, text, parameters, sharing.

:func:`measure` reads a log as Spiritsafe writes it and returns a table of traits, one row an account. A trait is a
property of one account (how many others have its card is one); statistics over groups of accounts are none.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe import registry
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.features import sketch
from spiritsafe.marks import CONCEPTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HOUR = 3_600_000_000
BATCH = 65_536
SHARED = ("payment_id", "device_id", "client_ip", "asn", "email_domain", "user_agent", "organization_id")
MIXES = ("model", "plan", "status", "finish_reason")
SCRIPTS = {"Han": r"\p{Han}", "Cyrillic": r"\p{Cyrillic}", "Arabic": r"\p{Arabic}", "other Latin": "[à-ÿ¿¡ß]"}
HEAD = 24
"""Characters at the beginning of a prompt by which a lazy detector tells templates."""


@dataclass(frozen=True)
class Traits:
    """``names`` of the traits; ``values`` float64 (accounts, traits), NaN where an account has none; ``accounts`` their ids."""

    accounts: list[str]
    names: list[str]
    values: Floats


class _Table:
    """Exchanges by account: sums, means, spreads and counts of distinct values, a column at a time."""

    def __init__(self, log: pa.Table) -> None:
        coded = log["account_id"].combine_chunks().dictionary_encode()
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        self.accounts: list[str] = coded.dictionary.to_pylist()
        self.who = np.asarray(coded.indices).astype(np.int64)
        self.size = len(self.accounts)
        self.count = np.bincount(self.who, minlength=self.size).astype(np.float64)
        self.found: dict[str, Floats] = {}

    def mean(self, values: Any) -> Floats:
        """The mean of the known values of each account."""
        value = np.asarray(values, np.float64)
        known = ~np.isnan(value)
        total = np.bincount(self.who[known], value[known], self.size)
        with np.errstate(invalid="ignore", divide="ignore"):
            return total / np.bincount(self.who[known], minlength=self.size)

    def spread(self, values: Any) -> Floats:
        """The standard deviation of each account."""
        value = np.asarray(values, np.float64)
        squares = self.mean((value - self.mean(value)[self.who]) ** 2)
        return np.sqrt(squares)

    def pairs(self, codes: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Account, code and number of exchanges of each distinct pair; negative codes are none."""
        code = np.asarray(codes, np.int64)
        known = code >= 0
        wide = int(code.max(initial=0)) + 1
        found, times = np.unique(self.who[known] * wide + code[known], return_counts=True)
        return found // wide, found % wide, times

    def distinct(self, codes: Any) -> Floats:
        """How many distinct codes each account has."""
        return np.bincount(self.pairs(codes)[0], minlength=self.size).astype(np.float64)

    def top(self, codes: Any) -> Floats:
        """The share of each account's most common code."""
        who, _, times = self.pairs(codes)
        most = np.zeros(self.size)
        np.maximum.at(most, who, times)
        return most / self.count

    def holders(self, codes: Any) -> tuple[Floats, Floats]:
        """Over each account's values (negative: none): with how many accounts the commonest is shared, and the mean."""
        code = np.asarray(codes, np.int64)
        who, value, _ = self.pairs(code)
        held = np.bincount(value, minlength=int(code.max(initial=0)) + 1).astype(np.float64)
        most = np.zeros(self.size)
        np.maximum.at(most, who, held[value])
        each = np.where(code < 0, np.nan, held[np.maximum(code, 0)])
        return most, np.nan_to_num(self.mean(each))


def measure(path: Path) -> Traits:
    """The traits of every account of a log in Parquet."""
    log = pq.read_table(path)
    table = _Table(log)
    found = table.found
    _volume(table, np.asarray(log["time"].cast(pa.int64())))
    _text(table, log)
    _sketched(table, log)
    for name in ("temperature", "max_tokens", "output_tokens", "input_tokens", "turns"):
        value = log[name].cast(pa.float64()).to_numpy()
        found[f"{name}, mean"] = table.mean(value)
        found[f"{name}, spread"] = np.nan_to_num(table.spread(value)).round(6)
        if log[name].null_count:
            found[f"{name}, absent"] = table.mean(np.isnan(value))
    for name in (
        "session_id",
        "end_user_id",
        "system",
        "tools",
        "relation",
        "reasoning_issued",
        "reasoning_redeemed",
    ):
        found[f"{name}, present"] = table.mean(np.asarray(pc.is_valid(log[name])).astype(float))
    for name in ("session_id", "end_user_id", "api_key_id", "model", "client_ip", "asn", "system"):
        found[f"{name}, distinct"] = table.distinct(_codes(log[name]))
    for name in MIXES:
        words = log[name].cast(pa.string())
        for word in sorted(set(words.unique().drop_null().to_pylist())):
            same = _yes(pc.equal(words, word))
            found[f"{name} = {word}"] = table.mean(np.asarray(same).astype(float))
    for name in SHARED:
        code = _codes(log[name])
        found[f"{name}, accounts with it"], found[f"{name}, accounts with it, mean"] = table.holders(code)
        found[f"{name}, absent"] = table.mean((code < 0).astype(float))
    agent = log["user_agent"].cast(pa.string())
    for word in ("Mozilla", "OpenAI", "Anthropic", "Async", "litellm", "python-", "JS", "Go-http"):
        found[f"client {word}"] = table.mean(np.asarray(_yes(pc.match_substring(agent, word))).astype(float))
    domain = log["email_domain"].cast(pa.string())
    found["mail of a firm"] = table.mean(np.asarray(_yes(pc.ends_with(domain, ".example"))).astype(float))
    age = log["time"].cast(pa.int64()).to_numpy() - log["account_created"].cast(pa.int64()).to_numpy()
    found["age of the account"] = table.mean(age)
    names = sorted(found)
    return Traits(table.accounts, names, np.stack([found[name] for name in names], axis=1))


def _volume(table: _Table, time: Any) -> None:
    found, who = table.found, table.who
    hour = time // HOUR
    found["exchanges"] = table.count
    found["hours active"] = table.distinct(hour - hour.min())
    found["night share"] = table.mean(hour % 24 < 6)
    found["office share"] = table.mean((hour % 24 >= 8) & (hour % 24 < 18))
    found["busiest hour's share"] = table.top(hour - hour.min())
    found["busiest ten minutes' share"] = table.top(time // (HOUR // 6) - time.min() // (HOUR // 6))
    found["first seen"] = np.full(table.size, np.inf)
    np.minimum.at(found["first seen"], who, time)
    last = np.zeros(table.size)
    np.maximum.at(last, who, time)
    found["span"] = last - found["first seen"]
    found["minute of the hour"] = table.mean(time % HOUR)
    order = np.lexsort((time, who))
    gap = np.full(len(time), np.nan)
    gap[1:] = np.where(np.diff(who[order]) == 0, np.diff(time[order]), np.nan)
    sorted_table = _Table.__new__(_Table)
    sorted_table.who, sorted_table.size = who[order], table.size
    mean, spread = sorted_table.mean(gap), sorted_table.spread(gap)
    found["gap, mean"] = mean
    with np.errstate(invalid="ignore", divide="ignore"):
        found["burstiness"] = spread / mean
    found["gaps below a minute"] = sorted_table.mean(np.where(np.isnan(gap), np.nan, gap < HOUR / 60))


def _text(table: _Table, log: pa.Table) -> None:
    found, prompt = table.found, log["prompt"]
    length = np.asarray(pc.utf8_length(prompt)).astype(float)
    found["prompt characters, mean"], found["prompt characters, spread"] = (
        table.mean(length),
        table.spread(length),
    )
    found["prompt characters, ln"] = table.mean(np.log1p(length))
    whole, head = _codes(prompt), _codes(pc.utf8_slice_codeunits(prompt, 0, HEAD))
    tail = _codes(pc.utf8_slice_codeunits(prompt, -HEAD, None))
    for name, code in (("prompts", whole), ("beginnings", head), ("ends", tail)):
        found[f"{name}, distinct share"] = table.distinct(code) / table.count
        found[f"{name}, commonest share"] = table.top(code)
        if (
            name != "prompts"
        ):  # who else sends the very same prompt is how the work is shared out: coordination
            found[f"{name}, accounts with it"] = table.holders(code)[1]
    marks = {
        "questions": r"\?|？",
        "lines": "\n",
        "code": "```",
        "digits": "[0-9]",
        "colons": ":",
        "blanks": "  ",
        "tags": "<",
    }
    for name, pattern in marks.items():
        times = np.asarray(pc.count_substring_regex(prompt, pattern)).astype(float)
        found[f"{name}, per prompt"], found[f"{name}, prompts with"] = (
            table.mean(times),
            table.mean(times > 0),
        )
    for name, pattern in SCRIPTS.items():
        found[f"script {name}"] = table.mean(
            np.asarray(pc.match_substring_regex(prompt, pattern)).astype(float)
        )
    first = pc.utf8_slice_codeunits(prompt, 0, 1)
    found["begins in lower case"] = table.mean(np.asarray(pc.utf8_is_lower(first)).astype(float))


def _sketched(table: _Table, log: pa.Table) -> None:
    """What the kernel and the signals say: skeletons, marks, roles."""
    batches = log.combine_chunks().to_batches(max_chunksize=BATCH)
    plain = [_canonical(batch) for batch in batches]
    seen = pa.Table.from_batches([sketch(batch, threads=2) for batch in plain])
    found = table.found
    skeleton = _codes(seen["skeleton"])
    found["skeletons, distinct share"] = table.distinct(skeleton) / table.count
    found["skeletons, commonest share"] = table.top(skeleton)
    found["skeletons, accounts with it"] = table.holders(skeleton)[1]
    bits = np.asarray(seen["marks"].cast(pa.uint64()))
    for place, concept in enumerate(CONCEPTS):
        found[f"mark {concept}"] = table.mean((bits >> np.uint64(place)) & np.uint64(1))
    with tempfile.TemporaryDirectory() as folder, DuckDB(Path(folder), memory="1GB", threads=1) as engine:
        engine.register("sketch", seen.append_column("row", pa.array(np.arange(seen.num_rows))))
        for name, signal in registry.extensions("signals").items():
            spoken = np.zeros(seen.num_rows)
            spoken[np.asarray(engine.table(str(signal.function())).column("subject")).astype(np.int64)] = 1.0
            found[f"role {name}"] = table.mean(spoken)


def _canonical(batch: Any) -> Any:
    """Dictionaries as plain strings, as the sources hand them on."""
    columns = [
        column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _yes(said: Any) -> Any:
    return pc.fill_null(said, pa.scalar(value=False))


def _codes(column: Any) -> NDArray[np.int64]:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    coded = whole if isinstance(whole, pa.DictionaryArray) else whole.dictionary_encode()
    return np.asarray(coded.indices.fill_null(-1)).astype(np.int64)
