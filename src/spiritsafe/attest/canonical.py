"""Canonical JSON (RFC 8785, JCS) and a strict reader (I-JSON, RFC 7493): one value, one sequence of bytes.

What is signed, hashed or logged goes through here, so that a signature survives servers and tools that lay out JSON
their own way. A value that has two readings elsewhere (a name that stands twice, NaN, an integer beyond 2^53, half of
a surrogate pair) has none here.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NoReturn, cast

from spiritsafe.errors import AttestError

try:
    import orjson
except ImportError:  # slower, and the same bytes
    orjson = None

DEPTH = 64
"""Levels of nesting that are read or written; STIX needs about 8."""
EXACT = 2**53 - 1
"""Beyond it, neighbouring integers are the same double, and readers disagree."""
_ES6_PLAIN = 21  # ECMA-262, Number::toString: up to so many digits an integer is written out
_ES6_SMALL = -6
_ESCAPES = json.encoder.encode_basestring  # as RFC 8785 wants it: the shortest escapes, \u00xx in lower case


def jcs(value: Any, *, depth: int = DEPTH) -> bytes:
    """The canonical bytes of a JSON value: dict with string keys, list, str, int, float, bool, None and nothing else.

    Raises AttestError when ``value`` is no such thing, nests deeper than ``depth`` or holds a number or text that has
    no canonical form.
    """
    shape = _Shape()
    shape.look(value, depth)
    try:
        if orjson is not None and shape.simple:
            # The same by construction: no floats, whose notation differs, and ASCII names only, whose order is one.
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return _written(value).encode()
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        raise AttestError("text with half of a surrogate pair has no canonical form") from error


def read(data: bytes, *, depth: int = DEPTH) -> Any:
    """The one JSON value in ``data``. Raises AttestError for what is malformed, ambiguous or nested too deep.

    ``data`` is UTF-8; the caller bounds its length before.
    """
    try:
        value, names = _parsed(data)
    except (ValueError, RecursionError) as error:
        raise AttestError("this is not JSON", hint="RFC 8259 in UTF-8, without NaN or Infinity") from error
    shape = _Shape(exact=True)
    shape.look(value, depth)
    if shape.names < (_names(data, shape.names) if names is None else names):
        raise AttestError("a name stands twice in one object, so that it has two readings")
    return value


def _parsed(data: bytes) -> tuple[Any, int | None]:
    """The value, and how many names the source has, where that is known."""
    if orjson is not None:
        return orjson.loads(data), None
    names = 0

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal names
        names += len(found)
        return dict(found)

    value = json.loads(
        data.decode(), object_pairs_hook=pairs, parse_constant=_no_constant, parse_int=_integer
    )
    json.dumps(
        value, ensure_ascii=False
    ).encode()  # UnicodeEncodeError, a ValueError: half of a surrogate pair
    return value, names


def _names(data: bytes, least: int) -> int:
    """How many names a text has that is known to be JSON, and to have at least ``least``."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(
            b'\\"', b""
        )  # from here on quotes only begin and end strings
    if not any(space in data for space in (b" :", b"\n:", b"\r:", b"\t:")) and data.count(b'":') == least:
        return least  # each name is counted; a text that begins with a colon would be, too, but then there are more
    return sum(part.count(b":") for part in data.split(b'"')[::2])


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _integer(text: str) -> int | float:
    return int(text) if len(text) < len(str(EXACT)) + 2 else float(text)  # int() of many digits takes long


class _Shape:
    """What a walk over a value finds."""

    __slots__ = ("exact", "names", "simple")

    def __init__(self, *, exact: bool = False) -> None:
        self.names = 0
        self.simple = True  # neither a float nor a name beyond ASCII
        self.exact = exact  # refuse a float that may have been written as an integer

    def look(self, value: Any, depth: int) -> None:
        """Count, and raise AttestError for what is not JSON."""
        kind = type(value)
        if kind is dict:
            self._inside(depth)
            found = cast("dict[Any, Any]", value)
            self._named(found)
            for inner in found.values():
                if type(inner) is not str:  # most are, and a call costs
                    self.look(inner, depth - 1)
        elif kind is list:
            self._inside(depth)
            for inner in value:
                if type(inner) is not str:
                    self.look(inner, depth - 1)
        elif kind is int or kind is float:
            self._count(value)
        elif not (kind is str or value is None or kind is bool):
            raise AttestError(f"{kind.__name__} is no JSON")

    def _named(self, found: dict[Any, Any]) -> None:
        self.names += len(found)
        for name in found:
            if type(name) is not str:
                raise AttestError(f"a name must be text, not {type(name).__name__}")
            if not name.isascii():
                self.simple = False

    @staticmethod
    def _inside(depth: int) -> None:
        if depth <= 0:
            raise AttestError("nested too deep")

    def _count(self, value: float) -> None:
        if type(value) is int:
            if not -EXACT <= value <= EXACT:
                raise AttestError("a number beyond 2^53 has no exact reading", hint="write it as text")
            return
        self.simple = False
        if not isfinite(value):
            raise AttestError("JSON has no NaN and no infinity")
        if self.exact and not -EXACT <= value <= EXACT:
            raise AttestError("a number beyond 2^53 has no exact reading", hint="write it as text")


def _written(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return _ESCAPES(value)
    if kind is dict:
        found = cast("dict[str, Any]", value)
        # By UTF-16 code units, which differs from code points where surrogates meet U+E000 and up.
        ordered = sorted(found.items(), key=lambda item: item[0].encode("utf-16-be"))
        return "{" + ",".join(f"{_ESCAPES(name)}:{_written(inner)}" for name, inner in ordered) + "}"
    if kind is list:
        return "[" + ",".join(_written(inner) for inner in value) + "]"
    if kind is float:
        return _number(value)
    return {None: "null", True: "true", False: "false"}[value] if kind is not int else str(value)


def _number(value: float) -> str:
    """ECMA-262, Number::toString. Python's repr has the same digits: the shortest that read back to this double."""
    if value == 0:
        return "0"
    if value < 0:
        return "-" + _number(-value)
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    point = len(whole) + int(exponent or 0)
    point -= len(digits) - len(digits.lstrip("0"))
    digits = digits.strip("0")
    count = len(digits)
    if count <= point <= _ES6_PLAIN:
        return digits + "0" * (point - count)
    if 0 < point <= _ES6_PLAIN:
        return f"{digits[:point]}.{digits[point:]}"
    if _ES6_SMALL < point <= 0:
        return "0." + "0" * -point + digits
    tail = f".{digits[1:]}" if count > 1 else ""
    return f"{digits[0]}{tail}e{point - 1:+d}"
