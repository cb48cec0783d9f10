"""Draws the ghosts of an escrow: one second answer to each logged request, from the same snapshot, once."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from spiritsafe.provenance import _escrow
from spiritsafe.provenance._escrowed import batches, ghost_file
from spiritsafe.provenance._lines import Lines
from spiritsafe.provenance._lines import read as read_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spiritsafe.provenance._endpoint import Endpoint


def draw_ghosts(
    folder: Path, root: bytes, endpoint: Endpoint, *, campaign_id: str | None = None, limit: int | None = None,
    progress: Callable[[str, int, int], None], clock: Callable[[], int] = lambda: time.time_ns() // 1_000,
) -> dict[str, int]:  # fmt: skip
    """Draw what is missing; goes on where it was stopped. Returns how many ghosts have each outcome.

    Each ghost has the served draw's messages and sampler and a seed fixed by the batch's secret; what the endpoint says
    of model and fingerprint goes into the ghost's snapshot, so that a model that changed since voids the pair.
    """
    counts: dict[str, int] = dict.fromkeys(("drawn", "changed_snapshot", "failed", "there_already"), 0)
    files = [(path, read_lines(path)) for path in batches(folder)]
    wanted = [
        (path, [row for row in rows if campaign_id is None or row.get("campaign_id") == campaign_id])
        for path, rows in files
    ]
    total = min(sum(len(rows) for _, rows in wanted), limit if limit is not None else 1 << 62)
    done = 0
    for path, rows in wanted:
        secret = _escrow.batch_secret(root, path.stem)
        with Lines(ghost_file(path)) as out:
            known = {str(row["pair_id"]) for row in read_lines(ghost_file(path))}
            for row in rows:
                if row["pair_id"] in known or "ghost" in row:
                    counts["there_already"] += 1
                    continue
                if limit is not None and done >= limit:
                    return counts
                ghost = _draw(row, secret, endpoint)
                out.append([{**ghost, "time": clock()}])
                known.add(str(row["pair_id"]))
                counts[_outcome(row, ghost)] += 1
                done += 1
                progress("drawing ghosts", done, total)
    return counts


def _draw(row: dict[str, Any], secret: bytes, endpoint: Endpoint) -> dict[str, Any]:
    was: dict[str, Any] = json.loads(row["snapshot"])
    seed = _escrow.ghost_seed(secret, row["pair_id"])
    said = endpoint.ask(row["messages"], {**was["sampler"], "seed": seed})
    told = _escrow.snapshot(said.model or endpoint.model, was["sampler"], said.fingerprint)
    return {
        "pair_id": row["pair_id"],
        "status": said.status,
        "text": said.text,
        "snapshot": told,
        "seed": seed,
        "detail": said.detail,
    }


def _outcome(row: dict[str, Any], ghost: dict[str, Any]) -> str:
    if ghost["status"] not in {"ok", "truncated"}:
        return "failed"
    return "drawn" if ghost["snapshot"] == row["snapshot"] else "changed_snapshot"
