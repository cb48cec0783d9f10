"""Canaries: of N wordings of a harmless, rare association one was served: which one does the suspect hold.

Which variant of a canary is served is drawn by us and committed before it leaves. If nothing that the suspect learned
from depends on the draw, each of the N is equally likely to be the served one, whatever the suspect prefers by itself.
Exact by enumeration; several canaries by convolution.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.model import Finding
from spiritsafe.provenance._subject import spoken, statuses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from spiritsafe.model import Verdict
    from spiritsafe.provenance._subject import Subject, Teacher

    Floats = NDArray[np.float64]

TIER: Final = "A"
NEEDS: Final = ("canaries",)
DEFEATERS: Final = (
    "filtering rare answers out of the training data",
    "answers to the canaries' prompts that are refused or scripted",
)
NULL: Final = (
    "which variant of each canary was served is independent of the suspect: each of its variants is equally likely to be "
    "the served one"
)
GRID: Final = 16
"""Scores of ranks are whole multiples of 1 / GRID nats, so that their sum has an exact distribution."""
Z95: Final = 1.959964

# Scripts that write no spaces: each character stands for itself.
_UNSPACED = re.compile(r"([\u2e80-\uffdc\U00020000-\U0003ffff])")
_GAPS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class _Canary:
    name: str
    prompt: str
    answers: tuple[str, ...]
    variants: tuple[int, ...]
    served: int


def canaries(
    suspect: Subject, teacher: Teacher, controls: Sequence[Subject], *, seed: int, alpha: float = 0.01
) -> Finding:
    """Which variant of each canary the suspect prefers, by log-probability or by what it answers.

    A canary all of whose variants the suspect scored (``scores``: item = canary_id, side = the variant's number) is judged
    by log-probability, less the controls' mean where all controls scored it; any other by how many of the suspect's answers
    to its prompt contain the variant's answer. The served variant's rank counts ties against us. ``seed`` changes nothing:
    the null distribution is enumerated.
    """
    counts = {
        "canaries used": 0,
        "canaries silent": 0,
        "canaries void: not committed": 0,
        "canaries void: malformed": 0,
    }
    sound = _sound(teacher.canaries, counts)
    texts = _answers(suspect, {one.prompt for one in sound})
    scores, reference = _scores(suspect), [_scores(control) for control in controls]
    pmf, total, scored = np.ones(1), 0, 0
    gained: list[tuple[float, float, float]] = []
    for canary in sound:
        value, by_score = _preference(canary, scores, reference, texts)
        if value is None:
            counts["canaries silent"] += 1
            continue
        counts["canaries used"] += 1
        scored += by_score
        n = value.size
        # How many are at least as preferred as each variant: the null draws one of these with equal odds.
        rank = n - np.searchsorted(np.sort(value), value, side="left")
        worth = np.rint(GRID * np.log(n / rank)).astype(np.int64)
        pmf = np.convolve(pmf, np.bincount(worth) / n)
        total += int(worth[canary.served])
        bits = np.log2(n / rank)
        gained.append((float(bits[canary.served]), float(bits.mean()), float(bits.max())))
    p = min(1.0, float(pmf[total:].sum()))
    least = float(pmf[-1])
    used = counts["canaries used"]
    gain = np.array(gained).reshape(-1, 3)
    verdict: Verdict = "supports derivation" if p <= alpha else "does not support derivation"
    if least > alpha and p > alpha:
        verdict = "inconclusive"
    return Finding(
        test="canaries",
        tier=TIER,
        suspect=suspect.name,
        null_hypothesis=NULL,
        statistic=total / GRID,
        p_value=p,
        log10_p=float(np.log10(p)),
        effect=float((gain[:, 0] - gain[:, 1]).mean()) if used else 0.0,
        interval=_interval(gain),
        effect_unit="bits of exposure a canary, above chance",
        n=used,
        access="logprobs" if scored else "text",
        alpha=alpha,
        verdict=verdict,
        seed=seed,
        counts=counts | {f"answers {name}": number for name, number in statuses(suspect.answers).items()},
        details={"least_p": least, "canaries_by_logprob": scored} | _why(used, least, alpha),
        defeaters=DEFEATERS,
        campaign_id=_campaign(teacher.canaries),
    )


def _sound(table: pa.Table, counts: dict[str, int]) -> list[_Canary]:
    """Canaries whose draw counts: committed, one served among at least two different numbers. The rest is counted."""
    found = []
    grouped = table.combine_chunks().group_by("canary_id", use_threads=False).aggregate([
        ("prompt", "list"), ("answer", "list"), ("variant", "list"), ("served", "list"), ("committed", "all"),
    ])  # fmt: skip
    for row in grouped.to_pylist():
        served, numbers = row["served_list"], row["variant_list"]
        answers = tuple(_plain(answer) for answer in row["answer_list"])
        if not row["committed_all"]:
            counts["canaries void: not committed"] += 1
        elif sum(served) != 1 or len(set(numbers)) != len(numbers) or len(numbers) < 2 or "" in answers:
            counts["canaries void: malformed"] += 1
        else:
            found.append(
                _Canary(row["canary_id"], row["prompt_list"][0], answers, tuple(numbers), served.index(True))
            )
    return found


def _preference(
    canary: _Canary,
    scores: Mapping[tuple[str, str], float],
    reference: Sequence[Mapping[tuple[str, str], float]],
    texts: Mapping[str, list[str]],
) -> tuple[Floats | None, bool]:
    """How much the suspect prefers each variant, float64 (variants,), and whether by log-probability."""
    items = [(canary.name, str(number)) for number in canary.variants]
    if all(item in scores for item in items):
        value = np.array([scores[item] for item in items])
        complete = [other for other in reference if all(item in other for item in items)]
        if complete and len(complete) == len(reference):
            # What any model finds likely in a wording says nothing of the draw.
            value = value - np.mean([[other[item] for item in items] for other in complete], axis=0)
        return value, True
    said = texts.get(canary.prompt.strip())
    if not said:
        return None, False
    return np.array([sum(answer in text for text in said) for answer in canary.answers], np.float64), False


def _scores(subject: Subject) -> dict[tuple[str, str], float]:
    rows = spoken(subject.scores)
    rows = rows.filter(pc.fill_null(pc.is_finite(rows["logprob"]), fill_value=False))
    keys = zip(rows["item"].to_pylist(), rows["side"].to_pylist(), strict=True)
    return dict(zip(keys, rows["logprob"].to_pylist(), strict=True))


def _answers(suspect: Subject, prompts: set[str]) -> dict[str, list[str]]:
    rows = spoken(suspect.answers)
    wanted = pa.array(sorted({prompt.strip() for prompt in prompts}), pa.string())
    trimmed = pc.utf8_trim_whitespace(rows["prompt"])
    rows = rows.append_column("asked", trimmed).filter(pc.is_in(trimmed, wanted))
    found: dict[str, list[str]] = {}
    for asked, text in zip(rows["asked"].to_pylist(), rows["text"].to_pylist(), strict=True):
        found.setdefault(asked, []).append(_plain(text or ""))
    return found


def _plain(text: str) -> str:
    """Words between single spaces, without case and punctuation, so that whole words are compared."""
    words = _GAPS.sub(" ", _UNSPACED.sub(r" \1 ", unicodedata.normalize("NFKC", text).casefold())).strip()
    return f" {words} " if words else ""


def _interval(gain: Floats) -> tuple[float, float]:
    """95 % of the mean gain, by the spread over canaries; the whole range where one canary shows no spread."""
    if not len(gain):
        return (-np.inf, np.inf)
    above = gain[:, 0] - gain[:, 1]
    if len(gain) < 2:
        return (float(-gain[0, 1]), float(gain[0, 2] - gain[0, 1]))
    half = Z95 * float(above.std(ddof=1)) / np.sqrt(len(above))
    return (float(above.mean() - half), float(above.mean() + half))


def _why(used: int, least: float, alpha: float) -> dict[str, str]:
    if not used:
        return {"why": "no committed canary was answered or scored"}
    if least > alpha:
        return {
            "why": f"the canaries that were answered cannot reach p = {alpha:g}: their least p is {least:.2g}"
        }
    return {}


def _campaign(table: pa.Table) -> str | None:
    """The campaign, where all rows name the same one."""
    names = pc.unique(table["campaign_id"]).to_pylist()
    return names[0] if len(names) == 1 else None
