"""Links: which parties hold the same payment, device, address, cohort, or work on the same items.

Each layer stays separate. A link's weight is the Fellegi–Sunter agreement weight with term frequencies (Winkler 2000):
``log2(parties / holders)``: rare values weigh, popular ones do not. A value with more holders than ``CAP`` makes a group
hypothesis of its own, never a clique.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from spiritsafe.campaigns._passes import row_type
from spiritsafe.campaigns.log import LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spiritsafe.campaigns.log import Log
    from spiritsafe.engine import Engine

CAP = 64
_AT_ONCE, _STEPS = 1 << 14, 16
"""Parties whose links to all others are found at once, at least; and in how many steps, at most: each takes room for all."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of links: which party holds which value.

    ``party`` and ``value`` int64, one entry a distinct pair; ``population`` int64 by value: parties that hold it;
    ``names`` the values as text, for exhibits (Arrow); ``designated`` int64 by party: the value it shares with most others
    (−1: none), one a party, so that drawing parties at random has an exact chance; ``designations`` int64 by value: for
    how many parties it is that; ``designated_parties`` their sum, the parties that have a value at all.
    """

    name: str
    column: str
    weight: float
    party: Any
    value: Any
    population: Any
    names: Any
    designated: Any
    designations: Any
    designated_parties: int

    def named(self, value: int) -> str:
        """A value as text."""
        return self.names[value].as_py()

    def begins(self) -> Any:
        """Int64 (parties + 1,): where the pairs of each party begin. ``party`` is sorted, as ``layers`` gives it."""
        return np.searchsorted(self.party, np.arange(self.designated.size + 1))

    def held_by(self, parties: Any) -> tuple[Any, Any]:
        """Which pairs of party and value are of ``parties`` (bool, by pair), and how many of them hold each value (int64)."""
        member = np.zeros(self.designated.size, bool)
        member[parties] = True
        inside = member[self.party]
        return inside, np.bincount(self.value[inside], minlength=self.population.size)


def layers(engine: Engine, log: Log) -> dict[str, Layer]:
    """All account-level layers whose column the log has."""
    found: dict[str, Layer] = {}
    engine.register("party_of", _party_table(log))
    for name, (column, weight) in LAYERS.items():
        if column not in log.present:
            continue
        shown = (
            f"strftime(make_timestamp(({column} // 3600000000) * 3600000000), '%Y-%m-%dT%H')"
            if column == "account_created"
            else f"CAST({column} AS VARCHAR)"
        )
        pairs = engine.table(
            f"SELECT DISTINCT p.party AS party, {shown} AS value FROM sketch s JOIN party_of p ON s.acc = p.acc "
            f"WHERE {column} IS NOT NULL ORDER BY 1, 2"
        )
        if pairs.num_rows:
            found[name] = layer_of(name, column, weight, pairs, log.parties)
    return found


def _party_table(log: Log) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - only here

    return pa.table({"acc": np.arange(log.party.size, dtype=np.int32), "party": log.party})


def layer_of(name: str, column: str, weight: float, pairs: Any, parties: int) -> Layer:
    """The layer of distinct ``pairs``: an Arrow table of ``party`` and ``value`` (text)."""
    values = pairs.column("value").combine_chunks().dictionary_encode()
    party = pairs.column("party").to_numpy().astype(np.int64)
    value = values.indices.to_numpy().astype(np.int64)
    population = np.bincount(value)
    order = np.lexsort((value, population[value], party))
    last = np.append(np.flatnonzero(np.diff(party[order])), party.size - 1)
    designated = np.full(parties, -1, np.int64)
    designated[party[order][last]] = value[order][last]
    designations = np.bincount(designated[designated >= 0], minlength=population.size)
    having = int(designations.sum())
    return Layer(
        name, column, weight, party, value, population, values.dictionary, designated, designations, having
    )


def graph(party: Any, value: Any, parties: int, *, cap: int = CAP) -> csr_array:
    """Weighted party graph of one layer: the sum of agreement bits over shared values with 2..``cap`` holders.

    ``party``, ``value`` int64 distinct pairs. Work is bounded by ``cap`` times the number of pairs.
    """
    population = np.bincount(value)
    usable = (population[value] >= 2) & (population[value] <= cap)
    p = party[usable].astype(row_type(parties), copy=False)
    v = value[usable].astype(row_type(population.size), copy=False)
    weight = np.sqrt(np.log2(max(parties, 2) / population[v]).clip(0.1))
    holds = coo_array((weight, (p, v)), shape=(parties, population.size)).tocsr()
    del p, v, weight, usable
    many, ends, bits = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0)]
    for begin, both in by_parts(holds, max(_AT_ONCE, parties // _STEPS)):
        # Each party with itself is left out here: from the whole it would be taken out in a copy.
        row = np.repeat(np.arange(both.shape[0]), np.diff(both.indptr))
        other = both.indices != row + begin
        many.append(np.bincount(row[other], minlength=both.shape[0]))
        ends.append(both.indices[other])
        bits.append(both.data[other])
    indptr, indices = np.cumsum(np.concatenate(many)), np.concatenate(ends)
    del ends, holds
    # With numbers of one type for both, or those of the indices would be made larger.
    begins = indptr.astype(row_type(int(indptr[-1])))
    return csr_array((np.concatenate(bits), indices, begins), shape=(parties, parties))


def by_parts(holds: Any, step: int) -> Iterator[tuple[int, Any]]:
    """``holds @ holds.T`` (CSR), so many rows at a time, each with the number of its first row: the whole need not be held."""
    of = holds.T.tocsr()
    for begin in range(0, holds.shape[0], step):
        yield begin, holds[begin : begin + step] @ of
