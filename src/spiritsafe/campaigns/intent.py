"""Intent: whether the work serves to build an imitation, or a product.

The score of a cluster is the share of its exchanges that play an extraction role. It is compared with benign *clusters*
of comparable size (conformal p-value, Bates et al. 2023, arXiv 2104.08279), because being unlike single benign accounts
is not intent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import distinct
from spiritsafe.campaigns.clusters import BY_TIES, PICKED
from spiritsafe.campaigns.evidence import Margins
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spiritsafe.campaigns.clusters import Candidate
    from spiritsafe.campaigns.evidence import View
    from spiritsafe.campaigns.log import Log


SCREEN = 0.05
_LEAST = 0.1
#: Tied accounts with a role that innocent groups of their kind have this often: judged as if it had no name.
_DOUBTFUL = 0.3
_PRODUCT = 0.3
MOST = 3000
WIDE = 20
#: Kinds of one text each, compared with another such kind where a calibration is older than they are.
_OLDER = {"topic": "template"}
#: Kinds that unite others, and are rare among the innocent: they are compared with what they unite.
STAND_IN = {"texts": "template", "swept": "infrastructure"}
#: Kinds of one text, or of one pool of items.
_ONE_WORK = frozenset({"template", "items", "texts", "swept"})


@dataclass(frozen=True, slots=True)
class Reference:
    """Benign clusters seen in calibration: intent ``scores`` (float), ``parties`` (int) and ``kinds`` (text), aligned.

    ``margins``: how heterogeneous independent customers were at least.
    """

    scores: Any
    parties: Any
    kinds: Any
    sources: tuple[str, ...]
    margins: Margins = field(default_factory=Margins)
    _known: dict[tuple[str, bool], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def peers(self, kind: str, parties: int) -> Any:
        """Scores of benign clusters of the same kind and class of width (fewer than ``WIDE`` parties, or not).

        Classes are fixed, so that the p-value is exact within each (Mondrian conformal prediction, Vovk et al. 2005).
        Kinds picked by role are one class: their scores are shares of all that few or many parties send.
        """
        wide = parties >= WIDE
        if (kind, wide) not in self._known:
            one = STAND_IN.get(kind, kind if (self.kinds == kind).any() else _OLDER.get(kind, kind))
            same = self.kinds == one
            mine = same if one in PICKED else same & ((self.parties >= WIDE) == wide)
            self._known[kind, wide] = self.scores[mine]
        return self._known[kind, wide]

    def p_value(self, score: float, kind: str, parties: int) -> float:
        """Share of comparable benign clusters with at least this intent (conformal: the cluster itself counts)."""
        peers = self.peers(kind, parties)
        return float((1 + (peers >= score).sum()) / (1 + peers.size))


def shipped() -> Reference:
    """The reference that comes with the package (built by ``spiritsafe calibrate``)."""
    return _parse(
        files("spiritsafe.campaigns").joinpath("calibration.json").read_text("utf-8"), "calibration.json"
    )


def load(path: Path) -> Reference:
    """A provider's own reference. Raises UsageError when the file is none."""
    try:
        return _parse(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"cannot read the calibration: {error.strerror}", where=str(path)) from error


def _parse(text: str | bytes, where: str) -> Reference:
    try:
        raw = json.loads(text)
        known = Reference(
            np.array(raw["scores"], float),
            np.array(raw["parties"], int),
            np.array(raw["kinds"], str),
            tuple(raw["sources"]),
            Margins(**raw["margins"]) if "margins" in raw else Margins(),
        )
        fits = known.scores.shape == known.parties.shape == known.kinds.shape == (len(raw["scores"]),)
        fits &= known.margins.load_spread > 0 and 0 < known.margins.topic_correlation < 1
    except (ValueError, KeyError, TypeError):
        fits, known = False, None
    if known is None or not fits or not np.isfinite(known.scores).all():
        raise UsageError(
            "not a calibration file", where=where, hint="make one with `spiritsafe calibrate LOG --out FILE`"
        )
    return known


def thin(kinds: Sequence[str], *, seed: int) -> list[int]:
    """Positions of at most ``MOST`` clusters a kind, a simple random sample: a calibration stays small and exchangeable."""
    rng = np.random.default_rng(seed)
    names = np.array(kinds, str)
    kept: list[int] = []
    for kind in np.unique(names):
        where = np.flatnonzero(names == kind)
        kept += rng.permutation(where)[:MOST].tolist()
    return sorted(kept)


def score(log: Log, candidate: Candidate, rows: Any) -> float:
    """Share of exchanges with an extraction role among ``rows``.

    For candidates that were picked by role: among all that their parties sent in the screening slots.
    """
    if not rows.size:
        return 0.0
    if not candidate.picked:
        return float(log.has_role(rows).mean())
    sent, played = log.screened_play()
    who = distinct(log.row_party[rows])
    return float(played[who].sum() / sent[who].sum())


def roles(log: Log, rows: Any) -> list[tuple[str, int]]:
    """Extraction roles among ``rows`` with their counts, most frequent first."""
    found: list[tuple[str, int]] = []
    for bit, name in enumerate(log.role_names):
        if log.extraction >> bit & 1:
            hits = int(((log.roles[rows] >> np.uint64(bit)) & np.uint64(1)).sum())
            if hits:
                found.append((name, hits))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def named(candidate: Candidate, found: float, p_value: float) -> bool:
    """Whether ``found`` (a score) and its ``p_value`` show an extraction role, more than benign clusters of the kind have."""
    if candidate.kind == "swept":  # a part of what the parties send: the role has candidates of its own
        return False
    return found >= (0.02 if candidate.picked else _LEAST) and p_value <= SCREEN


def doubtful(candidate: Candidate, found: float, p_value: float) -> bool:
    """Whether tied accounts play a role that is too common among innocent groups of their kind to count as one."""
    return candidate.kind in BY_TIES - {"swept"} and found >= _LEAST and p_value <= _DOUBTFUL


def no_product(log: Log, candidate: Candidate, seen: View) -> bool:
    """Whether one text or one pool of items is not the work of one product, so that its intent may be told by elimination."""
    return candidate.kind in _ONE_WORK and log.largest_product(seen.screen) < _PRODUCT
