"""Who was found and who was wronged: what a detector's flags mean beside the truth, over many runs, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from scipy.stats import beta

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS = (
    "detector",
    "threshold",
    "campaigns found",
    "account recall",
    "innocent accounts flagged",
    "rate, 95 % upper",
    "worst look-alike family",
)

FOUND = 0.5
"""Share of a campaign's accounts that must be flagged for it to be found."""

ORDINARY = {"chat_users"}
"""Innocent families that look like nothing in particular: the worst family is chosen among the others."""


def judge(accused: set[str], truth: Path) -> dict[str, Any]:
    """What accusing these accounts means: recall by campaign, innocent accounts by family as [flagged, all]."""
    rows = (
        pq.read_table(truth).group_by(["account_id", "account_campaign", "family"]).aggregate([]).to_pylist()
    )
    campaigns: dict[str, list[int]] = {}
    families: dict[str, list[int]] = {}
    for row in rows:
        owner, hit = row["account_campaign"], row["account_id"] in accused
        count = (
            families.setdefault(row["family"], [0, 0])
            if owner is None
            else campaigns.setdefault(owner, [0, 0])
        )
        count[0] += hit
        count[1] += 1
    return {"campaigns": campaigns, "families": families}


def upper(hits: int, n: int) -> float:
    """Upper 95 % bound of a rate (Clopper and Pearson, one-sided); with 0 hits it is 1 − 0.05^(1/n)."""
    return float(beta.ppf(0.95, hits + 1, n - hits)) if hits < n else 1.0


def lower(hits: int, n: int) -> float:
    """Lower 95 % bound of a rate (Clopper and Pearson, one-sided); with n of n hits it is 0.05^(1/n)."""
    return float(beta.ppf(0.05, hits, n - hits + 1)) if hits else 0.0


def summary(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a detector and operating point, over all seeds, in the order they were run."""
    rows: list[dict[str, Any]] = []
    for detector, point in dict.fromkeys((one["detector"], one["point"]) for one in runs):
        mine = [one for one in runs if (one["detector"], one["point"]) == (detector, point)]
        campaigns = [count for one in mine for count in one["campaigns"].values()]
        family: dict[str, list[int]] = {}
        for one in mine:
            for name, (hits, n) in one["families"].items():
                count = family.setdefault(name, [0, 0])
                count[0] += hits
                count[1] += n
        hits, innocent = (sum(column) for column in zip(*family.values(), strict=True))
        like = {name: count for name, count in family.items() if name not in ORDINARY}
        worst = max(
            like, key=lambda name, like=like: (like[name][0] / like[name][1], like[name][1]), default=None
        )
        accounts = sum(n for _, n in campaigns)
        rows.append({
            "detector": detector,
            "point": point,
            "campaigns": len(campaigns),
            "found": sum(got >= FOUND * n for got, n in campaigns),
            "account_recall": sum(got for got, _ in campaigns) / accounts if accounts else None,
            "innocent": innocent,
            "innocent_flagged": hits,
            "upper_95": upper(hits, innocent),
            "worst_family": worst,
            "worst_flagged": like[worst] if worst else None,
        })  # fmt: skip
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The summary in Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for row in rows:
        recall = "–" if row["account_recall"] is None else f"{row['account_recall']:.3f}"
        hits, n = row["worst_flagged"] or (0, 0)
        worst = f"{row['worst_family']} {hits} of {n}" if hits else "none"
        lines.append(
            f"| {row['detector']} | {row['point']} | {row['found']} of {row['campaigns']} | {recall} | "
            f"{row['innocent_flagged']} of {row['innocent']} | {row['upper_95']:.2g} | {worst} |"
        )
    return "\n".join(lines)


def page(told: dict[str, Any]) -> str:
    """The table with what it was made of, in Markdown."""
    return (
        f"# {told['case']}: Spiritsafe beside the baselines\n\n"
        f"Made by `bench/compare.py`: {told['seeds']} seed(s) from {told['first']}, mode {told['mode']}, "
        f"{told['days']:g} day(s), about {told['background']:,} innocent exchanges, up to {told['accounts']} accounts a "
        f"campaign. Thresholds come from attack-free logs of the calibration half of the corpus, numbers from the report "
        f"half. A campaign is found when half of its accounts are flagged. The upper bound takes accounts as "
        f"independent, which those of one pool are not. These are claims about composed data.\n\n"
        f"{table(told['summary'])}\n"
    )
