"""Parts: what is kept of a file, or of a piece of a large one, once its text was read (``docs/state.md``).

A part lies in a folder that is written under another name, made durable and renamed: it is there whole or not at all.
Its name is a hash of what it was made of, so whoever needs it knows where it would be.
"""

from __future__ import annotations

import json
import shutil
import uuid
import zlib
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe import __version__, errors, pipeline, sources
from spiritsafe.campaigns.stored import Table
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.features import FINGERPRINT_VERSION
from spiritsafe.staging import place, sync

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT = 1
"""Of the files of a part; another number makes all parts anew."""
MADE_BY = (FORMAT, __version__, FINGERPRINT_VERSION)
"""Parts of other versions are passed over."""
MAKING, GONE = ".making-", ".gone-"
PACK = "pack-"
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Part:
    """What was kept of one file or piece.

    ``path``, ``size``, ``modified`` (nanoseconds): of the file; ``format``: the one asked for, if any; ``piece``: its number,
    and how many the file has. ``rows`` exchanges, with times from ``first`` to ``last`` (microseconds; 0 without any);
    ``lines``: number of the last line; ``taken``: when, microseconds. ``present`` and ``scanned`` as ``sources.Reading``
    counts them. ``folder``: where it lies, from row ``at`` on (a pack holds many), and from row ``rejected_at`` of the
    records set aside.
    """

    name: str
    path: str
    size: int
    modified: int
    format: str | None
    piece: tuple[int, int]
    rows: int
    first: int
    last: int
    lines: int
    taken: int
    present: tuple[str, ...]
    scanned: dict[str, Any]
    folder: Path
    at: int = 0
    rejected_at: int = 0

    @property
    def facts(self) -> tuple[int, int]:
        """Size and time of change of its file."""
        return self.size, self.modified


def key(item: Mapping[str, Any]) -> str:
    """The name of the part that ``item`` gives: 32 hex digits."""
    names = ("path", "size", "modified", "format", "span", "since", "until")
    told = [*MADE_BY, *(item[name] for name in names)]
    return blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()


def number(name: str) -> int:
    """A folder's name as a signed 64-bit integer, for joins."""
    return int.from_bytes(bytes.fromhex(name.removeprefix(PACK)[:16]), "big", signed=True)


def read(folder: Path) -> list[Part] | None:
    """The parts in a folder, none if another version made it; None when files of it are missing or of another size."""
    try:
        told = json.loads((folder / "part.json").read_text("utf-8"))
        if tuple(told["made_by"]) != MADE_BY:
            return []
        if any((folder / name).stat().st_size != size for name, (size, _) in told["files"].items()):
            return None
        return [part(one, folder) for one in told["parts"]]
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
        return None


def part(told: Mapping[str, Any], folder: Path) -> Part:
    """A part as its record tells."""
    known: dict[str, Any] = {**told, "piece": tuple(told["piece"]), "present": tuple(told["present"])}
    return Part(**known, folder=folder)


def record(one: Part) -> dict[str, Any]:
    """A part as JSON keeps it."""
    told = asdict(one)
    del told["folder"]
    return told


def rejected(one: Part) -> pa.Table:
    """The records of a part that were set aside: ``line``, ``reason``, ``raw``."""
    count = one.scanned["rejected"]
    if not count:
        return pa.table(
            {
                "line": pa.array([], pa.int64()),
                "reason": pa.array([], pa.string()),
                "raw": pa.array([], pa.string()),
            }
        )
    return pq.read_table(one.folder / "rejected.parquet").slice(one.rejected_at, count)


def files(folder: Path) -> list[str]:
    """Of which files a folder has parts, as far as can be told; else the folder itself."""
    try:
        return [str(one["path"]) for one in json.loads((folder / "part.json").read_text("utf-8"))["parts"]]
    except (OSError, ValueError, KeyError, TypeError):
        return [str(folder)]


def sound(folder: Path) -> bool:
    """Whether each file of a folder has the checksum that was taken of it."""
    try:
        files = json.loads((folder / "part.json").read_text("utf-8"))["files"]
        return all(checksum(folder / name) == told for name, told in files.items())
    except (OSError, ValueError, KeyError):
        return False


def checksum(path: Path) -> list[int]:
    """Bytes and CRC-32 of a file."""
    size = crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return [size, crc]


