"""The lexicon's rules as hash tables for the kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.errors import ExtensionError
from spiritsafe.features import characters, lexicon
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
        entry = (
            int(table[ord(char)]) if ord(char) < characters.SIZE else characters.UNSPACED << 26 | ord(char)
        )
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


@dataclass(slots=True)
class _Parts:
    """What the rules add up to. Stems go by their last state, words and phrases by names."""

    stems: dict[int, int] = field(default_factory=dict[int, int])
    spelled: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    named: set[int] = field(default_factory=set[int])
    opening: set[int] = field(default_factory=set[int])
    single: set[int] = field(default_factory=set[int])
    first: set[int] = field(default_factory=set[int])
    pairs: set[int] = field(default_factory=set[int])
    nodes: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, bits: int, tokens: list[tuple[list[int], bool]]) -> None:
        """One rule: a stem alone, or a path of words and stems."""
        ends = [states(codes)[-1] for codes, _ in tokens]
        for (codes, star), end in zip(tokens, ends, strict=True):
            if star:
                self.spelled[end] = codes
                self.stems.setdefault(end, 0)
        if len(tokens) == 1 and tokens[0][1]:
            self.stems[ends[0]] |= bits
            return
        self.named.update(end for (_, star), end in zip(tokens, ends, strict=True) if star)
        names = [mix(end ^ _STAR) if star else mix(end) for (_, star), end in zip(tokens, ends, strict=True)]
        if tokens[0][1]:
            self.opening.add(ends[0])
        else:
            (self.single if len(tokens) == 1 else self.first).add(names[0])
        path = list(accumulate(names, lambda state, name: (state ^ name) * STEP & _64, initial=ROOT))[1:]
        self.pairs.update(path[1:2])
        for state in path:
            self.nodes.setdefault(state, 0)
        self.nodes[path[-1]] |= bits


def tables(rules: Iterable[tuple[int, str, str]]) -> Tables:
    """Compile rules (bit, kind, text). Kind "prefix" is a word with ``*``; all others say it all in their text.

    Raises ExtensionError for a rule without a token or with too many.
    """
    parts = _Parts()
    for bit, kind, text in rules:
        tokens = words(text + "*" if kind == "prefix" and not text.endswith("*") else text)
        if not 0 < len(tokens) <= LONGEST or not 0 <= bit < 64:
            raise ExtensionError(
                f"lexicon rule {text!r} has {len(tokens)} tokens", hint=f"write 1 to {LONGEST} words"
            )
        parts.add(1 << bit, tokens)
    keys, bits = _hashed(parts.stems)
    slot_of = {int(key): slot for slot, key in enumerate(keys) if key}
    names = np.zeros(keys.size, np.uint64)
    up = np.full(keys.size, -1, np.int32)
    opens = np.zeros(keys.size, np.bool_)
    for end in parts.named:
        chain = [state for state in states(parts.spelled[end]) if state in parts.named]
        names[slot_of[end]] = mix(end ^ _STAR)
        opens[slot_of[end]] = any(state in parts.opening for state in chain)
        if len(chain) > 1:
            up[slot_of[end]] = slot_of[chain[-2]]
    every = [states(codes) for codes in parts.spelled.values()]
    gate = _gate(state for s in every for state in (s[-1], s[min(_OPENING, len(s)) - 1]))
    gates = _gate(parts.single), _gate(parts.first), _gate(parts.pairs)
    return Tables((gate, keys, bits, names), (up, opens), (*gates, *_hashed(parts.nodes)))


def _gate(hashes: Iterable[int]) -> Any:
    """A bit for each value of a hash's top 16 bits: 8 kB, so that it stays in the fastest cache."""
    out = [0] * 1024
    for h in hashes:
        out[h >> 54] |= 1 << (h >> 48 & 63)
    return np.array(out, np.uint64)


def _hashed(entries: dict[int, int]) -> tuple[Any, Any]:
    size = 1 << max(8, (len(entries) * 3 // 2).bit_length())
    keys, bits = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
    for key, value in sorted(entries.items()):
        slot = key >> 20 & size - 1
        while keys[slot]:
            slot = slot + 1 & size - 1
        keys[slot], bits[slot] = key, value
    return keys, bits


@cache
def shipped() -> Tables:
    """The shipped lexicon, compiled once a process."""
    return tables(lexicon.rules())
