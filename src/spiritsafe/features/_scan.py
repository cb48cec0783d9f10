"""First pass of the kernel: UTF-8 bytes to tokens and quotation events, in one walk over the text.

Token and event records go to flat arrays: ``hashes`` (uint64; for an event its character position), ``kinds`` (uint8,
below), ``spans`` (int32 pairs: first and past-last character, not counting dropped ones), ``stems`` (int32: slot of
the longest named lexicon stem that a word starts with, or -1). All arithmetic wraps in 64 bits.
"""

from __future__ import annotations

import numpy as np

from spiritsafe.features._compile import compiled, inner

WORD, CHARACTER, NUMBER, URL, EMAIL = range(5)
EVENT = 8
DOUBLE, SINGLE, GUILLEMET, CORNER, WHITE_CORNER, TITLE, TICK, FENCE = range(8, 16)
OPENS, CLOSES = 0x20, 0x40
"""Kind of a record: tokens first, then events (kind >= EVENT) with the flags of what they may do."""

LINES, CHARS, TOKENS, SCRIPT = range(4)
"""Columns of ``counts``, int32, per row."""

AHEAD = 4
"""Blanks behind the decoded text, so that looking ahead needs no check."""

_OTHER, _LETTER, _DIGIT, _UNSPACED, _SPACE, _DROP, _SPECIAL = range(7)
_KIND, _SCRIPT, _LOW = np.uint32(26), np.uint32(21), np.uint32(0x1FFFFF)
_31 = np.uint32(31)
_HAN, _DROPPED = np.uint32(_UNSPACED << 26 | 26 << 21), np.uint32(_DROP << 26)
_BLANK = np.uint32(_SPACE << 26 | 32)
_INVALID = np.uint32(0xFFFD)
_SIZE = np.uint32(0x20000)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_SEED = np.uint64(0x51CA5F2B3D4E8F01)
_GAP = np.uint64(32)
_M1 = np.uint64(0xFF51AFD7ED558CCD)
_M2 = np.uint64(0xC4CEB9FE1A85EC53)
_R33, _R20 = np.uint64(33), np.uint64(20)
_R48, _R54 = np.uint64(48), np.uint64(54)
_63, _1 = np.uint64(63), np.uint64(1)
_TRAIL, _SYLLABIC = 64, np.uint32(0x590)
_SCRIPTS = 28


@inner
def mix(x):  # type: ignore[no-untyped-def]
    """MurmurHash3's 64-bit finaliser: a bijection in which each input bit moves about half of the output bits."""
    x ^= x >> _R33
    x *= _M1
    x ^= x >> _R33
    x *= _M2
    return x ^ (x >> _R33)


@inner
def hangul(before, code):  # type: ignore[no-untyped-def]
    """The syllable of two Hangul letters, or of an open syllable and a final; 0 if they are no such thing."""
    if 0x1161 <= code <= 0x1175 and 0x1100 <= before <= 0x1112:
        return np.uint32(0xAC00 + ((before - 0x1100) * 21 + code - 0x1161) * 28)
    if 0x11A8 <= code <= 0x11C2 and 0xAC00 <= before <= 0xD7A3 and (before - 0xAC00) % 28 == 0:
        return np.uint32(before + code - 0x11A7)
    return np.uint32(0)


@inner
def decode(data, i, end, table, out):  # type: ignore[no-untyped-def]
    """Write the table entries of all characters that are not dropped to ``out``; return (entries, characters).

    A byte that is no valid UTF-8 (overlong, cut off, out of range) is one U+FFFD. Hangul that comes in letters is
    put together to syllables, as in Unicode's composition.
    """
    n, chars, before = np.uint64(0), 0, np.uint32(0)
    while i < end:
        if data[np.uint64(i)] < 128:
            first, seen = i, n
            b = data[np.uint64(i)]
            while b < 128:
                entry = table[b]
                out[n] = entry
                n += np.uint64(entry >> _KIND != _DROP)
                i += 1
                if i >= end:
                    break
                b = data[np.uint64(i)]
            chars += i - first
            before = before if n == seen else np.uint32(0)
            continue
        b = data[np.uint64(i)]
        chars += 1
        code, size = _INVALID, 1
        c = data[np.uint64(min(i + 1, end - 1))]
        d = data[np.uint64(min(i + 2, end - 1))]
        if c & 0xC0 == 0x80 and i + 1 < end:
            if 0xC2 <= b < 0xE0:
                code, size = np.uint32((b & 0x1F) << 6 | (c & 0x3F)), 2
            elif d & 0xC0 == 0x80 and i + 2 < end:
                if 0xE0 <= b < 0xF0:
                    code, size = np.uint32((b & 0x0F) << 12 | (c & 0x3F) << 6 | (d & 0x3F)), 3
                elif 0xF0 <= b < 0xF5 and i + 3 < end and data[np.uint64(i + 3)] & 0xC0 == 0x80:
                    tail = (d & 0x3F) << 6 | (data[np.uint64(i + 3)] & 0x3F)
                    code, size = np.uint32((b & 0x07) << 18 | (c & 0x3F) << 12 | tail), 4
            if (size == 3 and code < 0x800) or (size == 4 and (code < 0x10000 or code > 0x10FFFF)):
                code, size = _INVALID, 1
        i += size
        if 0x1161 <= code <= 0x11C2:
            syllable = hangul(before, code)
            if syllable > 0:
                out[n - _1] = table[syllable]
                before = syllable
                continue
        if code < _SIZE:
            entry = table[code]
        elif code < 0x40000:
            entry = np.uint32(code | _HAN)
        else:
            entry = np.uint32(code | _DROPPED) if code >> 12 == 0xE0 else code
        out[n] = entry
        if entry >> _KIND != _DROP:
            before = code
            n += _1
    for k in range(AHEAD):
        out[n + np.uint64(k)] = _BLANK
    return np.int64(n), chars


