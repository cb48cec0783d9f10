"""Delta and Iceberg tables -> the Parquet files that their newest state is made of.

A table's folder also holds files of earlier states; its log says which ones count. Both logs are read by the formats' own Python
packages, which need no JVM, so a table is an input for every engine. What would need more than reading files (deleted rows
kept beside them, renamed columns, canonical columns that are in the folders' names only) is refused in plain words, and so is
a log that names what lies outside the table's folder: a table says what it is made of, not what else is read, by what, or where.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pyarrow as pa
from pyarrow.fs import LocalFileSystem

from spiritsafe.errors import InputError, UsageError
from spiritsafe.schema import NAMES
from spiritsafe.sources import _buckets

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_READ = {"columnMapping": "renamed columns", "deletionVectors": "deleted rows kept beside its files"}
_STATE = re.compile(r"metadata/[^/]*\.metadata\.json")
"""Where an Iceberg table tells a state of itself."""
_HINT = "metadata/version-hint.text"
_S3 = ("s3", "s3a", "s3n")
"""Names of the one protocol."""
_ABSOLUTE = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*:")
_STORE = ("AWS Error", "Generic S3 error")
"""What the readers' errors say where the store failed, and not the table."""


def table_files(folder: str, names: Collection[str] | None = None) -> list[str] | None:
    """The data files of the table in ``folder``, sorted; None when it is an ordinary folder.

    ``names``: paths below a folder in object storage, which is not listed here. Raises InputError, InputUnreachable, UsageError.
    """
    if names is None:
        names = [f"metadata/{path.name}" for path in Path(folder).glob("metadata/*.metadata.json")]
        names += [_HINT] if Path(folder, _HINT).is_file() else []
        names += ["_delta_log/"] if Path(folder, "_delta_log").is_dir() else []
    if any(name.startswith("_delta_log/") for name in names):
        name, read = "Delta", _delta
    elif any(map(_STATE.fullmatch, names)):
        name, read = "Iceberg", partial(_iceberg, names)
    else:
        return None
    try:
        found = read(folder)
    except ImportError as error:
        raise UsageError(
            f"the folder is a table in {name}'s format, which needs the package {(error.name or '').partition('.')[0]}",
            where=folder,
            hint="pip install 'spiritsafe[lakehouse]'",
        ) from error
    except (InputError, UsageError):
        raise
    except Exception as error:  # the packages have many errors for a damaged log
        if _buckets.remote(folder) and any(said in str(error) for said in _STORE):
            raise _buckets.failed(folder, error) from error
        said = _buckets.shown(str(error).partition("\n")[0])
        raise InputError(f"the {name} table cannot be read: {said}", where=folder) from error
    return sorted(found)


def _delta(folder: str) -> list[str]:
    from deltalake import DeltaTable  # noqa: PLC0415 - an extra

    if "%" in folder:
        raise InputError(
            "a Delta table whose path has a % is not read: its package takes that for an escape",
            where=folder,
            hint="name the folder anew, or the table's Parquet files",
        )
    made: Any = DeltaTable
    if _buckets.remote(folder):
        # As a URL, or what follows a # or ? is cut off, and another table's log is read.
        address = _buckets.SCHEME + quote(folder.removeprefix(_buckets.SCHEME))
        table = made(address, storage_options=_asked(folder))
    else:
        table = made(folder)
    needs: set[str] = set(table.protocol().reader_features or ())
    metadata: Any = table.metadata()
    if metadata.configuration.get("delta.columnMapping.mode", "none") == "none":
        needs.discard("columnMapping")
    if "deletionVectors" in needs and not pa.table(table.deletion_vectors()).num_rows:
        needs.discard("deletionVectors")  # allowed, but there are none
    for feature, words in _READ.items():
        if feature in needs:
            raise InputError(
                f"the Delta table has {words}", where=folder, hint="write it anew (OPTIMIZE, REORG … PURGE)"
            )
    _refuse(folder, metadata.partition_columns, "Delta")
    names = map(unquote, pa.table(table.get_add_actions(flatten=True)).column("path").to_pylist())
    root = folder.rstrip("/")
    return [_inside(folder, name if _ABSOLUTE.match(name) else f"{root}/{name}") for name in names]


