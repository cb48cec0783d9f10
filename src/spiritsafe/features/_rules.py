"""The lexicon's rules as hash tables for the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.errors import ExtensionError
from spiritsafe.features import characters
from spiritsafe.features._match import LONGEST, ROOT, STEP

if TYPE_CHECKING:
    from collections.abc import Iterable

_64 = (1 << 64) - 1
_SEED = 0x51CA5F2B3D4E8F01
_STAR = 0x452821E638D01377
_HEAD = 3
_SYLLABIC = 0x590
"""A stem has three characters, or one in scripts of syllables or consonants (those from U+0590 on)."""
_OPENING = 5
"""The kernel looks a word up when its state after 3, 4 or 5 characters is in the gate."""


@dataclass(frozen=True, slots=True)
class Tables:
    """``stems`` for ``scan``: (gate, keys, bits, names); ``links`` and ``trie`` for ``match``."""

    stems: tuple[Any, Any, Any, Any]
    links: tuple[Any, Any]
    trie: tuple[Any, Any, Any, Any, Any]


def words(text: str) -> list[tuple[list[int], bool]]:
    """Split a rule's text as the kernel splits a prompt: (folded code points, ends in ``*``) for each token."""
    table = characters.table()
    out: list[tuple[list[int], bool]] = []
    word: list[int] = []
    for char in [*text, " "]:
        entry = int(table[ord(char)]) if ord(char) < characters.SIZE else characters.UNSPACED << 26 | ord(char)
        kind, code = entry >> 26, entry & 0x1FFFFF
        if kind == characters.DROP:
            continue
        if kind in {characters.LETTER, characters.DIGIT}:
            word.append(code)
            continue
        if word:
            out.append((word, char == "*" and (len(word) >= _HEAD or word[0] >= _SYLLABIC)))
            word = []
        if kind == characters.UNSPACED:
            out.append(([code], False))
    return out


def mix(x: int) -> int:
    """As ``_scan.mix``, in Python."""
    x ^= x >> 33
    x = x * 0xFF51AFD7ED558CCD & _64
    x ^= x >> 33
    x = x * 0xC4CEB9FE1A85EC53 & _64
    return x ^ x >> 33


def states(codes: list[int]) -> list[int]:
    """The scanner's state after each character of a word; ``mix`` of the last is the token's hash."""
    out, h = [], _SEED
    for code in codes:
        h = (h ^ code) * STEP & _64
        out.append(h)
    return out


def tables(rules: Iterable[tuple[int, str, str]]) -> Tables:
    """Compile rules (bit, kind, text). Kind "prefix" is a word with ``*``; all others say it all in their text.

    Raises ExtensionError for a rule without a token or with too many.
    """
    stems: dict[int, int] = {}
    spelled: dict[int, list[int]] = {}
    named: set[int] = set()
    first: set[int] = set()
    single: set[int] = set()
    pairs: set[int] = set()
    opening: set[int] = set()
    nodes: dict[int, int] = {}
    for bit, kind, text in rules:
        tokens = words(text + "*" if kind == "prefix" and not text.endswith("*") else text)
        if not 0 < len(tokens) <= LONGEST or not 0 <= bit < 64:  # noqa: PLR2004
            raise ExtensionError(
                f"lexicon rule {text!r} has {len(tokens)} tokens", hint=f"write 1 to {LONGEST} words"
            )
        ends = [states(codes)[-1] for codes, _ in tokens]
        for (codes, star), end in zip(tokens, ends, strict=True):
            if star:
                spelled[end] = codes
                stems.setdefault(end, 0)
        if len(tokens) == 1 and tokens[0][1]:
            stems[ends[0]] |= 1 << bit
            continue
        state = ROOT
        for depth, ((_, star), end) in enumerate(zip(tokens, ends, strict=True)):
            name = mix(end ^ _STAR) if star else mix(end)
            if star:
                named.add(end)
            if depth == 0:
                (opening if star else single if len(tokens) == 1 else first).add(end if star else name)
            state = (state ^ name) * STEP & _64
            if depth == 1:
                pairs.add(state)
            nodes.setdefault(state, 0)
        nodes[state] |= 1 << bit
    gate: set[int] = set()
    for codes in spelled.values():
        every = states(codes)
        gate.update((every[-1], every[min(_OPENING, len(every)) - 1]))
    keys, bits = _hashed(stems)
    slot_of = {int(key): slot for slot, key in enumerate(keys) if key}
    names = np.zeros(keys.size, np.uint64)
    up = np.full(keys.size, -1, np.int32)
    opens = np.zeros(keys.size, np.bool_)
    for end in named:
        chain = [state for state in states(spelled[end]) if state in named]
        names[slot_of[end]] = mix(end ^ _STAR)
        opens[slot_of[end]] = any(state in opening for state in chain)
        if len(chain) > 1:
            up[slot_of[end]] = slot_of[chain[-2]]
    gates = _gate(single), _gate(first), _gate(pairs)
    return Tables((_gate(gate), keys, bits, names), (up, opens), (*gates, *_hashed(nodes)))


def _gate(hashes: Iterable[int]) -> Any:
    """A bit for each value of a hash's top 16 bits: 8 kB, so that it stays in the fastest cache."""
    out = [0] * 1024
    for h in hashes:
        out[h >> 54] |= 1 << (h >> 48 & 63)
    return np.array(out, np.uint64)


def _hashed(entries: dict[int, int]) -> tuple[Any, Any]:
    size = 1 << max(8, (len(entries) * 3).bit_length())
    keys, bits = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
    for key, value in sorted(entries.items()):
        slot = key >> 20 & size - 1
        while keys[slot]:
            slot = slot + 1 & size - 1
        keys[slot], bits[slot] = key, value
    return keys, bits


@cache
def lexicon() -> Tables:
    """The shipped lexicon, compiled once a process."""
    try:
        from spiritsafe.features.lexicon import rules
    except ImportError:
        return tables([(0, "phrase", "step by step"), (1, "prefix", "reason")])

    return tables(rules())
