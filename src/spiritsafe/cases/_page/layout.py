"""Groups the accounts of a graph by what they share, and lays the groups out. No chance: same graph, same picture.

500 single dots with their lines are a ball of wool. Accounts that hang on the same values are one group; so many groups
as can be read are kept, and the others join the group that is nearest to them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_VALUES = 36
_GROUPS = 44
_TURNS = 260
#: The golden angle: points turned by it fill a circle evenly.
_GOLDEN = 2.399963


@dataclass(frozen=True, slots=True)
class Value:
    """A value that accounts share: its label, layer and number of accounts."""

    label: str
    layer: str
    accounts: int


@dataclass(frozen=True, slots=True)
class Groups:
    """Values, groups of accounts (their members), links (group, value, accounts), and how many values were left out."""

    values: list[Value]
    members: list[list[str]]
    links: list[tuple[int, int, int]]
    values_left: int
    accounts_left: int


def group(
    accounts: Iterable[str],
    labels: dict[str, str],
    edges: Sequence[tuple[str, str, str]],
    *,
    most: int = _GROUPS,
) -> Groups:
    """Groups ``accounts`` by the set of values they share.

    ``edges`` are (account, value, layer); ``labels`` says how values are called.
    """
    holders: defaultdict[str, set[str]] = defaultdict(set)
    layer_of: dict[str, str] = {}
    for account, value, layer in edges:
        holders[value].add(account)
        layer_of.setdefault(value, layer)
    shared = sorted((v for v in holders if len(holders[v]) > 1), key=lambda v: (-len(holders[v]), v))
    kept = _even(shared, layer_of)
    held: defaultdict[str, set[int]] = defaultdict(set)
    for index, value in enumerate(kept):
        for account in holders[value]:
            held[account].add(index)
    names = sorted(set(accounts) | {account for account, _, _ in edges})
    linked = [account for account in names if held[account]]
    members = _by_signature(linked, held, most)
    links: list[tuple[int, int, int]] = []
    for at, accounts_of in enumerate(members):
        counted = Counter(value for account in accounts_of for value in held[account])
        links.extend((at, value, count) for value, count in sorted(counted.items()))
    values = [Value(labels.get(v, v), layer_of[v], len(holders[v])) for v in kept]
    return Groups(values, members, links, len(shared) - len(kept), len(names) - len(linked))


def _even(shared: list[str], layer_of: dict[str, str]) -> list[str]:
    """The most shared values, in turn from each layer, so that one layer does not push out the others."""
    queues: defaultdict[str, list[str]] = defaultdict(list)
    for value in shared:
        queues[layer_of[value]].append(value)
    order = [
        (rank, at, value)
        for layer in queues
        for rank, (at, value) in enumerate(_positions(queues[layer], shared))
    ]
    return [value for _, _, value in sorted(order)[:_VALUES]]


def _positions(values: list[str], shared: list[str]) -> list[tuple[int, str]]:
    place = {value: at for at, value in enumerate(shared)}
    return [(place[value], value) for value in values]


def _by_signature(linked: list[str], held: dict[str, set[int]], most: int) -> list[list[str]]:
    """Members by equal sets of values; small groups join the kept group with the most similar set (Jaccard)."""
    groups: defaultdict[frozenset[int], list[str]] = defaultdict(list)
    for account in linked:
        groups[frozenset(held[account])].append(account)
    ranked = sorted(groups, key=lambda signature: (-len(groups[signature]), sorted(signature)))
    kept = ranked[:most]
    for signature in ranked[most:]:
        nearest = max(kept, key=lambda other: len(signature & other) / len(signature | other))
        groups[nearest].extend(groups[signature])
    return [sorted(groups[signature]) for signature in kept]


def spread(
    radii: NDArray[Any], links: Sequence[tuple[int, int, float]], size: tuple[float, float]
) -> NDArray[Any]:
    """Positions (n, 2) inside ``size`` for circles of ``radii`` joined by weighted ``links``.

    Fruchterman–Reingold from a sunflower start, with room for the circles; stretched to the frame and pushed apart.
    """
    count = len(radii)
    if count == 0:
        return np.zeros((0, 2))
    width, height = size
    # Positions are complex numbers: one array to subtract, and its absolute value is the distance.
    order = np.arange(count)
    at: Any = np.exp(1j * order * _GOLDEN) * np.sqrt((order + 0.5) / count)
    at = 0.4 * (at.real * width + 1j * at.imag * height)
    ideal = 0.75 * np.sqrt(width * height / count)
    pull = np.zeros((count, count))
    for a, b, weight in links:
        pull[a, b] = pull[b, a] = 0.35 + 0.65 * weight
    touch = 0.6 * (radii[:, None] + radii[None, :])
    for step in range(_TURNS):
        heat = 0.12 * width * (1 - step / _TURNS) ** 1.5 + 0.3
        between = at[:, None] - at[None, :]
        gap = np.abs(between) + 1e-6
        force = ideal**2 / np.maximum(gap - touch, 2.0) - pull * gap**2 / ideal
        move = (between / gap * force).sum(axis=1) - 0.6 * (at.real * height / width + 1j * at.imag)
        length = np.abs(move) + 1e-9
        at = at + move / length * np.minimum(length, heat)
    return _apart(_stretch(np.column_stack([at.real, at.imag]), radii, size), radii, size)


def _stretch(at: NDArray[Any], radii: NDArray[Any], size: tuple[float, float]) -> NDArray[Any]:
    low, high = (at - radii[:, None]).min(axis=0), (at + radii[:, None]).max(axis=0)
    scale = np.array(size) / np.maximum(high - low, 1e-6)
    scale = np.minimum(scale, 1.6 * scale.min())
    return (at - (low + high) / 2) * scale + np.array(size) / 2


def _apart(at: NDArray[Any], radii: NDArray[Any], size: tuple[float, float]) -> NDArray[Any]:
    """Pushes overlapping circles apart inside the frame."""
    edge = np.minimum(radii, min(size) / 2)
    room = radii[:, None] + radii[None, :] + 5.0
    np.fill_diagonal(room, 0.0)
    spot = at[:, 0] + 1j * at[:, 1]
    for _ in range(120):
        between = spot[:, None] - spot[None, :]
        gap = np.abs(between) + 1e-6
        missing = np.maximum(room - gap, 0.0)
        spot = spot + 0.3 * (between / gap * missing).sum(axis=1)
        spot = np.clip(spot.real, edge, size[0] - edge) + 1j * np.clip(spot.imag, edge, size[1] - edge)
        if not missing.any():
            break
    return np.column_stack([spot.real, spot.imag])


def sunflower(count: int, radius: float) -> NDArray[Any]:
    """``count`` points spread evenly in a circle of ``radius``, shape (count, 2)."""
    turn = np.arange(count) * _GOLDEN
    far = radius * np.sqrt((np.arange(count) + 0.5) / max(count, 1))
    return np.column_stack([np.cos(turn) * far, np.sin(turn) * far])
