"""A signature inside a STIX object: detached DSSE in a property extension, so that it survives other servers' stores.

What is signed is the canonical JSON of the object without this extension. Key order, white space and the layout of
numbers may change on the way; a changed, added or removed property breaks it.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.attest import dsse, keys
from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import AttestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

EXTENSION = "extension-definition--f2cd7f81-1170-595e-8d99-a431c3b04a7a"
PAYLOAD_TYPE = "application/vnd.spiritsafe.stix+json"
_CANONICAL = re.compile(r"[A-Za-z0-9+/]{85}[AQgw]==\Z")  # 64 bytes of base64, spare bits zero
_KIND = "property-extension"
_FIELDS = frozenset({"extension_type", "keyid", "sig"})


def sign_object(stix: Mapping[str, Any], key: Ed25519PrivateKey, keyid: str | None = None) -> dict[str, Any]:
    """The object with ``key``'s signature in it, in place of an earlier one. Raises AttestError when it is not JSON."""
    bare = _bare(dict(stix))
    mark = {
        "extension_type": _KIND,
        "keyid": keyid or keys.keyid(key.public_key()),
        "sig": base64.b64encode(key.sign(dsse.pae(PAYLOAD_TYPE, jcs(bare)))).decode(),
    }
    return {**bare, "extensions": {**bare.get("extensions", {}), EXTENSION: mark}}


def verify_object(
    stix: Mapping[str, Any],
    known: Mapping[str, Ed25519PublicKey],
    *,
    fits: Callable[[Ed25519PublicKey, bytes, str], bool] = dsse.fits,
) -> str:
    """The key id, of those ``known``, whose signature in the object holds. ``fits`` checks one signature.

    Raises AttestError when there is none, its key is unknown, or the object is not what was signed.
    """
    where = str(stix.get("id", ""))[:128]
    extensions = stix.get("extensions")
    mark = extensions.get(EXTENSION) if isinstance(extensions, dict) else None
    if not isinstance(mark, dict) or mark.keys() != _FIELDS or mark["extension_type"] != _KIND:
        raise AttestError("the object carries no signature of its author", where=where)
    fields = cast("dict[str, Any]", mark)
    keyid, signature = fields["keyid"], fields["sig"]
    if not isinstance(keyid, str) or not isinstance(signature, str) or keyid not in known:
        raise AttestError("the object is signed with a key that nobody here has", where=where)
    message = dsse.pae(PAYLOAD_TYPE, jcs(_bare(dict(stix))))
    # One text for one signature: else anyone could make a second object out of a signed one.
    if not _CANONICAL.match(signature) or not fits(known[keyid], message, signature):
        raise AttestError("the object is not what its author signed", where=where)
    return keyid


def _bare(stix: dict[str, Any]) -> dict[str, Any]:
    """The object without the signature; ``extensions`` vanishes with its last entry."""
    extensions = stix.get("extensions")
    if isinstance(extensions, dict):
        rest = {name: value for name, value in extensions.items() if name != EXTENSION}
        if rest:
            stix["extensions"] = rest
        else:
            del stix["extensions"]
    return stix
