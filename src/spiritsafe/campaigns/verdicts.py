"""From candidates to labels: screen on intent, test coordination, hear the benign explanations, control the FDR."""

from __future__ import annotations

from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import evidence, grounds, hypotheses, intent
from spiritsafe.campaigns._distinct import kinds
from spiritsafe.campaigns._processes import Pool, shared_out
from spiritsafe.campaigns.alone import Readings
from spiritsafe.campaigns.clusters import LEAST_PARTIES, MANY_PARTIES
from spiritsafe.campaigns.decide import bar, e_bh
from spiritsafe.campaigns.log import STRONG
from spiritsafe.campaigns.naming import names
from spiritsafe.campaigns.settle import settle
from spiritsafe.campaigns.shelf import Box
from spiritsafe.campaigns.verdict import Hub, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from spiritsafe.campaigns.clusters import Candidate
    from spiritsafe.campaigns.coordination import Test
    from spiritsafe.campaigns.evidence import Margins, View
    from spiritsafe.campaigns.intent import Reference
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.settle import Read
    from spiritsafe.settings import Settings

#: Seconds that a test takes, a candidate and an exchange, and from how many on it pays to start other processes.
_EACH, _ROW, _WORTH = 6e-3, 2e-6, 6.0
_LARGE = 200_000
"""Exchanges from which a log is likely to have that many."""


@dataclass(frozen=True, slots=True)
class Judged:
    """``told``: what is worth telling (campaigns, pools, resellers, insufficient ones); ``heard``: all that was judged."""

    told: list[Verdict]
    heard: list[Verdict]


