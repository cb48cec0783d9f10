"""What every family is given (corpus, calendar, seed) and what it gives back (accounts and their traffic)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spiritsafe.simulate._corpus import Corpus, Pool
    from spiritsafe.simulate._people import Accounts
    from spiritsafe.simulate._text import Recipe

    Ints = NDArray[np.int64]

Mode = Literal["rich", "naive"]
COMMON = 1 << 39
"""Codes at or above this are common to all parts of a hand; below ``_people.SHARED``."""


@dataclass(frozen=True)
class Hand:
    """A population, or a firm of one, that is too large to be made in one go: ``whole`` accounts, ``first`` is ours."""

    rng: np.random.Generator
    first: int
    whole: int
    seed: int
    key: tuple[str | int, ...]

    def named(self, name: str) -> np.random.Generator:
        """Random numbers by a name, the same in all parts."""
        return generator(self.seed, *self.key, name)


@dataclass(frozen=True)
class World:
    """One family's view of a simulation: where text comes from, how long it lasts, and its own random numbers.

    ``start`` is microseconds since the epoch (UTC); times of traffic count from it. ``salt`` tells this block's
    codes from those of others.
    """

    corpus: Corpus
    start: int
    days: float
    mode: Mode
    rng: np.random.Generator
    salt: int
    sources: tuple[str, ...] = ()
    unit: int = 0
    """How many hands (firms, circles) of the population come before this part's first."""
    hand: Hand | None = None
    """Where this is one of several parts of the same hand."""

    @property
    def agreed(self) -> np.random.Generator:
        """Random numbers for what a hand has once: all its parts must draw the same from it, in the same order."""
        return self.rng if self.hand is None else self.hand.rng

    def whole(self, accounts: int) -> int:
        """How many accounts the hand has, of which ``accounts`` are in this part."""
        return accounts if self.hand is None else self.hand.whole

    def shared(self, codes: Ints | int) -> Any:
        """Codes of what the hand's accounts have in common: the same in all its parts."""
        return codes if self.hand is None else codes + COMMON

    def pool(self, *kinds: str) -> Pool:
        """Prompts of the first of these kinds that the family's sources have."""
        return self.corpus.pool(kinds, self.sources)


@dataclass
class Traffic:
    """Exchanges of one family's accounts, column-wise; any order.

    ``time`` is microseconds since the start; ``session`` -1 is none; ``end_user`` -1 is none; ``turn`` counts from
    0; ``redeems`` is the row (of this same traffic) whose reasoning artefact a request hands back, -1 for none.
    ``model`` and ``status`` override the account's model and 200. ``campaign`` tells the rows that belong to it.
    """

    account: Ints
    time: Ints
    prompt: Recipe
    system: Recipe | None = None
    session: Ints | None = None
    turn: Ints | None = None
    end_user: Ints | None = None
    redeems: Ints | None = None
    status: Ints | None = None
    model: Ints | None = None
    tools: Sequence[tuple[str, ...]] = ()
    tool_set: Ints | None = None
    campaign: bool = False
    chat: bool = False

    def __len__(self) -> int:
        return len(self.account)


@dataclass
class Block:
    """What a family returns: its accounts and their traffic, and what a perfect scan would say of them.

    ``campaign`` names the campaign (None: innocent). ``label`` is the expected label of the accounts
    ("campaign", "pool", "reseller") or None where nothing should be said.
    """

    accounts: Accounts
    traffic: list[Traffic] = field(default_factory=list)
    campaign: str | None = None
    label: str | None = None
    number: int = 0
    """Tells the block's codes from those of others."""
    base: int = -1
    """The same for codes that it has in common with other parts of its hand (-1: ``number``)."""
    suspended: Ints | None = None

    def until(self) -> Ints:
        """When the suspension of each account ends (0: it has none), in microseconds from the start."""
        found = np.zeros(len(self.accounts), dtype=np.int64)
        if self.suspended is not None:
            found[: len(self.suspended)] = self.suspended
        return found


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Random numbers that depend on the seed and the names only."""
    words = [zlib.crc32(str(name).encode()) for name in names]
    return np.random.default_rng(np.random.SeedSequence([seed & 0xFFFFFFFFFFFFFFFF, *words]))


def mix(values: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """splitmix64 of ``values ^ salt``: a bijection, so distinct codes give distinct identifiers."""
    with np.errstate(over="ignore"):
        z = values ^ np.uint64(salt & 0xFFFFFFFFFFFFFFFF)
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