def make(item: Mapping[str, Any], engine: DuckDB | None = None, *, threads: int = 1) -> Part:
    """Read a file, or a piece, and put its part in its place. Raises InputError, InputChanged, StorageError.

    ``item``: ``path``, ``size``, ``modified``, ``format``, ``span`` and ``first`` (``sources.Piece``), ``piece``, ``since``,
    ``until``, ``batch_rows``, ``memory``, ``taken``, and ``folder``, its place. Without ``engine`` it makes one of its own.
    """
    final = Path(item["folder"])
    making = final.with_name(f"{MAKING}{final.name}-{uuid.uuid4().hex[:8]}")
    try:
        making.mkdir(parents=True)
        if engine is None:
            with DuckDB(making / "engine", memory=item["memory"], threads=threads) as own:
                made = _read(item, own, making, threads)
            shutil.rmtree(making / "engine")
        else:
            made = _read(item, engine, making, threads)
        finish(making, [made])
        return publish(making, final)[0]
    except errors.InputError:
        _unchanged(item)
        raise
    except OSError as error:
        raise errors.StorageError(
            f"cannot write: {error.strerror or error}",
            where=str(error.filename or final),
            hint="make room or choose another folder; what was read is kept",
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


def finish(making: Path, found: Sequence[Part]) -> None:
    """Write down what a folder holds."""
    files = {path.name: checksum(path) for path in sorted(making.iterdir())}
    told = {"made_by": MADE_BY, "files": files, "parts": [record(one) for one in found]}
    (making / "part.json").write_text(json.dumps(told, sort_keys=True), "utf-8")


def publish(making: Path, final: Path) -> list[Part]:
    """Give a finished folder its name; the parts that are there then, be they another's who was first."""
    try:
        place(making, final)
    except OSError:
        there = read(final)
        if there is None:
            raise
        return there
    found = read(final)
    assert found is not None  # noqa: S101 - it was just written
    return found


def remove(folder: Path) -> None:
    """Take a folder away, in one step."""
    gone = folder.with_name(f"{GONE}{folder.name}-{uuid.uuid4().hex[:8]}")
    folder.rename(gone)
    sync(folder.parent)
    shutil.rmtree(gone, ignore_errors=True)


def _unchanged(item: Mapping[str, Any]) -> None:
    try:
        facts = sources.facts(item["path"])
    except OSError:
        facts = None
    if facts != (item["size"], item["modified"]):
        raise errors.InputChanged(
            "the file changed or vanished while it was read",
            where=item["path"],
            hint="scan a copy, or files that are no longer written to",
        )


def _read(item: Mapping[str, Any], engine: DuckDB, making: Path, threads: int) -> Part:
    _unchanged(item)
    mark, rows = number(Path(item["folder"]).name), 0
    first, last = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    rejected = _Rejected(making / "rejected.parquet")
    reading = sources.read(
        [item["path"]],
        format=item["format"],
        engine=engine,
        rejects=rejected,
        since=item["since"],
        until=item["until"],
        batch_rows=item["batch_rows"],
        piece=sources.Piece(tuple(item["span"]) if item["span"] else None, item["first"]),
    )
    with (
        (making / "projection.bin").open("wb") as points,
        Table(making / "sketch.parquet") as narrow,
        Table(making / "text.parquet") as text,
    ):
        for made, projections, kept in pipeline.sketches(reading, threads=threads):
            points.write(projections)
            narrow.write(placed(made.drop_columns(["source_file"]), mark, rows))
            text.write(kept)
            time = made.column("time").to_numpy()
            rows, first, last = rows + time.size, min(first, time.min()), max(last, time.max())
    _unchanged(item)
    scanned = {name: reading.scanned[name] for name in (*sources.COUNTS, "unread", "unknown_columns")}
    return Part(
        name=item["name"], path=item["path"], size=item["size"], modified=item["modified"], format=item["format"],
        piece=tuple(item["piece"]), rows=rows, first=int(first) if rows else 0, last=int(last) if rows else 0,
        lines=reading.lines, taken=item["taken"], present=tuple(sorted(reading.present)),
        scanned={**scanned, "format": next(iter(reading.scanned["formats"].values()))}, folder=making,
    )  # fmt: skip


def placed(made: pa.RecordBatch, mark: int, before: int) -> pa.RecordBatch:
    """The sketch with the number of its folder and the place of each row in it."""
    made = made.append_column("part", pa.array(np.full(made.num_rows, mark, np.int64)))
    return made.append_column("place", pa.array(np.arange(before, before + made.num_rows)))


class _Rejected(sources.Rejects):
    """Records set aside as a Parquet file: ``line``, ``reason``, ``raw``. Who tells of them puts in the file's name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def write(self, table: pa.Table, paths: Sequence[str], engine: DuckDB) -> None:
        del paths
        if not len(table):
            return
        engine.register("rejected", table.drop_columns(["file"]))
        kept = engine.table(f"SELECT line, reason, {sources.SHOWN} AS raw FROM rejected ORDER BY line")
        engine.unregister("rejected")
        if self._file is None:
            self._file = pq.ParquetWriter(self._path, kept.schema, compression="zstd")
        self._file.write_table(kept)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