def verdicts(
    log: Log,
    candidates: Sequence[Candidate],
    layers: dict[str, Layer],
    projections: Any,
    *,
    reference: Reference,
    margins: Margins,
    settings: Settings,
    pool: Pool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Judged:
    """Judge every candidate that enough parties are in. Where they are many, the processes of ``pool`` help."""
    work = partial(
        _heard, _without_words(log), _without_names(layers), projections, reference=reference, margins=margins
    )
    size = sum(one.rows.size for one in candidates)
    many = _EACH * len(candidates) + _ROW * size >= _WORTH
    found: dict[int, Verdict] = {}
    box = Box(log.shelf.folder)
    alone = shared_out(work, candidates, processes=1, folder=None)
    judging = pool.share(work, candidates) if pool and many else alone
    for done, (index, verdict) in enumerate(judging, 1):
        if verdict:
            verdict.candidate = candidates[index]  # not a copy that has travelled
            verdict.view = verdict.view.laid(box.keep)
            found[index] = verdict
        if progress:
            progress(done, len(candidates))
    heard = [found[index] for index in sorted(found)]
    for verdict in heard if settings.joint or settings.jointly else ():
        if _too_small(log, verdict):
            _test(log, verdict, layers, projections, margins)
            verdict.joint_only = True
    _decided_elsewhere(log, heard, settings)
    told = _decide(log, heard, layers, settings, Readings(log, layers, projections, reference, margins))
    for verdict in told:
        if verdict.label == "campaign":
            verdict.hubs = _hubs(log, verdict, layers, projections, margins)
    return Judged(told, heard)


@contextmanager
def helpers(log: Log, settings: Settings, folder: Path) -> Generator[Pool]:
    """Processes for ``verdicts``, which for a large log start at once. They and this one share arrays by way of ``folder``."""
    with Pool(settings.threads, folder) as pool:
        if log.live.size >= _LARGE:
            pool.begin(_awake)
        yield pool


def _awake() -> None:
    """What a process does first: to find this function, it loads this module."""


def _without_words(log: Log) -> Log:
    """``log`` without what no test reads, so that it travels lightly."""
    log.whole_load()  # all three are kept: once, not in every process
    log.screened_play()
    log.crowding()
    light = copy(log)
    light.accounts, light.template_anchors, light.outvoted = [], [], []
    return light


def _plain(log: Log) -> Log:
    """``log`` with plain arrays: on mapped ones, as they arrive in another process, each small operation takes longer."""
    plain = copy(log)
    for name in log.__slots__:
        value = getattr(log, name)
        if isinstance(value, np.memmap):
            setattr(plain, name, np.asarray(value))
    return plain


def _without_names(layers: dict[str, Layer]) -> dict[str, Layer]:
    return {key: replace(layer, names=[]) for key, layer in layers.items()}


def _heard(
    log: Log,
    layers: dict[str, Layer],
    projections: Any,
    candidates: Sequence[Candidate],
    *,
    reference: Reference,
    margins: Margins,
) -> list[Verdict | None]:
    """A verdict for each of ``candidates``; None where too few parties are in it."""
    log = _plain(log)
    seen = [evidence.view(log, one) for one in candidates]
    return [
        _hear(log, one, view, layers, projections, reference, margins)
        if view.parties.size >= LEAST_PARTIES
        else None
        for one, view in zip(candidates, seen, strict=True)
    ]


def _decided_elsewhere(log: Log, heard: Sequence[Verdict], settings: Settings) -> None:
    """Note what labs decided together about candidates of this log."""
    known = {one.candidate_id: one for one in settings.jointly}
    if known:
        for verdict, name in zip(heard, names(log, heard).values(), strict=True):
            verdict.jointly = known.get(name)


def _decide(
    log: Log, heard: Sequence[Verdict], layers: dict[str, Layer], settings: Settings, alone: Readings
) -> list[Verdict]:
    """Labels by e-BH, grounds and explanations, settled.

    e-BH's bar falls with the number of rejections, but many candidates tell of one campaign and some that pass are
    excused. So the number that sets the bar is that of the campaigns told in the end: a self-consistent set, whose false
    discovery rate is controlled whatever was merged or withheld (Wang & Ramdas 2022, section 4).
    """
    screened = [v for v in heard if v.hypotheses and not v.joint_only]
    many = max(1, int(e_bh([v.log_e for v in screened], fdr=settings.fdr).sum()))
    excused = [v for v in screened if _excused(v)]
    read: Read = {}
    while True:
        least = bar(len(screened), many, fdr=settings.fdr)
        labelled = _labelled(log, heard, screened, least, settings)
        told = settle(log, labelled, layers, excused, alone.carries, alone.explains, read)
        # What was decided together does not lower the bar for what is decided here.
        accused = sum(v.label == "campaign" and v.jointly is None for v in told)
        if accused >= many or many == 1:
            return told
        many = max(1, accused)


def _labelled(
    log: Log, heard: Sequence[Verdict], screened: Sequence[Verdict], least: float, settings: Settings
) -> list[Verdict]:
    """The verdicts that get a label when an accusation needs the log e-value ``least``."""
    for verdict in heard:
        verdict.label, verdict.bar = "", least
    for verdict in screened:
        if not _excused(verdict) and stands(verdict, verdict.tests):
            verdict.label = "campaign"
        elif verdict.named and verdict.log_e >= least / 2:
            verdict.label = "insufficient"
    for verdict in heard:
        if verdict.jointly is not None and not _excused(verdict):
            verdict.label = "campaign"
        if not verdict.label and verdict.candidate.kind == "infrastructure":
            _pool(log, verdict, settings)
    return [v for v in heard if v.label]


def _excused(verdict: Verdict) -> bool:
    """Whether an innocent explanation fits."""
    return any(h.fits == "yes" for h in verdict.hypotheses)


def _hubs(
    log: Log, verdict: Verdict, layers: dict[str, Layer], projections: Any, margins: Margins
) -> list[Hub]:
    """The decision without the holders of any one value: a campaign does not hang on a single card or address."""
    found: list[Hub] = []
    for layer in layers.values():
        rest = grounds.without_hub(log, verdict.view, layer) if layer.name in STRONG else None
        if rest is None:
            continue
        value, seen = rest
        left: list[Test] = []
        if seen.parties.size > 1:
            one = verdict.candidate
            left = evidence.tests(log, seen, layers, projections, margins, tied=one.tied, alike=one.alike)
        gone = int(verdict.view.parties.size - seen.parties.size)
        found.append(Hub(layer.name, value, gone, grounds.combined(left), stands(verdict, left)))
    return found


def _hear(
    log: Log,
    candidate: Candidate,
    seen: View,
    layers: dict[str, Layer],
    projections: Any,
    reference: Reference,
    margins: Margins,
) -> Verdict:
    score = intent.score(log, candidate, seen.screen)
    verdict = Verdict(candidate, seen, score, reference.p_value(score, candidate.kind, seen.parties.size))
    if (
        verdict.named
        or intent.doubtful(candidate, score, verdict.p_value)
        or _nameless(log, candidate, seen, layers)
    ):
        _test(log, verdict, layers, projections, margins)
        verdict.through = not verdict.named and grounds.through(
            log, seen, layers, verdict.tests, candidate.kind
        )
    elif candidate.kind == "infrastructure":
        verdict.tests = evidence.ties(seen, layers)
        verdict.log_e = grounds.combined(verdict.tests)
    return verdict


def _test(log: Log, verdict: Verdict, layers: dict[str, Layer], projections: Any, margins: Margins) -> None:
    one, seen = verdict.candidate, verdict.view
    verdict.tests = evidence.tests(log, seen, layers, projections, margins, tied=one.tied, alike=one.alike)
    verdict.hypotheses = hypotheses.heard(log, seen, verdict.tests)
    verdict.log_e = grounds.combined(verdict.tests)


def _nameless(log: Log, candidate: Candidate, seen: View, layers: dict[str, Layer]) -> bool:
    """Whether a candidate may be judged though no role is recognised.

    Many parties with one text or one pool of items, and not the work of one product: a product does one kind of
    work, a data set that is replayed has a little of each. All that accounts send is judged only where they are bound and
    one hand deals to them in the slots of the choice, too.
    """
    return (
        seen.parties.size >= MANY_PARTIES
        and intent.no_product(log, candidate, seen)
        and (
            candidate.kind != "swept"
            or (
                grounds.bound(evidence.ties(seen, layers))
                and evidence.turns_of_choice(log, seen) >= grounds.UNNAMED
            )
        )
    )


def _too_small(log: Log, verdict: Verdict) -> bool:
    """Whether only the number of parties keeps a candidate from being judged: other providers may have the rest of them."""
    return not verdict.hypotheses and intent.no_product(log, verdict.candidate, verdict.view)


def stands(verdict: Verdict, tests: Sequence[Test]) -> bool:
    """Whether these tests carry the accusation: e-BH's bar is passed, and two kinds of evidence hold."""
    return grounds.stands(
        tests,
        bar=verdict.bar,
        named=verdict.named,
        kind=verdict.candidate.kind,
        through=verdict.through,
    )


def _pool(log: Log, verdict: Verdict, settings: Settings) -> None:
    if verdict.view.parties.size < 2 * LEAST_PARTIES or not grounds.pooled(verdict.tests, fdr=settings.fdr):
        return
    rows = verdict.view.rows
    templates = kinds(log.template[rows])
    verdict.label = "reseller" if templates > verdict.view.parties.size // 2 else "pool"
