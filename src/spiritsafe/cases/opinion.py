"""Opinions: what a person thinks of something in a case, in their own words, signed if they have a key.

Only here may somebody be named: the software says what was seen, and who stands behind it is a person's judgement.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from spiritsafe.attest import dsse
from spiritsafe.attest.canonical import jcs
from spiritsafe.cases import folder
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.cases.folder import Item

JUDGEMENTS = ("strongly-disagree", "disagree", "neutral", "agree", "strongly-agree")
"""The scale of STIX 2.1's opinions."""
PAYLOAD = "application/vnd.spiritsafe.opinion+json"
FILE = "opinion.json"


def add(
    case: Path,
    *,
    about: str,
    judgement: str,
    text: str,
    by: str,
    why: str,
    now: int,
    key: Ed25519PrivateKey | None = None,
) -> Item:
    """Add what ``by`` thinks of ``about`` (an item, a campaign, an order). Raises UsageError.

    The ledger shows who, about what and the judgement; the text may be withheld.
    """
    if judgement not in JUDGEMENTS:
        raise UsageError(f"there is no judgement {judgement!r}", hint=f"one of: {', '.join(JUDGEMENTS)}")
    if not text.strip():
        raise UsageError("an opinion needs words", hint="--text")
    # The nonce keeps a short text from being guessed by the signature's length of content.
    said: dict[str, Any] = {
        "about": about, "judgement": judgement, "text": text, "by": by, "time": now, "nonce": secrets.token_hex(16),
    }  # fmt: skip
    data = jcs(dsse.sign(jcs(said), PAYLOAD, key)) if key else jcs(said)
    told = {"about": about, "judgement": judgement, "signed": key is not None}
    return folder.add(case, "opinion", by=by, why=why, now=now, about=told, files={FILE: data})
