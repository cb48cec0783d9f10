"""Blocks to files: one log in time order in the canonical schema, and the truth beside it."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe import schema
from spiritsafe.simulate._people import PLANS
from spiritsafe.simulate._timing import shapes
from spiritsafe.simulate._world import mix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from spiritsafe.simulate._world import Block, Traffic

    Ints = NDArray[np.int64]

CHUNK = 65_536
LIMITED, FAILED = 0.004, 0.002
"""Shares of everybody's requests that hit a limit or an outage; ours."""
MODELS = ("teacher-large", "teacher-small", "teacher-reasoner", "teacher-large-2")
REASONING = (2, 3)
ARROW: dict[str, Any] = {
    "time": pa.timestamp("us", "UTC"),
    "string": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "strings": pa.list_(pa.string()),
}
SCHEMA = pa.schema([(column.name, ARROW[column.kind]) for column in schema.COLUMNS])
_HEX = np.array([f"{byte:02x}".encode() for byte in range(256)], dtype="S2")


def identifiers(prefix: str, codes: Ints, salt: int) -> Any:
    """Opaque identifiers of codes (-1 is null): ``prefix`` and 16 hexadecimal digits."""
    digits = (
        _HEX[mix(codes.astype(np.uint64), salt).astype(">u8").view(np.uint8)].view(np.uint8).reshape(-1, 16)
    )
    head = np.broadcast_to(np.frombuffer(prefix.encode(), np.uint8), (len(codes), len(prefix)))
    text = np.ascontiguousarray(np.concatenate([head, digits], axis=1))
    offsets = np.arange(len(codes) + 1, dtype=np.int32) * np.int32(text.shape[1])
    named = pa.StringArray.from_buffers(len(codes), pa.py_buffer(offsets), pa.py_buffer(text))
    return (
        pc.if_else(pa.array(codes < 0), pa.scalar(None, pa.string()), named) if (codes < 0).any() else named
    )


def dotted(addresses: Ints) -> Any:
    """IPv4 addresses as text."""
    parts = [pc.cast(pa.array((addresses >> shift) & 255), pa.string()) for shift in (24, 16, 8, 0)]
    return pc.binary_join_element_wise(*parts, ".")


