"""Verdict: what is known of one candidate while it is judged, settled and explained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spiritsafe.campaigns import intent

if TYPE_CHECKING:
    from spiritsafe.campaigns.clusters import Candidate
    from spiritsafe.campaigns.coordination import Test
    from spiritsafe.campaigns.evidence import View
    from spiritsafe.campaigns.hypotheses import Hypothesis
    from spiritsafe.settings import Jointly


@dataclass(frozen=True, slots=True)
class Hub:
    """A shared value, how many parties hold it, and what is left without them: log e-value, and does it stand."""

    layer: str
    value: str
    parties: int
    log_e: float
    stands: bool


@dataclass(frozen=True, slots=True)
class Alone:
    """The members without bystanders: how many ``parties``, their log e-value, and do they play a recognised role."""

    parties: int
    log_e: float
    named: bool


@dataclass(slots=True)
class Verdict:
    """What is known of one candidate, and its label. ``bar``: the log e-value that e-BH asks for in this scan."""

    candidate: Candidate
    view: View
    score: float
    p_value: float
    tests: list[Test] = field(default_factory=list)
    log_e: float = 0.0
    bar: float = 0.0
    hypotheses: list[Hypothesis] = field(default_factory=list)
    label: str = ""
    parties: Any = None
    probability: Any = None
    rows: Any = None
    through: bool = False
    """One hand shows in the lightest parties, too (``grounds.goes_through``); False where nothing could rest on it."""
    jointly: Jointly | None = None
    """What labs of a forum decided about it together."""
    joint_only: bool = False
    """Too few parties for this log alone to judge without a role; tested for joint evidence, and told nobody."""
    hubs: list[Hub] = field(default_factory=list)
    joined: Any = None
    """Parties that are members by their turns, not by a role (``rotation``)."""
    placed: Any = None
    """Of these, parties that only a place in the round ties to it (``ring``)."""
    by_role: bool = True
    """Whether roles told its members from others; False where those who play one do not carry the accusation alone."""
    alone: Alone | None = None
    """What the members say alone, where some of the candidate's parties were left out."""

    @property
    def named(self) -> bool:
        """Whether the candidate plays a recognised extraction role, more than benign clusters of its kind do."""
        return intent.named(self.candidate, self.score, self.p_value)
