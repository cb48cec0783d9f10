"""Canaries: small invented details, one of many equally good variants of which is served, drawn by a secret coin.

Prompts ask to make something up, so no variant is untrue; the grammar (``canaries.toml``) names no real person or place
and no topic on which somebody might act. Everything follows from the canary's secret, so one commitment binds it all.
"""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from spiritsafe.errors import UsageError
from spiritsafe.provenance._seal import canonical, digest

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Canary:
    """One canary: ``answers`` are its variants, a few words each, ``served`` the number of the one that may leave.

    ``form``: the sentence around a variant, with ``{}`` in its place.
    """

    canary_id: str
    campaign_id: str
    prompt: str
    form: str
    answers: tuple[str, ...]
    served: int

    @property
    def content(self) -> str:
        """Digest of all variants and of which one is served."""
        told = [self.canary_id, self.campaign_id, self.prompt, self.form, list(self.answers), self.served]
        return digest(canonical(told))

    def says(self, variant: int) -> str:
        """The whole answer with one of the variants."""
        return self.form.replace("{}", self.answers[variant])


@cache
def grammar() -> tuple[dict[str, Any], str]:
    """The committed grammar and its digest."""
    text = files("spiritsafe.provenance").joinpath("canaries.toml").read_bytes()
    return tomllib.loads(text.decode()), digest(text)


def draw(secret: bytes, canary_id: str, campaign_id: str, variants: int) -> Canary:
    """The canary of a secret. Raises UsageError when the grammar has not so many variants."""
    table, _ = grammar()
    words = table["words"]
    many = len(words["quality"]) * len(words["object"])
    if not 2 <= variants <= many // 4:
        raise UsageError(f"a canary has from 2 to {many // 4} variants, not {variants}")
    below = _numbers(secret, "frame")
    form = table["form"][below(len(table["form"]))]
    frame = {name: words[name][below(len(words[name]))] for name in ("who", "place")}
    frame["where"] = words["begin"][below(len(words["begin"]))] + words["end"][below(len(words["end"]))]
    below, things = _numbers(secret, "variants"), dict[str, None]()
    while len(things) < variants:
        quality, thing = words["quality"], words["object"]
        things[f"{quality[below(len(quality))]} {thing[below(len(thing))]}"] = None
    sentence = form["answer"].format(**frame, thing="{}")
    served = _numbers(secret, "coin")(variants)
    return Canary(canary_id, campaign_id, form["prompt"].format(**frame), sentence, tuple(things), served)


def _numbers(secret: bytes, label: str) -> Callable[[int], int]:
    """``below(n)`` draws uniformly from 0 … n-1: HMAC-SHA256 of a counter, values over the last full round thrown away."""
    at = 0

    def below(n: int) -> int:
        nonlocal at
        while True:
            block = hmac.new(secret, f"{label}\0{at}".encode(), hashlib.sha256).digest()
            at += 1
            value = int.from_bytes(block[:8])
            if value < (1 << 64) // n * n:
                return value % n

    return below
