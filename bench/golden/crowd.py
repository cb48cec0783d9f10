"""The background of a thousand times, in a sentence of the golden benchmark's page."""

from __future__ import annotations

from typing import Any

from golden.rows import percent
from golden.sections import rate


def sentence(one: dict[str, Any]) -> str:
    """What ``bench/background.py`` measured; nothing (an empty dict) where it did not run."""
    if not one:
        return "A background of 1000 times was not measured."
    found = ", ".join(
        f"{name.removeprefix('campaign-')} {some['accused']:,} of {some['accounts']:,} accounts"
        for name, some in one["campaigns"].items()
    )
    wrong = rate(one["innocent_accused"], one["innocent"])
    return (
        f"A background of {one['times']:,} times, {one['exchanges']:,} exchanges of {one['accounts']:,} accounts in one log, is "
        f"measured by `bench/background.py` (seed {one['seed']}): accused of {found}; of innocent accounts {wrong['hits']:,} of "
        f"{wrong['n']:,} (≤ {percent(wrong['upper'])}). The scan took {one['scan']['seconds'] / 60:.0f} minutes and "
        f"{one['scan']['peak_gb']:.1f} GB."
    )
