"""A prompt's masked form for people, from the kernel's own records, so that it cannot say something else."""

from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa

from spiritsafe.features import _mask, _rules, characters, kernel
from spiritsafe.features._text import text as flat

NAMES = {
    _mask.SLOT_NUMBER: "⟨number⟩",
    _mask.SLOT_URL: "⟨url⟩",
    _mask.SLOT_EMAIL: "⟨email⟩",
    _mask.SLOT_QUOTED: "⟨quoted⟩",
    _mask.SLOT_CODE: "⟨code⟩",
}


def skeleton_text(text: str) -> str:
    """``text`` with its slots named; a run of equal slots is shown as one."""
    table = characters.table()
    text = unicodedata.normalize("NFC", text)  # the kernel puts Hangul letters together, too
    where = [
        k
        for k, c in enumerate(text)
        if ord(c) >= characters.SIZE or int(table[ord(c)]) >> 26 != characters.DROP
    ]
    visible = "".join(text[k] for k in where)
    where.append(len(text))
    piece = flat(pa.array([visible.encode("utf-8", "replace").decode()], pa.large_string()))
    tokens = kernel.Tokens.room([piece])
    counts, one = np.zeros((1, 4), np.int32), np.zeros((4, 1), np.uint64)
    kernel.read(piece, tokens, _rules.tables([]), counts, one[0], one[1])
    kernel.mask(piece, tokens, one[2], one[3])
    parts: list[str] = []
    shown, previous = 0, 0
    records = int(tokens.firsts[1])
    j = 0
    while j < records:
        slot = int(tokens.slots[j])
        if slot == _mask.MARKED:
            j += 1
            continue
        first, last = (where[int(edge)] for edge in tokens.spans[j])
        if slot != _mask.KEPT:
            if int(tokens.kinds[j]) >= _mask.EVENT:
                j = int(tokens.partners[j])
                last = where[int(tokens.spans[j, 1])]
            if slot != previous:
                parts += [text[shown:first], NAMES[slot]]
            shown = last
        previous = slot
        j += 1
    return "".join([*parts, text[shown:]])
