"""Baselines: what the literature would do with the same log. One file each; file name = function name.

The contract: ``def name(view: View, *, seed: int) -> Any``. A baseline sees a :class:`View` and returns one float64
*score* a party, larger being worse; 0 says nothing (too little was seen). A method that finds groups scores a party by
the group it is in (its size, its density). Who is flagged is decided in one place for all of them: a party is flagged
when its score is above a threshold (``flagged``), and the threshold is the smallest that flags at most the stated share
of the parties of an attack-free log of other sources (``threshold``). A module may declare ``PUBLISHED``, its paper's
own threshold on the scale of its score; comparisons then show that operating point too.

All are told of declared relations, as Spiritsafe is: a ``View`` leaves those accounts out, and accounts of one
organization are one party. None has seen a campaign before. Nothing here is trained: the papers' encoders are replaced
by the project's projections (signed hashing of masked unigrams and bigrams), which each docstring counts as a
difference from its paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import numpy as np

from baselines._view import View, look

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Baseline", "View", "flagged", "found", "look", "threshold"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """One baseline: its name, its function, and its paper's threshold if that can be known."""

    name: str
    score: Callable[..., Any]
    published: float | None


def found() -> dict[str, Baseline]:
    """All baselines by name: the files of this folder whose names do not begin with ``_``."""
    names = sorted(info.name for info in iter_modules(__path__) if not info.name.startswith("_"))
    modules = {name: import_module(f"{__name__}.{name}") for name in names}
    return {
        name: Baseline(name, getattr(module, name), getattr(module, "PUBLISHED", None))
        for name, module in modules.items()
    }


def threshold(scores: Any, share: float) -> float:
    """The smallest threshold that flags at most ``share`` of ``scores``: float64, all of innocent parties.

    Equal scores are flagged together or not at all, so a method whose worst scores are tied flags fewer.
    """
    ordered = np.sort(scores)[::-1]
    allowed = int(share * ordered.size)
    return max(0.0, float(ordered[allowed])) if allowed < ordered.size else 0.0


def flagged(scores: Any, limit: float) -> Any:
    """Boolean by party: the score is above ``limit``."""
    return scores > limit
