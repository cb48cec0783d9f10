"""The result as a page of the docs, with its picture, and as points for the planner."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from golden.charts import Chart, Line, draw
from power import INTO, merged
from provenance import sections
from provenance.bed import ANSWER, EXCHANGES, INDEPENDENT, STUDENTS, WASHED
from provenance.measure import FAMILY, KEYS, SET, TEXT_SET, TRIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ALPHA = 0.01
CURVES = ("curves", "curves_by_text", "curves_of_canaries")
INTRO = f"""\
# How strong the provenance tests are

Made by `PYTHONPATH=bench python -m provenance` (numbers in `bench/results/provenance.json`); do not edit by hand.

**What this is.** A test bed on one CPU core: a teacher, another teacher, a sibling of the teacher and the students' common base,
each a transformer of 0.4 million parameters over 1,024 tokens, trained on docstrings (standard library, NumPy, SciPy) and the
simulator's prompts. Each student is the base, fine-tuned three epochs on {EXCHANGES:,} exchanges of {ANSWER} answer tokens;
*exposure* is the share of these that the teacher answered, the rest are the documents' own words. Real chat models have less
entropy: expect to need five to thirty times as many tokens. One student a row, so each number has the luck of one training run.

## What each test finds

log10 p. *Pairs* are scored by the suspect's log-probabilities, alone and beside the teacher's own; *from text* means 300,000
tokens that the suspect said to other prompts, alone and beside as many of a control (the base). *Named* is tracing's answer
among {KEYS:,} keys at a family-wise 1 %.
"""
BETWEEN = f"""
`washed`: {WASHED:.0%} of the answers' tokens were replaced before training. `after`: fine-tuned on 4,000 human exchanges
afterwards. A gumbel key draws the same answer twice, so there are no twins under it. `other-100` and
`human` never saw the teacher. The weights of radioactivity were chosen while looking at the green students.

![How often twins are found](img/provenance-power.svg)

Each point: {TRIES} random subsets of the pairs of one student, coins drawn anew. These points are the planner's curves.

## How often they are wrong

Models that never saw the teacher's answers. Twins: disjoint sets of the real pairs with the real coins (text: 100,000 tokens
of the model); sets of {SET} pairs by log-probability, of {TEXT_SET} from text. Radioactivity: {KEYS:,} keys that nobody was
trained on; tracing: the same in families of {FAMILY}. *Allowed* is the level plus three standard deviations.
"""
IDENTITY = """
## Identity

`equality`, six answers to each of 200 prompts; its least p is 5e-4.

| suspect | log10 p | verdict |
|---|---|---|"""


def write(result: dict[str, Any], page: Path, pictures: Path) -> None:
    """The page, its picture beside the others, and ``power.json``."""
    pictures.joinpath("provenance-power.svg").write_text(draw(_chart(result["curves"])), "utf-8")
    page.write_text("\n".join(_lines(result)) + "\n", "utf-8")
    measured = [row for part in CURVES for row in result.get(part, ())]
    points = [row for row in measured if row["alpha"] == ALPHA]
    rows = merged(json.loads(INTO.read_text("utf-8"))["points"], points)
    lines = ",\n".join("  " + json.dumps(row, sort_keys=True) for row in rows)
    INTO.write_text('{"schema": 1, "points": [\n' + lines + "\n]}\n", "utf-8")


def _chart(curves: Sequence[dict[str, Any]]) -> Chart:
    lines = [
        Line(
            f"pairs, {round(100 * share)} % exposure",
            [
                (row["n"], row["hits"] / row["runs"])
                for row in curves
                if row["test"] == "twins" and row["exposure"] == share and row["alpha"] == ALPHA
                and row["source"].endswith(f"green-{round(100 * share)}")
            ],
        )
        for share in (1.0, 0.25, 0.10, 0.05)
    ]  # fmt: skip
    return Chart(
        "provenance-power",
        "Twins by log-probability alone: how often p is at most 1 %",
        "pairs",
        "found",
        lines,
    )


def _lines(result: dict[str, Any]) -> list[str]:
    return [
        INTRO,
        *_strength(result["strength"]),
        BETWEEN,
        *_validity(result["validity"]),
        "",
        *_verdict(result["validity"]),
        IDENTITY,
        *[f"| {row['suspect']} | {row['log10_p']:.2f} | {row['verdict']} |" for row in result["identity"]],
        *sections.lines(result),
        *_runs(result),
    ]


def _runs(result: dict[str, Any]) -> list[str]:
    """On what each table was made; tables that were made together are told together."""
    parts: dict[str, list[str]] = {}
    for name, run in result["runs"].items():
        told = f"Python {run['python']}, {run['cpus']} cores, load {run['load_average']} at its end"
        parts.setdefault(told, []).append(name)
    return ["", *(f"{', '.join(f'`{name}`' for name in names)}: {told}." for told, names in parts.items())]


def _strength(rows: Sequence[dict[str, Any]]) -> list[str]:
    def cell(name: str, test: str, *, pairs: int = 0, tokens: int = 0, beside: str = "") -> str:
        found = [
            row for row in rows
            if row["suspect"] == name and row["test"] == test and row["tokens"] == tokens
            and (not pairs or row["pairs"] == pairs) and row["beside"].startswith(beside) and bool(row["beside"]) == bool(beside)
        ]  # fmt: skip
        return f"{found[0]['log10_p']:.1f}" if found else "–"

    head = (
        "student", "300 pairs", "… beside teacher", "most pairs", "… beside teacher", "n", "twins from text", "… beside control",
        "mark from text", "… beside control", "named",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in STUDENTS:
        most = max(
            (row["pairs"] for row in rows if row["suspect"] == name and row["access"] == "logprobs"),
            default=0,
        )
        named = [row["campaign"] for row in rows if row["suspect"] == name and row["test"] == "tracing"]
        cells = [
            cell(name, "twins", pairs=300),
            cell(name, "twins", pairs=300, beside="teacher"),
            cell(name, "twins", pairs=most),
            cell(name, "twins", pairs=most, beside="teacher"),
            f"{most:,}" if most else "–",
            cell(name, "twins", tokens=300_000),
            cell(name, "twins", tokens=300_000, beside="control"),
            cell(name, "radioactivity", tokens=300_000),
            cell(name, "radioactivity", tokens=300_000, beside="control"),
            (named[0] or "nobody") if named else "–",
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _validity(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "| model | near to the teacher in | test | tries | p ≤ 5 % (allowed) | p ≤ 1 % (allowed) | least p | uniform (KS) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        five, one = (f"{row['below'][level]} ({row['allowed'][level]:.1f})" for level in ("0.05", "0.01"))
        uniform = "–" if row["ks_p"] is None else f"{row['ks_p']:.3f}"
        lines.append(
            f"| {row['suspect']} | {INDEPENDENT[row['suspect']]} | {row['test']} | {row['tries']:,} | {five} | {one} | "
            f"{row['least']:.1e} | {uniform} |"
        )
    return lines


def _verdict(rows: Sequence[dict[str, Any]]) -> list[str]:
    over = [
        f"{row['suspect']} by {row['test']} at {level}"
        for row in rows
        for level in row["below"]
        if row["below"][level] > row["allowed"][level]
    ]
    told = f"Over what is allowed: {', '.join(over)}." if over else "No count is over what is allowed."
    return [f"{told} {len(rows)} tests of models, {2 * len(rows)} counts."]
