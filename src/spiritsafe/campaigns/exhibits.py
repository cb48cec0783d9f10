"""Exhibits: what a person can look at to check a campaign. At most ten, redacted unless text is asked for."""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import distinct, kinds
from spiritsafe.campaigns._passes import where
from spiritsafe.campaigns.log import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.verdict import Verdict

SLOT = "⟨…⟩"
_SPECIMENS = 8
_LONGEST = 1200


def exhibits(
    log: Log,
    verdict: Verdict,
    layers: dict[str, Layer],
    texts: Callable[[Any], dict[int, str]],
    *,
    show_text: bool,
) -> list[dict[str, object]]:
    """The exhibits of one verdict. ``texts(rows)`` gives the stored prompt text of a few rows."""
    if verdict.label in {"pool", "reseller"}:
        # No accusation, and a large service has many: what ties them is enough.
        found = [_loads(log, verdict), _links(log, verdict, layers), _graph(log, verdict, layers)]
    else:
        found = [
            *skeletons(log, verdict, texts, show_text=show_text),
            _loads(log, verdict),
            _timeline(log, verdict),
            _links(log, verdict, layers),
            _overlap(log, verdict),
            _matrix(log, verdict),
            _graph(log, verdict, layers),
        ]
    return [one for one in found if one][:10]


def skeletons(
    log: Log, verdict: Verdict, texts: Callable[[Any], dict[int, str]], *, show_text: bool, most: int = 3
) -> list[dict[str, object]]:
    """The most used templates: text that several parties share stands, what differs becomes a slot."""
    rows = verdict.rows
    template = log.template[rows]
    found: list[dict[str, object]] = []
    for key, _ in Counter(template.tolist()).most_common(most):
        mine = rows[template == key]
        _, spread = np.unique(log.row_party[mine], return_index=True)
        picked = mine[np.sort(spread)[:: max(1, spread.size // _SPECIMENS)]][:_SPECIMENS]
        shown = texts(picked)
        specimens = [shown[int(row)] for row in picked if int(row) in shown]
        if not specimens:
            body, slots = "no text was kept: the log holds fingerprints in its place", 0
        elif key < 0 and not show_text:
            only = ": the exchanges have only their role in common" if verdict.named else ""
            body, slots = f"no shared text{only}", 0
        else:
            body, slots = skeleton(specimens)
        entry: dict[str, object] = {
            "kind": "skeleton",
            "title": "Shared text; what differs from exchange to exchange is a slot",
            "text": body,
            "slots": slots,
            "accounts": kinds(log.acc[mine]),
            "exchanges": int(mine.size),
        }
        if show_text:
            entry["specimens"] = [text[:_LONGEST] for text in specimens[:3]]
        found.append(entry)
    return found


def skeleton(specimens: Sequence[str]) -> tuple[str, int]:
    """The words common to all specimens, in order, with a slot wherever any differs; and the number of slots.

    Only text that every specimen shares is shown, and runs of fewer than two words are not: a coincidence of one word
    is not shared text.
    """
    words = specimens[0][:_LONGEST].split()
    keep = np.ones(len(words), bool)
    for other in specimens[1:]:
        same = np.zeros(len(words), bool)
        for block in SequenceMatcher(
            None, words, other[:_LONGEST].split(), autojunk=False
        ).get_matching_blocks():
            if block.size > 1:
                same[block.a : block.a + block.size] = True
        keep &= same
    if len(specimens) == 1:
        keep[:] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[0], keep.astype(int), [0]])))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start < 2:
            keep[start:end] = False
    parts: list[str] = []
    for word, stays in zip(words, keep, strict=True):
        if stays:
            parts.append(word)
        elif not parts or parts[-1] != SLOT:
            parts.append(SLOT)
    return " ".join(parts), parts.count(SLOT)


