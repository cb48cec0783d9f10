"""Streams, accounts and infrastructure of a group as a graph in three columns that stays readable at any size.

Accounts are collapsed: by the stream that they send most, by their main role, or by the cards and devices that tie them. Streams
beyond the largest are one node, and each layer of infrastructure is one node until it is opened. What is opened shows its largest
members, and a node for the rest. The same group and the same choices give the same graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from spiritsafe.campaigns.grounds import TIES
from spiritsafe.console.campaign.group import kind_words, role_words

if TYPE_CHECKING:
    from collections.abc import Collection

    from spiritsafe.console.campaign.group import Group

WAYS: Final = ("stream", "ties", "role")
"""How accounts are collapsed."""
_STREAMS, _GROUPS, _VALUES, _ACCOUNTS = 10, 12, 12, 24
"""So many nodes of a kind at most, before the rest is one node."""
_STRONG: Final = frozenset(name.removeprefix("shared_") for name in TIES)


@dataclass(frozen=True, slots=True)
class Node:
    """``column`` 0: streams, 1: accounts, 2: infrastructure. ``size``: exchanges of a stream, accounts of all others.

    ``opens``: it can be opened or closed by its ``key``. ``detail``: what else is known in a few words. ``about`` are the
    values of a filter that lists the rows behind it.
    """

    key: str
    column: int
    name: str
    detail: str
    size: int
    kind: str
    opens: bool = False
    open: bool = False
    about: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """From the account node ``account`` to ``other``: ``weight`` exchanges (streams) or accounts (infrastructure)."""

    account: str
    other: str
    weight: int


@dataclass(frozen=True, slots=True)
class Network:
    """``nodes`` in the order in which they stand, column by column, and ``edges`` between accounts and the other two."""

    nodes: list[Node]
    edges: list[Edge]
    by: str
    accounts: int

    def data(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "by": self.by,
            "accounts": self.accounts,
            "nodes": [
                {
                    "key": one.key, "column": ("stream", "accounts", "infrastructure")[one.column], "name": one.name,
                    "detail": one.detail, "size": one.size, "opens": one.opens, "open": one.open, "about": dict(one.about),
                }
                for one in self.nodes
            ],
            "edges": [{"accounts": one.account, "to": one.other, "weight": one.weight} for one in self.edges],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Accounts:
    """Accounts as numbers: which node each belongs to (int64), and how they send (account, kind, role by exchange)."""

    names: pa.Array
    sent: Any
    kind: Any
    role: Any
    kinds: list[str]
    roles: list[str]


def network(group: Group, *, by: str = "stream", opened: Collection[str] = ()) -> Network:
    """The graph of a group. ``by``: one of ``WAYS``; ``opened``: keys of nodes that are open."""
    known = group.once("senders", lambda: _accounts(group))
    size = len(known.names)
    held = group.once("holders", lambda: _held(group, known.names))
    label, names = _collapsed(known, held, size, by)
    streams, of_kind = _streams(known)
    groups, of_account = _groups(known, label, names, opened, by)
    infrastructure, holds = _infrastructure(held, opened)
    edges = _sum(of_account[known.sent], of_kind[known.kind], groups, streams)
    if holds is not None:
        account, node = holds
        pair = np.unique(account * max(len(infrastructure), 1) + node)
        edges += _sum(
            of_account[pair // max(len(infrastructure), 1)],
            pair % max(len(infrastructure), 1),
            groups,
            infrastructure,
        )
    return Network([*streams, *groups, *infrastructure], edges, by, size)


def _accounts(group: Group) -> _Accounts:
    names = pa.array([one["account_id"] for one in group.entry["accounts"]], pa.string())
    place = pc.index_in(group.rows["account_id"].combine_chunks().cast(pa.string()), names)
    known = pc.is_valid(place).to_numpy(zero_copy_only=False)
    sent = pc.fill_null(place, 0).to_numpy().astype(np.int64)[known]
    kind, role = (group.rows[column].combine_chunks() for column in ("kind", "role"))
    return _Accounts(
        names,
        sent,
        kind.indices.to_numpy(zero_copy_only=False)[known].astype(np.int64),
        role.indices.to_numpy(zero_copy_only=False)[known].astype(np.int64),
        kind.dictionary.to_pylist(),
        role.dictionary.to_pylist(),
    )


@dataclass(frozen=True, slots=True)
class _Held:
    """Who holds what: ``account`` and ``value`` int64, a pair a row; ``layer`` int64 and ``inside`` int64 by value."""

    account: Any
    value: Any
    layer: Any
    inside: Any
    elsewhere: Any
    numbers: Any
    names: list[str]
    layers: list[str]


def _held(group: Group, names: pa.Array) -> _Held | None:
    rows = group.holdings
    place = pc.index_in(rows["account_id"].combine_chunks(), names)
    rows = rows.filter(pc.is_valid(place))
    if not rows.num_rows:
        return None
    account = pc.drop_null(place).to_numpy().astype(np.int64)
    layer = rows["layer"].combine_chunks().dictionary_encode()
    code = layer.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    number = rows["number"].to_numpy()
    _, first, value = np.unique(
        code * (int(number.max()) + 1) + number, return_index=True, return_inverse=True
    )
    kept = rows.take(pa.array(first))
    return _Held(
        account,
        value.ravel(),
        code[first],
        kept["inside"].to_numpy(),
        kept["elsewhere"].to_numpy(),
        number[first],
        kept["value"].to_pylist(),
        layer.dictionary.to_pylist(),
    )


def _collapsed(known: _Accounts, held: _Held | None, size: int, by: str) -> tuple[Any, list[tuple[str, str]]]:
    """For each account the number of its group, and key and name of each group."""
    if by == "ties":
        return _tied(held, size)
    code, names = (known.kind, known.kinds) if by == "stream" else (known.role, known.roles)
    if not names:
        return np.zeros(size, np.int64), [("all", "all accounts")]
    pair, count = np.unique(known.sent * len(names) + code, return_counts=True)
    order = np.lexsort((pair, -count, pair // len(names)))
    best = order[np.append(True, np.diff(pair[order] // len(names)) > 0)] if order.size else order
    label = np.full(size, len(names), np.int64)
    label[pair[best] // len(names)] = pair[best] % len(names)
    words = kind_words if by == "stream" else role_words
    told = [(name or "none", f"mostly {words(name)}") for name in names]
    return label, [*told, ("silent", "no exchange here")]


def _tied(held: _Held | None, size: int) -> tuple[Any, list[tuple[str, str]]]:
    """Groups of accounts that cards and devices tie together, through others, too."""
    if held is None:
        return np.zeros(size, np.int64), [("loose", "no card or device in common")]
    strong = np.isin(held.layer, [at for at, name in enumerate(held.layers) if name in _STRONG])
    use = strong[held.value]
    values = held.layer.size
    graph = coo_array(
        (np.ones(use.sum(), np.int8), (held.account[use], size + held.value[use])),
        shape=(size + values, size + values),
    )
    _, part = connected_components(graph, directed=False)
    tied = np.zeros(size, bool)
    tied[held.account[use]] = True
    parts, label = np.unique(part[:size], return_inverse=True)
    label = np.where(tied, label, parts.size)
    # A part is called by the value that most of it hold.
    names: list[tuple[str, str]] = [("", "")] * parts.size
    top = np.argsort(-held.inside, kind="stable")
    top = top[strong[top]]
    for value in top[::-1].tolist():
        at = int(np.searchsorted(parts, part[size + value]))
        if at < parts.size and parts[at] == part[size + value]:
            layer = held.layers[held.layer[value]]
            names[at] = (f"{layer}.{held.numbers[value]}", f"tied by {layer} {held.names[value]}")
    return label, [*names, ("loose", "no card or device in common")]


def _streams(known: _Accounts) -> tuple[list[Node], Any]:
    """Nodes of streams, and for each kind the number of its node."""
    count = np.bincount(known.kind, minlength=len(known.kinds))
    senders = np.bincount(
        np.unique(known.kind * max(len(known.names), 1) + known.sent) // max(len(known.names), 1),
        minlength=len(known.kinds),
    )
    order = np.argsort(-count, kind="stable")
    most = order[: _STREAMS if order.size > _STREAMS + 1 else order.size]
    of_kind = np.full(len(known.kinds), most.size, np.int64)
    of_kind[most] = np.arange(most.size)
    nodes = [
        Node(
            f"s:{known.kinds[at]}", 0, kind_words(known.kinds[at]), f"{senders[at]:,} accounts", int(count[at]), "stream",
            about=(("kind", known.kinds[at]),),
        )
        for at in most.tolist()
    ]  # fmt: skip
    if most.size < order.size:
        rest = order[most.size :]
        nodes.append(
            Node("s:rest", 0, f"{rest.size:,} more streams", "", int(count[rest].sum()), "stream rest")
        )
    return nodes, of_kind


def _groups(
    known: _Accounts, label: Any, names: list[tuple[str, str]], opened: Collection[str], by: str
) -> tuple[list[Node], Any]:
    """Nodes of accounts, and for each account the number of its node."""
    size = np.bincount(label, minlength=len(names))
    sent = np.bincount(known.sent, minlength=label.size)
    order = np.argsort(-size, kind="stable")
    order = order[size[order] > 0]
    most = order[: _GROUPS if order.size > _GROUPS + 1 else order.size]
    of_account = np.full(label.size, -1, np.int64)
    nodes: list[Node] = []
    for at in most.tolist():
        mine = np.flatnonzero(label == at)
        key, name = f"a:{names[at][0]}", names[at][1]
        is_open = key in opened and mine.size > 1
        about = (
            (("kind" if by == "stream" else "role", names[at][0]),)
            if by != "ties" and names[at][0] != "silent"
            else ()
        )
        if by == "ties" and "." in names[at][0]:
            layer, _, number = names[at][0].partition(".")
            about = (("layer", layer), ("number", number))
        told = f"{sent[mine].sum():,} exchanges"
        if not is_open:
            of_account[mine] = len(nodes)
            nodes.append(Node(key, 1, name, told, int(mine.size), "accounts", mine.size > 1, about=about))
            continue
        of_account[mine] = len(nodes)
        shown = mine[np.lexsort((mine, -sent[mine]))][:_ACCOUNTS]
        rest = mine.size - shown.size
        title = f"{name}, the rest" if rest else name
        nodes.append(Node(key, 1, title, told, int(rest), "accounts", opens=True, open=True, about=about))
        for account in shown.tolist():
            of_account[account] = len(nodes)
            who = known.names[account].as_py()
            nodes.append(
                Node(
                    f"n:{who}",
                    1,
                    who,
                    f"{sent[account]:,} exchanges",
                    1,
                    "account",
                    about=(("account", who),),
                )
            )
    if most.size < order.size:
        rest = order[most.size :]
        mine = np.flatnonzero(np.isin(label, rest))
        of_account[mine] = len(nodes)
        nodes.append(
            Node(
                "a:rest",
                1,
                f"{rest.size:,} smaller groups",
                f"{sent[mine].sum():,} exchanges",
                int(mine.size),
                "accounts rest",
            )
        )
    return nodes, of_account


def _infrastructure(held: _Held | None, opened: Collection[str]) -> tuple[list[Node], tuple[Any, Any] | None]:
    """Nodes of infrastructure, and pairs (account, number of the node) int64."""
    if held is None:
        return [], None
    of_value = np.zeros(held.layer.size, np.int64)
    nodes: list[Node] = []
    holders = [
        int(np.unique(held.account[held.layer[held.value] == at]).size) for at in range(len(held.layers))
    ]
    ranked = sorted(
        range(len(held.layers)),
        key=lambda at: (held.layers[at] not in _STRONG, -holders[at], held.layers[at]),
    )
    for at in ranked:
        mine = np.flatnonzero(held.layer == at)
        layer = held.layers[at]
        key = f"l:{layer}"
        many = f"{mine.size:,} value{'' if mine.size == 1 else 's'}"
        of_value[mine] = len(nodes)
        if key not in opened:
            nodes.append(
                Node(
                    key, 2, layer, many, holders[at], f"layer {layer}", opens=True, about=(("layer", layer),)
                )
            )
            continue
        shown = mine[np.lexsort((mine, -held.inside[mine]))][:_VALUES]
        rest = np.setdiff1d(mine, shown)
        left = int(np.unique(held.account[np.isin(held.value, rest)]).size) if rest.size else 0
        title, told = (
            (f"{layer}, the rest", f"{rest.size:,} more values") if rest.size else (layer, f"all {many}")
        )
        nodes.append(
            Node(
                key, 2, title, told, left, f"layer {layer}", opens=True, open=True, about=(("layer", layer),)
            )
        )
        for value in shown.tolist():
            of_value[value] = len(nodes)
            number = str(int(held.numbers[value]))
            elsewhere = f"{held.elsewhere[value]:,} elsewhere"
            size = int(np.unique(held.account[held.value == value]).size)
            nodes.append(
                Node(
                    f"v:{layer}.{number}", 2, held.names[value], elsewhere, size, f"value {layer}",
                    about=(("layer", layer), ("number", number)),
                )
            )  # fmt: skip
    return nodes, (held.account, of_value[held.value])


def _sum(account: Any, other: Any, groups: list[Node], others: list[Node]) -> list[Edge]:
    """One edge for each pair of nodes, with how many rows it stands for."""
    width = max(len(others), 1)
    pair, weight = np.unique(account[account >= 0] * width + other[account >= 0], return_counts=True)
    return [
        Edge(groups[one // width].key, others[one % width].key, many)
        for one, many in zip(pair.tolist(), weight.tolist(), strict=True)
    ]
