"""Losses: what was taken, by four methods, each as a range; never one number, and never a sum of the methods.

The methods answer different questions (what the tokens list at, what a licence would have cost, what it costs to make such a
training set otherwise, what computing the imitator saved) and overlap: adding them would count the same thing several times.
Figures come from the provider's price book with their sources; membership of accounts is uncertain as the scan says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.cases import folder
from spiritsafe.cases.taken import QUANTITIES, sampled, split
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.cases.folder import Case, Item
    from spiritsafe.cases.prices import Book, Figure

FILE, BOOK, TAKEN, USAGE = "loss.json", "prices.toml", "taken.json", "usage.json"
DRAWS = 4_000
LEVEL = 0.9
"""Of the intervals: their ends are quantiles of the draws."""
_MILLION = 1e6
_FLOP = 6.0  # a parameter and a token: forward and backward pass (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)
_EXCHANGES, _INPUT, _CACHED, _OUTPUT, _DARK_IN, _DARK_OUT = range(len(QUANTITIES))

ASSUMPTIONS = {
    "list_price": (
        "all tokens are priced as the list says, whether or not they were paid for",
        "input tokens served from cache are part of the input tokens; reasoning tokens are part of the output tokens",
    ),
    "licence": (
        "a licence to train on these answers would have been granted, at the book's price for each output token",
    ),
    "replacement": (
        "a usable answer would be replaced by one example that somebody is paid for",
        "unusable answers (refused, broken, doubled) are worth nothing",
    ),
    "compute": (
        "6 floating-point operations for each parameter of the student and token of training (arXiv 2001.08361)",
        "a token of these answers saves as many ordinary training tokens as the book says",
    ),
}
QUESTIONS = {
    "list_price": "What would the tokens have cost at list price?",
    "licence": "What would a licence to train on them have cost?",
    "replacement": "What would it cost to make such a training set without these answers?",
    "compute": "How much computing did the imitator save?",
}


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a method sees in one evaluation: ``taken`` (draws, groups, 6) with tokens completed; ``figures`` by name."""

    taken: Any
    prices: Sequence[Mapping[str, Any] | None]
    figures: Mapping[str, Any]


