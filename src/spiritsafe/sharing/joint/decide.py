"""The joint decision: a pure function of signed statements and rules, which any member computes again to the same bytes.

e-BH over all groups that formed, with each group's merged e-value. As in a scan, an accusation needs more than that: a role that
labs recognised, two kinds of evidence of which one holds against a crowd of clones, and no innocent explanation (ADR 7). The bar
is set by the number of campaigns told in the end. Every decision is repeated for one, two and three liars.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any

from spiritsafe.sharing.joint import groups as grouping
from spiritsafe.sharing.joint.known import INFRASTRUCTURE, PRODUCT, TESTS, TIES, WORK, kind
from spiritsafe.sharing.joint.merge import Lab, Merged, Terms, bar, e_bh, merged, multiplies
from spiritsafe.sharing.joint.own import told
from spiritsafe.sharing.joint.reading import Held, Round, read
from spiritsafe.sharing.joint.rules import MOST_LIARS
from spiritsafe.sharing.joint.statements import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spiritsafe.sharing.joint.rules import Rules
    from spiritsafe.sharing.joint.statements import Members

UNNAMED = 20.0
"""Bits of each of two kinds where no role says what the work is for, as in a scan."""
UNNAMED_PARTIES = 20
"""Parties of all labs together, at least, where no role is recognised: as a scan asks of one log."""
_TIED = ("device", "payment")
_COUNT = range(MOST_LIARS + 1)


@dataclass(frozen=True, slots=True)
class Group:
    """One hypothesis: candidates of several labs, and for each number of liars what they amount to."""

    held: tuple[Held, ...]
    voices: tuple[tuple[int, ...], ...]
    """Positions in ``held`` that count as one."""
    common: Mapping[str, int]
    """By class, how many tags at least two of them have."""
    facts: Mapping[str, int]
    """At how many labs cards or devices are common to the group, or chose its candidates: no evidence, but facts."""
    merged: tuple[Merged, ...]

    @property
    def name(self) -> str:
        """A name made of the candidates' own."""
        return f"g-{hashlib.sha256(' '.join(one.match.name for one in self.held).encode()).hexdigest()[:16]}"

    def labs(self) -> list[Lab]:
        """Each candidate's evidence, less what the match rests on."""
        without = TIES if self.common.keys() & set(INFRASTRUCTURE) else frozenset[str]()
        return [one.lab(without=without) for one in self.held]

    def again(self, labs: Sequence[Lab], terms: Terms, liars: int) -> Merged:
        """What the group would amount to with other evidence."""
        return merged([[labs[place] for place in voice] for voice in self.voices], terms, liars=liars)


def decide(
    envelopes: Iterable[object],
    members: Members,
    rules: Rules,
    *,
    forum: str,
    round: str,
) -> dict[str, Any]:
    """The decision of one round, ready for JSON. The same for any order of ``envelopes``; nothing in them raises.

    ``members``: keys by identity, of those that count in this forum.
    """
    found = read(envelopes, members, rules, forum=forum, round=round)
    formed = grouping.groups([one.match for one in found.held], rules)
    hypotheses = len(formed)
    terms = Terms(rules.trust, rules.cap * bar(hypotheses, 1, fdr=rules.fdr))
    by_name = {one.match.name: one for one in found.held}
    groups = [_group([by_name[match.name] for match in one], rules, terms) for one in formed]
    chosen = [_chosen(groups, rules, liars) for liars in _COUNT]
    accused, least = chosen[rules.liars]
    return {
        "schema": 1,
        "forum": forum,
        "round": round,
        "rules": rules.table(),
        "hypotheses": hypotheses,
        "bar_bits": _shown(least),
        "cap_bits": _shown(terms.cap),
        "campaigns": _families([groups[place] for place in sorted(accused)]),
        "groups": [_told(group, place, chosen, rules, terms, least) for place, group in enumerate(groups)],
        "labs": _labs(found, groups),
        "double": found.double,
        "refused": found.refused,
    }