@inner
def address(text, i, mail):  # type: ignore[no-untyped-def]
    """Consume a URL (or e-mail) that starts at character ``i``: its hash and its end, without trailing punctuation.

    It ends at white space, a quote, a bracket that it did not open, or a character of an unspaced script.
    """
    h, kept, stop, depth = _SEED, _SEED, i, 0
    while True:
        kind = np.int64(text[i] >> _KIND)
        code = np.int64(text[i] & _LOW)
        solid = kind == _LETTER or kind == _DIGIT
        if not solid:
            if kind == _UNSPACED or kind == _SPACE or code >= 128 or code == 34 or code == 39 or code == 96:
                break
            if code == 60 or code == 62 or 91 <= code <= 94 or 123 <= code <= 125:
                break
            if mail and code != 46 and code != 45 and code != 95:
                if depth > 0 or not (code == 64 or code == 43 or code == 37):
                    break
                depth = code == 64
            elif code == 40:
                depth += 1
            elif code == 41:
                depth -= 1
                if depth < 0:
                    break
        h = (h ^ np.uint64(code)) * _STEP
        i += 1
        if solid or code == 47 or (code == 41 and not mail):
            kept, stop = h, i
    return mix(kept), stop


@inner
def link_kind(text, at, i, digits):  # type: ignore[no-untyped-def]
    """Whether the word ``text[at:i]`` and what follows begin a URL or an e-mail address; -1 if neither."""
    code, following = text[i] & _LOW, text[i + 1]
    word = following >> _KIND == _LETTER or following >> _KIND == _DIGIT
    if code == 58 and digits == 0 and following & _LOW == 47 and text[i + 2] & _LOW == 47:
        return URL
    if code == 46 and i - at == 3 and word and text[at] & _LOW == 119:
        if text[at + 1] & _LOW == 119 and text[at + 2] & _LOW == 119:
            return URL
    return EMAIL if code == 64 and word else -1


@inner
def known(gate, h):  # type: ignore[no-untyped-def]
    """Whether the gate may know the state ``h``."""
    return (gate[h >> _R54] >> ((h >> _R48) & _63)) & _1


@inner
def stems_of(trail, count, lexicon):  # type: ignore[no-untyped-def]
    """Look up the beginnings of a word by its states: bits found, slot of the longest named stem or -1."""
    gate, keys, bits, names = lexicon
    slots = np.uint64(keys.size - 1)
    found, stem = np.uint64(0), -1
    for j in range(count):
        h = trail[j]
        if not known(gate, h):
            continue
        slot = (h >> _R20) & slots
        while keys[slot] != 0:
            if keys[slot] == h:
                found |= bits[slot]
                if names[slot] != 0:
                    stem = np.int64(slot)
                break
            slot = (slot + _1) & slots
    return found, stem


@inner
def quotation(text, i, before):  # type: ignore[no-untyped-def]
    """Event kind and flags of the mark at ``i``, 0 if it is none; ``before`` is the class of the character before."""
    code, after = text[i] & _LOW, np.int64(text[i + 1] >> _KIND)
    if code == 34 or code == 39:
        outside = before != _LETTER and before != _DIGIT
        flags = (OPENS if outside and after != _SPACE else 0) | (CLOSES if before != _SPACE else 0)
        if code == 34:
            return DOUBLE | flags if flags > 0 else 0
        flags &= OPENS if after == _LETTER or after == _DIGIT else (CLOSES if after != _UNSPACED else flags)
        return SINGLE | flags if flags > 0 else 0
    if code == 0xAB or code == 0xBB:
        return GUILLEMET | OPENS | CLOSES
    if 0x300A <= code <= 0x300F:
        event = TITLE if code < 0x300C else (CORNER if code < 0x300E else WHITE_CORNER)
        return event | (OPENS if code & np.uint32(1) == 0 else CLOSES)
    return 0


