from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.attest import merkle
from spiritsafe.errors import AttestError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The leaves, roots and paths that the implementations of RFC 6962 test each other with.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def _hashes(count: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % number) for number in range(count)]


def _by_definition(hashes: Sequence[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    left, right = _by_definition(hashes[:split]), _by_definition(hashes[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


class Stored:
    """What a store keeps: leaf hashes and every eighth level."""

    def __init__(self, count: int) -> None:
        self.tree = merkle.Tree()
        self.rows: dict[tuple[int, int], bytes] = {}
        for number, leaf in enumerate(_hashes(count)):
            self.rows[0, number] = leaf
            for node in self.tree.append(leaf):
                self.rows[node.level, node.place] = node.hash

    def read(self, level: int, first: int, count: int) -> list[bytes]:
        return [
            self.rows[level, index] for index in range(first, first + count) if (level, index) in self.rows
        ]


def test_roots_of_the_known_leaves():
    hashes = [merkle.leaf_hash(leaf) for leaf in LEAVES]
    assert [merkle.root(hashes[:size]).hex() for size in range(9)] == ROOTS


@pytest.mark.parametrize(("which", "expected"), INCLUSION.items())
def test_known_inclusion_proofs(which: tuple[int, int], expected: list[str]):
    index, size = which
    hashes = [merkle.leaf_hash(leaf) for leaf in LEAVES[:size]]
    proof = merkle.inclusion(hashes, index)
    assert [part.hex() for part in proof] == expected
    merkle.verify_inclusion(index, size, hashes[index], proof, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("which", "expected"), CONSISTENCY.items())
def test_known_consistency_proofs(which: tuple[int, int], expected: list[str]):
    old, new = which
    proof = merkle.consistency([merkle.leaf_hash(leaf) for leaf in LEAVES[:new]], old)
    assert [part.hex() for part in proof] == expected
    merkle.verify_consistency(old, new, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]), proof)


@given(st.integers(0, 300))
def test_the_root_is_as_the_rfc_defines_it(count: int):
    assert merkle.root(_hashes(count)) == _by_definition(_hashes(count))


def test_all_small_proofs_hold_and_only_for_what_they_prove():
    size = 20
    hashes = _hashes(size)
    for new in range(1, size + 1):
        root = merkle.root(hashes[:new])
        for index in range(new):
            proof = merkle.inclusion(hashes[:new], index)
            merkle.verify_inclusion(index, new, hashes[index], proof, root)
            for other in range(new):
                if other != index:
                    with pytest.raises(AttestError):
                        merkle.verify_inclusion(other, new, hashes[index], proof, root)
        for old in range(new + 1):
            proof = merkle.consistency(hashes[:new], old)
            merkle.verify_consistency(old, new, merkle.root(hashes[:old]), root, proof)
            for wrong in range(new + 1):
                if wrong != old:
                    with pytest.raises(AttestError):
                        merkle.verify_consistency(wrong, new, merkle.root(hashes[:old]), root, proof)


@given(st.integers(1, 70_000), st.data())
def test_proofs_from_stored_levels_hold(stored: Stored, size: int, data: st.DataObject):
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    root = merkle.prove([(0, size)], stored.read)[0]
    spans = merkle.inclusion_spans(index, size)
    assert sum(count for _, _, count in merkle.reads(spans)) < 3_000
    merkle.verify_inclusion(index, size, stored.rows[0, index], merkle.prove(spans, stored.read), root)
    before = merkle.prove([(0, old)], stored.read)[0]
    proof = merkle.prove(merkle.consistency_spans(old, size), stored.read)
    merkle.verify_consistency(old, size, before, root, proof)


@pytest.fixture(scope="module")
def stored() -> Stored:
    return Stored(70_000)


def test_a_tree_goes_on_from_its_peaks(stored: Stored):
    assert {level for level, _ in stored.rows} == {0, 8, 16}
    assert len(stored.rows) == 70_000 + 70_000 // 256 + 1
    again = merkle.Tree(stored.tree.size, stored.tree.peaks)
    assert again.root() == merkle.root(_hashes(70_000)) == merkle.prove([(0, 70_000)], stored.read)[0]
    with pytest.raises(AttestError, match="has 2 peaks, not 1"):
        merkle.Tree(3, [merkle.EMPTY])


@given(st.integers(2, 64), st.data())
def test_a_changed_proof_never_holds(size: int, data: st.DataObject):
    hashes = _hashes(size)
    root, index = merkle.root(hashes), data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion(hashes, index)
    place = data.draw(st.integers(0, len(proof) - 1))
    bad = [*proof[:place], bytes([proof[place][0] ^ 1]) + proof[place][1:], *proof[place + 1 :]]
    for changed in (bad, proof[:-1], [*proof, root], proof[1:], [part[:-1] for part in proof]):
        with pytest.raises(AttestError):
            merkle.verify_inclusion(index, size, hashes[index], changed, root)
    old = data.draw(st.integers(1, size - 1))
    grown = merkle.consistency(hashes, old)
    for changed in (grown[:-1], [*grown, root], [root] * len(grown), [part + b"0" for part in grown]):
        with pytest.raises(AttestError):
            merkle.verify_consistency(old, size, merkle.root(hashes[:old]), root, changed)


def test_missing_nodes_are_told(stored: Stored):
    with pytest.raises(AttestError, match="missing in the store"):
        merkle.prove([(0, 70_001)], stored.read)
    with pytest.raises(AttestError, match="no leaf 3"):
        merkle.inclusion_spans(3, 3)
    with pytest.raises(AttestError, match="does not go on"):
        merkle.consistency_spans(4, 3)
    with pytest.raises(AttestError, match="does not fit"):
        merkle.verify_consistency(0, 3, b"0" * 32, merkle.EMPTY, [])