def _loads(log: Log, verdict: Verdict) -> dict[str, object]:
    counts = np.unique(log.row_party[verdict.rows], return_counts=True)[1]
    others = np.delete(log.whole_load(), verdict.parties)
    return {
        "kind": "load",
        "title": "Exchanges per account in the campaign, beside all other accounts",
        "counts": np.sort(counts)[::-1].tolist(),
        "background": np.sort(others[others > 0])[::-1][:: max(1, others.size // 2000)].tolist(),
        "note": "Independent customers differ by orders of magnitude; shared-out work does not.",
    }


def _timeline(log: Log, verdict: Verdict) -> dict[str, object]:
    hourly = log.hourly()
    low, span = log.span()[0] // HOUR, hourly.size
    step = max(1, span // 240)
    size = span // step + 1
    mine = np.bincount((log.time[verdict.rows] // HOUR - low) // step, minlength=size)
    everything = np.bincount(np.arange(span) // step, weights=hourly, minlength=size).astype(np.int64)
    return {
        "kind": "timeline",
        "title": "Exchanges over time",
        "bucket_seconds": step * 3600,
        "start": iso(low * HOUR),
        "counts": mine.tolist(),
        "background": (everything - mine).tolist(),
    }


def _links(log: Log, verdict: Verdict, layers: dict[str, Layer]) -> dict[str, object] | None:
    rows = [row for layer in layers.values() for row in shared_values(log, verdict, layer, most=4)]
    rows.sort(key=lambda row: -float(row["bits"]))
    return {"kind": "links", "title": "Rare values that accounts share", "rows": rows[:12]} if rows else None


def shared_values(log: Log, verdict: Verdict, layer: Layer, *, most: int) -> list[dict[str, Any]]:
    """The values of a layer that most members share: masked, with holders inside and elsewhere, and agreement bits."""
    _, holders = layer.held_by(verdict.parties)
    gain = holders * np.log2(max(log.parties, 2) / layer.population)
    top = [v for v in np.argsort(-gain, kind="stable")[:most] if holders[v] > 1]
    return [
        {
            "layer": layer.name,
            "value": mask(layer.named(v)),
            "accounts": int(holders[v]),
            "elsewhere": int(layer.population[v] - holders[v]),
            "bits": round(float(np.log2(max(log.parties, 2) / layer.population[v])), 2),
        }
        for v in top
    ]


def mask(value: str) -> str:
    """An identifier for people's eyes: enough to recognise, not enough to use."""
    return value if len(value) <= 6 else f"{value[:3]}…{value[-3:]}"


def _overlap(log: Log, verdict: Verdict) -> dict[str, object] | None:
    parties, counts = np.unique(log.row_party[verdict.rows], return_counts=True)
    top = parties[np.argsort(-counts, kind="stable")][:12]
    if top.size < 2:
        return None
    rows = verdict.rows
    sets = [set(log.exact[rows[log.row_party[rows] == p]].tolist()) for p in top]
    matrix = [[round(len(a & b) / max(1, min(len(a), len(b))), 3) for b in sets] for a in sets]
    return {
        "kind": "overlap",
        "title": "Share of the smaller account's prompts that the other one also sent",
        "labels": [_label(log, p) for p in top],
        "matrix": matrix,
        "note": "Work that is shared out overlaps little; the same task done by many overlaps fully.",
    }


def _matrix(log: Log, verdict: Verdict) -> dict[str, object]:
    parties, counts = np.unique(log.row_party[verdict.rows], return_counts=True)
    top = parties[np.argsort(-counts, kind="stable")][:40]
    inside = np.zeros(log.parties, bool)
    inside[top] = True
    mine = where(log.live.size, lambda part: log.live[part] & inside[log.row_party[part]])
    stream = log.stream(mine) & 0xFFFFFFFF
    keys = [key for key, _ in Counter(stream.tolist()).most_common(10)]
    wanted = set(distinct(log.stream(verdict.rows) & 0xFFFFFFFF).tolist())
    keys.sort(key=lambda key: key not in wanted)
    row, known = np.argsort(top)[np.searchsorted(np.sort(top), log.row_party[mine])], np.isin(stream, keys)
    order = np.argsort(keys)
    column = order[np.searchsorted(np.array(keys)[order], stream[known])]
    size = top.size * len(keys)
    grid = np.bincount(row[known] * len(keys) + column, minlength=size).reshape(top.size, len(keys)).tolist()
    return {
        "kind": "matrix",
        "title": "Exchanges by account and stream",
        "accounts": [_label(log, p) for p in top],
        "streams": [_stream(log, key) + (" (campaign)" if key in wanted else "") for key in keys],
        "counts": grid,
    }


def _stream(log: Log, kind: int) -> str:
    """What ``Log.stream`` calls this kind, in words."""
    templates = log.template_key.size
    if kind > templates:
        return f"own text {int(log.topic_key[kind - templates - 1]):016x}"
    return f"template {kind - 1}" if kind else "own text"


def _graph(log: Log, verdict: Verdict, layers: dict[str, Layer]) -> dict[str, object] | None:
    nodes: list[dict[str, str]] = []
    edges: list[list[str]] = []
    members = verdict.parties[:500]
    named: set[int] = set()
    for layer in layers.values():
        if layer.weight < 0.1:  # noqa: PLR2004
            continue
        inside, holders = layer.held_by(members)
        top = np.argsort(-holders * (layer.population <= log.parties // 10 + 5), kind="stable")[:25]
        for v in top[holders[top] > 1]:
            nodes.append({"id": f"{layer.name}:{v}", "kind": "value", "label": mask(layer.named(v))})
            for p in layer.party[inside & (layer.value == v)]:
                edges.append([f"a:{p}", f"{layer.name}:{v}", layer.name])
                named.add(int(p))
    if not edges:
        return None
    nodes += [{"id": f"a:{p}", "kind": "account", "label": _label(log, p)} for p in sorted(named)]
    return {"kind": "graph", "title": "Accounts and what they share", "nodes": nodes, "edges": edges}


def _label(log: Log, party: int) -> str:
    return log.accounts[int(np.argmax(log.party == party))]


def iso(microseconds: int) -> str:
    """RFC 3339 text, UTC, of microseconds since the epoch."""
    return str(np.datetime64(int(microseconds) // 1_000_000, "s")) + "Z"


def span_words(microseconds: int) -> str:
    """A length of time in words."""
    for unit, size in (("days", 24 * HOUR), ("hours", HOUR), ("minutes", HOUR // 60)):
        if microseconds >= 2 * size:
            return f"{microseconds / size:.0f} {unit}"
    return f"{microseconds / 1e6:.0f} seconds"
