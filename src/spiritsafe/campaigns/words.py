"""One campaign in words, for the terminal: the claim, the numbers, each test as sentences, and what speaks against it.

Scales are always named: bits of evidence are log2 of an e-value, membership is a probability. What stands in a result
was written by strangers; control and invisible characters never reach the terminal (``plain``).
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping
from typing import Any, cast

WIDTH = 79

# Controls with escape sequences, direction marks and overrides, zero-width characters, tags, lone surrogates.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff9-\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_SURE = 0.99

LABELS = {
    "campaign": "a campaign: accounts that act together to harvest the model. This is an accusation.",
    "pool": "a pool: accounts that seem to be run by one hand. This is no accusation.",
    "reseller": "a reseller: an operator that seems to relay many ordinary customers. This is no accusation.",
    "insufficient": "unclear: something stood out, but the evidence does not suffice. This is no accusation.",
}
RESPONSES = {
    "none": "do nothing",
    "observe": "keep watching and change nothing",
    "budget": "give the whole campaign one shared budget",
    "step_up": "ask these accounts to verify who they are",
    "withhold": "withhold reasoning and log-probabilities",
    "refuse": "refuse visibly, with a machine-readable reason",
    "suspend": "suspend the whole network at once",
}
_FITS = {"no": "does not fit", "partly": "fits in part", "yes": "fits"}


def words(campaign: Mapping[str, Any], *, width: int = WIDTH) -> str:
    """The explanation of one entry of ``campaigns.json`` as plain text of at most ``width`` columns.

    What the entry does not hold is left out.
    """
    label = plain(campaign.get("label"))
    parts = [
        f"{plain(campaign.get('campaign_id')) or 'unnamed'}: {LABELS.get(label, label or 'no label')}",
        *_section("The claim", _claim(campaign), width),
        *_section("How sure that is", _sure(campaign, label), width),
        *_section("The tests for coordination", _tests(_block(campaign, "coordination")), width),
        *_section("The test for intent", _intent(_block(campaign, "intent")), width),
        *_section("What the accounts share", _layers(campaign), width),
        *_section("If one kind of evidence is left out", _left_out(campaign), width),
        *_section("The text they have in common (differing parts are slots)", _skeletons(campaign), width),
        *_section("Innocent explanations tried", _hypotheses(campaign), width),
        *_section("What would clear the customer", _bullets(campaign, "clears"), width),
        *_section("What is proposed", _order(campaign, label), width),
        *_section("What this cannot say", _limits(label), width),
    ]
    parts[0] = textwrap.fill(parts[0], width)
    return "\n".join(parts) + "\n"


def plain(value: object, *, limit: int = 300) -> str:
    """``value`` as one line of text that cannot steer a terminal; removed characters show as U+FFFD."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value)[: limit + 1]
    cut = len(text) > limit
    text = " ".join(_UNSEEN.sub("\ufffd", text[:limit].replace("\n", " ").replace("\t", " ")).split())
    return text + ("…" if cut else "")


def number(value: object) -> float | None:
    """``value`` as a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def rows(record: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The objects of a list in ``record``; empty when there is none."""
    value = record.get(key)
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", one) for one in found if isinstance(one, Mapping)]


def count(value: object) -> str:
    """A count with thousands separated."""
    found = number(value)
    return "?" if found is None else f"{found:,.0f}"


def many(value: object, word: str) -> str:
    """``1 account``, ``2 accounts``."""
    return f"{count(value)} {word}{'' if number(value) == 1 else 's'}"


def figure(value: object) -> str:
    """A statistic in three significant digits."""
    found = number(value)
    if found is None:
        return "?"
    if found == 0 or 1e-4 <= abs(found) < 1e6:  # noqa: PLR2004
        return f"{found:,.0f}" if abs(found) >= 100 else f"{found:.3g}"
    exponent = math.floor(math.log10(abs(found)))
    return f"10^{exponent}" if abs(exponent) >= 300 else f"{found / 10.0**exponent:.1f} × 10^{exponent}"


def bits(block: Mapping[str, Any]) -> float | None:
    """Bits of evidence of a block or test: as given, else log2 of its e-value."""
    given, e_value = number(block.get("bits")), number(block.get("e_value"))
    if given is not None or e_value is None or e_value < 0:
        return given
    return math.log2(e_value) if e_value > 0 else -64.0


def bits_text(value: float | None) -> str:
    """``41 bits``; one decimal below ten."""
    return "? bits" if value is None else f"{value:.0f} bits" if abs(value) >= 10 else f"{value:.1f} bits"


def odds(value: float | None) -> str:
    """How rarely an e-value of so many bits comes up under its null (Markov's bound); empty below one bit."""
    if value is None or value < 1:
        return ""
    exponent = value * math.log10(2)
    for start, word in ((9, "billion"), (6, "million"), (3, "thousand")):
        if start <= exponent < 12:
            return f"once in {10 ** (exponent - start):.0f} {word}"
    return f"once in 10^{math.floor(exponent)}" if exponent >= 12 else f"once in {2**value:.0f}"


