"""Object storage behind the S3 protocol (AWS, MinIO, Ceph, R2, …) as a place where logs lie.

Nothing is copied first: each piece of an object is asked for when it is read. Who asks is what the AWS SDK finds in the
environment, its files or the machine's role; another server than AWS is named by ``AWS_ENDPOINT_URL``.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from spiritsafe.errors import InputError, InputUnreachable, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

SCHEME = "s3://"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_SECOND = 1_000_000_000


class Stored(NamedTuple):
    """An object: its address, bytes, and when it was last written (nanoseconds since the epoch).

    ``below``: its path below the folder that was asked for; empty when it was asked for itself.
    """

    path: str
    size: int
    modified: int
    below: str


def remote(path: str) -> bool:
    """Whether ``path`` is an address in object storage."""
    return path.startswith(SCHEME)


def facts(path: str) -> tuple[int, int]:
    """Bytes of an object and when it was last written. Raises FileNotFoundError, InputUnreachable."""
    bucket, key = _split(path)
    try:
        info = _store(bucket).get_file_info(f"{bucket}/{key}")
    except OSError as error:
        raise failed(path, error) from error
    if not info.is_file:
        raise FileNotFoundError(path)
    return info.size, _modified(info)


def opened(path: str) -> pa.NativeFile:
    """The object as a file that can be read anywhere. Raises OSError, as reading does: see ``failed``."""
    store, name = within(path)
    return store.open_input_file(name)


def within(path: str) -> tuple[Any, str]:
    """The file system that an object is in, and its name there."""
    bucket, key = _split(path)
    return _store(bucket), f"{bucket}/{key}"


def shown(text: str) -> str:
    """What a store or a table says, as a message may show it: without what steers a terminal, or a key before a server's name."""
    plain = "".join(one if one.isprintable() else " " for one in text)
    return re.sub(r"//[^/@\s]*@", "//", plain)[:300]


def failed(path: str, error: Exception) -> InputUnreachable:
    """What to raise when the store did not give what was asked for."""
    said = shown(str(error).partition("\n")[0])
    return InputUnreachable(
        f"object storage did not answer as it should: {said}",
        where=path,
        hint="it is asked with the AWS SDK's credentials, region and AWS_ENDPOINT_URL of this process",
    )


def blame(path: str, error: Exception) -> None:
    """Raise InputUnreachable if an error while reading is the store's or the network's, not one of the file's content."""
    if remote(path) and "AWS Error" in str(error):
        raise failed(path, error) from error


def find(given: str) -> list[Stored]:
    """The object of this address, or all below this folder, or all that a pattern with ``*``, ``?``, ``[]``, ``**`` means.

    Sorted by address; none where nothing is. Raises InputUnreachable, UsageError.
    """
    from pyarrow.fs import FileSelector  # noqa: PLC0415 - loads the AWS SDK

    bucket, key = _split(given.rstrip("/"))
    store = _store(bucket)
    steps = key.split("/") if key else []
    magic = next((number for number, step in enumerate(steps) if glob.has_magic(step)), len(steps))
    try:
        if key and (whole := store.get_file_info(f"{bucket}/{key}")).is_file:
            return [Stored(f"{SCHEME}{bucket}/{key}", whole.size, _modified(whole), "")]
        base = "/".join((bucket, *steps[:magic]))
        listed = store.get_file_info(FileSelector(base, recursive=True, allow_not_found=True))
    except OSError as error:
        raise failed(given, error) from error
    found: list[Stored] = []
    for info in listed:
        below = _below(steps, info.path.split("/")[1:]) if info.is_file else None
        if below is not None:
            found.append(Stored(SCHEME + info.path, info.size, _modified(info), below))
    return sorted(found)


def _below(steps: list[str], names: list[str]) -> str | None:
    """What is left of a path whose first ``names`` a pattern's ``steps`` mean, as a shell reads them; None: they do not."""
    if not steps:
        return "/".join(names)
    if steps[0] == "**":
        shown = next((number for number, name in enumerate(names) if name.startswith(".")), len(names))
        rests = (_below(steps[1:], names[skip:]) for skip in range(shown, -1, -1))
        return next((rest for rest in rests if rest is not None), None)
    if not names or not _means(steps[0], names[0]):
        return None
    return _below(steps[1:], names[1:])


def _means(step: str, name: str) -> bool:
    if not glob.has_magic(step):
        return step == name
    return fnmatch.fnmatchcase(name, step) and not (name.startswith(".") and not step.startswith("."))


def _modified(info: Any) -> int:
    # Some stores list fractions of a second and leave them out when asked for one object.
    return info.mtime_ns // _SECOND * _SECOND


def _split(path: str) -> tuple[str, str]:
    bucket, _, key = path.removeprefix(SCHEME).partition("/")
    if not _BUCKET.fullmatch(bucket):
        # The name is not repeated: it may hold a key, as in s3://KEY:SECRET@bucket.
        raise UsageError(
            "this is no address in object storage",
            where=SCHEME,
            hint="write s3://BUCKET/PATH; credentials come from the environment, never from an address",
        )
    if any(step in {"", ".", ".."} for step in key.split("/")) and key:
        raise InputError(
            "the path has empty steps or dots, which stores and file systems read differently", where=path
        )
    return bucket, key


class Place(NamedTuple):
    """Where a bucket is asked for: its region (None: unknown), and another server than AWS as scheme and host (None: AWS)."""

    region: str | None
    scheme: str | None
    host: str | None


def place(path: str) -> Place:
    """Where the bucket of an address is, as the environment says. Raises UsageError."""
    from pyarrow.fs import resolve_s3_region  # noqa: PLC0415 - loads the AWS SDK

    bucket, _ = _split(path)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if server:
        parts = urlsplit(server)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
            raise UsageError(
                "this is no server's address", where="AWS_ENDPOINT_URL", hint="write https://HOST:PORT"
            )
        return Place(region or "us-east-1", parts.scheme, parts.netloc)
    if region is None:
        try:
            region = resolve_s3_region(bucket)
        except OSError:
            region = None  # the SDK's own guess; a wrong one is told when the bucket is asked
    return Place(region, None, None)


@cache
def _store(bucket: str) -> Any:
    """The file system for a bucket, made once."""
    from pyarrow.fs import S3FileSystem  # noqa: PLC0415 - loads the AWS SDK

    where = place(f"{SCHEME}{bucket}")
    told: dict[str, Any] = {"endpoint_override": where.host, "scheme": where.scheme} if where.host else {}
    if authority := os.environ.get("AWS_CA_BUNDLE"):
        if not os.access(authority, os.R_OK):
            raise UsageError("no such file, or no permission to read it", where=f"AWS_CA_BUNDLE={authority}")
        told["tls_ca_file_path"] = authority
    return S3FileSystem(region=where.region, **told)
