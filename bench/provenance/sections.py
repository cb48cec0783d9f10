"""The further tables as sections of the page: washed answers, canaries, two campaigns, power by text, other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from provenance.bed import WAYS
from provenance.further import BASELINE, OFTEN
from provenance.measure import KEYS, TRIES
from provenance.peers import ALPHA, DERIVED, EACH, LOOSE, OFTENER, OTHERS, PAIRS, PROMPTS, SETS
from provenance.planted import ASKED, FEW, MANY, TIMES, VARIANTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WASHING = f"""
## What washing does

All answers of the teacher, canaries included, were washed before the student (`{BASELINE}`: exposure 100 %, {MANY} canaries) was
trained on them. *Pairs kept*: share of the answers' pairs of neighbouring tokens that their washed forms still have. log10 p, as
above; pairs of answers beside the teacher's own scores, text beside a control.
"""
DEFEATS = """
What defeats a test here is a row in which its log10 p is above -2. A model that tells *every* token anew from the prompt alone
is `other-100` above: nothing is left then, for any test. Mixing with another teacher takes the mark from what the student says
before it takes the twins from what it finds likely. A copy of a copy carries everything on. `equality` says *different model* of
every student, washed or not.
"""
CANARIES = f"""
## Canaries

Canaries of {VARIANTS} variants among what the teacher served; a third of them served once, a third three times, a third six
times, shown three epochs like all else. `canaries-…`: {MANY} in 8,000 exchanges, as many fewer of fewer; `few-canaries-…`: {FEW}
at each exposure. By log-probability: all variants in their sentence, less the control's; by text: {ASKED} answers to each prompt.
log10 p (canaries), and bits of exposure above chance.
"""
BOTH = f"""
## A student of two campaigns

Half of its exchanges were served to `c-green`, half to `c-second`, each marked with its own key. Tracing tries both keys
among {KEYS:,}, or the pairs of both campaigns, from text alone. log10 p after Holm.

| tokens | tried | named | c-green | c-second |
|---|---|---|---|---|"""
POWER = f"""
## Power by text, of canaries and of tracing

Found at p ≤ 1 % in {TRIES} random subsets of one student's pairs, text or canaries. Twins read 100,000 tokens of the student and
of a control; tracing tries {KEYS:,} keys; the canaries are those that `few-canaries-…` were served {OFTEN} times. These points
are the planner's curves as well; a run that has less text or more keys is told an upper bound only. `canaries` by text,
`equality` and `attribution` have no curve, and the planner says so.

| test | access | exposure | student | found of {TRIES}, by number |
|---|---|---|---|---|"""
PEERS = f"""
## Beside other tools

By one program, on the same answers of the same models (it was stopped and went on twice). Each model's answers were cut into
disjoint sets; a set is one try. Tests that rest on keys or coins got a key of their own for each set of a model that never saw
the teacher. Requests are equal: `twins` by log-probability had a pair for every two answers; `twins` by text looks at
{PAIRS:,} pairs in the set's answers, which asks the suspect nothing more.

* **knowlyr-modelaudit** 0.4.1: `dli`, the method it has for distillation, on the teacher's and the suspect's answers to the same
  prompts; it says *derived* from a similarity of 0.80 on.
* **MarkLLM** 0.1.5: its KGW detector. It takes models from a hub, which this run has not; only the statistic was taken, with the
  green lists of the key that marked these answers, at its own threshold (z > 4) and at 1 %. It is a detector of marked *text*:
  that it finds students at all is more than it promises.
* **model-equality-testing** 0.0.2 asks another question, whether two models are the same; of that, the second table.

Share of tries that say *derived*:
"""
WORTH = """
What a tool finds is worth what it finds where there is nothing: a plain count of marked tokens takes each saying of a stock
phrase for new evidence, and likeness of style is no evidence of descent. At an exposure of 5 % the count finds more than
`radioactivity`; with an exact p-value for the same count (it stands in `details`) it does not: in the median of eight and six of
these sets 0.09 and 0.06, beside 0.14 and 0.03."""
IDENTITY = f"""
Share of tests that say *another model* at 5 %: {PROMPTS} prompts, {EACH} answers each from both sides, MMD with the Hamming
kernel in both tools, the peer as its page shows it (characters, 100 permutations over all answers).

