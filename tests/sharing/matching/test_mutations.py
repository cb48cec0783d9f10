"""Thousands of changed messages: each is refused, or says the same as before. None crashes what reads it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from matchforum import NOW, Made, evaluated, holders, hub_answer, identity, place, posted, signer
from spiritsafe.attest.canonical import jcs
from spiritsafe.attest.canonical import read as read_json
from spiritsafe.errors import AttestError, SharingError
from spiritsafe.sharing.matching import ceremony, evaluation, frames, matches
from spiritsafe.sharing.matching.epoch import DAY, certified
from spiritsafe.sharing.matching.statements import opened

if TYPE_CHECKING:
    from collections.abc import Callable


def _mutants(data: bytes, count: int, seed: int) -> list[bytes]:
    """Bytes flipped, removed, doubled, cut, inserted."""
    rng = random.Random(seed)
    found: list[bytes] = []
    for _ in range(count):
        at, other = rng.randrange(len(data)), rng.randrange(len(data))
        low, high = min(at, other), max(at, other)
        kind = rng.randrange(5)
        if kind == 0:
            found.append(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
        elif kind == 1:
            found.append(data[:at] + data[at + 1 :])
        elif kind == 2:
            found.append(data[:at])
        elif kind == 3:
            found.append(data[:low] + data[low : low + 40] + data[low:])
        else:
            found.append(data[:low] + data[high:] + data[low:high])
    return found


def _survives(read: Callable[[bytes], Any], data: bytes, count: int, seed: int) -> int:
    """How many mutants were refused; a mutant that is read must read as the original does."""
    original, refused = read(data), 0
    for one in _mutants(data, count, seed):
        try:
            assert read(one) == original
        except (SharingError, AttestError):
            refused += 1
    return refused


@pytest.mark.parametrize("kind", [0, 1, 2], ids=ceremony.ROUNDS)
def test_statements_of_a_ceremony(made: Made, kind: int):
    one = made.rounds[kind][0]

    def read(data: bytes) -> str:
        return opened(one.kind, read_json(data), made.forum.roster).id

    assert _survives(read, jcs(one.envelope), 1_000, kind) > 900


def test_certificates(made: Made):
    def read(data: bytes) -> str:
        return certified(read_json(data), made.forum.roster).id

    assert _survives(read, jcs(made.certificate), 400, 4) > 350


def test_requests_and_answers(made: Made):
    batch = evaluation.prepare([b"one"])
    asked = evaluation.request(made.epoch, identity("a"), signer("a"), "device", batch, expires=NOW + DAY)
    holder = holders(made)[identity(made.forum.held[0])]

    def read(data: bytes) -> bytes:
        header, parts = frames.unpack(data)
        holder.counts.forget(made.epoch.id)
        return holder.answer(header.get("envelope"), b"".join(parts), now=NOW).elements

    request = frames.pack({"envelope": asked.statement.envelope}, asked.elements)
    assert _survives(read, request, 400, 5) > 350
    given = holder.answer(asked.statement.envelope, asked.elements, now=NOW)

    def back(data: bytes) -> Any:
        header, parts = frames.unpack(data)
        answer = evaluation.Answer(header.get("envelope"), b"".join(parts))
        part = evaluation.signed(made.epoch, asked, holder.me, answer, made.forum.roster)
        return part, evaluation.combine(batch, [part], 1)[1]

    assert _survives(back, frames.pack({"envelope": given.envelope}, given.elements), 400, 6) > 350


def test_matches(made: Made):
    """Whatever a hub sends: what is counted is a part of what is true."""
    words = [f"{i:02d}{'0123456789abcdef' * 2}" for i in range(8)]
    tokens = evaluated(made, "a", {"device": words})
    sets = [
        posted(made, who, dict(list(tokens.items())[:many])) for who, many in (("a", 8), ("b", 6), ("c", 4))
    ]
    honest = hub_answer(sets, "a", 2)
    parts = [part for one in honest["sets"] for part in (one["rows"], one["proof"])]
    header = {"sets": [{"statement": one["statement"], "indices": one["indices"]} for one in honest["sets"]]}

    def read(data: bytes) -> dict[bytes, set[str]]:
        header, parts = frames.unpack(data)
        entries = header.get("sets")
        if not isinstance(entries, list) or len(parts) != 2 * len(entries):
            raise SharingError("malformed")
        whole = [
            {**one, "rows": parts[2 * i], "proof": parts[2 * i + 1]} if isinstance(one, dict) else one
            for i, one in enumerate(entries)
        ]
        found = matches.checked({"sets": whole}, place(made), identity("a"), tokens, made.forum.roster, NOW)
        return found.holders

    data = frames.pack(header, *parts)
    true, fewer = read(data), 0
    assert {len(names) for names in true.values()} == {1, 2}
    for one in _mutants(data, 1_500, 7):
        try:
            found = read(one)
        except SharingError:
            fewer += 1
            continue
        assert all(names <= true[tag] for tag, names in found.items())
        fewer += found != true
    assert fewer > 1_300
