"""The notice to a customer: what is done, why in categories, what would clear it, how to answer; nothing of anybody else.

A notice is a function of the customer's own facts and of a few categories from closed lists. No text of a prompt, no name, no
number of the campaign and no identifier goes in: the same categories with other people behind them give the same notice. The
customer is told a reference that only this case can make.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spiritsafe.cases import folder
from spiritsafe.errors import UsageError
from spiritsafe.model import RUNGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spiritsafe.cases.folder import Case
    from spiritsafe.model import Order
    from spiritsafe.orders.policy import Appeals

#: What a measure means for the customer, by response.
MEASURES = {
    "observe": "Requests of this account are looked at more closely. Nothing else changes.",
    "budget": "Requests that resemble a certain job are limited in number.",
    "step_up": "The account is asked to verify who is behind it.",
    "strip_logprobs": "Log-probabilities are not given out.",
    "cap_output": "Answers are limited in length.",
    "withhold_reasoning": "Reasoning is not given out.",
    "mark": "Answers carry a mark that can later be recognised. Their quality is not lowered.",
    "best_of": "Each answer is one of several good ones, chosen so that it can later be recognised.",
    "refuse": "Requests that resemble a certain job are refused.",
    "suspend": "The account is suspended.",
}
#: Why, in categories: kind of evidence → category.
_KINDS = {
    "load": "shared_work", "timing": "shared_work", "content": "shared_work", "payment": "shared_means", "device": "shared_means",
    "network": "shared_means", "cohort": "shared_means", "identity": "shared_means", "client": "shared_means",
    "redemption": "handed_on", "retry": "handed_on", "migration": "handed_on", "pivot": "handed_on",
}  # fmt: skip
REASONS = {
    "shared_work": "Requests of this account look like a part of one job that several accounts share out among them.",
    "shared_means": "This account seems to share means, such as payment or devices, with others in a way that is rare.",
    "handed_on": "Something given to one account, or refused to it, seems to have been used or tried again by another.",
    "training_data": "The requests resemble the making of training data for another model.",
    "no_product": "The requests show no use in a product, such as end users or documents of one's own.",
}
CLEARS = {
    "relation": "A relation that covers this use and that we did not know of: a licence, research, evaluation, an aggregator.",
    "independent": "That the account belongs to a customer of its own, with its own tasks and its own reasons.",
    "means": "An innocent reason for what is shared: one office, one payment service, one device pool.",
    "purpose": "What the answers are used for, if not to train a model.",
    "stolen": "That somebody else used the account: a stolen key, a former employee, a leaked password.",
}
_LETTER = """Notice {reference}

Your account came to our attention for requests{when}. A program found it and a person looked at it. It may be wrong.

What we have done
{measures}

Why, in categories
{reasons}

We do not tell more, because it would show data of others, or how this is found. A reviewer who was not part of the
first decision sees all of it.

What would clear it
{clears}

How to answer
  Write to {contact} and name {reference}, by {until} if you can.
  Say in your own words what the account does, and add what shows it. You need not prove your innocence.
  An answer is an appeal: {freeze}a second person reviews the whole, and you are told the outcome.
"""
_ALSO = {"shared_means": ("means",), "training_data": ("purpose",), "no_product": ("purpose",)}
_ALWAYS = ("relation", "independent", "stolen")


@dataclass(frozen=True, slots=True)
class Own:
    """What concerns this customer alone. Times in microseconds, 0 where nothing is known."""

    reference: str
    first: int
    last: int
    measures: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice as data; ``text`` tells it. ``measures``: response, from and until."""

    reference: str
    first: int
    last: int
    measures: tuple[tuple[str, int, int], ...]
    reasons: tuple[str, ...]
    clears: tuple[str, ...]
    answer_by: int
    contact: str
    freezes: bool


def reference(case: Case, account: str) -> str:
    """The name of this account's matter in this case: no other case makes the same, and it tells nothing."""
    digest = hmac.new(folder.secret(case), account.encode(), hashlib.sha256).digest()
    return f"AP-{base64.b32encode(digest[:5]).decode()}"