def estimate(usage: Mapping[str, Any], book: Book, *, seed: int, draws: int = DRAWS) -> dict[str, Any]:
    """The content of ``loss.json``: for each method a range with its sensitivity and assumptions. Same input, same output.

    ``usage``: ``usage.json`` of a case. A method whose figures the book lacks is told as not estimated, with the reason.
    """
    amount, licensed = split(usage, book.licensed)
    found = [book.model(name) for name in amount.models]
    entries = list(dict.fromkeys(one[0] for one in found if one))
    groups = np.array([entries.index(one[0]) if one else len(entries) for one in found], np.int64)
    rng = np.random.default_rng(seed)
    taken = sampled(amount, groups, draws=draws, rng=rng)
    taken = np.concatenate([taken, np.zeros((draws, len(entries) + 1 - taken.shape[1], len(QUANTITIES)))], 1)
    by_name = dict(book.models)
    priced: list[Mapping[str, Figure] | None] = [*(by_name[name] for name in entries), None]
    known = {
        **book.figures,
        **{one.name: one for kinds in priced if kinds for one in kinds.values()},
    }
    draw = {name: one.quantile(rng.random(draws)) for name, one in sorted(known.items())}
    middle = {name: one.quantile(0.5) for name, one in known.items()}
    ends = {
        name: (one.quantile((1 - LEVEL) / 2), one.quantile((1 + LEVEL) / 2)) for name, one in known.items()
    }
    dark = bool(taken[:, :, _DARK_IN:].any())
    methods: list[dict[str, Any]] = []
    for name, formula in _METHODS.items():
        why = _unable(name, book, amount.models, dark=dark)
        if why:
            methods.append({"method": name, "question": QUESTIONS[name], "estimated": False, "why": why})
            continue
        value = formula(_inputs(taken, priced, draw))
        low, median, high = np.quantile(value, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
        methods.append(
            {
                "method": name, "question": QUESTIONS[name], "estimated": True, "low": float(low),
                "median": float(median), "high": float(high), "assumptions": list(_assumed(name, dark=dark)),
                "sensitivity": _tornado(formula, taken, priced, middle, ends),
            }
        )  # fmt: skip
    used = [one.told() for _, one in sorted(known.items())]
    return {
        "schema": 1,
        "seed": seed,
        "draws": draws,
        "interval": LEVEL,
        "currency": book.currency,
        "book": {"name": book.name, "as_of": book.as_of, "example": book.example, "sha256": book.digest},
        "taken": _totals(taken),
        "unpriced": sorted(
            {m or "unnamed" for m, one in zip(amount.models, found, strict=True) if one is None}
        ),
        "licensed": licensed,
        "licensed_relations": list(book.licensed),
        "methods": methods,
        "received": known["received.amount"].told() if "received.amount" in known else None,
        "figures": used,
        "notes": [
            "The methods overlap: they are ways to look at one loss and must not be added.",
            *(["The price book is an example with fictional figures."] if book.example else []),
        ],
    }


def usage_of(case: Case) -> dict[str, Any]:
    """What the campaigns of a case took, together. Raises UsageError when no campaign was added with its records."""
    rows: list[dict[str, Any]] = []
    for item in case.of("campaign"):
        path = case.path(f"{item.name}/{USAGE}")
        if path.exists():
            rows += json.loads(path.read_bytes())["rows"]
    if not rows:
        raise UsageError(
            "no campaign of this case has its records",
            where=str(case.folder),
            hint="case add campaign --records",
        )
    return {"schema": 1, "rows": rows}


def add(
    case: Path,
    usage: Mapping[str, Any],
    result: Mapping[str, Any],
    book: Path,
    *,
    by: str,
    why: str,
    now: int,
) -> Item:
    """Add an estimate with what it rests on: usage, price book, result. Raises StorageError."""
    data = {TAKEN: usage, FILE: result}
    parts: dict[str, Path | bytes] = {
        name: json.dumps(one, sort_keys=True).encode() for name, one in data.items()
    }
    about = {"currency": result["currency"], "book": result["book"], "seed": result["seed"]}
    return folder.add(case, "loss", by=by, why=why, now=now, about=about, files={**parts, BOOK: book})


_TOLD = {"exchanges": "exchanges", "input": "tokens sent", "output": "tokens drawn"}


def words(result: Mapping[str, Any]) -> list[str]:
    """The result in sentences, for a screen."""
    taken, money = result["taken"], result["currency"]
    amount = ", ".join(f"{_span(taken[key])} {what}" for key, what in _TOLD.items())
    rows = [
        f"taken: {amount}",
        *(
            f"licensed use, not counted: {one['exchanges']:,} exchanges as {one['relation']} of {one['model'] or 'no model'}"
            for one in result["licensed"]
        ),
    ]
    for one in result["methods"]:
        if not one["estimated"]:
            rows.append(f"{one['question']} Not estimated: {one['why']}.")
            continue
        rows.append(
            f"{one['question']} {_rounded(one['low'], one['high'])} {money} ({result['interval']:.0%} of draws)"
        )
        first = one["sensitivity"][:1]
        rows += [
            f"  most depends on {row['figure']}: {_rounded(row['low'], row['high'])} {money}" for row in first
        ]
        rows += [f"  assumed: {text}" for text in one["assumptions"]]
    if paid := result["received"]:
        amount = paid.get("value", f"{paid.get('low')} to {paid.get('high')}")
        rows.append(f"already received, not subtracted: {amount} {money} ({paid['source']})")
    return [*rows, *result["notes"]]


def _list_price(given: _Inputs) -> Any:
    total: Any = 0.0
    for at, kinds in enumerate(given.prices):
        if kinds is None:
            continue
        rows = given.taken[..., at, :]
        cached = kinds.get("cached", kinds["input"])
        total = total + (rows[..., _INPUT] - rows[..., _CACHED]) * kinds["input"] / _MILLION
        total = total + (rows[..., _CACHED] * cached + rows[..., _OUTPUT] * kinds["output"]) / _MILLION
    return total


def _licence(given: _Inputs) -> Any:
    fee = given.taken[..., _OUTPUT].sum(-1) / _MILLION * given.figures["licence.per_million_output"]
    return np.maximum(fee, given.figures.get("licence.least", 0.0))


def _replacement(given: _Inputs) -> Any:
    examples = given.taken[..., _EXCHANGES].sum(-1) * given.figures["replacement.usable"]
    return examples * given.figures["replacement.per_example"]


def _compute(given: _Inputs) -> Any:
    tokens = given.taken[..., _OUTPUT].sum(-1) * given.figures["compute.ordinary_tokens"]
    hours = (
        _FLOP * given.figures["compute.student_parameters"] * tokens / given.figures["compute.flop_per_hour"]
    )
    return hours * given.figures["compute.hour"]


_METHODS: dict[str, Callable[[_Inputs], Any]] = {
    "list_price": _list_price,
    "licence": _licence,
    "replacement": _replacement,
    "compute": _compute,
}


def _inputs(taken: Any, priced: Sequence[Mapping[str, Figure] | None], figures: Mapping[str, Any]) -> _Inputs:
    """Tokens that the log does not tell are made from characters; prices are looked up."""
    whole = taken
    if "tokens.characters" in figures:
        each = figures["tokens.characters"]
        each = each[:, None] if np.ndim(each) else each
        whole = taken.copy()
        whole[..., _INPUT] += taken[..., _DARK_IN] / each
        whole[..., _OUTPUT] += taken[..., _DARK_OUT] / each
    prices = [
        None if kinds is None else {kind: figures[one.name] for kind, one in kinds.items()}
        for kinds in priced
    ]
    return _Inputs(whole, prices, figures)


def _tornado(
    formula: Callable[[_Inputs], Any],
    taken: Any,
    priced: Sequence[Mapping[str, Figure] | None],
    middle: Mapping[str, Any],
    ends: Mapping[str, tuple[Any, Any]],
) -> list[dict[str, Any]]:
    """The result at both ends of each figure, everything else at its median; what matters most first."""
    typical = np.quantile(taken, 0.5, axis=0)

    def at(amounts: Any, **changed: Any) -> float:
        return float(formula(_inputs(amounts, priced, {**middle, **changed})))

    bars = {
        name: sorted((at(typical, **{name: low}), at(typical, **{name: high})))
        for name, (low, high) in ends.items()
    }
    tails = [np.quantile(taken, q, axis=0) for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)]
    bars["membership of accounts"] = [at(tails[0]), at(tails[1])]
    order = sorted(bars, key=lambda name: (bars[name][0] - bars[name][1], name))
    return [
        {"figure": name, "low": bars[name][0], "high": bars[name][1]}
        for name in order
        if bars[name][1] > bars[name][0]
    ]


