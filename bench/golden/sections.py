"""Counting: from cells to the figures of each section. Accounts, organizations or logs are the unit, never exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scoreboard import FOUND, ORDINARY, lower, upper

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from golden.trials import Trial

    Seen = Sequence[tuple[Trial, dict[str, Any]]]

OURS = ("spiritsafe", "as shipped")
Detector = tuple[str, str]


def seen(
    records: dict[str, dict[str, Any]], trials: Iterable[Trial], version: str
) -> list[tuple[Trial, dict[str, Any]]]:
    """(trial, cell) of all detectors, for the trials that have a record without an error; a log counts once."""
    found: list[tuple[Trial, dict[str, Any]]] = []
    for key, one in {trial.key(version): trial for trial in trials}.items():
        found += [(one, cell) for cell in records.get(key, {}).get("cells", ())]
    return found


def of(all_seen: Seen, detector: Detector = OURS) -> list[tuple[Trial, dict[str, Any]]]:
    """The cells of one detector at one operating point."""
    return [(one, cell) for one, cell in all_seen if (cell["detector"], cell["point"]) == detector]


def detectors(all_seen: Seen) -> list[Detector]:
    """All detectors and points, Spiritsafe first."""
    found = dict.fromkeys((cell["detector"], cell["point"]) for _, cell in all_seen)
    return sorted(found, key=lambda one: (one != OURS, one))


def recall(campaign: dict[str, Any]) -> float:
    """Share of a campaign's accounts that were accused; of a pool's, that were told to be a pool or worse.

    Who tells no groups can only accuse.
    """
    hit = (
        campaign["accused"]
        if campaign["label"] == "campaign"
        else max(campaign["grouped"], campaign["accused"])
    )
    return hit / campaign["accounts"]


def found(campaign: dict[str, Any]) -> bool:
    """Half of the accounts or more."""
    return recall(campaign) >= FOUND


def campaigns(some: Seen) -> list[dict[str, Any]]:
    """All campaigns of these cells."""
    return [one for _, cell in some for one in cell["campaigns"].values()]


def rate(hits: int, n: int) -> dict[str, Any]:
    """A share with its one-sided 95 % bounds (Clopper and Pearson), exact under independence of the units."""
    return {
        "hits": hits,
        "n": n,
        "rate": hits / n if n else None,
        "lower": lower(hits, n),
        "upper": upper(hits, n),
    }


def detection(some: Seen) -> dict[str, Any]:
    """Campaigns found, account recall (mean over campaigns, and worst), purity of found ones, exchanges, innocents."""
    every = campaigns(some)
    shares = [recall(one) for one in every]
    best = [one for one in every if found(one) and one["best_size"]]
    return {
        "found": rate(sum(map(found, every)), len(every)),
        "recall_mean": float(np.mean(shares)) if shares else None,
        "recall_worst": min(shares, default=None),
        "recall_found": float(np.mean([one["best"] / one["accounts"] for one in best])) if best else None,
        "purity_mean": float(np.mean([one["best_guilty"] / one["best_size"] for one in best]))
        if best
        else None,
        "purity_worst": min((one["best_guilty"] / one["best_size"] for one in best), default=None),
        **exchanges(some),
        **innocents(some),
    }


def exchanges(some: Seen) -> dict[str, Any]:
    """Precision and recall over exchanges, pooled; what was said of other customers' exchanges in the same accounts."""
    total = {
        name: sum(cell["rows"][name] for _, cell in some)
        for name in ("harvest", "flagged", "both", "cover", "cover_flagged", "customers", "customers_flagged")
    }
    return {
        "exchange_precision": total["both"] / total["flagged"] if total["flagged"] else None,
        "exchange_recall": total["both"] / total["harvest"] if total["harvest"] else None,
        "cover_flagged": rate(total["cover_flagged"], total["cover"]),
        "customers_flagged": rate(total["customers_flagged"], total["customers"]),
    }