| tool | the teacher itself | {" | ".join(OTHERS)} |
|---|---|{"---|" * len(OTHERS)}"""


def lines(result: dict[str, Any]) -> list[str]:
    """The sections of the tables that are there."""
    made: dict[str, Callable[[Sequence[dict[str, Any]]], Iterator[str]]] = {
        "washing": _washing, "sown": _sown, "campaigns": _campaigns, "power": _power, "peers": _peers,
    }  # fmt: skip
    power = [*result.get("curves_by_text", ()), *result.get("curves_of_canaries", ())]
    return [
        line
        for part, write in made.items()
        if (rows := power if part == "power" else result.get(part))
        for line in write(rows)
    ]


def _washing(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield WASHING
    head = (
        "student", "what was done", "pairs kept", "300 pairs", "most pairs (n)", "twins from text", "mark from text", "named",
        "canaries",
    )  # fmt: skip
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        way = row["suspect"].removeprefix(f"{BASELINE}-")
        done = WAYS.get(way, "nothing" if way == BASELINE else "nine tenths are another teacher's answers")
        few, most = min(300, row["pairs"]), row["pairs"]
        cells = (
            row["suspect"], done, f"{row['kept']:.2f}", f"{row[f'{few} pairs beside teacher']:.1f}",
            f"{row[f'{most} pairs beside teacher']:.1f} ({most:,})", f"{row['twins by text']:.1f}",
            f"{row['mark by text']:.1f}", row["named"] or "nobody",
            f"{row['canaries by logprobs']:.1f} ({row['canaries']})",
        )  # fmt: skip
        yield "| " + " | ".join(cells) + " |"
    yield DEFEATS


def _sown(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield CANARIES
    words = {1: "once", 3: "three times", 6: "six times", 0: "all"}
    yield "| model | " + " | ".join(words[one] for one in (*TIMES, 0)) + " |"
    yield "|---|" + "---|" * (len(TIMES) + 1)
    for name in dict.fromkeys(row["suspect"] for row in rows):
        mine = [row for row in rows if row["suspect"] == name and row["access"] == "logprobs"]
        cells = [f"{row['log10_p']:.1f} ({row['n']}), {row['bits']:.2f} bits" for row in mine]
        yield f"| {name} | " + " | ".join(cells) + " |"
    said = [row for row in rows if row["access"] == "text" and row["log10_p"] < 0]
    told = ", ".join(f"{row['suspect']} ({row['log10_p']:.1f})" for row in said)
    yield "\n`human` and `other-100` never met any. By text: " + (
        f"{told}." if told else "nothing, for no model said any variant of any canary."
    )


def _campaigns(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield BOTH
    for row in rows:
        tried = f"{row['tried']:,} keys" if row["by"] == "keys" else f"{row['pairs']:,} pairs each"
        found = [
            f"{row['log10_p'][one]:.1f}" if one in row["log10_p"] else "–" for one in ("c-green", "c-second")
        ]
        yield f"| {row['tokens']:,} | {tried} | {row['named'] or 'nobody'} | {' | '.join(found)} |"


def _power(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield POWER
    mine = [row for row in rows if row["alpha"] == ALPHA]
    for test, access, source in dict.fromkeys((row["test"], row["access"], row["source"]) for row in mine):
        same = [row for row in mine if (row["test"], row["access"], row["source"]) == (test, access, source)]
        found = ", ".join(f"{row['hits']} ({row['n']:,} {row['unit']})" for row in same)
        yield f"| {test} | {access} | {same[0]['exposure']:.0%} | {source.rpartition(', ')[2]} | {found} |"


def _peers(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield PEERS
    derived = [row for row in rows if row["asked"] == "derived"]
    head = [f"{one}" for one in DERIVED]
    yield f"| tool | answers | never saw the teacher (5 models) | {' | '.join(head)} |"
    yield "|---|---|---|" + "---|" * len(head)
    for test in dict.fromkeys(row["test"] for row in derived):
        for many, _ in SETS:
            mine = [row for row in derived if row["test"] == test and row["answers"] == many]
            false = [row for row in mine if not row["derived"]]
            wrong, tries = sum(row["found"] for row in false), sum(row["sets"] for row in false)
            cells = [
                f"{row['found'] / row['sets']:.0%}"
                for one in DERIVED
                for row in mine
                if row["suspect"] == one
            ]
            yield f"| {test} | {many} | {wrong} of {tries} ({wrong / tries:.1%}) | {' | '.join(cells)} |"
    allowed = [
        f"{(ALPHA + 3 * float(np.sqrt(ALPHA * (1 - ALPHA) / (5 * sets)))):.1%} of {5 * sets}"
        for _, sets in SETS
    ]
    yield WORTH
    yield f"\nAt 1 %, three standard deviations allow {' and '.join(allowed)} tries.\n"
    yield IDENTITY
    other = [row for row in rows if row["asked"] == "another model"]
    for test in dict.fromkeys(row["test"] for row in other):
        mine = [row for row in other if row["test"] == test]
        cells = [f"{row['below']['0.05']} of {row['tests']}" for row in mine]
        yield f"| {test} | " + " | ".join(cells) + " |"
    most = LOOSE * OFTENER + 3 * float(np.sqrt(LOOSE * (1 - LOOSE) * OFTENER))
    yield f"\nOf the teacher itself three standard deviations allow {most:.1f} of {OFTENER}.\n"
