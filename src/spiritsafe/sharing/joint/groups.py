"""Groups: which candidates of different labs are one hypothesis. Decided by tags alone, never by e-values.

Tags come from the slots in which candidates are chosen, so given those, the groups are fixed before any test speaks. Two
candidates fit when they have most runs of words in common, or infrastructure. Fits are taken best first; a group has one
candidate of a lab at most, and a candidate is in one group at most: what a viral prompt links to many is counted once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from spiritsafe.sharing.joint.known import CLASSES, INFRASTRUCTURE, RUN, SAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spiritsafe.sharing.joint.rules import Rules

MOST_EACH = 16
"""Candidates of one lab that a tag proposes, the first by name: what is everybody's bounds the work and spoils no match."""
LEAST_SAMPLE = 8
"""Prompts that a sample needs to tell anything."""


@dataclass(frozen=True, slots=True)
class Match:
    """What is known of one candidate before it is opened.

    ``name`` its commitment; ``kind`` what proposed it; ``tags`` those matched, by class; ``listed`` how many tags it has in all,
    by class. ``hearsay``: it was not opened, and one lab alone says that it met it.
    """

    lab: str
    name: str
    kind: str
    tags: Mapping[str, frozenset[str]]
    listed: Mapping[str, int]
    hearsay: bool = False


def groups(found: Sequence[Match], rules: Rules) -> list[list[Match]]:
    """Disjoint groups of two candidates or more, each of another lab; sorted by name, whatever the order of ``found``."""
    at = {one.name: number for number, one in enumerate(found)}
    home = list(range(len(found)))
    inside = [{number} for number in range(len(found))]
    labs = [{one.lab} for one in found]
    for _, first, second in sorted(_fits(found, rules)):
        a, b = home[at[first]], home[at[second]]
        if a == b or labs[a] & labs[b]:
            continue
        # What one lab alone says of a silent one must not weigh on a group of others; it still counts as a hypothesis.
        if (found[at[first]].hearsay or found[at[second]].hearsay) and len(inside[a]) + len(inside[b]) > 2:
            continue
        inside[a] |= inside[b]
        labs[a] |= labs[b]
        for number in inside[b]:
            home[number] = a
    made = [
        sorted((found[number] for number in inside[root]), key=lambda one: one.name)
        for root in sorted(set(home))
        if len(inside[root]) > 1
    ]
    return sorted(made, key=lambda group: group[0].name)


def _fits(found: Sequence[Match], rules: Rules) -> Iterable[tuple[tuple[bool, float, bool], str, str]]:
    """Pairs that fit, each with a key that sorts the best first."""
    holders: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number in sorted(range(len(found)), key=lambda number: found[number].name):
        one = found[number]
        for kind in (RUN, *INFRASTRUCTURE):
            for tag in one.tags.get(kind, ()):
                mine = holders[kind, tag][one.lab]
                if len(mine) < MOST_EACH:
                    mine.append(number)
    pairs = {
        (min(a, b), max(a, b))
        for among in holders.values()
        for mine, others in combinations(among.values(), 2)
        for a in mine
        for b in others
    }
    for a, b in pairs:
        one, other = found[a], found[b]
        likeness = fit(one, other, rules)
        if likeness > 0:
            first, second = sorted((one.name, other.name))
            yield (one.hearsay or other.hearsay, -likeness, one.kind != other.kind), first, second


def fit(one: Match, other: Match, rules: Rules) -> float:
    """How well two candidates fit: common runs over all runs, plus one for each class of infrastructure; 0 for not at all."""
    common = _common(one, other, RUN)
    listed = [max(1, each.listed.get(RUN, 0)) for each in (one, other)]
    score = common / max(1, sum(listed) - common) if common >= rules.overlap * min(listed) else 0.0
    return score + sum(_common(one, other, kind) > 0 for kind in INFRASTRUCTURE)


def common(group: Sequence[Match]) -> dict[str, int]:
    """By class, how many tags at least two of a group have."""
    found: dict[str, int] = {}
    for kind in CLASSES:
        holders = Counter(tag for one in group for tag in one.tags.get(kind, ()))
        several = sum(count > 1 for count in holders.values())
        if several:
            found[kind] = several
    return found


def holders(group: Sequence[Match], kind: str) -> int:
    """How many of a group have the tag of a class that most of them have."""
    counts = Counter(tag for one in group for tag in one.tags.get(kind, ()))
    return max(counts.values(), default=0)


def voices(group: Sequence[Match], rules: Rules) -> list[list[Match]]:
    """The group's labs, those together that saw the same traffic: much the same prompts at the same times."""
    home = list(range(len(group)))
    for a, b in combinations(range(len(group)), 2):
        listed = min(group[a].listed.get(SAMPLE, 0), group[b].listed.get(SAMPLE, 0))
        if listed >= LEAST_SAMPLE and _common(group[a], group[b], SAMPLE) >= rules.mirrored * listed:
            old, new = home[b], home[a]
            home = [new if one == old else one for one in home]
    return [
        [one for one, root in zip(group, home, strict=True) if root == mine] for mine in sorted(set(home))
    ]


def _common(one: Match, other: Match, kind: str) -> int:
    return len(one.tags.get(kind, frozenset()) & other.tags.get(kind, frozenset()))