def _group(held: Sequence[Held], rules: Rules, terms: Terms) -> Group:
    matches = [one.match for one in held]
    place = {match.name: number for number, match in enumerate(matches)}
    voices = tuple(tuple(place[one.name] for one in voice) for voice in grouping.voices(matches, rules))
    common = grouping.common(matches)
    chose = [kind for one in held if one.state == "opened" and one.evidence for kind in one.evidence["chose"]]
    facts = {kind: max(grouping.holders(matches, kind), chose.count(kind)) for kind in _TIED}
    facts = {kind: many for kind, many in sorted(facts.items()) if many > 1}
    bare = Group(tuple(held), voices, common, facts, ())
    return replace(bare, merged=tuple(bare.again(bare.labs(), terms, liars) for liars in _COUNT))


def _chosen(groups: Sequence[Group], rules: Rules, liars: int) -> tuple[set[int], float]:
    """Which groups are accused when up to ``liars`` labs may lie, and the bar in bits: a self-consistent set.

    Some that pass are withheld and several tell of one campaign, so the number that sets the bar is that of the campaigns told.
    """
    bits = [group.merged[liars].bits for group in groups]
    many = max(1, sum(e_bh(bits, fdr=rules.fdr, hypotheses=len(groups))[0])) if groups else 1
    while True:
        least = bar(len(groups), many, fdr=rules.fdr)
        accused = {
            place
            for place, group in enumerate(groups)
            if group.merged[liars].bits >= least and not _withheld(group, group.merged[liars], least, liars)
        }
        count = _families([groups[place] for place in sorted(accused)])
        if count >= many or many == 1:
            return accused, least
        many = max(1, count)


def _families(groups: Sequence[Group]) -> int:
    """How many campaigns these groups tell of: groups that share a family at any lab tell of one."""
    homes: list[set[tuple[str, str]]] = []
    for group in groups:
        mine = {(one.match.lab, one.evidence["family"]) for one in group.held if one.evidence is not None}
        apart = [home for home in homes if not home & mine]
        homes = [*apart, mine.union(*(home for home in homes if home & mine))]
    return len(homes)


def _withheld(group: Group, amount: Merged, least: float, liars: int) -> str:
    """Why a group that reaches the bar is no accusation; empty where it is one."""
    heard = [one for one in group.held if one.evidence is not None]
    spoke = [one.evidence for one in heard if one.evidence and not one.evidence["excused"]]
    if 2 * len(spoke) <= len(heard):
        return "an innocent explanation fits at half of the labs or more"
    least_labs = max(2, liars + 1)
    if len(spoke) < least_labs:
        return f"fewer than {least_labs} labs bring evidence"
    role = sum(evidence["intent"] == "role" for evidence in spoke) >= least_labs
    asked = least if role else max(least, UNNAMED)
    names = {name for name, bits in amount.by_test.items() if bits >= asked}
    facts = {fact for fact, many in group.facts.items() if many >= least_labs}
    if len({kind(name) for name in names} | facts) < 2:
        return "fewer than two kinds of evidence are strong"
    if not any(multiplies(name) for name in names - {"spaced_apart"}):
        return "a crowd of clones could give all of it"
    if role:
        return ""
    return _unnamed(group, names, facts, spoke, liars)


def _unnamed(
    group: Group, names: set[str], facts: set[str], spoke: Sequence[Mapping[str, Any]], liars: int
) -> str:
    """The same where no role says what the work is for: more is asked, as in a scan."""
    if sum(sorted(evidence["parties"] for evidence in spoke)[: len(spoke) - liars]) < UNNAMED_PARTIES:
        return "no role is recognised, and the parties are too few"
    if not names & (WORK | {PRODUCT}):
        return "no role is recognised, and the work is not shared out"
    firm = any(TESTS[name].nature == "firm" for name in names - {PRODUCT})
    steady = "taken_in_turn" in names and names & {"even_arrivals", "spaced_apart"}
    if not firm and not facts and not steady:
        return "no role is recognised, and clocks could give the order"
    against = [
        any(tenth <= -10 * UNNAMED for name, tenth in one["tests"].items() if not multiplies(name))
        for one in spoke
    ]
    if 2 * sum(against) >= len(spoke):
        return (
            "no role is recognised, and at half of the labs uneven loads or own topics speak against one hand"
        )
    kinds = {one.match.kind for one in group.held}
    pool = {"swept_items", "even_arrivals"} if kinds == {"swept"} else {"swept_items"}
    lacking = [
        what
        for chosen, tests, what in (
            ({"items", "swept"}, pool, "the common pool is not worked through"),
            ({"texts", "swept"}, {"taken_in_turn"}, "nobody deals the work to the accounts"),
        )
        if kinds <= chosen and not tests & names
    ]
    return f"no role is recognised, and {lacking[0]}" if lacking else ""


