"""Header fields that go on and those that end here (RFC 9110, section 7.6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Pairs = list[tuple[bytes, bytes]]
Fields = dict[bytes, bytes]
"""The first value of each field."""

#: Fields about one connection; `expect` is answered here, `content-length` and `transfer-encoding` are made anew.
HOP = frozenset(
    (
        b"connection",
        b"expect",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)

_USUAL = frozenset((b"close", b"keep-alive"))


def end_to_end(pairs: Iterable[tuple[bytes, bytes]]) -> Pairs:
    """The fields that travel the whole way, in order, duplicates included; names are lower case already."""
    kept: Pairs = []
    named: list[bytes] = []
    for pair in pairs:
        if pair[0] in HOP:
            if pair[0] == b"connection":
                named += [token.strip().lower() for token in pair[1].split(b",")]
        else:
            kept.append(pair)
    # What `connection` names ends here, too; but nobody may name away what frames or routes a message.
    gone = {name for name in named if name not in {b"", b"close", b"keep-alive", b"host", b"content-length"}}
    return [pair for pair in kept if pair[0] not in gone] if gone else kept


def fields(pairs: Sequence[tuple[bytes, bytes]]) -> Fields:
    """The first value of each field."""
    return dict(reversed(pairs))


class Onward(dict[bytes, bool]):
    """By name: whether a field of a request goes on to the model server. ``never``: names that do not, beside ``HOP``.

    Answers are kept, for names of ordinary length and so many of them.
    """

    MOST, LONGEST = 1_024, 64

    def __init__(self, never: Iterable[bytes]) -> None:
        super().__init__()
        self._never = frozenset(never)

    def __missing__(self, name: bytes) -> bool:
        """Names with _ for - are those of which a server behind may make the same."""
        goes = (
            name not in HOP
            and name not in self._never
            and name.replace(b"_", b"-") not in self._never
            and not name.startswith((b"x-spiritsafe-", b"x_spiritsafe_"))
        )
        if len(name) <= self.LONGEST and len(self) < self.MOST:
            self[name] = goes
        return goes

    def of(self, pairs: Pairs, known: Fields) -> Pairs:
        """The fields of ``pairs`` that go on, in order; ``known`` are their ``fields``."""
        told = known.get(b"connection")
        if told is not None and told.lower() not in _USUAL:
            pairs = end_to_end(pairs)
        return [pair for pair in pairs if self[pair[0]]]


def first(pairs: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first field called ``name``."""
    for key, value in pairs:
        if key == name:
            return value
    return None
