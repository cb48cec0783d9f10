"""Blocks gathered to one log in time order: integers are kept small and on disk, text is made a chunk at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.simulate._register import Register
from spiritsafe.simulate._strings import Strings
from spiritsafe.simulate._timing import DAY, shapes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from numpy.typing import NDArray

    from spiritsafe.simulate._shelf import Column, Shelf
    from spiritsafe.simulate._strings import Cut, Entries
    from spiritsafe.simulate._world import Block, Traffic

    Ints = NDArray[np.int64]

CHUNK = 65_536
STRETCH, MANY = 4, 64
"""Most chunks whose integers are read and sorted at a time: one more for each ``MANY`` parts, so that reads stay few."""
BINS = 1 << 20
LIMITED, FAILED = 0.004, 0.002
"""Shares of everybody's requests that hit a limit or an outage; ours."""
REASONING = (2, 3)
"""Models that give out reasoning artefacts."""


@dataclass
class Part:
    """One traffic's exchanges inside the span, in time order. ``row`` is the place in the traffic as it was made.

    ``edges`` are the rows at which the chunks of the log begin.
    """

    number: int
    block: int
    offset: int
    made: int
    chat: bool
    campaign: bool
    columns: dict[str, Column]
    prompt: list[Entries]
    system: list[Entries]
    edges: Column | None = None

    def read(self, name: str, default: int = -1, begin: int = 0, end: int | None = None) -> NDArray[Any]:
        """Rows ``begin`` to ``end`` of a column; ``default`` in each where the traffic has none."""
        found = self.columns.get(name)
        end = len(self.columns["time"]) if end is None else end
        return np.broadcast_to(np.int64(default), end - begin) if found is None else found.read(begin, end)


@dataclass(frozen=True)
class Stretch:
    """Some consecutive chunks: the parts that have exchanges there, where theirs are, and each chunk's size."""

    parts: list[Part]
    spans: list[tuple[int, int]]
    chunks: Ints


