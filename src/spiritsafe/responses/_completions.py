"""Legacy completions: ``POST /v1/completions``."""

from __future__ import annotations

from spiritsafe.responses._chat import ChatTally, openai_asked
from spiritsafe.responses._shapes import Asked, Dialect


def _asked(body: object) -> Asked:
    if not isinstance(body, dict):
        return Asked("completion")
    return openai_asked(body, body.get("prompt"), "completion")


COMPLETIONS = Dialect("completions", "openai", "completion", makes=True, asked=_asked, tally=ChatTally)