def families(some: Seen, names: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """By innocent family: accounts and organizations accused, as rates."""
    total: dict[str, Any] = {}
    wanted = None if names is None else set(names)
    for _, cell in some:
        for name, counts in cell["families"].items():
            if wanted is None or name in wanted:
                total[name] = np.asarray(counts) + total.get(name, 0)
    return {
        name: {"accounts": rate(int(one[0]), int(one[1])), "organizations": rate(int(one[2]), int(one[3]))}
        for name, one in total.items()
    }


def innocents(some: Seen) -> dict[str, Any]:
    """Accounts and organizations accused among all innocent ones, and the family that fares worst."""
    by = families(some)
    worst = worst_family({name: one for name, one in by.items() if name not in ORDINARY})
    return {
        "innocent": {
            unit: rate(*(sum(one[unit][what] for one in by.values()) for what in ("hits", "n")))
            for unit in ("accounts", "organizations")
        },
        "worst_family": {"family": worst, **by[worst]} if worst else None,
    }


def worst_family(by: dict[str, dict[str, Any]]) -> str | None:
    """The family with the greatest share of organizations accused; among equals the one with the weakest bound."""
    return max(by, key=lambda name: _badness(by[name]), default=None)


def worst(rows: Sequence[dict[str, Any]], every: Seen) -> dict[str, Any] | None:
    """The worst look-alike family of a run: the greatest share in ``rows`` (see ``lookalikes``) if any is accused.

    With nobody accused, the family of which the fewest organizations were seen in all logs: the weakest zero.
    """
    at = [row[key] | {"family": row["family"]} for row in rows for key in ("sized", "beside") if row[key]]
    accused = [one for one in at if one["organizations"]["hits"]]
    if accused:
        return max(accused, key=_badness)
    return innocents(every)["worst_family"]


def _badness(one: dict[str, Any]) -> tuple[float, float]:
    return one["organizations"]["rate"] or 0.0, one["organizations"]["upper"]


def lookalikes(some: Seen, elsewhere: Seen) -> list[dict[str, Any]]:
    """By family, worst first: at a campaign's size (``some``), and as part of the background of all other logs."""
    sized: dict[str, Any] = {}
    for one, cell in some:
        for name, told in families([(one, cell)], [family for family, _ in one.populations]).items():
            have = sized.setdefault(name, {"accounts": [0, 0], "organizations": [0, 0]})
            for unit in have:
                have[unit] = [have[unit][0] + told[unit]["hits"], have[unit][1] + told[unit]["n"]]
    beside = families(elsewhere)
    rows = [
        {
            "family": name,
            "sized": {unit: rate(*pair) for unit, pair in sized.get(name, {}).items()} or None,
            "beside": beside.get(name),
        }
        for name in sorted({*sized, *beside})
    ]
    return sorted(
        rows, key=lambda row: max(_badness(row[at]) for at in ("sized", "beside") if row[at]), reverse=True
    )


def curve(some: Seen) -> list[dict[str, Any]]:
    """By the trial's ``x``: Spiritsafe's recall (mean and worst), and the best baseline's mean at its calibrated point."""
    rows: list[dict[str, Any]] = []
    for x in sorted({one.facts["x"] for one, _ in some}):
        here = [(one, cell) for one, cell in some if one.facts["x"] == x]
        rival = {
            who[0]: detection(of(here, who))
            for who in detectors(here)
            if who != OURS and "calibration" in who[1]
        }
        best = max(rival, key=lambda name, rival=rival: rival[name]["recall_mean"] or 0.0, default=None)
        ours = of(here)
        rows.append({
            "x": x,
            **detection(ours),
            "seconds": float(np.mean([cell["seconds"] for _, cell in ours])),
            "exchanges": float(np.mean([cell["exchanges"] for _, cell in ours])),
            "best_baseline": best,
            "best_baseline_recall": rival[best]["recall_mean"] if best else None,
            "baselines": {name: one["recall_mean"] for name, one in rival.items()},
        })  # fmt: skip
    return rows


def discoveries(some: Seen) -> dict[str, Any]:
    """Realised false discovery rate: the mean over logs of the share of false ones among accusing entries.

    An entry is false when half of its accounts or more belong to no campaign; who is wronged inside a true entry is counted
    as accounts and in the purity. The bound is of the share of logs with any false entry, which is never smaller than the FDR.
    """
    shares: list[float] = []
    false = true = tainted = 0
    for _, cell in some:
        told = [one for one in cell["entries"] if one["label"] == "campaign"]
        wrong = [one for one in told if one["innocent"] >= FOUND * one["accounts"]]
        shares.append(len(wrong) / len(told) if told else 0.0)
        false += len(wrong)
        true += len(told) - len(wrong)
        tainted += sum(one["innocent"] > 0 for one in told) - len(wrong)
    calm = [(one, cell) for one, cell in some if not one.populations]
    return {
        "logs": len(shares),
        "fdr": float(np.mean(shares)) if shares else None,
        "logs_with_false": rate(sum(share > 0 for share in shares), len(shares)),
        "attack_free_with_any": rate(
            sum(any(one["label"] == "campaign" for one in cell["entries"]) for _, cell in calm), len(calm)
        ),
        "entries": true + false,
        "false": false,
        "tainted": tainted,
        "campaigns": detection(some)["found"],
        **innocents(some),
    }
