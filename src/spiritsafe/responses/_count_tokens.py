"""Anthropic's token counting: ``POST /v1/messages/count_tokens``. Nothing is generated."""

from __future__ import annotations

from spiritsafe.responses._messages import messages_asked
from spiritsafe.responses._shapes import Asked, Dialect, Tally, first, integer


def _asked(body: object) -> Asked:
    return messages_asked(body, "count_tokens")


class CountTally(Tally):
    """The count."""

    __slots__ = ()

    def add(self, document: object, event_name: str | None = None) -> None:  # noqa: ARG002 - never streamed
        """Take the answer."""
        if isinstance(document, dict):
            self.input = first(integer, document, "input_tokens")


COUNT_TOKENS = Dialect(
    "count_tokens", "anthropic", "count_tokens", makes=False, asked=_asked, tally=CountTally
)
