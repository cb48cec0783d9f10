"""Changes: which campaign of this step is which of the step before, and what happened to it.

A ``campaign_id`` names exact data and changes with every exchange. So a watch gives each case a name that stays: the id
it was first told under. Two results are the same case when they share at least half the accounts of the smaller one. A case
that a step does not find is remembered for a window's length: found again, it has its name again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

_SAME = 0.5


@dataclass(frozen=True, slots=True)
class Case:
    """A campaign, pool, … as it is followed over steps.

    ``case``: its lasting name; ``first_told``, ``first_accused`` (label ``campaign``; None: never) and ``ended`` (None: the
    last step found it): when, RFC 3339. ``accounts``: its members when it was last found.
    """

    case: str
    campaign_id: str
    label: str
    exchanges: int
    first_told: str
    first_accused: str | None
    accounts: list[str] = field(repr=False)
    ended: str | None = None

    @property
    def record(self) -> dict[str, Any]:
        """For people and programs: members are told in ``campaigns.json``."""
        told = {**asdict(self), "accounts": len(self.accounts)}
        del told["ended"]
        return told


def follow(
    before: list[Case], campaigns: list[dict[str, Any]], *, since: str, now: str
) -> tuple[list[Case], list[dict[str, Any]]]:
    """The cases after a step, and what changed: one record each, for ``changes.jsonl``.

    ``before``: the cases after the step before, ended ones among them; ``campaigns``: the entries of ``campaigns.json``.
    ``now`` and ``since`` (ended earlier: forgotten) are RFC 3339. A case that splits stays with the part that has most in
    common with it, the rest is new.
    """
    members = [{account["account_id"] for account in entry["accounts"]} for entry in campaigns]
    follows = _pairs(before, members)
    cases: list[Case] = []
    changes: list[dict[str, Any]] = []
    for index, entry in enumerate(campaigns):
        old = before[follows[index]] if index in follows else None
        accused = entry["label"] == "campaign"
        case = Case(
            case=old.case if old else entry["campaign_id"],
            campaign_id=entry["campaign_id"],
            label=entry["label"],
            exchanges=entry["exchanges"],
            first_told=old.first_told if old else now,
            first_accused=(old.first_accused if old else None) or (now if accused else None),
            accounts=sorted(members[index]),
        )
        cases.append(case)
        kinds = _kinds(old, case)
        if kinds:
            changes.append({"time": now, "change": kinds, **case.record, "previous": _previous(old)})
    found = set(follows.values())
    for index, old in enumerate(before):
        if index not in found and old.ended is None:
            changes.append({"time": now, "change": ["ended"], **old.record, "previous": _previous(old)})
        if index not in found and (old.ended or now) >= since:
            cases.append(replace(old, ended=old.ended or now))
    return cases, changes


def _pairs(before: list[Case], members: list[set[str]]) -> dict[int, int]:
    """Index of the case before, by index of the campaign: largest overlap first, each used once."""
    known = [set(case.accounts) for case in before]
    found = [
        (len(new & old), index, place)
        for index, new in enumerate(members)
        for place, old in enumerate(known)
        if len(new & old) >= _SAME * min(len(new), len(old)) > 0
    ]
    follows: dict[int, int] = {}
    # Of equal overlaps a case that the last step found goes first.
    for _, index, place in sorted(
        found, key=lambda one: (-one[0], bool(before[one[2]].ended), one[1], one[2])
    ):
        if index not in follows and place not in follows.values():
            follows[index] = place
    return follows


def _kinds(old: Case | None, case: Case) -> list[str]:
    if old is None:
        return ["new", "accused"] if case.label == "campaign" else ["new"]
    kinds = ["again"] if old.ended else []
    if old.label != case.label:
        kinds.append("accused" if case.label == "campaign" else "relabelled")
    if len(case.accounts) != len(old.accounts):
        kinds.append("grown" if len(case.accounts) > len(old.accounts) else "shrunk")
    return kinds


def _previous(old: Case | None) -> dict[str, Any] | None:
    return (
        {"campaign_id": old.campaign_id, "label": old.label, "accounts": len(old.accounts)} if old else None
    )
