"""Reading a round: of all signed statements, those that hold, and what they say of each candidate that matched.

Nothing that a lab sends stops the others: what does not hold is set aside with its reason. A candidate that others met and that
its lab did not open is there all the same, silent.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import AttestError, SharingError
from spiritsafe.sharing.joint.groups import Match
from spiritsafe.sharing.joint.merge import Lab
from spiritsafe.sharing.joint.own import told
from spiritsafe.sharing.joint.statements import COMMITMENT, Statement, listed, name_of, opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spiritsafe.sharing.joint.rules import Rules
    from spiritsafe.sharing.joint.statements import Members


@dataclass(frozen=True, slots=True)
class Held:
    """One candidate of a round: how it matches, and what its lab opened of it; None where it stays silent."""

    match: Match
    evidence: Mapping[str, Any] | None

    @property
    def state(self) -> str:
        """``opened``, ``excused`` (its lab holds an innocent explanation) or ``silent``."""
        if self.evidence is None:
            return "silent"
        return "excused" if self.evidence["excused"] else "opened"

    def lab(self, *, without: frozenset[str]) -> Lab:
        """Its evidence, less some tests. What is excused counts as silent: the least, so that no lab gains by excusing."""
        if self.evidence is None or self.evidence["excused"]:
            return Lab({}, silent=True)
        return Lab(
            {name: told(tenth) for name, tenth in self.evidence["tests"].items() if name not in without}
        )


@dataclass(slots=True)
class Round:
    """What holds of a round's statements. ``refused``: why others do not, by digest; ``double``: who committed twice."""

    commitments: dict[str, Statement] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    double: list[str] = field(default_factory=list)


def read(
    envelopes: Iterable[object],
    members: Members,
    rules: Rules,
    *,
    forum: str,
    round: str,
) -> Round:
    """The statements of one round, in any order and with any rubbish between them. ``members``: keys by identity."""
    found = Round()
    commitments: dict[str, dict[str, Statement]] = defaultdict(dict)
    openings: dict[str, tuple[str, Statement]] = {}
    for envelope in envelopes:
        digest = _digest(envelope)
        try:
            one = _ours(opened(envelope, members), rules, forum, round)
        except SharingError as error:
            found.refused.append({"statement": digest, "why": error.message, "by": error.where or ""})
            continue
        if one.kind == COMMITMENT:
            commitments[one.by][one.id] = one
        else:
            openings[one.id] = (digest, one)
    for by, mine in sorted(commitments.items()):
        if len(mine) > 1:
            found.double.append(by)
        else:
            found.commitments[by] = next(iter(mine.values()))
    told_of: dict[str, Held] = {}
    claims: dict[tuple[str, str], set[tuple[str, str, str]]] = defaultdict(set)
    for _, (digest, one) in sorted(openings.items()):
        base = found.commitments.get(one.by)
        if base is None or one.body["commitment"] != base.id:
            found.refused.append(
                {"statement": digest, "why": "it opens no commitment of this round", "by": one.by}
            )
            continue
        for entry in one.body["candidates"]:
            _take(one.by, entry, base, told_of, claims, found)
    # Who commits twice may open nothing, but does not get rid of what it committed to.
    names = {
        by: {name for one in mine.values() for name in one.body["candidates"]}
        for by, mine in commitments.items()
    }
    silent = _silent(claims, names, told_of)
    found.held = [held for _, held in sorted({**told_of, **silent}.items())]
    found.refused.sort(key=lambda entry: (entry["statement"], entry["why"], entry["by"]))
    return found


def _ours(one: Statement, rules: Rules, forum: str, round: str) -> Statement:
    if (one.body["forum"], one.body["round"]) != (forum, round):
        raise SharingError("it belongs to another round", where=one.by)
    if one.kind == COMMITMENT and one.body["rules"] != rules.digest():
        raise SharingError("it was made under other rules", where=one.by)
    return one


def _take(
    by: str,
    entry: Mapping[str, Any],
    base: Statement,
    told_of: dict[str, Held],
    claims: dict[tuple[str, str], set[tuple[str, str, str]]],
    found: Round,
) -> None:
    """Check one opened candidate against its commitment and keep it, or say why not."""
    name, evidence = entry["name"], entry["evidence"]
    if name not in base.body["candidates"] or name_of(bytes.fromhex(entry["salt"]), evidence) != name:
        found.refused.append({"statement": name, "why": "it is not what was committed to", "by": by})
        return
    tags: dict[str, set[str]] = defaultdict(set)
    for one in entry["tags"]:
        kind, tag = one["class"], one["tag"]
        if listed(bytes.fromhex(one["nonce"]), kind, tag) not in evidence["listed"].get(kind, ()):
            found.refused.append(
                {"statement": name, "why": "a tag is not among those committed to", "by": by}
            )
            return
        tags[kind].add(tag)
        for other in one["met"]:
            if other["by"] != by:
                claims[other["by"], other["name"]].add((kind, tag, by))
    if name in told_of:  # opened in two statements: what they open adds up
        for kind, known in told_of[name].match.tags.items():
            tags[kind] |= known
    counts = {kind: len(hashes) for kind, hashes in evidence["listed"].items()}
    held = Match(by, name, evidence["kind"], {kind: frozenset(mine) for kind, mine in tags.items()}, counts)
    told_of[name] = Held(held, evidence)


def _silent(
    claims: Mapping[tuple[str, str], set[tuple[str, str, str]]],
    names: Mapping[str, set[str]],
    told_of: Mapping[str, Held],
) -> dict[str, Held]:
    """Candidates that were met and not opened. Of opened ones what their own lab opens counts, not what others say."""
    found: dict[str, Held] = {}
    for (by, name), met in sorted(claims.items()):
        if name in told_of or name not in names.get(by, ()):
            continue  # nobody can make up a candidate for another
        tags: dict[str, set[str]] = defaultdict(set)
        for kind, tag, _ in met:
            tags[kind].add(tag)
        counts = {kind: len(mine) for kind, mine in tags.items()}
        whole = {kind: frozenset(mine) for kind, mine in tags.items()}
        alone = len({witness for _, _, witness in met}) < 2
        found[name] = Held(Match(by, name, "", whole, counts, hearsay=alone), None)
    return found


def _digest(envelope: object) -> str:
    try:
        return hashlib.sha256(jcs(cast("Any", envelope))).hexdigest()
    except AttestError:
        return "unreadable"
