"""Runs the registered tests over what was gathered: the suspect, every control, and the suspect under false labels.

The result is the same bytes for the same folder: it holds no time and no path. What a person may say of it is decided
here, in one place: only tier A, after Holm, with quiet controls, supports derivation; silence without power says nothing.
"""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import scipy
from scipy import stats

from spiritsafe import __version__
from spiritsafe.errors import LedgerError, UsageError
from spiritsafe.model import Finding
from spiritsafe.orders.snapshot import replace_file
from spiritsafe.provenance import _gather, _power, _prereg, _reveal, _seal, _tables
from spiritsafe.provenance._holm import holm
from spiritsafe.provenance._once import keeping
from spiritsafe.provenance._reruns import false_labels
from spiritsafe.registry import extensions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.ledger import Entry, Ledger
    from spiritsafe.provenance._subject import Subject, Teacher
    from spiritsafe.registry import Extension

SUPPORTS, DENIES, SILENT = "supports derivation", "does not support derivation", "inconclusive"
_LOUD = 1e-3  # false labels that find more than chance this rarely allows make a run unsound
_SAME = 1e-6  # relative difference that another processor's arithmetic may make
#: What becomes of a verdict that rests on a p-value which Holm's correction takes away.
_WITHOUT = {SUPPORTS: SILENT, "lead": "no lead", "different model": "same model not rejected"}
#: Explanations that no test here excludes, said with every positive result.
ALTERNATIVES = (
    "somebody else published the teacher's outputs, and the suspect was trained on what was published",
    "the suspect was trained on another model that is itself a copy of the teacher",
    "a supplier of training data sold the teacher's outputs without the buyer's knowledge",
)


