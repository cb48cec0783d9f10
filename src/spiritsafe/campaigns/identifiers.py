"""Identifiers: what of a tested candidate another lab could hold as well, in the form that private matching takes.

It stays in the scan's folder, like the log: only tokens of it ever leave (``docs/sharing/joint.md``). Text is not in it:
skeletons and samples are fingerprints, taken in the slots of the choice. Infrastructure is named where at least three of the
candidate's parties hold it and no more others do, so that no line is one customer's.
"""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import dense, distinct
from spiritsafe.campaigns._passes import within
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
) -> Iterator[str]:
    """The lines of ``identifiers.jsonl``: candidate, class and value, in the order of the candidates.

    ``ids``: names by ``id`` of a verdict (``naming.names``); ``mine``: templates by ``id`` (``candidates.templates``);
    ``runs``: skeletons by template; ``samples``: see there.
    """
    strong = [_Holders(layers[name]) for name in ("payment", "device", "network") if name in layers]
    for one in filter(outward, heard):
        shared = [runs[key] for key in mine[id(one)].tolist() if key in runs]
        prints = distinct(np.concatenate([*shared, samples[id(one)]]))
        # There are many lines of few forms: put together, not encoded one by one.
        begin = f'{{"candidate_id": {json.dumps(ids[id(one)])}, "class": '
        for value in prints.tolist():
            yield f'{begin}"skeleton", "value": "fp{version}:{value:016x}"}}\n'
        for holders in strong:
            for end in holders.lines(one.view.parties):
                yield f"{begin}{end}\n"


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
            found[id(one)] = distinct(mixed ^ (mixed >> np.uint64(32)))[:_SAMPLE]
    return found


def _class(layer: str, value: str) -> str:
    """The class of a value of a layer: an address by its version."""
    if layer != "network":
        return layer
    try:
        return f"ipv{ip_address(value).version}"
    except ValueError:
        return layer


class _Holders:
    """Who holds what of one layer, and what a line says of each value."""

    def __init__(self, layer: Layer) -> None:
        self._layer, self._begins = layer, layer.begins()
        self._said: dict[int, tuple[str, str]] = {}

    def lines(self, parties: Any) -> list[str]:
        """The ends of the lines of the values that stand for ``parties`` (sorted), in the order of the values."""
        said = sorted(map(self._told, self._most_held(parties).tolist()))
        return [end for _, end in said if end]

    def _most_held(self, parties: Any) -> Any:
        """The values that at least three of ``parties`` hold and no more others do, at most ``_MOST``, the most held ones."""
        held, place = dense(self._layer.value[within(self._begins, parties)])
        holders = np.bincount(place, minlength=held.size)
        own = np.flatnonzero((holders >= _LEAST_HOLDERS) & (2 * holders >= self._layer.population[held]))
        return held[own[np.argsort(-holders[own], kind="stable")][:_MOST]]

    def _told(self, number: int) -> tuple[str, str]:
        """A value, and the end of its line: empty if it is not matched."""
        if number not in self._said:
            value = self._layer.named(number)
            kind = _class(self._layer.name, value)
            end = f'{json.dumps(kind)}, "value": {json.dumps(value)}}}' if matched(kind, value) else ""
            self._said[number] = value, end
        return self._said[number]