def when(value: object) -> str:
    """An ISO time as ``2026-09-03 14:05``; anything else as plain text."""
    text = plain(value, limit=40)
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*$", r"\1 \2", text)


def human(value: object) -> str:
    """An id as words."""
    return plain(value, limit=80).replace("_", " ")


def _block(campaign: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = campaign.get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _section(title: str, paragraphs: list[str], width: int) -> list[str]:
    """A title and its paragraphs, indented; nothing when there are none. A bullet's later lines hang under its text."""
    if not paragraphs:
        return []
    lines = ["", title]
    for paragraph in paragraphs:
        hang = "    " if paragraph.startswith("- ") else "  "
        lines += textwrap.wrap(
            paragraph, width, initial_indent="  ", subsequent_indent=hang, break_on_hyphens=False
        )
    return lines


def _claim(campaign: Mapping[str, Any]) -> list[str]:
    headline = plain(campaign.get("headline"), limit=400)
    lines = [headline + ("" if headline.endswith((".", "!", "?", "…")) else "." if headline else "")]
    accounts = campaign.get("accounts")
    volume = [
        many(len(cast("list[object]", accounts)), "account") if isinstance(accounts, list) else "",
        many(campaign.get("streams"), "stream") if number(campaign.get("streams")) is not None else "",
        many(campaign.get("exchanges"), "exchange") if number(campaign.get("exchanges")) is not None else "",
    ]
    numbers = ", ".join(piece for piece in volume if piece)
    seen = [when(campaign.get("first_seen")), when(campaign.get("last_seen"))]
    if numbers:
        lines.append(numbers + (f", from {seen[0]} to {seen[1]} (UTC)." if all(seen) else "."))
    tokens = _block(campaign, "tokens")
    if number(tokens.get("output")):
        lines.append(
            f"{count(tokens.get('input'))} tokens were sent and {count(tokens.get('output'))} drawn."
        )
    for role in rows(campaign, "roles")[:8]:
        share, technique = number(role.get("share")), plain(role.get("technique"), limit=40)
        lines.append(
            f"- {many(role.get('exchanges'), 'exchange')}"
            + (f" ({share:.0%})" if share is not None else "")
            + f" play the role of {human(role.get('role'))}"
            + (f" (ATLAS {technique})." if technique else ".")
        )
    return [line for line in lines if line]


def _sure(campaign: Mapping[str, Any], label: str) -> list[str]:
    block, lines = _block(campaign, "coordination"), list[str]()
    found = bits(block)
    if found is not None:
        rare = odds(found)
        how = plain(block.get("combination"), limit=120)
        lines.append(
            f"Coordination: {bits_text(found)} of evidence (bits are log2 of the e-value"
            + (f", which is a {how}). " if how else "). ")
            + (
                f"Independent customers would show as much at most {rare}."
                if rare
                else "That is no evidence."
            )
        )
    p_value = number(_block(campaign, "intent").get("p_value"))
    if p_value is not None:
        lines.append(f"Intent: p-value {figure(p_value)} against benign clusters.")
    kinds = campaign.get("independent_layers")
    if isinstance(kinds, list) and kinds:
        named = ", ".join(human(one) for one in cast("list[object]", kinds)[:8])
        lines.append(f"Independent kinds of evidence that suffice each on its own: {named}.")
    turned = [
        human(row.get("without")) for row in rows(campaign, "leave_one_out") if row.get("decision") != label
    ]
    if rows(campaign, "leave_one_out"):
        lines.append(
            f"Left out, one of these changes the decision: {', '.join(turned[:6])}."
            if turned
            else "The decision stays the same whichever one kind of evidence is left out."
        )
    members = [number(row.get("membership")) for row in rows(campaign, "accounts")]
    if members:
        sure = sum((one or 0) >= _SURE for one in members)
        lines.append(
            f"Membership is a probability: {count(sure)} of {count(len(members))} accounts have at least {_SURE}."
        )
    return lines


def _tests(block: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for test in rows(block, "tests")[:40]:
        question = plain(test.get("question")) or human(test.get("name")) or "A test without a name"
        null, window, note = (plain(test.get(key), limit=400) for key in ("null", "window", "note"))
        expected = test.get("expected")
        against = f" where {figure(expected)} was expected" if number(expected) is not None else ""
        found = bits(test)
        told = [
            f"- {question}",
            f"Null: {null}." if null else "",
            f"Seen: {figure(test.get('value'))}{against}{_basis(test, window)}.",
            f"p-value {figure(test.get('p_value'))}, " if number(test.get("p_value")) is not None else "",
            _worth(found, test),
            f"Note: {note}." if note else "",
        ]
        lines.append(" ".join(piece.strip() for piece in told if piece).replace("..", "."))
    return lines


def _basis(test: Mapping[str, Any], window: str) -> str:
    """What was counted, over how many, in which hours, in brackets."""
    size = f"n = {count(test.get('n'))}" if number(test.get("n")) is not None else ""
    pieces = [piece for piece in (plain(test.get("statistic"), limit=160), size, window) if piece]
    return f" ({'; '.join(pieces)})" if pieces else ""


def _worth(found: float | None, test: Mapping[str, Any]) -> str:
    if found is None:
        return ""
    against = "; it speaks against the claim" if found < -1 else "; it says little" if found < 1 else ""
    weight = number(test.get("weight"))
    share = f" It weighs {weight:.3g} in the whole." if weight is not None else ""
    return f"e-value {figure(test.get('e_value'))}: {bits_text(found)}{against}.{share}"


def _intent(block: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    question, null = plain(block.get("question")), plain(block.get("null"), limit=400)
    if question or null:
        lines.append(f"{question} Null: {null}." if null else question)
    reference = _block(block, "reference")
    quantiles = _block(reference, "quantiles")
    if number(reference.get("clusters")) is not None:
        known = [
            (plain(name, limit=8), value)
            for name, value in sorted(quantiles.items(), key=lambda one: str(one[0]))
        ]
        told = ", ".join(f"{name}: {figure(value)}" for name, value in known[:8] if number(value) is not None)
        lines.append(
            f"The score is {figure(block.get('score'))}; that of {many(reference.get('clusters'), 'benign cluster')}"
            + (f" has the quantiles {told}." if told else " is the scale it is measured on.")
        )
    if number(block.get("p_value")) is not None:
        found = bits(block)
        lines.append(
            f"p-value {figure(block.get('p_value'))}"
            + (f", e-value {figure(block.get('e_value'))}: {bits_text(found)}." if found is not None else ".")
        )
    return lines + _tests(block)


def _layers(campaign: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for row in rows(campaign, "layers")[:12]:
        if not number(row.get("accounts")):
            continue
        line = f"- {human(row.get('layer'))}: {many(row.get('values'), 'value')} shared by "
        line += f"{many(row.get('accounts'), 'account')}, {bits_text(number(row.get('bits')))}"
        top = [
            f"{plain(one.get('value'), limit=40)} "
            f"({count(one.get('accounts'))} here, {count(one.get('elsewhere'))} elsewhere)"
            for one in rows(row, "top")[:2]
        ]
        lines.append(line + (f"; for example {', '.join(top)}." if top else "."))
    return lines


def _left_out(campaign: Mapping[str, Any]) -> list[str]:
    return [
        f"- Without {human(row.get('without'))}: {human(row.get('decision')) or '?'}, {bits_text(bits(row))} left."
        for row in rows(campaign, "leave_one_out")[:20]
    ]


def _skeletons(campaign: Mapping[str, Any]) -> list[str]:
    shown = [row for row in rows(campaign, "exhibits") if row.get("kind") == "skeleton" and row.get("text")]
    return [
        f"- {plain(row.get('text'), limit=1500)} (by {many(row.get('accounts'), 'account')}, "
        f"{many(row.get('exchanges'), 'exchange')})"
        for row in shown[:3]
    ]


def _hypotheses(campaign: Mapping[str, Any]) -> list[str]:
    return [
        f"- {plain(row.get('hypothesis')).rstrip('.')}: {_FITS.get(plain(row.get('fits')), 'not told')}. "
        f"{plain(row.get('because'), limit=500)}".strip()
        for row in rows(campaign, "hypotheses")[:20]
    ]


def _bullets(campaign: Mapping[str, Any], key: str) -> list[str]:
    value = campaign.get(key)
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [f"- {text}" for text in (plain(one, limit=400) for one in found[:20]) if text]


def _order(campaign: Mapping[str, Any], label: str) -> list[str]:
    order = _block(campaign, "proposed_order")
    response = plain(order.get("response"), limit=60)
    if not response:
        return []
    needs = [line[2:] for line in _bullets(order, "needs")]
    days = order.get("expires_days")
    told = f"{RESPONSES.get(response, human(response)).capitalize()}."
    reason = plain(order.get("reason"), limit=600).rstrip(".")
    told += f" Reason: {reason}." if reason else ""
    told += f" Needs {' and '.join(needs)}." if needs else ""
    told += f" Ends by itself after {many(days, 'day')}." if number(days) is not None else ""
    return [
        told,
        "A proposal only: a person decides." if label == "campaign" else "No measure rests on this.",
    ]


def _limits(label: str) -> list[str]:
    lines = [
        "Who stands behind the accounts. Naming a company is a person's opinion, never an output of this software."
    ]
    if label == "campaign":
        lines.append(
            "Whether this one entry is right: the rate of false discoveries holds for the list of campaigns as a whole."
        )
    return lines