def _asked(folder: str) -> dict[str, str]:
    """What Delta's package must be told of a store; who asks, it finds by itself."""
    where = _buckets.place(folder)
    told = {"max_retries": "2"}
    told |= {"aws_region": where.region} if where.region else {}
    if where.host:
        told |= {"aws_endpoint": f"{where.scheme}://{where.host}"}
        told |= {"aws_allow_http": str(where.scheme == "http").lower()}
    return told


def _iceberg(names: Collection[str], folder: str) -> list[str]:
    from pyiceberg.catalog.noop import NoopCatalog  # noqa: PLC0415 - an extra
    from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO  # noqa: PLC0415
    from pyiceberg.serializers import FromInputFile  # noqa: PLC0415
    from pyiceberg.table import StaticTable  # noqa: PLC0415

    class Inside(PyArrowFileIO):
        """Reads what lies in the table's folder, from where the folder is: a table's own properties choose neither."""

        def new_input(self, location: str) -> PyArrowFile:
            path = _inside(folder, location)
            store, key = _buckets.within(path) if _buckets.remote(path) else (LocalFileSystem(), path)
            return PyArrowFile(location=path, path=key, fs=store)

    states = [name for name in names if _STATE.fullmatch(name)]
    reader: Any = Inside()
    root = folder.rstrip("/")
    said = _said(reader, f"{root}/{_HINT}") if _HINT in names else ""
    state = f"{root}/{_newest(states, said)}"
    metadata = FromInputFile.table_metadata(reader.new_input(state))
    table: Any = StaticTable(("table",), metadata, state, reader, NoopCatalog("none"))
    tasks = list(table.scan().plan_files())
    if any(task.delete_files for task in tasks):
        raise InputError(
            "the Iceberg table has deleted rows kept beside its files",
            where=folder,
            hint="rewrite its data files",
        )
    for task in tasks:
        if str(task.file.file_format).rpartition(".")[2] != "PARQUET":
            raise InputError(
                "the Iceberg table has data files that are not Parquet",
                where=_buckets.shown(task.file.file_path),
            )
    return [_inside(folder, task.file.file_path) for task in tasks]


def _said(reader: Any, hint: str) -> str:
    with reader.new_input(hint).open() as file:
        return file.read(100).decode("utf-8", "replace").strip()


def _newest(states: Sequence[str], said: str) -> str:
    """The newest of a table's ``states``: what its own hint says, else the one with the highest number."""
    for name in (said, f"{said}.metadata.json", f"v{said}.metadata.json"):
        if f"metadata/{name}" in states:
            return f"metadata/{name}"
    return max(states, key=_version)


def _version(state: str) -> tuple[int, str]:
    name = state.rpartition("/")[2]
    digits = name.lstrip("v").split("-")[0].split(".")[0]
    return int(digits) if digits.isdigit() else -1, name


def _refuse(folder: str, partitions: list[str], kind: str) -> None:
    if lost := [name for name in partitions if name in NAMES]:
        raise InputError(
            f"the {kind} table is partitioned by {', '.join(lost)}, which its files then do not hold",
            where=folder,
            hint="partition by a column of another name, for example the date",
        )


def _inside(folder: str, uri: str) -> str:
    """The path of one of a table's files, as it is read. Raises InputError for what does not lie in the table's folder."""
    scheme, colon, rest = uri.partition("://")
    if _buckets.remote(folder):
        path = _buckets.SCHEME + rest if colon and scheme in _S3 else ""
        steps = path.removeprefix(_buckets.SCHEME).split("/")
        inside = path.startswith(folder.rstrip("/") + "/") and not {"", ".", ".."} & set(steps)
    else:
        path = re.sub(r"^file:(//)?(?=/)", "", uri)
        # Without what .. leads to. Where links in the folder lead is the matter of whoever made them.
        real = os.path.abspath(path)  # noqa: PTH100
        roots = (os.path.abspath(folder), os.path.realpath(folder))  # noqa: PTH100
        inside = scheme == "file" or not colon
        inside &= any(real.startswith(root.rstrip("/") + "/") for root in roots)
    if not inside:
        raise InputError(
            "the table has files outside its folder, which are not read",
            where=_buckets.shown(uri),
            hint="name the folder that the table's files lie in, or write the table anew",
        )
    return path
