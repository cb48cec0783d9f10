"""Members alone: whether those that membership kept carry the accusation without those that it left out.

The tests speak of all parties of a candidate. Where it is a mixture, membership may keep the other half: then what was shown
is true of nobody who is accused. So the decision is repeated for the kept ones, with the same nulls and the same bar. Members
are chosen by all slots, so that this second reading is no e-value of its own: it can only withhold (ADR 24).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import evidence, grounds, hypotheses, intent
from spiritsafe.campaigns.clusters import LEAST_PARTIES
from spiritsafe.campaigns.verdict import Alone

if TYPE_CHECKING:
    from spiritsafe.campaigns.coordination import Test
    from spiritsafe.campaigns.evidence import Margins, View
    from spiritsafe.campaigns.intent import Reference
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of the members alone. ``named``: they play a recognised role; ``judged``: they may be judged at all."""

    tests: list[Test]
    named: bool
    judged: bool
    through: bool


@dataclass(slots=True)
class Readings:
    """Reads candidates again for some of their parties; each reading is made once and judged under every bar."""

    log: Log
    layers: dict[str, Layer]
    projections: Any
    reference: Reference
    margins: Margins
    _read: dict[tuple[int, bytes], Reading] = field(default_factory=dict)

    def carries(self, verdict: Verdict) -> bool:
        """Whether the parties that ``verdict`` now has carry the accusation by themselves. Notes what they say in it."""
        verdict.alone = None
        kept = np.intersect1d(verdict.view.parties, verdict.parties)
        if verdict.jointly is not None or kept.size == verdict.view.parties.size:
            return True
        if kept.size < LEAST_PARTIES:
            return False
        key = id(verdict), verdict.parties.tobytes()
        if key not in self._read:
            self._read[key] = self._reading(verdict, kept)
        one = self._read[key]
        stands = one.judged and grounds.stands(
            one.tests, bar=verdict.bar, named=one.named, kind=verdict.candidate.kind, through=one.through
        )
        verdict.alone = Alone(int(kept.size), grounds.combined(one.tests), one.named)
        return stands

    def explains(self, verdict: Verdict, crowd: Any) -> bool:
        """Whether an innocent explanation of ``verdict`` fits its parties in ``crowd`` (int64) alone; so it does for too few."""
        kept = np.intersect1d(verdict.view.parties, crowd)
        if kept.size < LEAST_PARTIES:
            return True
        seen = grounds.of_parties(self.log, verdict.view, kept, crowd)
        return any(one.fits == "yes" for one in hypotheses.heard(self.log, seen, self._tests(verdict, seen)))

    def _tests(self, verdict: Verdict, seen: View) -> list[Test]:
        one = verdict.candidate
        return evidence.tests(
            self.log, seen, self.layers, self.projections, self.margins, tied=one.tied, alike=one.alike
        )

    def _reading(self, verdict: Verdict, kept: Any) -> Reading:
        log, candidate = self.log, verdict.candidate
        seen = grounds.of_parties(log, verdict.view, kept, verdict.parties)
        tests = self._tests(verdict, seen)
        score = intent.score(log, candidate, seen.screen)
        p_value = self.reference.p_value(score, candidate.kind, kept.size)
        named = verdict.named and intent.named(candidate, score, p_value)
        excused = any(one.fits == "yes" for one in hypotheses.heard(log, seen, tests))
        through = not named and grounds.through(log, seen, self.layers, tests, candidate.kind)
        nameable = (
            named or intent.doubtful(candidate, score, p_value) or intent.no_product(log, candidate, seen)
        )
        return Reading(tests, named, nameable and not excused, through)
