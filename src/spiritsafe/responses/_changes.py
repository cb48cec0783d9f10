"""Applies the orders' changes to an answer, and keeps the numbering of a stream whole where something was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spiritsafe.model import Order
    from spiritsafe.registry import Extension
    from spiritsafe.responses._shapes import Dialect, Document


class Changes:
    """The changes to one answer: make one for each, and give it the whole document or each event in turn.

    A response's ``answer`` looks at one event alone. When it leaves out the start of a content block (Anthropic), the block's
    other events go too, and later blocks move up: official clients count blocks by their starts.
    """

    __slots__ = ("_dialect", "_gone", "_steps", "_streamed")

    def __init__(
        self, dialect: Dialect, orders: Iterable[tuple[Extension, Order]], *, streamed: bool
    ) -> None:
        self._dialect = dialect.id
        self._streamed = streamed
        self._gone: set[int] = set()
        self._steps: list[tuple[Callable[..., Document | None], Order]] = []
        for extension, order in orders:
            change = getattr(extension.module, "answer", None)
            begin = getattr(extension.module, "begin", None)
            if streamed and begin is not None:
                change = begin(order)
            if change is not None:
                self._steps.append((change, order))

    def __bool__(self) -> bool:
        """Whether any order changes answers; if not, bytes go through as they come."""
        return bool(self._steps)

    def __call__(self, document: Any) -> Any:
        """``document`` itself when nothing changes in it, a changed copy, or None when the event is left out."""
        if not isinstance(document, dict):
            return document
        changed: Document | None = document
        for change, order in self._steps:
            if changed is None:
                break
            changed = change(self._dialect, changed, order, streamed=self._streamed)
        if self._dialect != "messages" or not self._streamed:
            return changed
        return self._renumbered(document, changed)

    def _renumbered(self, document: Document, changed: Document | None) -> Document | None:
        index = document.get("index")
        if type(index) is not int:
            return changed
        if changed is None and document.get("type") == "content_block_start":
            self._gone.add(index)
        if changed is None or not self._gone:
            return changed
        if index in self._gone:
            return None
        before = sum(gone < index for gone in self._gone)
        return {**changed, "index": index - before} if before else changed
