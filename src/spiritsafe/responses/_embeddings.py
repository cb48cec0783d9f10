"""Embeddings: ``POST /v1/embeddings``. The answer is vectors: it has usage, but no text."""

from __future__ import annotations

from spiritsafe.responses._chat import openai_asked
from spiritsafe.responses._shapes import Asked, Dialect, Tally


def _asked(body: object) -> Asked:
    if not isinstance(body, dict):
        return Asked("embeddings")
    return openai_asked(body, body.get("input"), "embeddings")


class EmbeddingsTally(Tally):
    """Usage of an embeddings answer."""

    __slots__ = ()

    def add(self, document: object, event_name: str | None = None) -> None:  # noqa: ARG002 - never streamed
        """Take the answer."""
        if isinstance(document, dict):
            self.spend(document.get("usage"))


EMBEDDINGS = Dialect("embeddings", "openai", "embeddings", makes=True, asked=_asked, tally=EmbeddingsTally)
