"""What a file begins with, and which source that is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe import engine
from spiritsafe.errors import InputError, UnknownFormat
from spiritsafe.registry import Extension, extensions
from spiritsafe.sources import _buckets
from spiritsafe.sources._blocks import blocks
from spiritsafe.sources._lines import BOM

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = 256 << 10
_LONGEST_HEAD: Final = 8 << 20
_RECORDS: Final = 64
_FAR: Final = 8 << 20
"""Bytes of a column that are asked of object storage at a time."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The beginning of a file.

    ``head``: its first bytes, decompressed; ``records``: the JSON objects among its first lines, or of its JSON
    document; ``document``: it is one JSON document that goes over several lines; ``columns``: of a Parquet file.
    """

    head: bytes
    records: tuple[dict[str, Any], ...] = ()
    document: bool = False
    columns: tuple[str, ...] | None = None

    @property
    def empty(self) -> bool:
        """Nothing but white space."""
        return self.columns is None and not self.head.strip()

    def has(self, *paths: str) -> bool:
        """Some record has all these keys; a dot goes one object deeper."""
        return any(all(_reach(record, path) for path in paths) for record in self.records)

    def mentions(self, key: str) -> bool:
        """A key of this name stands somewhere in the head, at any depth, even if no record is complete there."""
        return re.search(rb'"' + re.escape(key.encode()) + rb'"\s*:', self.head) is not None


def _reach(record: object, path: str) -> bool:
    for key in path.split("."):
        if not isinstance(record, dict) or key not in record:
            return False
        record = record[key]
    return record is not None


def take_sample(path: str) -> Sample:
    """Read the beginning of a file. Raises InputError or InputChanged that names it."""
    head = _head(path, _HEAD)
    if head.startswith(b"PAR1"):
        return Sample(head[:4], columns=tuple(parquet(path).schema_arrow.names))
    records = tuple(_objects(head.splitlines()[:_RECORDS]))
    if records or not head.lstrip().startswith((b"{", b"[")):
        return Sample(head, records)
    whole = head if len(head) < _HEAD else _head(path, _LONGEST_HEAD)
    try:
        value = json.loads(whole.decode("utf-8", "replace"))
    except ValueError:
        return Sample(head, document=len(whole) >= _LONGEST_HEAD and b"\n" in head.strip())
    elements = value if isinstance(value, list) else [value]
    found = tuple(item for item in elements[:_RECORDS] if isinstance(item, dict))
    return Sample(head, found, document=bool(found))


def _head(path: str, enough: int) -> bytes:
    """The first bytes: ``enough`` of them and one line end, but at most ``_LONGEST_HEAD``."""
    head = b""
    for block, _position in blocks(path, _HEAD):
        head += block.to_pybytes()
        if (len(head) >= enough and b"\n" in head) or len(head) >= _LONGEST_HEAD:
            break
    return head.removeprefix(BOM)


def _objects(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            value = json.loads(line.decode("utf-8", "replace"))
        except ValueError:
            continue
        if isinstance(value, dict) and value:
            yield value


def parquet(path: str) -> pq.ParquetFile:
    """Open a Parquet file. Raises InputError that names it when it is cut short or damaged."""
    try:
        if _buckets.remote(path):
            return pq.ParquetFile(_buckets.opened(path), pre_buffer=False, buffer_size=_FAR)
        return engine.parquet(path)
    except (pa.ArrowException, OSError) as error:
        _buckets.blame(path, error)
        raise InputError(
            "the Parquet file cannot be read: " + str(error).partition("\n")[0],
            where=path,
            hint="it is cut short or damaged: copy it again",
        ) from error


def tell(path: str, sample: Sample, wanted: str | None) -> Extension | None:
    """The source that reads this file; None for an empty file.

    ``wanted`` (``--format``) decides if given. Raises UnknownFormat when no source, or more than one, knows it.
    """
    sources = extensions("sources")
    if wanted is not None:
        source = sources.get(wanted)
        if source is None:
            raise UnknownFormat(f"no format is called {wanted}", hint="known: " + ", ".join(sources))
        if (sample.columns is not None) != (reads(source) == "rows") and not sample.empty:
            raise UnknownFormat(f"is not {wanted}", where=path, hint="leave --format out to have it told")
        return source
    if sample.empty:
        return None
    claims = [source for source in sources.values() if source.module.recognises(sample)]
    if len(claims) == 1:
        return claims[0]
    if claims:
        names = " or ".join(source.id for source in claims)
        raise UnknownFormat(f"could be {names}", where=path, hint="say which with --format")
    keys = sample.columns or (tuple(sample.records[0]) if sample.records else ())
    what = "it has " + ", ".join(keys[:12]) if keys else "it does not begin with JSON or Parquet"
    raise UnknownFormat(f"is no log format I know: {what}", where=path, hint="known: " + ", ".join(sources))


def reads(source: Extension) -> str:
    """``lines`` or ``rows``."""
    return getattr(source.module, "READS", "lines")