class Sheet:
    """All accounts and exchanges of a simulation. Blocks are added one by one, then the sheet is closed."""

    def __init__(self, start: int, days: float, seed: int, shelf: Shelf) -> None:
        self.start, self.seed = start, seed
        self._span = int(days * DAY)
        self._shelf = shelf
        self.accounts = Register(start, seed)
        self.strings = Strings()
        self.tools: list[tuple[str, ...]] = []
        self.parts: list[Part] = []
        self._rng = np.random.default_rng([seed & 0xFFFFFFFF, 77])
        self._made = self.blocks = 0

    def add(self, family: str, block: Block) -> None:
        """Put a block's exchanges aside; the block may be forgotten."""
        base = self.accounts.add(family, block)
        for traffic, places in zip(block.traffic, self._places(block), strict=True):
            self._add(traffic, base, *places)
        self.blocks += 1

    def _add(
        self, traffic: Traffic, base: int, address: NDArray[np.uint32], network: NDArray[np.uint32]
    ) -> None:
        inside = np.flatnonzero((traffic.time >= 0) & (traffic.time < self._span))
        row = inside[np.argsort(traffic.time[inside], kind="stable")]
        columns: dict[str, Any] = {
            "time": traffic.time[row], "row": row, "account": traffic.account[row] + base,
            "address": address[row], "network": network[row],
        }  # fmt: skip
        for name, value in (
            ("session", traffic.session), ("turn", traffic.turn), ("end_user", traffic.end_user),
            ("redeems", traffic.redeems), ("status", traffic.status), ("model", traffic.model),
            ("tool", traffic.tool_set),
        ):  # fmt: skip
            if value is not None:
                columns[name] = value[row].astype(np.int64)
        if "tool" in columns:
            columns["tool"] = np.where(columns["tool"] < 0, -1, columns["tool"] + len(self.tools))
            self.tools += traffic.tools
        put = self._shelf.put
        self.parts.append(
            Part(
                len(self.parts), self.blocks, self._made, len(traffic), traffic.chat, traffic.campaign,
                {name: put(values) for name, values in columns.items()},
                self.strings.enter(traffic.prompt, row, put),
                self.strings.enter(traffic.system, row, put) if traffic.system else [],
            )
        )  # fmt: skip
        self._made += len(traffic)

    def _places(self, block: Block) -> list[tuple[NDArray[np.uint32], NDArray[np.uint32]]]:
        """Address and network of each exchange, traffic by traffic."""
        accounts, rng = block.accounts, self._rng
        edges = np.cumsum(accounts.places)[:-1]
        drawn = [np.searchsorted(edges, rng.random(len(one))).astype(np.int8) for one in block.traffic]
        found: list[tuple[NDArray[np.uint32], NDArray[np.uint32]]] = []
        for traffic, place in zip(block.traffic, drawn, strict=True):
            who = traffic.account
            address, network = accounts.address[who, place], accounts.network[who, place]
            if accounts.rotating is not None and accounts.rotates is not None:
                moving = np.flatnonzero(accounts.rotates[who])
                pick = rng.integers(accounts.rotating.shape[1], size=len(moving))
                address[moving], network[moving] = accounts.rotating[0, pick], accounts.rotating[1, pick]
            found.append((address.astype(np.uint32), network.astype(np.uint32)))
        return found

    def close(self) -> None:
        """No more blocks come: draw what depends on nobody's plans, settle who redeems what, and cut the time."""
        self.accounts.close()
        self.strings.close()
        rng, put = self._rng, self._shelf.put
        model, keys = self.accounts.columns["model"], self.accounts.columns["keys"]
        for part in self.parts:
            row, account = part.read("row"), part.read("account")
            noise = rng.random(part.made)[row]
            status = np.array(part.read("status", 200), dtype=np.int64)
            quiet = status == 200
            status[quiet & (noise < LIMITED)] = 429
            status[quiet & (noise > 1.0 - FAILED)] = 500
            chosen = part.read("model")
            used = np.where(chosen < 0, model[account], chosen).astype(np.int64)
            part.columns |= {"status": put(status), "model": put(used)}
            self._redeem(part, row, np.isin(used, REASONING) & (status < 400))
        for part in self.parts:
            mu, sigma = shapes()["tokens"]["ln_output_chat" if part.chat else "ln_output_job"]
            tokens = np.minimum(rng.lognormal(mu, sigma, part.made), 32_000).astype(np.int64) + 1
            part.columns["output"] = put(np.where(part.read("status") >= 400, 0, tokens[part.read("row")]))
        for part in self.parts:
            drawn = rng.random(part.made)[part.read("row")] ** 2
            part.columns["key"] = put((drawn * keys[part.read("account")]).astype(np.int64))
        self._cut()

    def _redeem(self, part: Part, row: NDArray[Any], answered: NDArray[np.bool_]) -> None:
        """Artefacts exist only where a reasoning model answered, and are handed in only after that."""
        part.columns["issued"] = self._shelf.put(answered)
        if "redeems" not in part.columns:
            return
        when = np.full(part.made, np.iinfo(np.int64).max)
        time, of = part.read("time"), part.read("redeems")
        when[row[answered]] = time[answered]
        fits = (of >= 0) & (when[np.maximum(of, 0)] < time)
        part.columns["redeems"] = self._shelf.put(np.where(fits, of, -1).astype(np.int64))

    def _cut(self) -> None:
        """Where to cut the time so that about ``CHUNK`` exchanges fall between two cuts."""
        width = max(1, -(-self._span // BINS))
        counts = np.zeros(-(-self._span // width) + 1, dtype=np.int64)
        for part in self.parts:
            if len(part.columns["time"]):
                found = np.bincount(part.read("time") // width)
                counts[: len(found)] += found
        total = np.cumsum(counts)
        self.exchanges = int(total[-1])
        wanted = np.arange(CHUNK, self.exchanges + CHUNK, CHUNK)
        bins = (
            np.unique(np.searchsorted(total, np.minimum(wanted, self.exchanges)) + 1)
            if self.exchanges
            else []
        )
        cuts = np.array([0, *bins], dtype=np.int64) * width
        for part in self.parts:
            part.edges = self._shelf.put(np.searchsorted(part.read("time"), cuts))
        self.windows = len(cuts) - 1

    def seen(self) -> tuple[int, dict[str, int]]:
        """How many accounts are in the log, and how many of each campaign."""
        there = np.zeros(self.accounts.size, dtype=np.bool_)
        for part in self.parts:
            there[part.read("account")] = True
        blocks = np.bincount(self.accounts.columns["block"][there], minlength=len(self.accounts.campaigns))
        counts: dict[str, int] = {}
        for name, count in zip(self.accounts.campaigns, blocks, strict=True):
            if name is not None and count:
                counts[name] = counts.get(name, 0) + int(count)
        return int(there.sum()), counts

    def stretches(self) -> Iterator[Stretch]:
        """The log cut in stretches, in time order: several chunks each where parts are many."""
        many = min(STRETCH, 1 + len(self.parts) // MANY)
        for at in range(0, self.windows, many):
            end = min(at + many, self.windows)
            edges = [part.edges.read(at, end + 1) for part in self.parts if part.edges is not None]
            here = [(part, edge) for part, edge in zip(self.parts, edges, strict=True) if edge[0] < edge[-1]]
            yield Stretch(
                [part for part, _ in here],
                [(int(edge[0]), int(edge[-1])) for _, edge in here],
                sum((np.diff(edge) for _, edge in here), np.zeros(end - at, dtype=np.int64)),
            )


def gathered(stretch: Stretch, name: str, default: int = -1) -> Ints:
    """A column of a stretch, part after part."""
    found = [part.read(name, default, *span) for part, span in zip(stretch.parts, stretch.spans, strict=True)]
    return np.concatenate(found, dtype=np.int64, casting="unsafe")


def entries(stretch: Stretch, what: Literal["prompt", "system"]) -> list[list[Cut]]:
    """The text entries of a stretch, part after part."""
    return [
        [one.cut(begin, end) for one in (part.prompt if what == "prompt" else part.system)]
        for part, (begin, end) in zip(stretch.parts, stretch.spans, strict=True)
    ]