def _unable(name: str, book: Book, models: Sequence[str], *, dark: bool) -> str:
    if dark and name != "replacement" and "tokens.characters" not in book.figures:
        return "the log does not tell the tokens of some exchanges, and the book has no [tokens] characters"
    if name == "list_price":
        unpriced = sorted({one for one in models if book.model(one) is None})
        return (
            f"the book has no price of {', '.join(one or 'unnamed models' for one in unpriced)}"
            if unpriced
            else ""
        )
    return "" if book.section(name) else f"the price book has no [{name}]"


def _assumed(name: str, *, dark: bool) -> tuple[str, ...]:
    more = ("tokens that the log does not tell follow from characters, as the book says",) if dark else ()
    membership = ("each account belongs to the campaign with the probability that the scan gave it",)
    return (*ASSUMPTIONS[name], *membership, *(more if name != "replacement" else ()))


def _totals(taken: Any) -> dict[str, Any]:
    sums = taken.sum(axis=1)
    ends = np.quantile(sums, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2], axis=0)
    return {
        name: {"low": float(ends[0, at]), "median": float(ends[1, at]), "high": float(ends[2, at])}
        for at, name in enumerate(QUANTITIES)
    }


def _span(told: Mapping[str, float]) -> str:
    low, high = (f"{told[key]:,.0f}" for key in ("low", "high"))
    return low if low == high else f"{low} to {high}"


def _rounded(low: float, high: float) -> str:
    """Both ends to two digits, outwards: more digits would be a pretence."""
    ends = [outward(low, up=False), outward(high, up=True)]
    return f"{ends[0]:,.10g}" if low == high else f"{ends[0]:,.10g} to {ends[1]:,.10g}"


def outward(value: float, *, up: bool) -> float:
    """``value`` to two significant digits, rounded up or down."""
    if value == 0 or not np.isfinite(value):
        return float(value)
    step = 10.0 ** (np.floor(np.log10(abs(value))) - 1)
    return float((np.ceil if up else np.floor)(round(value / step, 9)) * step)
