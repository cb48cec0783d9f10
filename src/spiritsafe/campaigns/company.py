"""Company: what stands around each component of anchors, which tells an instruction from an item that many word alike.

What an instruction stands around differs from exchange to exchange. An item of which there are variants (the same question in
other numbers) comes bare, or in the frames of a few. Where both stand in one prompt the instruction is the template, or
a campaign would fall apart by its items (ADR 26). The measure is Simpson's index (1949): how often two exchanges of a component
have the same around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_PART = 0.9
"""Share of a component's exchanges that another one stands in, too, from which it is a part of that one."""


@dataclass(frozen=True, slots=True)
class Together:
    """In how many exchanges components stand: ``rows`` int64 by component, each alone; ``count`` int64 of two together.

    ``keys`` int64: ``one * rows.size + other`` of these two, both ways, each once.
    """

    rows: Any
    keys: Any
    count: Any

    @property
    def ends(self) -> tuple[Any, Any]:
        """Both components of each pair."""
        one, other = np.divmod(self.keys, max(1, self.rows.size))
        return one, other

    def parents(self) -> Any:
        """Int32 by component: the smallest of those that stand in nearly all of its exchanges, or -1.

        Fixed text so stands around its own variants. Of two that always stand together the one in more exchanges is the
        parent, so that parents lead upwards, never in a ring.
        """
        one, other = self.ends
        inside = self.count >= _PART * self.rows[one]
        inside &= (self.rows[other] > self.rows[one]) | ((self.rows[other] == self.rows[one]) & (other < one))
        part, whole = one[inside], other[inside]
        order = np.lexsort((whole, -self.rows[whole]))
        parent = np.full(self.rows.size, -1, np.int32)
        parent[part[order]] = whole[order]
        return parent


@dataclass(frozen=True, slots=True)
class Company:
    """By component.

    ``alike`` float32: how often two of its exchanges have the same around it, be it another component or little at all;
    ``parent`` int32: see ``Together.parents``. What is a part of the other is no company.
    """

    alike: Any
    parent: Any

    @classmethod
    def of(cls, found: Together, parent: Any, alone: Any) -> Company:
        """``alone`` int64 by component: in how many exchanges it stands with little else (``_anchors.alone``)."""
        order = np.argsort(
            found.keys
        )  # so that sums are the same, in whatever order parts of a log told theirs
        one, other = (end[order] for end in found.ends)
        apart = ~(_leads(one, other, parent) | _leads(other, one, parent))
        share = found.count[order][apart] / found.rows[one[apart]]
        alike = np.bincount(one[apart], share * share, found.rows.size)
        return cls((alike + (alone / np.maximum(1, found.rows)) ** 2).astype(np.float32), parent)


def _leads(start: Any, to: Any, parent: Any) -> Any:
    """Boolean: whether parents lead from ``start`` to ``to`` (aligned)."""
    found, at = np.zeros(start.size, bool), start
    while (at >= 0).any():
        at = np.where(at >= 0, parent[at], -1)
        found |= at == to
    return found
