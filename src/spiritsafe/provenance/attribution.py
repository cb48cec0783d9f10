"""Whose answers a suspect's resemble: a lead, calibrated against models that are known not to be copies.

No randomness of ours enters, so the p-value is the suspect's rank among controls and never below one over their groups and
one. Models of one era resemble each other, and teachers whose style everybody has are resembled by everybody: the rank among
controls asks more than which candidate comes first. See ``docs/provenance/attribution.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from spiritsafe.model import Finding
from spiritsafe.provenance._resemblance import likeness
from spiritsafe.provenance._subject import spoken, statuses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from spiritsafe.model import Tier, Value, Verdict
    from spiritsafe.provenance._subject import Subject, Teacher

    Floats = NDArray[np.float64]

TIER: Final[Tier] = "B"
NEEDS: Final = ("answers",)

NULL: Final = (
    "The suspect resembles this teacher no more than a control drawn from an unrelated lineage does: suspect and control "
    "groups are exchangeable."
)
DEFEATERS: Final = (
    "the suspect shares weights with a control, a teacher, or a model that was itself trained on the teacher",
    "the suspect comes from an era or has a style that no control has",
    "third parties published the teacher's answers, and the suspect was trained on those",
    "openings and closings of the answers were cut off or rewritten before training",
    "controls that were trained on the teacher without anybody saying so (the test then stays silent)",
)
LEAST: Final = 20
"""Prompts in common below which nothing is said."""
RIVALS: Final = 4
"""Groups of other candidates that are needed: resemblance is told beside them, in units of their spread."""
LITTLE: Final = 1e-6
"""Spread of cosines that is rounding."""
DRAWS: Final = 400
"""Redraws of the control groups for the interval."""


@dataclass(frozen=True)
class Bench:
    """Models to be told apart, by position.

    ``kernels`` float64 (views, n, n) as of ``_resemblance.likeness``; ``groups``: lineage of each, n;
    ``families``: candidate families by name, each with the positions of its versions.
    """

    kernels: Floats
    groups: tuple[str, ...]
    families: Mapping[str, tuple[int, ...]]


def scores(bench: Bench, model: int) -> dict[str, float]:
    """How much more ``model`` resembles each candidate family than families of other groups; unit: standard deviations.

    A family is looked at from the centre of the candidates that share a group neither with it nor with the model. With
    themselves in the centre, candidates would be pushed away from all others, and those among the controls would look less
    alike than a suspect that is none. Families of the model's own group are left out; the result is empty when fewer than
    ``RIVALS`` groups of others remain beside a family.
    """
    lineage = {name: bench.groups[versions[0]] for name, versions in bench.families.items()}
    asked = [name for name, group in lineage.items() if group != bench.groups[model]]
    group = np.array([lineage[name] for name in asked])
    if len(set(group)) <= RIVALS:
        return {}
    # Each group weighs the same, each family in it, each version of the family.
    share = 1.0 / (group[:, None] == group).sum(axis=1)
    part = np.zeros((len(asked), bench.kernels.shape[1]))
    for n, name in enumerate(asked):
        versions = list(bench.families[name])
        part[n, versions] = share[n] / len(versions)
    close: list[Floats] = []
    for n, name in enumerate(asked):
        weight = part[group != group[n]].sum(axis=0)
        close.append(_cosine(bench, model, bench.families[name], weight / weight.sum()))
    alike = np.array(close)
    told: dict[str, float] = {}
    for n, name in enumerate(asked):
        near = group != group[n]
        weight = share[near, None] / share[near].sum()
        mean = (weight * alike[near]).sum(axis=0)
        spread = np.sqrt((weight * (alike[near] - mean) ** 2).sum(axis=0))
        told[name] = float(((alike[n] - mean) / np.maximum(spread, LITTLE)).mean())
    return told


def _cosine(bench: Bench, model: int, versions: tuple[int, ...], weight: Floats) -> Floats:
    """Cosine to the nearest version, seen from the centre that ``weight`` gives; one each view."""
    at = list(versions)
    K = bench.kernels
    centre = K @ weight
    middle = centre @ weight
    here = K[:, model, model] - 2 * centre[:, model] + middle
    there = K[:, at, at] - 2 * centre[:, at] + middle[:, None]
    both = K[:, model, at] - centre[:, model, None] - centre[:, at] + middle[:, None]
    return (both / np.sqrt(np.maximum(here[:, None] * there, 1e-30))).max(axis=1)


def conformal(value: float, controls: Sequence[float], groups: Sequence[str]) -> tuple[float, int]:
    """P-value of ``value`` among ``controls``, and the number of groups that voted.

    A group votes once, by its highest member: its rank is at least that of a member drawn at random, so p is valid when
    the suspect is exchangeable with one member of each group (Dunn, Wasserman & Ramdas, "Distribution-free prediction sets
    for two-layer hierarchical models", 2023: one draw a group is valid; the highest is never below it). Ties count against.
    """
    best: dict[str, float] = {}
    for one, group in zip(controls, groups, strict=True):
        best[group] = max(one, best.get(group, -np.inf))
    return (1 + sum(one >= value for one in best.values())) / (1 + len(best)), len(best)


def attribution(
    suspect: Subject, teacher: Teacher, controls: Sequence[Subject], *, seed: int, alpha: float = 0.05
) -> Finding:
    """Whether the suspect resembles the teacher more than controls do, and which candidate it resembles most.

    Controls with the fact ``candidate`` = "yes" are other candidate teachers; ``family`` names the family of a version (that
    of the teacher is its name). A control votes unless it shares the group of the teacher or of the suspect, or its fact
    ``taught_by`` (names, separated by commas) has the teacher's name or group, or it answered less than half of the prompts.
    ``era`` is any word for when a model was made. ``alpha`` below one over the number of groups and one cannot be reached:
    the verdict is then "inconclusive".
    """
    prompts = _common(suspect, teacher)
    counts = _counts(suspect, prompts)
    heard_of = [_compared(one.answers, prompts) * 2 >= len(prompts) for one in controls]
    candidates = [
        one.facts.get("candidate") == "yes" and ok for one, ok in zip(controls, heard_of, strict=True)
    ]
    rivals = {one.group or one.name for one, asked in zip(controls, candidates, strict=True) if asked}
    rivals -= {teacher.group, suspect.group}
    roles = [_role(one, suspect, teacher, ok) for one, ok in zip(controls, heard_of, strict=True)]
    details: dict[str, Value] = {f"controls_{role}": roles.count(role) for role in sorted({*roles, "voting"})}
    details["prompts"] = len(prompts)
    why = _unfit(suspect, teacher, controls, len(prompts), len(rivals), roles)
    if why:
        return _finding(suspect, teacher, counts, {**details, "reason": why}, seed=seed, alpha=alpha)

    models = [suspect.answers, teacher.answers, *(one.answers for one in controls)]
    like = likeness(models, prompts)
    families: dict[str, tuple[int, ...]] = {teacher.name: (1,)}
    for number, one in enumerate(controls, 2):
        if candidates[number - 2]:
            family = one.facts.get("family", one.name)
            families[family] = (*families.get(family, ()), number)
    groups = (
        suspect.group or suspect.name,
        teacher.group or teacher.name,
        *(c.group or c.name for c in controls),
    )
    bench = Bench(like.kernels, groups, families)
    own = scores(bench, 0)
    voting = [n for n, role in enumerate(roles, 2) if role == "voting"]
    told = {n: scores(bench, n).get(teacher.name) for n in voting}
    voting = [n for n in voting if told[n] is not None]
    details["controls_with_too_few_rivals"] = roles.count("voting") - len(voting)
    if not voting:
        why = "every control that could vote is a candidate with too few rivals of its own"
        return _finding(suspect, teacher, counts, {**details, "reason": why}, seed=seed, alpha=alpha)
    value = own[teacher.name]
    heard = [float(told[n] or 0.0) for n in voting]
    p, many = conformal(value, heard, [groups[n] for n in voting])

    order = sorted(own, key=lambda name: -own[name])
    details |= {"floor": 1 / (1 + many), "groups": many, "rank_of_teacher": order.index(teacher.name) + 1}
    details |= {
        "candidates": len(order),
        "first_three": ", ".join(f"{name} {own[name]:.2f}" for name in order[:3]),
    }
    details |= _lineage(bench, suspect.group)
    details |= _confounders(suspect, controls, like.style, voting, heard, groups, value)
    effect, interval = _effect(value, heard, [groups[n] for n in voting], seed)
    verdict: Verdict = "lead" if p <= alpha else "no lead"
    if 1 / (1 + many) > alpha:
        verdict = "inconclusive"
        details["reason"] = f"{many} control groups cannot give a p-value below {1 / (1 + many):.3f}"
    return _finding(
        suspect, teacher, counts, details, seed=seed, alpha=alpha,
        told=(value, p, effect, interval, many), verdict=verdict,
    )  # fmt: skip


def _common(suspect: Subject, teacher: Teacher) -> pa.Array:
    asked = pc.unique(spoken(suspect.answers)["prompt_id"])
    return asked.filter(pc.is_in(asked, pc.unique(spoken(teacher.answers)["prompt_id"])))


def _compared(answers: pa.Table, prompts: pa.Array) -> int:
    return int(pc.sum(pc.is_in(pc.unique(spoken(answers)["prompt_id"]), prompts)).as_py() or 0)


def _counts(suspect: Subject, prompts: pa.Array) -> dict[str, int]:
    found = statuses(suspect.answers)
    said = spoken(suspect.answers)["prompt_id"]
    compared = int(pc.sum(pc.is_in(said, prompts)).as_py() or 0)
    silent = {name: found[name] for name in ("refused", "empty", "failed")}
    return {"compared": compared, "prompt_not_answered_by_teacher": len(said) - compared, **silent}


def _role(control: Subject, suspect: Subject, teacher: Teacher, heard: bool) -> str:  # noqa: FBT001
    taught = {name.strip() for name in control.facts.get("taught_by", "").split(",")} - {""}
    if taught & {teacher.name, teacher.group}:
        return "taught_by_teacher"
    if teacher.group and control.group == teacher.group:
        return "of_teachers_group"
    if suspect.group and control.group == suspect.group:
        return "of_suspects_group"
    return "voting" if heard else "with_too_few_answers"


def _unfit(
    suspect: Subject,
    teacher: Teacher,
    controls: Sequence[Subject],
    prompts: int,
    rivals: int,
    roles: list[str],
) -> str:
    if prompts < LEAST:
        return f"{prompts} prompts were answered by both suspect and teacher; {LEAST} are needed"
    if suspect.group and suspect.group == teacher.group:
        return "suspect and teacher share weights or maker: resemblance says nothing about distillation"
    if rivals < RIVALS:
        return (
            f"{rivals} groups of other candidate teachers among {len(controls)} controls; {RIVALS} are needed"
        )
    return "" if "voting" in roles else "no control votes"


def _lineage(bench: Bench, declared: str) -> dict[str, Value]:
    """Which lineage the suspect resembles most, and where the declared one stands: a warning, since text shows no weights."""
    others = bench.groups[1:]
    members = {one: tuple(n for n, group in enumerate(others, 1) if group == one) for one in others}
    alike = scores(Bench(bench.kernels, ("", *others), members), 0)
    order = sorted(alike, key=lambda group: -alike[group])
    told: dict[str, Value] = {"lineage_most_alike": order[0] if order else ""}
    if declared in order:
        told["rank_of_declared_lineage"] = order.index(declared) + 1
    return told


def _confounders(
    suspect: Subject,
    controls: Sequence[Subject],
    style: Floats,
    voting: list[int],
    heard: list[float],
    groups: tuple[str, ...],
    value: float,
) -> dict[str, Value]:
    """The same rank among controls of like style, and of the same era; and the rank of likeness in style alone."""
    spread = style.std(axis=0)
    scaled = style / np.where(spread > 0, spread, 1.0)
    far = np.linalg.norm(scaled[voting] - scaled[0], axis=1)
    near = [n for n, distance in enumerate(far) if distance <= np.median(far)]
    to_teacher = -np.linalg.norm(scaled[[0, *voting]] - scaled[1], axis=1)
    p_style, _ = conformal(float(to_teacher[0]), to_teacher[1:].tolist(), [groups[n] for n in voting])
    p_near, many = conformal(value, [heard[n] for n in near], [groups[voting[n]] for n in near])
    told: dict[str, Value] = {"p_style_alone": p_style, "p_like_style": p_near, "groups_like_style": many}
    era = suspect.facts.get("era", "")
    same = [n for n, at in enumerate(voting) if era and controls[at - 2].facts.get("era") == era]
    if same:
        told["p_same_era"], told["groups_same_era"] = conformal(
            value, [heard[n] for n in same], [groups[voting[n]] for n in same]
        )
    return told


def _effect(
    value: float, heard: list[float], groups: list[str], seed: int
) -> tuple[float, tuple[float, float]]:
    """The score above the mean control group, with its interval from redrawn groups."""
    means = np.array(
        [np.mean([h for h, g in zip(heard, groups, strict=True) if g == one]) for one in sorted(set(groups))]
    )
    drawn = np.random.default_rng(seed).choice(means, (DRAWS, means.size)).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(value - means.mean()), (float(value - high), float(value - low))


def _finding(
    suspect: Subject,
    teacher: Teacher,
    counts: dict[str, int],
    details: dict[str, Value],
    *,
    seed: int,
    alpha: float,
    told: tuple[float, float, float, tuple[float, float], int] = (0.0, 1.0, 0.0, (-np.inf, np.inf), 0),
    verdict: Verdict = "inconclusive",
) -> Finding:
    value, p, effect, interval, many = told
    return Finding(
        test="attribution",
        tier=TIER,
        suspect=suspect.name,
        null_hypothesis=NULL,
        statistic=value,
        p_value=p,
        log10_p=float(np.log10(p)),
        effect=effect,
        interval=interval,
        effect_unit="standard deviations among rival candidates, above the mean control group",
        n=many,
        access="text",
        alpha=alpha,
        verdict=verdict,
        seed=seed,
        counts=counts,
        details={"teacher": teacher.name, **details},
        defeaters=DEFEATERS,
    )
