from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from spiritsafe.attest import heads, merkle
from spiritsafe.attest.heads import Head
from spiritsafe.errors import AttestError

KEY = Ed25519PrivateKey.from_private_bytes(b"7" * 32)
HEAD = Head("forum.example/log", 12, merkle.leaf_hash(b"x"), 1_764_000_000_000_000)


def test_the_signature_of_another_implementation_of_signed_notes_holds():
    """The published example of golang.org/x/mod/sumdb/note (BSD-3-Clause)."""
    raw = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    key = Ed25519PublicKey.from_public_bytes(raw[1:])
    text = b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    line = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    assert heads._hint("PeterNeumann", key).hex() == "c74f20a3"
    assert heads._holds(line, text, key, "PeterNeumann")
    assert not heads._holds(line, text + b"x", key, "PeterNeumann")


@pytest.mark.parametrize("head", [HEAD, Head("log", 0, merkle.EMPTY, 0)])
def test_a_head_is_read_back(head: Head):
    assert heads.verify(heads.sign(head, KEY), KEY.public_key(), head.origin) == head


def test_a_witness_may_sign_it_too():
    other = Ed25519PrivateKey.from_private_bytes(b"8" * 32)
    text = heads.sign(HEAD, KEY)
    witnessed = text + heads.sign(HEAD, other).rpartition("\n\n")[2]
    assert heads.verify(witnessed, KEY.public_key(), HEAD.origin) == HEAD
    assert heads.verify(witnessed, other.public_key(), HEAD.origin) == HEAD


def test_whatever_is_changed_is_refused():
    text = heads.sign(HEAD, KEY)
    for place in range(len(text)):
        for letter in ("", "0", "\n"):
            changed = text[:place] + letter + text[place + 1 :]
            if changed.rstrip("\n") != text.rstrip("\n"):
                with pytest.raises(AttestError):
                    heads.verify(changed, KEY.public_key(), HEAD.origin)
    for key, origin in (
        (Ed25519PrivateKey.generate().public_key(), HEAD.origin),
        (KEY.public_key(), "other"),
    ):
        with pytest.raises(AttestError, match="not signed by this key"):
            heads.verify(text, key, origin)
    with pytest.raises(AttestError, match="no signed head"):
        heads.verify("x" * 70_000, KEY.public_key(), HEAD.origin)


@pytest.mark.parametrize(
    "body",
    [
        "forum.example/log\n012\nROOT\n",
        "forum.example/log\n-1\nROOT\n",
        "other.example\n12\nROOT\n",
        "forum.example/log\n12\nAAAA\n",
        "forum.example/log\n12\nROOT\ntime 07\n",
        "forum.example/log\n12\nROOT\nand more\n",
        "forum.example/log\n99999999999999999\nROOT\n",
        "forum.example/log\n12\n" + "A" * 42 + "B=\n",
    ],
)
def test_a_signature_does_not_excuse_a_malformed_head(body: str):
    body = body.replace("ROOT", base64.b64encode(HEAD.root).decode())
    mark = heads._hint(HEAD.origin, KEY.public_key()) + KEY.sign(body.encode())
    text = f"{body}\n— {HEAD.origin} {base64.b64encode(mark).decode()}\n"
    with pytest.raises(AttestError, match="malformed"):
        heads.verify(text, KEY.public_key(), HEAD.origin)


def test_an_origin_is_one_word():
    for origin in ("", "a b", "a+b", "a\nb", "a" * 257):
        with pytest.raises(AttestError, match="without spaces"):
            heads.sign(Head(origin, 0, merkle.EMPTY, 0), KEY)
