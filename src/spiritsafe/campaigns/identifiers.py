"""Identifiers: what of a tested candidate another lab could hold as well, in the form that private matching takes.

It stays in the scan's folder, like the log: only tokens of it ever leave (``docs/sharing/joint.md``). Text is not in it:
skeletons and samples are fingerprints, taken in the slots of the choice. Infrastructure is named where at least three of the
candidate's parties hold it and no more others do, so that no line is one customer's.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import dense
from spiritsafe.campaigns.candidates import outward
from spiritsafe.campaigns.log import SLOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.verdict import Verdict

_LEAST_HOLDERS = 3
"""Parties that hold a value before it stands for the candidate and not for one of them."""
_MOST = 64
_SAMPLE = 32
_LEAST_DEVICE = 12


def identifiers(
    heard: Sequence[Verdict],
    ids: Mapping[int, str],
    mine: Mapping[int, Any],
    runs: Mapping[int, Any],
    samples: Mapping[int, Any],
    layers: Mapping[str, Layer],
    *,
    version: int,
) -> Iterator[dict[str, str]]:
    """The lines of ``identifiers.jsonl``: candidate, class and value, in the order of the candidates.

    ``ids``: names by ``id`` of a verdict (``naming.names``); ``mine``: templates by ``id`` (``candidates.templates``);
    ``runs``: skeletons by template; ``samples``: see there.
    """
    for one in filter(outward, heard):
        shared = [runs[key] for key in mine[id(one)].tolist() if key in runs]
        prints = np.unique(np.concatenate([*shared, samples[id(one)]]))
        found = [("skeleton", f"fp{version}:{int(value):016x}") for value in prints]
        for name in ("payment", "device", "network"):
            if name in layers:
                found += [(_class(name, value), value) for value in _held(layers[name], one.view.parties)]
        for kind, value in found:
            if matched(kind, value):
                yield {"candidate_id": ids[id(one)], "class": kind, "value": value}


def matched(kind: str, value: str) -> bool:
    """Whether private matching takes a value as the log has it: not what was hashed or is easily guessed."""
    if kind in {"ipv4", "ipv6"}:
        return ip_address(value).is_global
    if kind == "payment":
        return value.startswith(("card:", "iban:", "wallet:"))
    return kind == "skeleton" or (kind == "device" and len(value) >= _LEAST_DEVICE)


def samples(log: Log, heard: Sequence[Verdict]) -> dict[int, Any]:
    """By ``id``: fingerprints of a candidate's prompts together with the slots of their times, the smallest ones (uint64).

    Two labs have them in common where the same prompts reach both in the same ten minutes, as when customers mirror their
    traffic; not where a pool is worked through here and there.
    """
    found: dict[int, Any] = {}
    for one in heard:
        if outward(one):
            rows = one.view.screen
            slot = (log.time[rows] // SLOT).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (log.exact[rows] ^ slot) * np.uint64(0xC2B2AE3D27D4EB4F)
            found[id(one)] = np.unique(mixed ^ (mixed >> np.uint64(32)))[:_SAMPLE]
    return found


def _class(layer: str, value: str) -> str:
    """The class of a value of a layer: an address by its version."""
    if layer != "network":
        return layer
    try:
        return f"ipv{ip_address(value).version}"
    except ValueError:
        return layer


def _held(layer: Layer, parties: Any) -> list[str]:
    """The values that at least three of ``parties`` hold and no more others do, at most ``_MOST``, the most held ones."""
    held, place = dense(layer.value[layer.pairs_of(parties)])
    holders = np.bincount(place, minlength=held.size)
    own = np.flatnonzero((holders >= _LEAST_HOLDERS) & (2 * holders >= layer.population[held]))
    most = own[np.argsort(-holders[own], kind="stable")][:_MOST]
    return sorted(layer.names[value] for value in held[most].tolist())
