"""Delta and Iceberg tables -> the Parquet files that their newest state is made of.

A table's folder also holds files of earlier states; its log says which ones count. Both logs are read by the formats' own Python
packages, which need no JVM, so a table is an input for every engine. What would need more than reading files (deleted rows
kept beside them, renamed columns, canonical columns that are in the folders' names only) is refused in plain words.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from spiritsafe.errors import InputError, UsageError
from spiritsafe.schema import NAMES
from spiritsafe.sources import _buckets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_READ = {"columnMapping": "renamed columns", "deletionVectors": "deleted rows kept beside its files"}
_STATE = re.compile(r"metadata/[^/]*\.metadata\.json")
"""Where an Iceberg table tells a state of itself."""
_S3 = ("s3", "s3a", "s3n")
"""Names of the one protocol."""


def table_files(folder: str, names: Collection[str] | None = None) -> list[str] | None:
    """The data files of the table in ``folder``, sorted; None when it is an ordinary folder. Raises InputError, UsageError.

    ``names``: paths below a folder in object storage, which is not listed here.
    """
    if names is None:
        names = [f"metadata/{path.name}" for path in Path(folder).glob("metadata/*.metadata.json")]
        if Path(folder, "_delta_log").is_dir():
            names.append("_delta_log/")
    states = [name for name in names if _STATE.fullmatch(name)]
    if any(name.startswith("_delta_log/") for name in names):
        name, read = "Delta", _delta
    elif states:
        name, read = "Iceberg", partial(_iceberg, states)
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
        raise InputError(
            f"the {name} table cannot be read: {str(error).partition(chr(10))[0]}", where=folder
        ) from error
    return sorted(found)


def _delta(folder: str) -> list[str]:
    from deltalake import DeltaTable  # noqa: PLC0415 - an extra

    made: Any = DeltaTable
    table = made(folder, storage_options=_asked(folder))
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
    # As the log has them: escaped once, and below the table's folder but for those of a shallow copy.
    names = pa.table(table.get_add_actions(flatten=True)).column("path").to_pylist()
    root = folder.rstrip("/")
    return _paths(folder, [name if "://" in name else f"{root}/{unquote(name)}" for name in names])


def _asked(folder: str) -> dict[str, str] | None:
    """What the package must be told of a store; who asks, it finds by itself."""
    if not _buckets.remote(folder):
        return None
    where = _buckets.place(folder)
    told = {"aws_region": where.region} if where.region else {}
    if where.host:
        told |= {"aws_endpoint": f"{where.scheme}://{where.host}"}
        told |= {"aws_allow_http": str(where.scheme == "http").lower()}
    return told


def _iceberg(states: Sequence[str], folder: str) -> list[str]:
    from pyiceberg.table import StaticTable  # noqa: PLC0415 - an extra

    told = {"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO"}
    if _buckets.remote(folder):
        where = _buckets.place(folder)
        told |= {"s3.region": where.region} if where.region else {}
        told |= {"s3.endpoint": f"{where.scheme}://{where.host}"} if where.host else {}
    table: Any = StaticTable.from_metadata(f"{folder.rstrip('/')}/{_newest(folder, states)}", told)
    tasks = list(table.scan().plan_files())
    if any(task.delete_files for task in tasks):
        raise InputError(
            "the Iceberg table has deleted rows kept beside its files",
            where=folder,
            hint="rewrite its data files",
        )
    wrong = [
        task.file.file_path for task in tasks if str(task.file.file_format).rpartition(".")[2] != "PARQUET"
    ]
    if wrong:
        raise InputError("the Iceberg table has data files that are not Parquet", where=wrong[0])
    return _paths(folder, [task.file.file_path for task in tasks])


def _newest(folder: str, states: Sequence[str]) -> str:
    """The newest of a table's ``states``: what its own hint names, else the one with the highest number."""
    hint = f"{folder.rstrip('/')}/metadata/version-hint.text"
    try:
        if _buckets.remote(folder):
            with _buckets.opened(hint) as file:
                said = file.read().decode()
        else:
            said = Path(hint).read_text("utf-8")
    except FileNotFoundError:
        said = ""
    named = f"metadata/v{said.strip()}.metadata.json"
    return named if named in states else max(states, key=_version)


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


def _paths(folder: str, uris: Iterable[str]) -> list[str]:
    """The files of a table as they are read: those of a table in object storage lie there, others on this machine."""
    known = _S3 if _buckets.remote(folder) else ("file",)
    found: list[str] = []
    for uri in uris:
        scheme, colon, rest = uri.partition("://")
        if colon and scheme not in known:
            raise InputError(
                f"the table's files are on {scheme}, where they are not read from this table",
                where=uri,
                hint="mount the storage",
            )
        found.append(
            _buckets.SCHEME + rest if scheme in _S3 else rest if colon else uri.removeprefix("file:")
        )
    return found