class Sheet:
    """All accounts and all exchanges of a simulation as columns; text is rendered a chunk at a time."""

    def __init__(self, blocks: list[tuple[str, Block]], start: int, days: float, seed: int) -> None:
        self.start, self.seed = start, seed
        self.traffic: list[tuple[Traffic, int]] = []
        base = 0
        self.columns: list[Any] = []
        columns: list[dict[str, Any]] = []
        family, campaign, label = [], [], []
        block_of: list[int] = []
        for number, (name, block) in enumerate(blocks):
            columns.append(_accounts(block, base, seed, number, start))
            family += [name.partition("#")[0]] * len(block.accounts)
            campaign += [block.campaign] * len(block.accounts)
            label += [block.label] * len(block.accounts)
            self.traffic += [(traffic, base) for traffic in block.traffic]
            block_of += [number] * len(block.traffic)
            base += len(block.accounts)
        self.blocks = [block for _, block in blocks]
        self.accounts = {key: pa.concat_arrays([part[key] for part in columns]) for key in columns[0]}
        self.family, self.campaign = pa.array(family, pa.string()), pa.array(campaign, pa.string())
        self.label = pa.array(label, pa.string())
        self._gather(block_of, int(days * 86_400_000_000))

    def _gather(self, block_of: list[int], span: int) -> None:
        sizes = [len(traffic) for traffic, _ in self.traffic]
        offsets = np.cumsum([0, *sizes])
        part = np.repeat(np.arange(len(sizes)), sizes)
        self.account = _cat([traffic.account + base for traffic, base in self.traffic])
        local = _cat([traffic.account for traffic, _ in self.traffic])
        self.time = _cat([traffic.time for traffic, _ in self.traffic])
        model, zero = self.accounts["_model"].to_numpy(), np.int64(0)
        own = model[self.account] if len(self.account) else self.account
        self.model = _optional(self.traffic, "model", -1)
        self.model = np.where(self.model < 0, own, self.model)
        self.status = _optional(self.traffic, "status", 200)
        self.session = _coded(_optional(self.traffic, "session", -1), part)
        self.end_user = _coded(_optional(self.traffic, "end_user", -1), np.array([*block_of, zero])[part])
        self.turn = _optional(self.traffic, "turn", 0)
        redeems = _optional(self.traffic, "redeems", -1)
        self.redeems = np.where(redeems < 0, -1, redeems + offsets[part])
        self.chat = np.repeat([traffic.chat for traffic, _ in self.traffic], sizes)
        self.in_campaign = np.repeat([traffic.campaign for traffic, _ in self.traffic], sizes)
        self.part, self.row = part, np.arange(len(part)) - offsets[part]
        rng = np.random.default_rng([self.seed & 0xFFFFFFFF, 77])
        self.address, self.network = np.zeros(len(part), np.int64), np.zeros(len(part), np.int64)
        self._places(rng, np.array([*block_of, zero])[part], local)
        noise = rng.random(len(part))
        quiet = self.status == 200
        self.status[quiet & (noise < LIMITED)] = 429
        self.status[quiet & (noise > 1.0 - FAILED)] = 500
        mu = np.where(self.chat, *(shapes()["tokens"][k][0] for k in ("ln_output_chat", "ln_output_job")))
        sigma = np.where(self.chat, *(shapes()["tokens"][k][1] for k in ("ln_output_chat", "ln_output_job")))
        self.output = np.minimum(rng.lognormal(mu, sigma), 32_000).astype(np.int64) + 1
        self.output[self.status >= 400] = 0
        self.key = (rng.random(len(part)) ** 2 * self.accounts["_keys"].to_numpy()[self.account]).astype(
            np.int64
        )
        inside = np.flatnonzero((self.time >= 0) & (self.time < span))
        self.order = inside[np.argsort(self.time[inside], kind="stable")]

    def _places(self, rng: np.random.Generator, block: Ints, local: Ints) -> None:
        for number, made in enumerate(self.blocks):
            rows = np.flatnonzero(block == number)
            who = local[rows]
            accounts = made.accounts
            place = np.searchsorted(np.cumsum(accounts.places)[:-1], rng.random(len(rows)))
            self.address[rows] = accounts.address[who, place]
            self.network[rows] = accounts.network[who, place]
            if accounts.rotating is not None and accounts.rotates is not None:
                moving = accounts.rotates[who]
                pick = rng.integers(accounts.rotating.shape[1], size=int(moving.sum()))
                self.address[rows[moving]] = accounts.rotating[0, pick]
                self.network[rows[moving]] = accounts.rotating[1, pick]

    def chunks(self) -> Iterator[Any]:
        """The log in time order as record batches of the canonical schema."""
        for begin in range(0, len(self.order), CHUNK):
            yield self._chunk(self.order[begin : begin + CHUNK])

    def _chunk(self, rows: Ints) -> Any:
        account = pa.array(self.account[rows])
        take = {name: column.take(account) for name, column in self.accounts.items()}
        prompt, system, tools = self._texts(rows)
        length = pc.add(pc.utf8_length(prompt), pc.fill_null(pc.utf8_length(system), 0))
        issued, ok = np.isin(self.model, REASONING), self.status < 400
        reason = self.seed * 3 + 5
        redeem = self.redeems[rows]
        valid = (redeem >= 0) & (issued & ok)[redeem] & (self.time[redeem] < self.time[rows])
        given = issued[rows] & ok[rows]
        session = self.session[rows]
        finish = np.where(self.output[rows] > 4_000, "length", "stop")
        key = self.account[rows] * 64 + self.key[rows]
        columns: dict[str, Any] = {
            "time": pa.array(self.start + self.time[rows]).cast(ARROW["time"]),
            "exchange_id": identifiers("ex_", rows, self.seed),
            "api_key_id": identifiers("key_", key, self.seed + 1),
            "session_id": identifiers("s_", session, self.seed + 2),
            "end_user_id": identifiers("u_", self.end_user[rows], self.seed + 3),
            "client_ip": dotted(self.address[rows]),
            "asn": pa.array(self.network[rows]),
            "model": pa.array(MODELS).take(pa.array(self.model[rows])),
            "operation": pa.array(np.full(len(rows), "chat")),
            "system": system,
            "prompt": prompt,
            "turns": pa.array(self.turn[rows] * 2 + 1),
            "tools": tools,
            "n": pa.array(np.ones(len(rows), np.int64)),
            "reasoning_issued": identifiers("rs_", np.where(given, rows, -1), reason),
            "reasoning_redeemed": identifiers("rs_", np.where(valid, redeem, -1), reason),
            "input_tokens": pc.add(pc.divide(length, 4), 8).cast(pa.int64()),
            "output_tokens": pa.array(self.output[rows]),
            "status": pa.array(self.status[rows]),
            "finish_reason": pa.array(finish, mask=self.status[rows] >= 400),
        }
        columns |= {name: column for name, column in take.items() if not name.startswith("_")}
        return pa.record_batch(
            [columns.get(name, pa.nulls(len(rows), SCHEMA.field(name).type)) for name in SCHEMA.names],
            schema=SCHEMA,
        )

    def _texts(self, rows: Ints) -> tuple[Any, Any, Any]:
        part = self.part[rows]
        order = np.argsort(part, kind="stable")
        prompts, systems, tools = [], [], []
        for number in np.unique(part):
            traffic = self.traffic[number][0]
            mine = self.row[rows[order[part[order] == number]]]
            prompts.append(traffic.prompt.render(mine))
            systems.append(
                traffic.system.render(mine) if traffic.system else pa.nulls(len(mine), pa.string())
            )
            sets = pa.array(list(traffic.tools), pa.list_(pa.string()))
            chosen = traffic.tool_set
            tools.append(
                pa.nulls(len(mine), sets.type)
                if chosen is None
                else sets.take(pa.array(chosen[mine], mask=chosen[mine] < 0))
            )
        back = pa.array(np.argsort(order, kind="stable"))
        prompt, system, tool = (pa.concat_arrays(found).take(back) for found in (prompts, systems, tools))
        system = pc.if_else(pc.equal(pc.utf8_length(system), 0), pa.scalar(None, pa.string()), system)
        return prompt, system, tool

    def truth(self) -> Any:
        """One row an exchange: ids, its campaign (null when innocent), family, and the account's own truth."""
        rows, account = self.order, pa.array(self.account[self.order])
        named = self.campaign.take(account)
        campaign = pc.if_else(pa.array(self.in_campaign[rows]), named, pa.scalar(None, pa.string()))
        return pa.table(
            {
                "exchange_id": identifiers("ex_", rows, self.seed),
                "account_id": self.accounts["account_id"].take(account),
                "campaign": campaign,
                "family": self.family.take(account),
                "account_campaign": named,
                "label": self.label.take(account),
            }
        )


