"""Appeals: a customer answers, the case is open again, severe measures freeze, and a second person decides.

Whoever took part in the first decision cannot review it: who opened the case, added a campaign or orders, agreed in an opinion,
or approved an order. What the second person decides is final here, is told in the transparency report, and becomes data that the
calibration learns from.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from spiritsafe.cases import folder
from spiritsafe.cases.folder import DECIDED, FROZEN, OUTCOMES, REVIEW
from spiritsafe.cases.notice import reference
from spiritsafe.errors import UsageError
from spiritsafe.model import RUNGS, Exemption

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from spiritsafe.cases.folder import Appeal, Case, Item
    from spiritsafe.model import Order
    from spiritsafe.orders.policy import Appeals

#: What an appeal may say, in categories; the words themselves are kept beside them.
GROUNDS = ("relation", "independent", "means", "purpose", "stolen", "mistake", "proportion", "other")
WHO, STATEMENT = "who.json", "statement"
_DAY = 86_400_000_000
CLEARED = 365 * _DAY
"""For so long (µs) a cleared account is exempt from measures of the same campaigns, unless their orders end before."""


def file(
    case_folder: Path,
    *,
    account: str | None,
    organization: str | None = None,
    statement: bytes,
    grounds: Sequence[str],
    by: str,
    why: str,
    now: int,
) -> Item:
    """Record an appeal of one account, or of all accounts of one organization; the case is open again.

    ``statement`` is what the customer wrote. Raises UsageError for grounds that do not exist, an account that is in no
    campaign of the case, or one whose appeal is still undecided.
    """
    if (account is None) == (organization is None):
        raise UsageError("an appeal is for one account or one organization")
    for one in grounds:
        if one not in GROUNDS:
            raise UsageError(f"there are no grounds {one!r}", hint=f"there are: {', '.join(GROUNDS)}")
    if not grounds or not statement.strip():
        raise UsageError("an appeal has grounds and a statement")
    case = folder.open_case(case_folder)
    name = account or organization or ""
    if account is not None and account not in members(case):
        raise UsageError(f"the account is in no campaign of {case.case_id}", where=str(case_folder))
    mine = reference(case, name)
    if any(one.item.about["reference"] == mine and not one.outcome for one in case.appeals):
        raise UsageError(f"{mine} is open already", where=str(case_folder), hint="add a note to the case")
    who = {"account_id": account, "organization_id": organization, "nonce": secrets.token_hex(16)}
    about = {"reference": mine, "grounds": list(dict.fromkeys(grounds))}
    parts: dict[str, Path | bytes] = {WHO: json.dumps(who).encode(), STATEMENT: statement}
    return folder.add(case_folder, "appeal", by=by, why=why, now=now, about=about, files=parts)


def frozen(
    case: Case, appeal: Appeal, orders: Iterable[Order], policy: Appeals, *, by: str, now: int
) -> tuple[Exemption | None, list[str]]:
    """What freezes the severe measures against an appellant, and the ids of the orders it freezes.

    None when the policy freezes nothing or no order in force is more severe than it keeps. Put the exemption into the signed
    file of orders; everything else there stays as it is.
    """
    who = appellant(case, appeal)
    campaigns = {one["id"] for item in case.of("campaign") for one in item.about["campaigns"]}
    severe = [
        one.order_id
        for one in orders
        if RUNGS[one.response] > RUNGS[policy.keep]
        and one.campaign_id in campaigns
        and (not one.accounts or who["account_id"] is None or who["account_id"] in one.accounts)
    ]
    if not severe or not policy.freeze:
        return None, []
    reason = _reason(appeal)
    return (
        Exemption(
            who["organization_id"], who["account_id"], reason, by, now, now + policy.freeze, policy.keep
        ),
        sorted(severe),
    )


def record_freeze(
    case_folder: Path,
    appeal: str,
    orders: Sequence[str],
    *,
    until: int,
    snapshot: str,
    by: str,
    why: str,
    now: int,
) -> None:
    """Record that measures were frozen. ``snapshot``: digest of the signed file that says so."""
    one = open_appeal(folder.open_case(case_folder), appeal)
    body = {
        "appeal": one.item.name,
        "orders": list(orders),
        "until": until,
        "snapshot": snapshot,
        "by": by,
        "why": why,
    }
    folder.record(case_folder, FROZEN, body, now=now)


def review(case_folder: Path, appeal: str, *, by: str, why: str, now: int) -> None:
    """Record who reviews an appeal. Raises UsageError when they took part in the first decision."""
    case = folder.open_case(case_folder)
    one = open_appeal(case, appeal)
    if _same(by) in {_same(name) for name in first(case)}:
        raise UsageError(
            f"{by!r} took part in the first decision",
            where=str(case_folder),
            hint="a second reviewer is another person",
        )
    folder.record(case_folder, REVIEW, {"appeal": one.item.name, "by": by, "why": why}, now=now)


def decide(case_folder: Path, appeal: str, outcome: str, *, by: str, why: str, now: int) -> None:
    """Record the outcome: ``confirmed`` or ``overturned``. Raises UsageError unless the recorded reviewer decides."""
    case = folder.open_case(case_folder)
    one = open_appeal(case, appeal)
    if outcome not in OUTCOMES:
        raise UsageError(f"there is no outcome {outcome!r}", hint=f"there are: {', '.join(OUTCOMES)}")
    if not one.reviewer:
        raise UsageError("nobody reviews this appeal yet", where=str(case_folder), hint="case appeal review")
    if _same(one.reviewer) != _same(by):
        raise UsageError(f"{one.reviewer!r} reviews this appeal, not {by!r}", where=str(case_folder))
    folder.record(
        case_folder, DECIDED, {"appeal": one.item.name, "outcome": outcome, "by": by, "why": why}, now=now
    )


def thawed(
    case: Case, appeal: Appeal, exempt: Iterable[Exemption], orders: Iterable[Order], *, by: str, now: int
) -> list[Exemption]:
    """The exemptions of the signed file once an appeal is decided: the freeze is gone, and who was cleared is spared.

    A cleared customer is exempt from every measure until the last order against the case's campaigns ends, at most ``CLEARED``.
    """
    kept = [one for one in exempt if one.reason != _reason(appeal)]
    if appeal.outcome != "overturned":
        return kept
    who = appellant(case, appeal)
    campaigns = {one["id"] for item in case.of("campaign") for one in item.about["campaigns"]}
    ends = [one.expires for one in orders if one.campaign_id in campaigns and one.expires > now]
    if not ends:
        return kept
    cleared = f"cleared by appeal {appeal.item.about['reference']}"
    end = min(max(ends), now + CLEARED)
    return [*kept, Exemption(who["organization_id"], who["account_id"], cleared, by, now, end)]


def first(case: Case) -> set[str]:
    """Who took part in the first decision, as far as the case knows."""
    names = {case.by}
    for item in case.items:
        if item.kind in {"campaign", "orders", "finding"} or (
            item.kind == "opinion" and item.about["judgement"] in {"agree", "strongly-agree"}
        ):
            names.add(item.by)
        if item.kind == "orders":
            table = _json(case, f"{item.name}/orders.json")
            names |= {each["by"] for order in table["orders"] for each in order["approvals"]}
    return names


def members(case: Case) -> dict[str, float]:
    """The accounts of the case's campaigns with the probability that they belong to one."""
    found: dict[str, float] = {}
    for item in case.of("campaign"):
        names = {one["id"] for one in item.about["campaigns"]}
        for entry in _json(case, f"{item.name}/campaigns.json")["campaigns"]:
            if entry["campaign_id"] in names:
                for one in entry["accounts"]:
                    found[one["account_id"]] = max(one["membership"], found.get(one["account_id"], 0.0))
    return found


