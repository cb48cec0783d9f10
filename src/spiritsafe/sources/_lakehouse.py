"""Delta and Iceberg tables -> the Parquet files that their newest state is made of.

A table's folder also holds files of earlier states; its log says which ones count. Both logs are read by the formats' own Python
packages, which need no JVM, so a table is an input for every engine. What would need more than reading files (deleted rows
kept beside them, renamed columns, canonical columns that are in the folders' names only) is refused in plain words.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from spiritsafe.errors import InputError, UsageError
from spiritsafe.schema import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

_READ = {"columnMapping": "renamed columns", "deletionVectors": "deleted rows kept beside its files"}


def table_files(folder: str) -> list[str] | None:
    """The data files of the table in ``folder``, sorted; None when it is an ordinary folder. Raises InputError, UsageError."""
    kind = _kind(Path(folder))
    if kind is None:
        return None
    name, read = kind
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


def _kind(folder: Path) -> tuple[str, Callable[[str], list[str]]] | None:
    if (folder / "_delta_log").is_dir():
        return "Delta", _delta
    if (folder / "metadata").is_dir() and any((folder / "metadata").glob("*.metadata.json")):
        return "Iceberg", _iceberg
    return None


def _delta(folder: str) -> list[str]:
    from deltalake import DeltaTable  # noqa: PLC0415 - an extra

    made: Any = DeltaTable
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
    return [unquote(_path(uri)) for uri in table.file_uris()]  # they are URLs, with a scheme or without


def _iceberg(folder: str) -> list[str]:
    from pyiceberg.table import StaticTable  # noqa: PLC0415 - an extra

    newest = _newest(Path(folder) / "metadata")
    table: Any = StaticTable.from_metadata(str(newest))
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
        raise InputError("the Iceberg table has data files that are not Parquet", where=_path(wrong[0]))
    return [_path(task.file.file_path) for task in tasks]


def _newest(metadata: Path) -> Path:
    """The newest state: what the table's own hint names, else the file with the highest number."""
    hint = metadata / "version-hint.text"
    if hint.is_file():
        named = metadata / f"v{hint.read_text('utf-8').strip()}.metadata.json"
        if named.is_file():
            return named
    return max(metadata.glob("*.metadata.json"), key=_version)


def _version(path: Path) -> tuple[int, str]:
    digits = path.name.lstrip("v").split("-")[0].split(".")[0]
    return int(digits) if digits.isdigit() else -1, path.name


def _refuse(folder: str, partitions: list[str], kind: str) -> None:
    if lost := [name for name in partitions if name in NAMES]:
        raise InputError(
            f"the {kind} table is partitioned by {', '.join(lost)}, which its files then do not hold",
            where=folder,
            hint="partition by a column of another name, for example the date",
        )


def _path(uri: str) -> str:
    scheme, colon, rest = uri.partition("://")
    if not colon:
        return uri.removeprefix("file:")
    if scheme == "file":
        return rest
    raise InputError(
        f"the table's files are on {scheme}, which is not read directly", where=uri, hint="mount the storage"
    )
