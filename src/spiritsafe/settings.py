"""One frozen ``Settings``: every number that steers a scan, with its unit and where it comes from.

Its hash is part of each result, so that a result can be re-computed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Jointly:
    """A candidate of this log that labs of a forum decided about together: the group's bits, and how many labs it has."""

    candidate_id: str
    group_id: str
    bits: float
    labs: int


@dataclass(frozen=True, slots=True)
class Settings:
    """What a scan may be told. All fields are plain values; ``fingerprint`` hashes them."""

    fdr: float = 0.01
    seed: int = 0
    memory: str = "3GB"
    threads: int = 2
    batch_rows: int = 65_536
    show_text: bool = False
    joint: bool = False
    jointly: tuple[Jointly, ...] = ()

    def fingerprint(self) -> str:
        """Hex SHA-256 over the fields that can change a result (not memory, threads, presentation, joint evidence)."""
        fields = asdict(self)
        for presentation in ("memory", "threads", "batch_rows", "show_text", "joint"):
            del fields[presentation]
        if not self.jointly:
            del fields["jointly"]  # the same name as before there were joint decisions
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
