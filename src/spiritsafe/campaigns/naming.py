"""Names of candidates: the same for the same exchanges of the same accounts, in whatever order a log has them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.verdict import Verdict


def names(log: Log, heard: Sequence[Verdict]) -> dict[int, str]:
    """A name for each candidate (by ``id`` of its verdict), stable over re-scans: who sent what, in any order of rows."""
    # Filled one by one: a list of as many numbers would be four times as large.
    hashes = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in log.accounts)
    who = np.fromiter(map(int.from_bytes, hashes), np.uint64, len(log.accounts))
    found: dict[int, str] = {}
    for one in heard:
        rows = one.candidate.rows
        digest = hashlib.sha256(f"{one.candidate.kind}\0{rows.size}\0".encode())
        for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F):
            sent = (log.exact[rows] ^ np.uint64(odd)) * np.uint64(odd) + who[log.acc[rows]]
            sent = (sent ^ (sent >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            digest.update((sent ^ (sent >> np.uint64(27))).sum(dtype=np.uint64).tobytes())
        found[id(one)] = f"k-{digest.hexdigest()[:16]}"
    return found
