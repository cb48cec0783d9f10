"""What the page of a proof says, in words: made from the result, the plan and the ledger's entries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spiritsafe.cases._page.exhibits import Figure
from spiritsafe.cases._page.phrase import decimal, human, minute, plural, share
from spiritsafe.cases._page.record import clean
from spiritsafe.cases._proof import pictures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BROAD, _NARROW = 900.0, 360.0
_TIER = {
    "A": "exact under our own randomness",
    "B": "calibrated against controls: a lead, never proof",
    "C": "a lead, never proof",
}
_ACCESS = {"text": "the suspect's text only", "logprobs": "the suspect's log-probabilities"}
_STATUSES = ("ok", "truncated", "refused", "empty", "failed")
_ASKED = (("answers", "answers"), ("scores", "log-probabilities"), ("readings", "marked texts read"))
_P_VALUE = (
    "A p-value says how often the null hypothesis would give a result at least this extreme. It is not the chance that the "
    "suspect is innocent."
)
_KINDS = {
    "marks": "Keys, decoys and canaries committed",
    "marks-timestamp": "Time-stamp attached",
    "escrow": "Batches of coins committed",
    "prove-plan": "This plan registered",
    "prove-gathered": "Asking ended",
    "prove-result": "Result computed",
}


@dataclass(frozen=True, slots=True)
class Test:
    """One finding as the page shows it."""

    anchor: str
    name: str
    verdict: str
    mood: str
    tier: str
    null: str
    facts: list[tuple[str, str]]
    reasons: list[str]
    counts: list[tuple[str, str]]
    details: list[tuple[str, str]]
    defeaters: list[str]
    figures: list[Figure]
    controls: list[tuple[str, str, str, str, str]]
    power: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """The page."""

    title: str
    verdict: str
    claim: str
    scope: str
    found: list[str]
    sure: list[str]
    else_: list[str]
    missing: list[str]
    tests: list[Test]
    asked: list[tuple[str, str, list[tuple[str, str]]]]
    steps: list[tuple[str, str, str]]
    registered: list[tuple[str, str]]
    made_with: str
    command: str


def sheet(result: Mapping[str, Any], plan: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> Sheet:
    """Everything that the page shows."""
    suspect, teacher = clean(result["suspect"]), clean(result["teacher"])
    campaigns = [clean(one) for one in result["campaigns"]]
    to = f" served to {plural(len(campaigns), 'campaign')} ({', '.join(campaigns)})" if campaigns else ""
    verdict = {
        "supports derivation": (
            f"The evidence supports that {suspect} was trained on text that depends on outputs of {teacher}{to}"
        ),
        "does not support derivation": (
            f"No evidence that {suspect} was trained on outputs of {teacher}, from tests that would likely have found it"
        ),
        "inconclusive": f"Inconclusive: this run neither supports nor weakens that {suspect} is a copy of {teacher}",
    }[result["verdict"]]
    return Sheet(
        title=f"Spiritsafe: test of {suspect}",
        verdict=verdict,
        claim=clean(result["claim"], limit=2_000),
        scope=f"{plural(len(result['findings']), 'registered test')}, {plural(len(plan['controls']), 'control model')}, "
        f"significance level {result['alpha']:g}, {human(plan['multiplicity'].capitalize())} over all tests",
        found=_found(result),
        sure=_sure(result, plan),
        else_=[clean(one).capitalize() + "." for one in result["alternatives"]],
        missing=_missing(result, plan),
        tests=[_test(one, at, result, plan) for at, one in enumerate(result["findings"])],
        asked=[row for name, one in result["answers"].items() for row in _asked(name, one)],
        steps=_steps(result, entries),
        registered=_registered(result, plan),
        made_with=", ".join(f"{clean(name)} {clean(value)}" for name, value in result["made_with"].items()),
        command="spiritsafe prove check FOLDER",
    )


def _found(result: Mapping[str, Any]) -> list[str]:
    return [
        f"{human(clean(one['test'])).capitalize()}: {one['verdict']} (p {_p(one['holm_p'], one['holm_log10_p'])} "
        "with all tests counted)."
        for one in result["findings"]
    ]


def _sure(result: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    sound = result["sound"]
    told = [_P_VALUE]
    if sound["quiet"]:
        told.append("Controls and false labels were as quiet as chance would have it.")
    else:
        told.append("Not sound: " + "; ".join(clean(one) for one in sound["why"]) + ".")
    groups = {one["group"] for one in plan["controls"]}
    if len(groups) < 5:
        told.append(f"Only {plural(len(groups), 'unrelated control')}: a case should have at least 5.")
    if result["verdict"] != "supports derivation":
        told.append("A result that is not positive never proves innocence.")
    return told


def _missing(result: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    told: list[str] = []
    if result["gave_up"]:
        told.append(
            f"Asking was ended early, before any result was seen: {clean(result['gave_up'], limit=500)}."
        )
    elif not result["complete"]:
        told.append("Asking has not ended: only e-values count so far.")
    for name, one in result["answers"].items():
        bad = {kind: n for kind, n in one["answers"].items() if n and kind not in {"ok", "truncated"}}
        if bad:
            what = ", ".join(f"{n:,} {kind}" for kind, n in bad.items())
            told.append(f"{clean(name)}: of {sum(one['answers'].values()):,} answers, {what}.")
        failed = one["scores"]["failed"]
        if failed:
            told.append(f"{clean(name)}: {failed:,} log-probabilities are missing.")
        if unread := one["readings"]["failed"]:
            told.append(f"{clean(name)}: {plural(unread, 'marked text')} could not be read.")
    if plan["doubled_prompts"]:
        told.append(f"{plural(plan['doubled_prompts'], 'prompt')} listed twice, asked once.")
    return told or ["Everything that was registered was asked and answered."]


def _test(one: Mapping[str, Any], at: int, result: Mapping[str, Any], plan: Mapping[str, Any]) -> Test:
    low, high = one["interval"]
    unit = clean(one["effect_unit"])
    facts = [
        ("p-value", _p(one["p_value"], one["log10_p"])),
        ("with all tests counted (Holm)", _p(one["holm_p"], one["holm_log10_p"])),
        (f"effect, {unit}" if unit else "effect", decimal(one["effect"])),
        ("95 % interval", f"{decimal(low)} to {decimal(high)}"),
        ("n", f"{one['n']:,}"),
        ("power", "not known" if one["power"] is None else share(one["power"])),
    ]
    if one["e_value"] is not None:
        facts.insert(2, ("e-value", decimal(one["e_value"])))
    mood = {"supports derivation": "accused", "lead": "fits-partly", "inconclusive": "fits-partly"}
    return Test(
        anchor=f"test-{at}",
        name=human(clean(one["test"])),
        verdict=clean(one["verdict"]),
        mood=mood.get(one["verdict"], "fits-yes"),
        tier=f"Tier {clean(one['tier'])}: {_TIER[one['tier']]}. It used {_ACCESS[one['access']]}.",
        null=clean(one["null_hypothesis"], limit=2_000),
        facts=facts,
        reasons=[clean(why, limit=1_000) for why in one["reasons"]],
        counts=[(human(clean(name)), f"{count:,}") for name, count in one["counts"].items()],
        details=[
            (human(clean(name)), clean(str(value), limit=500)) for name, value in one["details"].items()
        ],
        defeaters=[clean(why, limit=500) for why in one["defeaters"]],
        figures=_figures(one, at, result, plan),
        controls=[_control(other) for other in result["controls"] if other["test"] == one["test"]],
        power=_power(one, plan),
    )


def _figures(
    one: Mapping[str, Any], at: int, result: Mapping[str, Any], plan: Mapping[str, Any]
) -> list[Figure]:
    rows: list[tuple[str, list[float], str]] = [(clean(result["suspect"]), [_size(one)], "main-fill")]
    same = [other for other in result["controls"] if other["test"] == one["test"]]
    rows += [(clean(other["suspect"]), [_size(other)], "dot") for other in same]
    false = [_size(other) for other in result["false_labels"] if other["test"] == one["test"]]
    if false:
        rows.append(("the suspect, false labels", false, "dot"))
    figures = [
        Figure(
            "Beside controls and false labels",
            pictures.beside(rows, result["alpha"], width=_BROAD, key=f"b{at}"),
            pictures.beside(rows, result["alpha"], width=_NARROW, key=f"bn{at}"),
            "" if same else "No control was tested.",
            "Controls are models known to be no copies. False labels are the same suspect under choices that were not made: "
            "other coins, other variants, keys that were never used. Both should look like chance.",
            full=True,
        )
    ]
    drawn = one["curve"]
    if drawn:
        target = plan["power"]["target"]
        figures.append(
            Figure(
                "Power of this test, and of this run",
                pictures.curve(drawn, one["power_n"], one["power"], target, width=_BROAD, key=f"c{at}"),
                pictures.curve(drawn, one["power_n"], one["power"], target, width=_NARROW, key=f"cn{at}"),
                "",
                f"The chance to find a copy whose training text was {share(drawn['exposure'])} ours. Dots: planted copies in "
                "the bench; band: bounds that hold together in 95 of 100 cases; line: a fit between them.",
                full=True,
            )
        )
    return figures


def _power(one: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    if one["curve"] is None:
        return "No curve measured: how often this test finds a copy is not known for this access."
    exposure, many = share(plan["power"]["exposure"]), f"{one['power_n']:,} {one['curve']['unit']}"
    low, high = (share(end) for end in one["power_interval"])
    if under := clean(one["curve"]["conditions"]):
        many += f" ({under})"
    if one["power"] is None:
        return f"With {many} the power was not measured; it is between {low} and {high}."
    return (
        f"With {many} this run had a chance of {share(one['power'])} ({low} to {high}) to find a copy with an exposure of "
        f"{exposure}."
    )


def _control(one: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    """A control by one test: name, p, n, what it rests on, verdict."""
    parts = [
        f"{what} {_p(10.0 ** one[key], one[key])}"
        for what, key in (("by text", "by_text"), (f"by {one['readings']:,} readings", "by_readings"))
        if one[key] is not None
    ]
    seen = "; ".join(parts) or ("text" if one["access"] == "text" else "log-probabilities")
    return (
        clean(one["suspect"]),
        _p(one["p_value"], one["log10_p"]),
        f"{one['n']:,}",
        seen,
        clean(one["verdict"]),
    )


def _asked(name: str, one: Mapping[str, Any]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """What became of everything that a model was asked; answers always, the other kinds where there were any."""
    return [
        (
            f"{clean(name)}, {what}",
            f"{sum(one[kind].values()):,}",
            [(status, f"{one[kind][status]:,}") for status in _STATUSES],
        )
        for kind, what in _ASKED
        if kind == "answers" or sum(one[kind].values())
    ]


def _steps(result: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """When what was written down; batches of coins are told together."""
    told: list[tuple[str, str, str]] = []
    for one in entries:
        mine = not str(one["kind"]).startswith("prove") or one["body"].get("plan") == result["plan"]
        if one["kind"] not in _KINDS or not mine:
            continue
        what = _KINDS[one["kind"]]
        if told and one["kind"] == "escrow" and told[-1][1] == what:
            continue
        when = datetime.fromtimestamp(one["time"] / 1e6, UTC)
        told.append((minute(when), what, clean(one["hash"])))
    return told


def _registered(result: Mapping[str, Any], plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    sampler = ", ".join(f"{clean(name)} {value:g}" for name, value in plan["sampler"].items())
    return [
        ("plan, SHA-256", clean(result["plan"])),
        ("tests", ", ".join(clean(one) for one in plan["tests"])),
        (
            "stopping rule",
            "after all registered requests" if plan["stopping"] == "fixed" else "any time, by e-value",
        ),
        (
            "asked of each model",
            f"{plan['asked']['answers']:,} answers, {plan['asked']['texts']:,} log-probabilities",
        ),
        ("sampler", sampler),
        ("seed", str(plan["seed"])),
        ("commitments checked", f"{result['commitments_checked']:,}"),
        (
            "pairs in the escrow",
            ", ".join(f"{n:,} {human(kind)}" for kind, n in plan["escrow"].items()) or "none",
        ),
    ]


def _size(one: Mapping[str, Any]) -> float:
    return max(0.0, -(one["log10_p"] if one["log10_p"] is not None else -300.0))


def _p(p: float, log10: float | None) -> str:
    """A p-value that may be too small for a float."""
    if p > 0 or log10 is None:
        return decimal(p)
    return f"10 to the power of {log10:.0f}"
