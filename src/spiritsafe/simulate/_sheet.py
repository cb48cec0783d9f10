"""Blocks gathered to one log in time order: integers are kept small and on disk, text is made a chunk at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.simulate._register import Register
from spiritsafe.simulate._strings import Strings
from spiritsafe.simulate._timing import DAY, shapes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from numpy.typing import NDArray

    from spiritsafe.simulate._shelf import Shelf
    from spiritsafe.simulate._strings import Entries
    from spiritsafe.simulate._world import Block, Traffic

    Ints = NDArray[np.int64]

CHUNK = 65_536
BINS = 1 << 20
LIMITED, FAILED = 0.004, 0.002
"""Shares of everybody's requests that hit a limit or an outage; ours."""
REASONING = (2, 3)
"""Models that give out reasoning artefacts."""


@dataclass
class Part:
    """One traffic's exchanges inside the span, in time order. ``row`` is the place in the traffic as it was made."""

    number: int
    block: int
    offset: int
    made: int
    chat: bool
    campaign: bool
    columns: dict[str, NDArray[Any]]
    prompt: list[Entries]
    system: list[Entries]
    edges: Ints = field(default_factory=lambda: np.zeros(0, np.int64))


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
        self._made = self._blocks = 0

    def add(self, family: str, block: Block) -> None:
        """Put a block's exchanges aside; the block may be forgotten."""
        base = self.accounts.add(family, block)
        for traffic, places in zip(block.traffic, self._places(block), strict=True):
            self._add(traffic, base, *places)
        self._blocks += 1

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
                len(self.parts), self._blocks, self._made, len(traffic), traffic.chat, traffic.campaign,
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
            columns = part.columns
            noise = rng.random(part.made)[columns["row"]]
            status = np.array(_column(part, "status", 200, 0, len(noise)), dtype=np.int64)
            quiet = status == 200
            status[quiet & (noise < LIMITED)] = 429
            status[quiet & (noise > 1.0 - FAILED)] = 500
            chosen = _column(part, "model", -1, 0, len(noise))
            own = model[columns["account"]]
            columns["status"], columns["model"] = (
                put(status),
                put(np.where(chosen < 0, own, chosen).astype(np.int64)),
            )
            self._redeem(part)
        for part in self.parts:
            mu, sigma = shapes()["tokens"]["ln_output_chat" if part.chat else "ln_output_job"]
            tokens = np.minimum(rng.lognormal(mu, sigma, part.made), 32_000).astype(np.int64) + 1
            part.columns["output"] = put(
                np.where(part.columns["status"] >= 400, 0, tokens[part.columns["row"]])
            )
        for part in self.parts:
            drawn = rng.random(part.made)[part.columns["row"]] ** 2
            part.columns["key"] = put((drawn * keys[part.columns["account"]]).astype(np.int64))
        self._cut()

    def _redeem(self, part: Part) -> None:
        """Artefacts exist only where a reasoning model answered, and are handed in only after that."""
        columns = part.columns
        answered = np.isin(columns["model"], REASONING) & (columns["status"] < 400)
        columns["issued"] = answered
        if "redeems" not in columns:
            return
        when = np.full(part.made, np.iinfo(np.int64).max)
        when[columns["row"][answered]] = columns["time"][answered]
        of = columns["redeems"]
        fits = (of >= 0) & (when[np.maximum(of, 0)] < columns["time"])
        columns["redeems"] = self._shelf.put(np.where(fits, of, -1).astype(np.int64))

    def _cut(self) -> None:
        """Where to cut the time so that about ``CHUNK`` exchanges fall between two cuts."""
        width = max(1, -(-self._span // BINS))
        counts = np.zeros(-(-self._span // width) + 1, dtype=np.int64)
        for part in self.parts:
            counts += np.bincount(part.columns["time"] // width, minlength=len(counts))
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
            part.edges = np.searchsorted(part.columns["time"], cuts)
        self.windows = len(cuts) - 1

    def seen(self) -> tuple[int, dict[str, int]]:
        """How many accounts are in the log, and how many of each campaign."""
        there = np.zeros(self.accounts.size, dtype=np.bool_)
        for part in self.parts:
            there[part.columns["account"]] = True
        blocks = np.bincount(self.accounts.columns["block"][there], minlength=len(self.accounts.campaigns))
        counts: dict[str, int] = {}
        for name, count in zip(self.accounts.campaigns, blocks, strict=True):
            if name is not None and count:
                counts[name] = counts.get(name, 0) + int(count)
        return int(there.sum()), counts

    def windows_of(self) -> Iterator[tuple[list[Part], list[tuple[int, int]]]]:
        """The parts that have exchanges in each stretch of time, in time order, and where theirs are."""
        for at in range(self.windows):
            here = [part for part in self.parts if part.edges[at] < part.edges[at + 1]]
            yield here, [(int(part.edges[at]), int(part.edges[at + 1])) for part in here]


def _column(part: Part, name: str, default: int, begin: int, end: int) -> NDArray[Any]:
    found = part.columns.get(name)
    return np.broadcast_to(np.int64(default), end - begin) if found is None else found[begin:end]


def gathered(parts: list[Part], spans: list[tuple[int, int]], name: str, default: int = -1) -> Ints:
    """A column of some stretches, one after the other."""
    found = [_column(part, name, default, *span) for part, span in zip(parts, spans, strict=True)]
    return np.concatenate(found, dtype=np.int64, casting="unsafe")


def entries(
    parts: list[Part], spans: list[tuple[int, int]], what: Literal["prompt", "system"]
) -> list[list[Entries]]:
    """The text entries of some stretches."""
    return [
        [one.cut(begin, end) for one in (part.prompt if what == "prompt" else part.system)]
        for part, (begin, end) in zip(parts, spans, strict=True)
    ]