@compiled
def scan(data, starts, ends, table, lexicon, text, hashes, kinds, spans, stems, firsts, counts, exact, marks):  # type: ignore[no-untyped-def]
    """Scan the rows ``data[starts[r]:ends[r]]``; ``firsts[r]:firsts[r + 1]`` are the records of row ``r``.

    ``lexicon`` is (gate, keys, bits, names) of the stems. ``text`` (uint32) is scratch for the longest row and
    ``AHEAD``; the record arrays hold at least as many records as there are bytes. ``exact`` (uint64) and ``marks``
    (uint64, or-ed) are per row.
    """
    gate = lexicon[0]
    trail = np.zeros(_TRAIL, np.uint64)
    scripts = np.zeros(_SCRIPTS, np.int64)
    n = np.uint64(0)
    for row in range(starts.size):
        size, chars = decode(data, starts[row], ends[row], table, text)
        firsts[row] = n
        scripts[:] = 0
        tokens, lines, glue = 0, 0, n
        whole, found = _SEED, np.uint64(0)
        blank, some = False, False
        before, i = _SPACE, 0
        while i < size:
            entry = text[np.uint64(i)]
            kind = np.int64(entry >> _KIND)
            if kind == _SPACE:
                blank, before, glue = some, kind, n
                lines += entry & _LOW == 10
                i += 1
                continue
            if blank:
                whole = (whole ^ _GAP) * _STEP
            blank, some = False, True
            code = entry & _LOW
            if kind == _LETTER or kind == _DIGIT:
                at, h, digits = i, _SEED, 0
                script, leading = (entry >> _SCRIPT) & _31, kind
                while kind == _LETTER or kind == _DIGIT:
                    h = (h ^ np.uint64(entry & _LOW)) * _STEP
                    digits |= kind
                    trail[np.uint64(i - at) & _63] = h
                    i += 1
                    entry = text[np.uint64(i)]
                    kind = np.int64(entry >> _KIND)
                record, stem = WORD, -1
                if digits & _DIGIT:
                    digits = 0
                    for k in range(at, i):
                        digits += text[k] >> _KIND == _DIGIT
                else:
                    digits = 0
                if kind == _SPECIAL:
                    record = link_kind(text, at, i, digits)
                    if record == EMAIL:
                        tokens -= np.int64(n - glue)
                        at = np.int64(spans[glue, 0]) if glue < n else at
                        n = glue
                if record > WORD:
                    h, i = address(text, at, record == EMAIL)
                else:
                    count = i - at
                    letters = count - digits
                    record = NUMBER if digits > 0 and (leading == _DIGIT or digits * 2 >= letters) else WORD
                    maybe = known(gate, trail[2]) * (count > 2) | known(gate, trail[3]) * (count > 3)
                    maybe |= known(gate, trail[4]) * (count > 4)
                    if (maybe or code >= _SYLLABIC) and count <= _TRAIL:
                        bits, stem = stems_of(trail, count, lexicon)
                        found |= bits
                    scripts[script] += letters
                    h = mix(h)
                whole = (whole ^ h) * _STEP
                hashes[n], kinds[n], stems[n] = h, record, stem
                spans[n, 0], spans[n, 1] = at, i
                n += _1
                tokens += 1
                if record > NUMBER:  # an address is whole: what follows must not reach back into it
                    glue = n
                before = _LETTER
                continue
            whole = (whole ^ np.uint64(code)) * _STEP
            i += 1
            if kind == _UNSPACED:
                hashes[n], kinds[n], stems[n] = mix((_SEED ^ np.uint64(code)) * _STEP), CHARACTER, -1
                spans[n, 0], spans[n, 1] = i - 1, i
                n += _1
                tokens += 1
                scripts[(entry >> _SCRIPT) & _31] += 1
                glue = n
            elif kind == _SPECIAL:
                at, event = i - 1, 0
                if code == 96:
                    while text[i] & _LOW == 96:
                        whole = (whole ^ np.uint64(96)) * _STEP
                        i += 1
                    event = (FENCE if i - at >= 3 else TICK) | OPENS | CLOSES
                else:
                    event = quotation(text, at, before)
                if event > 0:
                    hashes[n], kinds[n], stems[n] = np.uint64(at), event, -1
                    spans[n, 0], spans[n, 1] = at, i
                    n += _1
                if code != 46:
                    glue = n
            elif code != 45 and code != 95 and code != 43 and code != 37:
                glue = n
            before = kind
        scripts[0] = 0
        counts[row, LINES] = lines + 1 if chars > 0 else 0
        counts[row, CHARS] = chars
        counts[row, TOKENS] = tokens
        counts[row, SCRIPT] = np.argmax(scripts)
        exact[row] = max(mix(whole), _1) if some else np.uint64(0)
        marks[row] |= found
    firsts[starts.size] = n
