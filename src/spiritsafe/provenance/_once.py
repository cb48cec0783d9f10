"""What a run computes once and asks for again: tokens, surrogates, weights, evidence of keys.

A run calls each test dozens of times on the same answers under other labels. Inside ``keeping``, a value is made once for the
same things it is made of, and is the same to the last bit as one that is made anew; outside, nothing is kept. What is kept is
shared: nobody may write into it.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable

T = TypeVar("T")

# By name, numbers and the identity of what it is made of; that is held as well, so that no other gets its identity.
_KEPT: ContextVar[dict[Hashable, tuple[tuple[object, ...], Any]] | None] = ContextVar("kept", default=None)


@contextmanager
def keeping() -> Generator[None]:
    """Keep what ``once`` makes until the block ends."""
    before = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(before)


def once(name: str, of: tuple[object, ...], make: Callable[[], T], *, by: tuple[Hashable, ...] = ()) -> T:
    """What ``make`` gives, which must follow from ``name``, the very objects ``of`` and the values ``by`` alone."""
    kept = _KEPT.get()
    if kept is None:
        return make()
    at = (name, *map(id, of), *by)
    if at not in kept:
        kept[at] = (of, make())
    return cast("T", kept[at][1])


def once_of_texts(
    name: str, texts: pa.Array | pa.ChunkedArray, of: tuple[object, ...], make: Callable[[], T]
) -> T:
    """The same for a column of strings, which is known again by its content: filters make new columns of the same texts."""
    if _KEPT.get() is None:
        return make()
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("", whole.type)])) as out:
        out.write_batch(pa.record_batch([whole], names=[""]))
    return once(name, of, make, by=(hashlib.sha256(sink.getvalue()).digest(),))
