"""What a member checks of the hub's log, with nothing but the standard library, `attest` and the log's public key.

A client keeps the newest head it has seen. At each visit it asks for the head, checks that the log only grew (`grown`), and for
each object it pulled that the log has it (`included`). Members who compare heads find a hub that shows two logs.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.attest import heads, merkle
from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import AttestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from spiritsafe.attest.heads import Head


def leaf_of(stix: Mapping[str, Any]) -> bytes:
    """The leaf hash of an object as the hub served it, whatever its layout is now."""
    return merkle.leaf_hash(jcs(dict(stix)))


def signed_head(answer: object, key: Ed25519PublicKey, origin: str) -> Head:
    """The head in the answer of ``/forum/log/head``. Raises AttestError."""
    text = cast("dict[str, Any]", answer).get("head") if isinstance(answer, dict) else None
    if not isinstance(text, str):
        raise AttestError("this is no head of a log", where=origin)
    return heads.verify(text, key, origin)


def included(stix: Mapping[str, Any], answer: object, head: Head) -> int:
    """The position of the object in the log, from the answer of ``/forum/log/proof``. Raises AttestError.

    ``size`` in the question must have been that of ``head``.
    """
    index, size, proof = _parts(answer, "index", "size")
    if size != head.size:
        raise AttestError(f"the proof is for {size} leaves, the head has {head.size}", where=head.origin)
    merkle.verify_inclusion(index, size, leaf_of(stix), proof, head.root)
    return index


def grown(old: Head, new: Head, answer: object) -> None:
    """Check from the answer of ``/forum/log/consistency`` that ``new`` goes on from ``old``. Raises AttestError."""
    if old.origin != new.origin:
        raise AttestError("these are heads of two logs", where=new.origin)
    if new.size < old.size:
        raise AttestError(f"the log had {old.size} leaves and now has {new.size}", where=new.origin)
    first, second, proof = _parts(answer, "first", "second")
    if (first, second) != (old.size, new.size):
        raise AttestError("the proof is for other heads", where=new.origin)
    merkle.verify_consistency(old.size, new.size, old.root, new.root, proof)


def whole(leaves: Iterable[str], head: Head) -> None:
    """Check all leaf hashes, as ``/forum/log/leaves`` gives them page by page, against a head. Raises AttestError.

    For who pulls everything: one pass instead of a proof for each object.
    """
    try:
        tree = merkle.Tree().extended(bytes.fromhex(leaf) for leaf in leaves)
    except ValueError as error:
        raise AttestError("this is no leaf hash", where=head.origin) from error
    if (tree.size, tree.root()) != (head.size, head.root):
        raise AttestError("these leaves are not those of the head", where=head.origin)


def _parts(answer: object, first: str, second: str) -> tuple[int, int, list[bytes]]:
    fields = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    numbers = [fields.get(name) for name in (first, second)]
    proof = fields.get("proof")
    if any(type(number) is not int for number in numbers) or not isinstance(proof, list):
        raise AttestError("this is no proof of a log")
    try:
        parts = [base64.b64decode(part, validate=True) for part in cast("list[Any]", proof)]
    except (TypeError, ValueError, binascii.Error) as error:
        raise AttestError("this is no proof of a log") from error
    return cast("int", numbers[0]), cast("int", numbers[1]), parts