def _cat(arrays: list[Ints]) -> Ints:
    return np.concatenate(arrays).astype(np.int64) if arrays else np.zeros(0, np.int64)


def _optional(traffic: list[tuple[Traffic, int]], name: str, default: int) -> Ints:
    columns = [getattr(one, name) for one, _ in traffic]
    return _cat(
        [np.full(len(one), default) if c is None else c for c, (one, _) in zip(columns, traffic, strict=True)]
    )


def _coded(values: Ints, salt: Ints) -> Ints:
    return np.where(values < 0, -1, values + (salt << 40))


def _accounts(block: Block, base: int, seed: int, number: int, start: int) -> dict[str, Any]:
    a, size = block.accounts, len(block.accounts)

    def own(values: Ints) -> Ints:
        return np.where((values < 0) | (values >= 1 << 40), values, values + ((number + 1) << 41))

    agents = [row[0] for kind in ("browser", "sdk") for row in shapes()["agents"][kind]]
    domains = pa.array([row[0] for row in shapes()["mail"]["people"]])
    free = domains.take(pa.array(np.where(a.mail >= 0, a.mail, 0)))
    firm = pc.binary_join_element_wise(
        pc.utf8_slice_codeunits(identifiers("", own(np.abs(a.mail)), seed + 9), 0, 10),
        pa.scalar("example"),
        ".",
    )
    return {
        "account_id": identifiers("acct_", np.arange(base, base + size), seed + 4),
        "organization_id": identifiers("org_", own(a.organization), seed + 5),
        "payment_id": identifiers("pay_", own(a.payment), seed + 6),
        "device_id": identifiers("dev_", own(a.device), seed + 7),
        "plan": pa.array(PLANS).take(pa.array(a.plan)),
        "account_created": pa.array(start + a.created).cast(ARROW["time"]),
        "email_domain": pc.if_else(pa.array(a.mail >= 0), free, firm),
        "relation": pa.array(
            np.full(size, a.relation or ""),
            mask=np.full(size, a.relation is None)
            if a.declares is None
            else ~a.declares | (a.relation is None),
        ).cast(pa.string()),
        "user_agent": pa.array(agents).take(pa.array(a.agent)),
        "temperature": pa.array(a.temperature, mask=np.isnan(a.temperature)),
        "max_tokens": pa.array(a.max_tokens, mask=a.max_tokens < 0),
        "_model": pa.array(a.model.astype(np.int64)),
        "_keys": pa.array(a.keys.astype(np.int64)),
    }