@keeping()
def compute(
    folder: Path,
    plan: Mapping[str, Any],
    found: Sequence[Entry],
    *,
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """The result of a case. Raises UsageError when gathering has not ended, LedgerError when something was changed since."""
    closed = _closed(folder, plan, found)
    if closed is None and plan["stopping"] == "fixed":
        raise UsageError(
            "not everything was asked",
            where=str(folder),
            hint="`spiritsafe prove query` goes on; --give-up REASON ends it as it is, before any result is seen",
        )
    reveal = _reveal.load(folder / "teacher" / "reveal.json")
    teacher = _tables.teacher(folder, plan, reveal)
    checked = _reveal.check(reveal, found, teacher.pairs, teacher.canaries)
    keys = (*teacher.keys, *teacher.decoys)
    suspect, *controls = (_tables.subject(folder, one, keys) for one in (plan["suspect"], *plan["controls"]))
    tests = {name: _extension(name) for name in plan["tests"]}
    total = len(tests) * (1 + len(controls) + plan["reruns"])
    done = 0

    def run(name: str, subject: Subject, teacher: Teacher, others: Sequence[Subject], seed: int) -> Finding:
        nonlocal done
        progress("testing", done, total)
        done += 1
        return _call(tests[name], subject, teacher, others, seed=seed, alpha=plan["alpha"])

    seed = int(plan["seed"])
    findings = [run(name, suspect, teacher, controls, seed) for name in tests]
    beside = [
        run(name, one, teacher, [other for other in controls if other.group != one.group], seed)
        for one in controls
        for name in tests
    ]
    false: list[Finding] = []
    for at, name in enumerate(tests):
        needs = cast("Sequence[str]", getattr(tests[name].module, "NEEDS", ()))
        for again in range(plan["reruns"]):
            other = false_labels(teacher, needs, seed=_stream(seed, at, again))
            if other is None:
                break
            false.append(run(name, suspect, other, controls, seed))
    progress("testing", total, total)
    sound = _sound(beside, false, plan)
    final, reasons = _judge(findings, sound, plan, closed=closed is not None)
    return {
        "schema": 1,
        "case": plan["case"],
        "claim": plan["claim"],
        "plan": _seal.file_digest(folder / "plan.json"),
        "suspect": plan["suspect"]["name"],
        "teacher": plan["teacher"]["name"],
        "campaigns": plan["teacher"]["campaigns"],
        "alpha": plan["alpha"],
        "seed": seed,
        "stopping": plan["stopping"],
        "gave_up": closed.body["gave_up"] if closed else None,
        "complete": closed is not None and not any(closed.body["missing"].values()),
        "verdict": _overall(final),
        "findings": [
            {**_told(one), **why} for one, why in zip(final, reasons, strict=True)
        ],
        "controls": [_brief(one) for one in beside],
        "false_labels": [_brief(one) for one in false],
        "sound": sound,
        "commitments_checked": checked,
        "escrow": plan["escrow"],
        "doubled_prompts": plan["doubled_prompts"],
        "answers": {one["name"]: _tables.outcomes(folder, one) for one in _gather.models(plan)},
        "alternatives": list(ALTERNATIVES),
        "made_with": {
            "spiritsafe": __version__, "python": platform.python_version(), "numpy": np.__version__,
            "scipy": scipy.__version__, "pyarrow": pa.__version__,
        },
    }  # fmt: skip


def keep(folder: Path, result: Mapping[str, Any], book: Ledger, *, now: int) -> None:
    """Write ``result.json`` and its entry in the ledger, then the manifest."""
    data = json.dumps(result, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    replace_file(folder / "result.json", data)
    body = {"plan": result["plan"], "result": _seal.digest(data), "verdict": result["verdict"]}
    book.append(_prereg.RESULT, body, time=now)
    _prereg.keep_entries(folder, book.path)
    manifest(folder)


def manifest(folder: Path) -> None:
    """Write ``manifest.json``: the SHA-256 of every file of the case. What begins with a dot is nobody else's business."""
    listed = {
        str(path.relative_to(folder)): _seal.file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and path != folder / "manifest.json"
    }
    replace_file(
        folder / "manifest.json", json.dumps({"schema": 1, "sha256": listed}, indent=1).encode() + b"\n"
    )


def check(folder: Path, book: Path | None, *, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Compute a case anew and compare it with what stands in its folder. Raises LedgerError at the first difference.

    Floating-point numbers may differ by a millionth part, since processors do their sums in different orders.
    """
    path = folder / "manifest.json"
    try:
        listed: dict[str, str] = json.loads(path.read_bytes())["sha256"]
        stored: dict[str, Any] = json.loads((folder / "result.json").read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError("there is no result here", where=str(folder), hint="spiritsafe prove run") from error
    for name, known in listed.items():
        if not (folder / name).is_file() or _seal.file_digest(folder / name) != known:
            raise LedgerError("this file is not the one in the manifest", where=str(folder / name))
    plan, found = _prereg.open_plan(folder, book)
    digest = _seal.file_digest(folder / "result.json")
    if not any(one.kind == _prereg.RESULT and one.body["result"] == digest for one in found):
        raise LedgerError("this result is not in the ledger", where=str(folder / "result.json"))
    again: dict[str, Any] = json.loads(json.dumps(compute(folder, plan, found, progress=progress)))
    for name in stored.keys() | again.keys():
        if name != "made_with" and not _same(stored.get(name), again.get(name)):
            raise LedgerError(f"computed anew, {name!r} is another", where=str(folder / "result.json"))
    return {
        "same": True, "files": len(listed), "commitments": again["commitments_checked"],
        "entries": len(found), "verdict": again["verdict"],
    }  # fmt: skip


def _closed(folder: Path, plan: Mapping[str, Any], found: Sequence[Entry]) -> Entry | None:
    entry = _prereg.ended(folder, found)
    if entry is None:
        return None
    paths = {
        str(p.relative_to(folder)): p
        for one in _gather.models(plan)
        if (p := _gather.file_of(folder, one["name"])).exists()
    }
    for name in paths.keys() | entry.body["files"].keys():
        if name not in paths or entry.body["files"].get(name) != _seal.file_digest(paths[name]):
            raise LedgerError("these answers are not those that were gathered", where=str(folder / name))
    return entry


def _extension(name: str) -> Extension:
    known = extensions("provenance")
    if name not in known:
        raise UsageError(
            f"the registered test {name!r} is not installed here", hint=f"there are: {', '.join(known)}"
        )
    return known[name]


def _call(
    test: Extension,
    suspect: Subject,
    teacher: Teacher,
    controls: Sequence[Subject],
    *,
    seed: int,
    alpha: float,
) -> Finding:
    """One finding. A test that breaks has found nothing, and counts as one that was looked at."""
    try:
        finding = test.function(suspect, teacher, controls, seed=seed, alpha=alpha)
    except Exception as error:  # noqa: BLE001 - tests are extensions: one that breaks must not take the others along
        finding = None
        problem = f"the test broke: {type(error).__name__}: {error}"[:300]
    else:
        problem = "the test returned no finding"
    if isinstance(finding, Finding):
        return finding
    return Finding(
        test.id, getattr(test.module, "TIER", "C"), suspect.name, "", 0.0, 1.0, 0.0, 0.0, (0.0, 0.0), "", 0, "text",
        alpha, SILENT, seed, details={"why": problem},
    )  # fmt: skip


def _judge(
    findings: Sequence[Finding], sound: Mapping[str, Any], plan: Mapping[str, Any], *, closed: bool
) -> tuple[list[Finding], list[dict[str, Any]]]:
    """Each finding as it may be told, and why it may not say more."""
    ps = [one.p_value if closed else min(1.0, 1.0 / one.e_value) if one.e_value else 1.0 for one in findings]
    logs = [
        one.log10_p if closed else math.log10(p) if p else -math.inf
        for one, p in zip(findings, ps, strict=True)
    ]
    family = [at for at, one in enumerate(findings) if one.tier == "A"]
    others = [at for at, one in enumerate(findings) if one.tier != "A"]
    adjusted: dict[int, float] = {}
    for group in (family, others):
        adjusted |= dict(zip(group, holm([logs[at] for at in group]), strict=True))
    final: list[Finding] = []
    reasons: list[dict[str, Any]] = []
    for at, one in enumerate(findings):
        log = adjusted[at]
        p = 10.0**log
        power = _power_of(one, plan)
        why: list[str] = []
        verdict: Any = one.verdict
        if verdict in _WITHOUT and p > plan["alpha"]:
            verdict = _WITHOUT[verdict]
            why.append("with all registered tests counted (Holm), p is above alpha")
        if verdict == SUPPORTS and not sound["quiet"]:
            verdict = SILENT
            why.append("controls or false labels are found as well: " + "; ".join(sound["why"]))
        if verdict == DENIES and (power.value is None or power.value < plan["power"]["target"]):
            verdict = SILENT
            why.append(
                "the power of this run is not known" if power.value is None
                else f"the power of this run was only {power.value:.0%}"
            )  # fmt: skip
        if not closed:
            why.append("gathering goes on: only e-values count")
        final.append(replace(one, verdict=verdict, power=power.value))
        reasons.append(
            {"holm_p": p, "holm_log10_p": _finite(log), "reasons": why, "said_by_test": one.verdict,
             "power_interval": [power.low, power.high], "power_n": _units(one), "curve": _curve(one, plan)}
        )  # fmt: skip
    return final, reasons


def _power_of(finding: Finding, plan: Mapping[str, Any]) -> _power.Estimate:
    curve = _power.load().get((finding.test, finding.access))
    if curve is None or not math.isclose(curve.alpha, finding.alpha):
        return _power.Estimate(None, 0.0, 1.0)
    had = {"said": _tokens(finding), "keys": finding.counts.get("keys", 0)}
    return curve.power(plan["power"]["exposure"], _units(finding), had)


def _units(finding: Finding) -> int:
    """How much the run had, in the unit of the test's curve; ``n`` where it has none."""
    curve = _power.load().get((finding.test, finding.access))
    return _tokens(finding) if curve and curve.unit == "tokens" else finding.n


def _tokens(finding: Finding) -> int:
    """Tokens that the suspect said, as far as the test tells: places where a mark was looked for, or the surrogate's text."""
    told = finding.details.get("tokens of the suspect")
    return told if isinstance(told, int) else finding.counts.get("windows in answers", 0)


def _curve(finding: Finding, plan: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a reader may draw of the test's power, None when nothing was measured."""
    curve = _power.load().get((finding.test, finding.access))
    return curve.drawn(plan["power"]["exposure"]) if curve else None


def _sound(beside: Sequence[Finding], false: Sequence[Finding], plan: Mapping[str, Any]) -> dict[str, Any]:
    """Whether controls and false labels are as quiet as chance allows. Only tier A: its p-values are exact."""
    alpha, why = plan["alpha"], list[str]()
    own = [one for one in beside if one.tier == "A"]
    loud = sorted({one.suspect for one in own if one.p_value <= alpha / len(own)})
    why += [f"the control {name} is found too" for name in loud]
    told: dict[str, Any] = {}
    for name in sorted({one.test for one in false if one.tier == "A"}):
        ps = [one.p_value for one in false if one.test == name]
        hits = sum(p <= alpha for p in ps)
        chance = float(stats.binom.sf(hits - 1, len(ps), alpha)) if hits else 1.0
        told[name] = {"runs": len(ps), "below_alpha": hits, "chance": chance}
        if chance <= _LOUD:
            why.append(f"{name} finds {hits} of {len(ps)} false labels")
    return {"quiet": not why, "why": why, "controls_found": loud, "false_labels": told}


def _overall(findings: Sequence[Finding]) -> str:
    exact = [one.verdict for one in findings if one.tier == "A"]
    if SUPPORTS in exact:
        return SUPPORTS
    return DENIES if DENIES in exact else SILENT


def _told(finding: Finding) -> dict[str, Any]:
    row = {**asdict(finding), "counts": dict(finding.counts), "details": dict(finding.details)}
    row["interval"] = [_finite(one) for one in finding.interval]
    return {name: _finite(value) if isinstance(value, float) else value for name, value in row.items()}


def _brief(finding: Finding) -> dict[str, Any]:
    return {
        "test": finding.test, "suspect": finding.suspect, "p_value": finding.p_value,
        "log10_p": _finite(finding.log10_p), "verdict": finding.verdict, "n": finding.n, "access": finding.access,
        # Where a test looks at text and at readings, what each told by itself.
        "by_text": _log_of(finding, "text log10 p"), "by_readings": _log_of(finding, "readings log10 p"),
        "readings": finding.counts.get("readings used", 0),
    }  # fmt: skip


def _log_of(finding: Finding, name: str) -> float | None:
    value = finding.details.get(name)
    return _finite(value) if isinstance(value, float) else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _stream(seed: int, *at: int) -> int:
    return int(np.random.SeedSequence([seed, *at]).generate_state(1)[0])


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=_SAME, abs_tol=1e-300)
    return a == b
