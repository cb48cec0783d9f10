"""All figures of a run, from its cells alone: what ``bench/results/golden.json`` holds and the page shows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from golden import attack, rows, sections

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from golden.menu import Tier
    from golden.sections import Detector, Seen
    from golden.trials import Trial

COMPARED = ("archetype", "lookalike", "pool", "attack")
"""Sections whose logs all detectors saw."""


def figures(
    records: dict[str, dict[str, Any]],
    trials: dict[str, list[Trial]],
    version: str,
    tier: Tier,
    results: Path,
) -> dict[str, Any]:
    """Every figure. ``trials``: the tier's menu; ``results``: where other files' figures lie, which may be missing."""
    seen = {name: sections.seen(records, some, version) for name, some in trials.items()}
    ours = {name: sections.of(some) for name, some in seen.items()}
    wanted = {one.key(version): one for some in trials.values() for one in some}
    every = sections.of(sections.seen(records, wanted.values(), version))
    sized = sections.of(seen["lookalike"])
    keys = {one.key(version) for one in trials["lookalike"]}
    beside = [(one, cell) for one, cell in every if one.key(version) not in keys]
    tried = attack.points([*ours["attack"], *_fifty(ours["single"])])
    like = sections.lookalikes(sized, beside)
    return {
        "tier": tier.name,
        "trials": {
            "wanted": len(wanted),
            "done": sum("cells" in records.get(key, {}) for key in wanted),
            "failed": [records[key]["error"] for key in wanted if "error" in records.get(key, {})],
        },
        "archetypes": {
            "all": sections.detection([(one, cell) for one, cell in ours["archetype"] if _scaled(one)]),
            **{str(size): sections.detection(_size(ours["archetype"], size)) for size in tier.sizes},
        },
        "by_archetype": _by_archetype(ours["archetype"]),
        "found_by_detector": _found(seen["archetype"]),
        "adaptive": sections.detection(attack.budget(ours["attack"])),
        "benign": sections.innocents(every)["innocent"],
        "lookalikes": like,
        "worst_family": sections.worst(like, every),
        "static": sections.discoveries(ours["static"]),
        "drift": sections.discoveries(ours["drift"]),
        "pool": {
            _name(who): sections.exchanges(sections.of(seen["pool"], who))
            for who in sections.detectors(seen["pool"])
        },
        "curves": {name: sections.curve(seen[name]) for name in ("share", "accounts", "background")},
        "floors": {
            name: sections.curve([pair for pair in seen["floor"] if pair[0].facts["floor"] == name])
            for name, _ in tier.floors
        },
        "attacks": tried,
        "cost_bins": attack.bins(tried),
        "cost_bins_baseline": _best_bins(seen["attack"]),
        "multiplier": attack.multiplier(tried),
        "singles": attack.singles(ours["single"]),
        "beside": _beside(seen),
        "watch": _read(results / "watch.json").get("summary", {}),
        "crowd": _read(results / "background.json"),
    }


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _name(who: Detector) -> str:
    return who[0] if who == sections.OURS else f"{who[0]}, {who[1]}"


def _scaled(one: Trial) -> bool:
    """Not the extra logs of A12 on four accounts, which are under the least size that the table speaks of."""
    return one.populations[0][1]["accounts"] >= 50


def _size(some: Seen, size: int) -> Seen:
    return [(one, cell) for one, cell in some if one.facts["accounts"] == size]


def _fifty(some: Seen) -> Seen:
    return [(one, cell) for one, cell in some if one.facts["accounts"] >= 50]


def _by_archetype(some: Seen) -> list[dict[str, Any]]:
    keys = dict.fromkeys(
        (one.facts["archetype"], one.facts["accounts"], one.facts["rate"]) for one, _ in some
    )
    return [
        {
            "archetype": key[0],
            "accounts": key[1],
            "rate": key[2],
            **sections.detection(
                [
                    (one, cell)
                    for one, cell in some
                    if tuple(one.facts[n] for n in ("archetype", "accounts", "rate")) == key
                ]
            ),
        }
        for key in sorted(keys, key=lambda key: (int(key[0][1:]), -key[2], key[1]))
    ]


def _found(some: Seen) -> dict[str, dict[str, Any]]:
    """Detector -> archetype -> campaigns found."""
    names = dict.fromkeys(one.facts["archetype"] for one, _ in some)
    return {
        _name(who): {
            name: sections.detection(
                [(one, cell) for one, cell in sections.of(some, who) if one.facts["archetype"] == name]
            )["found"]
            for name in names
        }
        for who in sections.detectors(some)
    }


def _best_bins(some: Seen) -> list[dict[str, Any]]:
    """Of the baselines at the calibrated point, the bins of the one with the best mean recall over all attacks."""
    rival = [
        attack.points(sections.of(some, who))
        for who in sections.detectors(some)
        if who != sections.OURS and "calibration" in who[1]
    ]
    best = max(rival, key=lambda told: sum(one["recall"] for one in told) / max(1, len(told)), default=[])
    return attack.bins(best)


def _beside(seen: Mapping[str, Seen]) -> list[dict[str, Any]]:
    """One row a detector and point: the table's quantities, over the logs that all of them saw."""
    shared = [pair for name in COMPARED for pair in seen[name]]
    made: list[dict[str, Any]] = []
    for who in sections.detectors(shared):
        static = sections.of(seen["archetype"], who)
        cheap = attack.budget(sections.of(seen["attack"], who))
        tried = attack.points(sections.of(seen["attack"], who))
        made.append({
            "detector": who[0],
            "point": who[1],
            "static": sections.detection(static),
            "adaptive": sections.detection(cheap),
            "multiplier": attack.multiplier(tried),
            "pool": sections.exchanges(sections.of(seen["pool"], who)),
            **sections.innocents(sections.of(shared, who)),
        })  # fmt: skip
    return made


def table(told: dict[str, Any]) -> list[rows.Row]:
    """The rows of the benchmark's table."""
    return rows.table(told)