def write_parquet(sheet: Sheet, path: Path, dropped: tuple[str, ...]) -> None:
    """The log as one Parquet file, without the dropped columns."""
    kept = [name for name in SCHEMA.names if name not in dropped]
    fields = pa.schema([SCHEMA.field(name) for name in kept])
    once = ("time", "exchange_id", "prompt", "session_id", "reasoning_issued", "reasoning_redeemed")
    repeated = [name for name in kept if name not in once and name != "tools"]
    with pq.ParquetWriter(
        path, fields, compression="zstd", compression_level=1, use_dictionary=repeated, write_statistics=False
    ) as writer:
        for batch in sheet.chunks():
            writer.write_batch(batch.select(kept))


def write_jsonl(sheet: Sheet, path: Path, dropped: tuple[str, ...]) -> None:
    """The log as gzip'd JSON Lines without nulls; byte-identical for the same sheet."""
    kept = [name for name in SCHEMA.names if name not in dropped]
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        for batch in sheet.chunks():
            fields = [_json(name, batch.column(name)) for name in kept]
            lines = pc.binary_join_element_wise(*fields, ",", null_handling="skip")
            out.write("".join(f"{{{line}}}\n" for line in lines.to_pylist()).encode())


def _json(name: str, column: Any) -> Any:
    kind = schema.BY_NAME[name].kind
    if kind == "time":
        value = _quoted(pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ"))
    elif kind == "strings":
        inner = pa.ListArray.from_arrays(column.offsets, _quoted(column.values), mask=pc.is_null(column))
        joined = pc.binary_join(inner, ",")
        value = pc.binary_join_element_wise("[", joined, "]", "")
    elif kind == "string":
        value = _quoted(column)
    else:
        value = pc.cast(column, pa.string())
    return pc.binary_join_element_wise(pa.scalar(f'"{name}":'), value, "")


def _quoted(texts: Any) -> Any:
    for old, new in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        texts = pc.replace_substring(texts, old, new)
    texts = pc.replace_substring_regex(texts, r"[\x00-\x1f]", " ")
    return pc.binary_join_element_wise('"', texts, '"', "")
