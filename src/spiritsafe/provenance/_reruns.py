"""False labels: the same suspect under choices that were not made. What a test finds there, it finds by chance.

Coins are thrown anew, other variants are called served, and committed keys that were never used take the places of the
keys that were. Under each, the test's p-value is uniform whether or not the suspect is a copy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.provenance._subject import Teacher

#: Tables whose labels can be false; a test that needs none of them has no false labels.
LABELS = ("pairs", "canaries", "keys")


def false_labels(teacher: Teacher, needs: Sequence[str], *, seed: int) -> Teacher | None:
    """The teacher with false labels in all tables that a test needs; None when there is nothing to be false about."""
    rng = np.random.default_rng(seed)
    changed = False
    if "pairs" in needs and teacher.pairs.num_rows:
        coins = pa.array(rng.integers(0, 2, teacher.pairs.num_rows), pa.int8())
        at = teacher.pairs.schema.get_field_index("coin")
        teacher = replace(teacher, pairs=teacher.pairs.set_column(at, teacher.pairs.schema.field(at), coins))
        changed = True
    if "canaries" in needs and teacher.canaries.num_rows:
        teacher = replace(teacher, canaries=_other_served(teacher.canaries, rng))
        changed = True
    if "keys" in needs and 0 < len(teacher.keys) < len(teacher.decoys):
        order = rng.permutation(len(teacher.decoys))
        mixed = [teacher.decoys[int(at)] for at in order]
        # A decoy keeps its own secret and takes the place, the campaign, of a key.
        taken = tuple(
            replace(fake, campaign_id=real.campaign_id, epoch=real.epoch)
            for fake, real in zip(mixed, teacher.keys, strict=False)
        )
        teacher = replace(teacher, keys=taken, decoys=tuple(mixed[len(taken) :]))
        changed = True
    return teacher if changed else None


def _other_served(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """One variant of each canary, drawn evenly, is called served."""
    names = table["canary_id"].to_numpy()
    draws = rng.random(table.num_rows)
    order = np.lexsort((draws, names))
    first = np.ones(len(order), bool)
    first[1:] = names[order][1:] != names[order][:-1]
    served = np.zeros(len(order), bool)
    served[order[first]] = True
    at = table.schema.get_field_index("served")
    return table.set_column(at, table.schema.field(at), pa.array(served))
