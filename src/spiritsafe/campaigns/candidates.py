"""Candidates: every group that a scan tested, with its evidence.

A lab alone accuses few of them. What falls short at each of several labs may suffice together (``docs/sharing/joint.md``): for
that, evidence and intent are told apart, and evidence test by test. Nothing here leaves the lab by itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import grounds
from spiritsafe.campaigns._distinct import distinct
from spiritsafe.campaigns._homes import homes
from spiritsafe.campaigns.clusters import LEAST_PARTIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from spiritsafe.campaigns.coordination import Test
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.verdict import Verdict
    from spiritsafe.settings import Settings

_SHARE = 0.1
"""Share of a candidate's exchanges that a template needs before its skeleton stands for the candidate."""


def templates(log: Log, heard: Sequence[Verdict]) -> dict[int, Any]:
    """By ``id``: the templates (int64) whose skeletons stand for a screened candidate (``templates_of``)."""
    return {id(one): templates_of(log, one) for one in heard if outward(one)}


def every(mine: Mapping[int, Any]) -> Any:
    """All the templates of ``mine``, each once (int64)."""
    return distinct(np.concatenate(list(mine.values()))) if mine else np.zeros(0, np.int64)


def candidates(
    log: Log | None,
    heard: Sequence[Verdict],
    record: Mapping[str, Any],
    told: Sequence[Verdict],
    ids: Mapping[int, str],
    mine: Mapping[int, Any],
    skeletons: Mapping[int, Any],
    samples: Mapping[int, Any],
    *,
    settings: Settings,
    version: int,
) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """The head of ``candidates.json`` and, one by one, its candidates: all of ``heard``, the largest first.

    ``record``: the content of ``campaigns.json``, which tells ``told``; ``ids``: names by ``id`` of a verdict (``naming.names``);
    ``mine``: see ``templates``; ``skeletons``: uint64 by template; ``samples``: uint64 by ``id`` (``identifiers.samples``).
    """
    screened = [one for one in heard if one.hypotheses and not one.joint_only]
    head: dict[str, Any] = {
        "schema": 1,
        "fingerprint_version": version,
        "settings": settings.fingerprint(),
        "seed": settings.seed,
        "fdr": settings.fdr,
        "first": record["scanned"].get("first"),
        "last": record["scanned"].get("last"),
        "groups": len(heard),
        "screened": len(screened),
        "joint_only": sum(one.joint_only for one in heard),
        "bar_bits": _down(screened[0].bar) if screened else None,
    }
    known = {id(one): entry["campaign_id"] for entry, one in zip(record["campaigns"], told, strict=True)}
    return head, _entries(log, heard, known, ids, mine, skeletons, samples) if log else iter(())


def _entries(
    log: Log,
    heard: Sequence[Verdict],
    known: Mapping[int, str],
    ids: Mapping[int, str],
    mine: Mapping[int, Any],
    skeletons: Mapping[int, Any],
    samples: Mapping[int, Any],
) -> Iterator[dict[str, Any]]:
    family = families(log, [one for one in heard if one.hypotheses], ids)
    for one in heard:
        yield {
            "candidate_id": ids[id(one)],
            "kind": one.candidate.kind,
            "label": one.label or None,
            "campaign_id": known.get(id(one)),
            "family": family.get(id(one)),
            "parties": int(one.view.parties.size),
            "exchanges": int(one.view.rows.size),
            "tested": "joint" if one.joint_only else "scan" if one.hypotheses else None,
            "intent": {"score": round(one.score, 4), "p_value": round(one.p_value, 6), "by": _intent(one)},
            "coordination": {
                "bits": _down(one.log_e),
                "tests": [_test(test) for test in grounds.decisive(one.tests)],
                "chose": sorted(grounds.chose(one.tests, one.bar)),
            },
            "excused": any(h.fits == "yes" for h in one.hypotheses),
            "skeletons": _skeletons(log, mine.get(id(one), ()), skeletons),
            "sample": _hex(samples.get(id(one), ())),
        }


def text(head: Mapping[str, Any], entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """``candidates.json`` in pieces, one line for each candidate: there may be many thousands."""
    yield f'{json.dumps(head, sort_keys=True)[:-1]}, "candidates": [\n '
    between = ""
    for one in entries:
        yield f"{between}{json.dumps(one, sort_keys=True)}"
        between = ",\n "
    yield "\n]}\n"


def _skeletons(log: Log, mine: Iterable[int], skeletons: Mapping[int, Any]) -> list[dict[str, Any]]:
    return [
        {"template": f"{int(log.template_key[key]):016x}", "runs": _hex(skeletons[key])}
        for key in map(int, mine)
        if key in skeletons
    ]


def _hex(prints: Any) -> list[str]:
    return [f"{int(one):016x}" for one in prints]


def outward(one: Verdict) -> bool:
    """Whether anything of a candidate may be matched: it was tested for coordination, or is told."""
    return bool(one.hypotheses or one.label)


def _intent(one: Verdict) -> str | None:
    """How the candidate passed the screen of intent: by its role, by elimination, or not at all."""
    return "role" if one.named else "elimination" if one.hypotheses else None


def _test(test: Test) -> dict[str, Any]:
    whole = test.name in grounds.TIES or test.note.startswith("all hours")
    return {
        "name": test.name,
        "kind": grounds.kind(test),
        "nature": grounds.nature(test.name),
        "bits": _down(test.log_e),
        "weight": test.weight,
        "n": test.n,
        "window": "all slots" if whole else "slots of the test",
    }


def _down(log_e: float) -> float:
    """Bits of a log e-value, rounded down to a hundredth: still those of an e-value."""
    return float(np.floor(np.clip(log_e / np.log(2), -1e6, 1e6) * 100) / 100)


def templates_of(log: Log, one: Verdict) -> Any:
    """Int64: templates that a tenth of the candidate's exchanges have, and five of its parties, in the slots of the choice.

    None where these are not what the candidate is about: a popular phrase would stand for a campaign behind it.
    """
    if one.candidate.outvoted:
        return np.zeros(0, np.int64)
    rows = one.view.screen
    template = log.template[rows].astype(np.int64)
    rows, template = rows[template >= 0], template[template >= 0]
    kinds, dense, count = np.unique(template, return_inverse=True, return_counts=True)
    pair = distinct(dense.astype(np.int64) * log.parties + log.row_party[rows])
    users = np.bincount(pair // log.parties, minlength=kinds.size)
    return kinds[(count >= _SHARE * one.view.screen.size) & (users >= LEAST_PARTIES)]


def families(log: Log, tested: Sequence[Verdict], ids: Mapping[int, str]) -> dict[int, str]:
    """By ``id``: the largest candidate with most of this one's parties, or itself. One campaign is proposed many times."""
    if not tested:
        return {}
    largest = sorted(tested, key=lambda v: (-v.view.parties.size, ids[id(v)]))
    held = [one.view.parties for one in largest]
    start = np.cumsum([0, *(mine.size for mine in held)])
    home = homes(start, np.concatenate(held), log.parties).tolist()
    return {id(one): ids[id(largest[at])] for one, at in zip(largest, home, strict=True)}