def notice(case: Case, account: str, orders: Iterable[Order], policy: Appeals, *, now: int) -> Notice:
    """The notice to the holder of ``account``. ``orders``: those in force; only those that touch the account are told.

    Raises UsageError when the account is in no campaign of the case.
    """
    entries = [
        entry for entry in _entries(case) if any(one["account_id"] == account for one in entry["accounts"])
    ]
    if not entries:
        raise UsageError(f"the account is in no campaign of {case.case_id}", where=str(case.folder))
    return made(
        own(case, account, orders, {one["campaign_id"] for one in entries}),
        categories(entries),
        policy,
        now=now,
    )


def own(case: Case, account: str, orders: Iterable[Order], campaigns: set[str]) -> Own:
    """What a case knows of one account."""
    rows = [row for row in _usage(case) if row["account_id"] == account]
    touching = [
        (one.response, one.start, one.expires)
        for one in orders
        if one.campaign_id in campaigns and (account in one.accounts or not one.accounts)
    ]
    return Own(
        reference(case, account),
        min((row["first"] for row in rows), default=0),
        max((row["last"] for row in rows), default=0),
        tuple(sorted(touching, key=lambda one: (RUNGS[one[0]], one))),
    )


def categories(entries: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The reasons, by category, that entries of a ``campaigns.json`` give."""
    found: set[str] = set()
    for entry in entries:
        found |= {_KINDS[kind] for kind in entry["independent_layers"] if kind in _KINDS}
        found.add("no_product" if entry["intent"]["by"] == "elimination" else "training_data")
    return tuple(name for name in REASONS if name in found)


def made(mine: Own, reasons: Sequence[str], policy: Appeals, *, now: int) -> Notice:
    """The notice from own facts and categories: nothing else goes in."""
    wanted = {*_ALWAYS, *(name for one in reasons for name in _ALSO.get(one, ()))}
    clears = tuple(name for name in CLEARS if name in wanted)
    return Notice(
        mine.reference,
        mine.first,
        mine.last,
        mine.measures,
        tuple(reasons),
        clears,
        now + policy.answer,
        policy.contact,
        policy.freeze > 0,
    )


def text(one: Notice) -> str:
    """The notice in words, for a letter or a mail."""
    when = f" between {_day(one.first)} and {_day(one.last)}" if one.first else ""
    measures = [
        f"  * {MEASURES.get(response, response)} From {_day(start)}; it ends by itself on {_day(end)}."
        for response, start, end in one.measures
    ]
    return _LETTER.format(
        reference=one.reference,
        when=when,
        measures="\n".join(measures or ["  * Nothing so far. We ask before we decide."]),
        reasons="\n".join(f"  * {REASONS[name]}" for name in one.reasons),
        clears="\n".join(f"  * {CLEARS[name]}" for name in one.clears),
        contact=one.contact or "the address that sent you this notice",
        until=_day(one.answer_by),
        freeze="severe measures are then frozen, " if one.freezes else "",
    )


def told(one: Notice) -> dict[str, Any]:
    """The notice as plain JSON."""
    return {
        "reference": one.reference,
        "requests": {"first": _day(one.first), "last": _day(one.last)} if one.first else None,
        "measures": [
            {
                "response": response,
                "means": MEASURES.get(response, response),
                "from": _day(start),
                "until": _day(end),
            }
            for response, start, end in one.measures
        ],
        "reasons": [{"category": name, "means": REASONS[name]} for name in one.reasons],
        "clears": [{"category": name, "means": CLEARS[name]} for name in one.clears],
        "answer": {
            "by": _day(one.answer_by),
            "contact": one.contact or None,
            "freezes_severe_measures": one.freezes,
        },
    }


def _entries(case: Case) -> list[dict[str, Any]]:
    """The entries of the case's campaigns."""
    found: list[dict[str, Any]] = []
    for item in case.of("campaign"):
        names = {one["id"] for one in item.about["campaigns"]}
        with folder.reading(case.path(f"{item.name}/campaigns.json")) as file:
            found += [one for one in json.load(file)["campaigns"] if one["campaign_id"] in names]
    return found


def _usage(case: Case) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for item in case.of("campaign"):
        if f"{item.name}/usage.json" in item.parts:
            with folder.reading(case.path(f"{item.name}/usage.json")) as file:
                rows += json.load(file)["rows"]
    return rows


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1e6, UTC):%Y-%m-%d}"