def _told(
    group: Group,
    place: int,
    chosen: Sequence[tuple[set[int], float]],
    rules: Rules,
    terms: Terms,
    least: float,
) -> dict[str, Any]:
    amount = group.merged[rules.liars]
    stands = [liars for liars in _COUNT if place in chosen[liars][0]]
    reached = amount.bits >= least
    why = _withheld(group, amount, least, rules.liars) if reached else "the bar is not reached"
    label = "campaign" if rules.liars in stands else "insufficient" if reached else None
    labs = group.labs()
    voice = {one: number for number, voice in enumerate(group.voices) for one in voice}
    return {
        "group_id": group.name,
        "label": label,
        "why": "" if label == "campaign" else why,
        "bits": _shown(amount.bits),
        "robust": [
            {"liars": liars, "bits": _shown(group.merged[liars].bits), "campaign": liars in stands}
            for liars in _COUNT
        ],
        "tolerates": max(stands, default=None),
        "tests": {name: _shown(bits) for name, bits in sorted(amount.by_test.items()) if name != PRODUCT},
        "facts": dict(group.facts),
        "common": dict(group.common),
        "voices": len(group.voices),
        "members": [
            {
                "by": one.match.lab,
                "candidate": one.match.name,
                "state": one.state,
                "kind": one.match.kind or None,
                "intent": one.evidence["intent"] if one.evidence else None,
                "voice": voice[number],
                "bits": None if labs[number].silent else _shown(labs[number].mean()),
                **_influence(group, number, terms, rules.liars, least, accused=label == "campaign"),
            }
            for number, one in enumerate(group.held)
        ],
    }


def _influence(
    group: Group, number: int, terms: Terms, liars: int, least: float, *, accused: bool
) -> dict[str, Any]:
    """What a lab could have changed by lying: had it opened nothing, and had it opened the most that a statement can say."""
    labs = group.labs()
    names = {name for lab in labs for name in lab.tests}

    def told_as(lie: Lab) -> tuple[float, bool]:
        amount = group.again(
            [lie if place == number else lab for place, lab in enumerate(labs)], terms, liars
        )
        return amount.bits, amount.bits >= least and not _withheld(group, amount, least, liars)

    low, stands = told_as(Lab({}, silent=True))
    # More tests weaken the average over them but bring further kinds, so both lies are tried.
    lies = [told_as(Lab(dict.fromkeys(among, told(-NOTHING)))) for among in (names or TESTS, TESTS)]
    return {
        "least_bits": _shown(low),
        "could_stop": accused and not stands,
        "most_bits": _shown(max(bits for bits, _ in lies)),
        "could_make": not accused and any(made for _, made in lies),
    }


def _labs(found: Round, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """By lab: what it committed to, and how much of what matched it opened."""
    return [
        {
            "by": by,
            "commitment": statement.id,
            "fingerprint_version": statement.body["fingerprint_version"],
            "made": statement.body["made"],
            "matched": len(mine := [one for group in groups for one in group.held if one.match.lab == by]),
            "silent": sum(one.state == "silent" for one in mine),
        }
        for by, statement in sorted(found.commitments.items())
    ]


def _shown(bits: float) -> float | None:
    """Bits to a thousandth, rounded to the nearest; None for an e-value of 0."""
    return None if bits == -inf else round(bits, 3)