def open_appeal(case: Case, name: str) -> Appeal:
    """The undecided appeal whose item or reference begins with ``name``. Raises UsageError."""
    fits = [one for one in case.appeals if _named(one, name)]
    if len(fits) > 1:  # an earlier one was decided
        fits = [one for one in fits if not one.outcome]
    if len(fits) != 1 or fits[0].outcome:
        known = ", ".join(one.item.about["reference"] for one in case.appeals if not one.outcome) or "none"
        raise UsageError(f"no open appeal is called {name!r}", where=str(case.folder), hint=f"open: {known}")
    return fits[0]


def decided(case: Case, name: str) -> Appeal:
    """The last decided appeal whose item or reference begins with ``name``. Raises UsageError."""
    fits = [one for one in case.appeals if _named(one, name) and one.outcome]
    if not fits:
        raise UsageError(f"no decided appeal is called {name!r}", where=str(case.folder))
    return fits[-1]


def appellant(case: Case, appeal: Appeal) -> dict[str, Any]:
    """``account_id`` and ``organization_id`` of who appealed; one of them is None."""
    return _json(case, f"{appeal.item.name}/{WHO}")


def cleared(case: Case) -> tuple[set[str], set[str]]:
    """The accounts and the organizations whose appeal ended in ``overturned``, and no later one otherwise."""
    last: dict[tuple[str | None, str | None], str] = {}
    for one in sorted(case.appeals, key=lambda each: each.decided):
        who = appellant(case, one)
        if one.outcome:
            last[who["account_id"], who["organization_id"]] = one.outcome
    right = [who for who, outcome in last.items() if outcome == "overturned"]
    return {a for a, _ in right if a is not None}, {o for _, o in right if o is not None}


def _named(one: Appeal, name: str) -> bool:
    return bool(name) and (one.item.name.startswith(name) or one.item.about["reference"] == name)


def _reason(appeal: Appeal) -> str:
    return f"appeal {appeal.item.about['reference']}"


def _same(name: str) -> str:
    return " ".join(name.split()).casefold()


def _json(case: Case, part: str) -> dict[str, Any]:
    with folder.reading(case.path(part)) as found:
        return json.load(found)
