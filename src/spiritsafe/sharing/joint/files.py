"""Files of a round: what a scan and private matching left, members, statements, and the secret of a round.

Everything is bounded before it is parsed, and errors name file and line, never content.
"""

from __future__ import annotations

import json
import os
import secrets
from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.attest import keys
from spiritsafe.attest.canonical import read as read_canonical
from spiritsafe.errors import AttestError, SharingError, StorageError, UsageError
from spiritsafe.settings import Jointly
from spiritsafe.sharing.joint.known import INFRASTRUCTURE, RUN, SAMPLE
from spiritsafe.sharing.joint.statements import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from spiritsafe.sharing.joint.statements import Members

_SECRET = 32
_SKELETON = "skeleton"
"""Class of private matching that runs and samples have in common."""


def tested(results: Path) -> dict[str, Any]:
    """The content of ``candidates.json`` in a scan's folder. Raises UsageError."""
    path = results / "candidates.json"
    value = _json(path, "scan again: `spiritsafe scan LOGS --out DIR` writes it")
    if not isinstance(value, dict) or cast("dict[str, Any]", value).get("schema") != 1:
        raise UsageError("this is no list of candidates", where=str(path), hint="scan again")
    return cast("dict[str, Any]", value)


def tags(path: Path, content: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Tags by candidate and class, from lines of ``{"candidate_id", "class", "value", "tag"}``.

    ``content`` (of ``candidates.json``) tells the runs of a skeleton from the sample of prompts. Raises UsageError.
    """
    samples = {
        one["candidate_id"]: {f"fp{content['fingerprint_version']}:{print_}" for print_ in one["sample"]}
        for one in content["candidates"]
    }
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for where, entry in _lines(path, ("candidate_id", "class", "value", "tag")):
        known, kind = entry["candidate_id"], entry["class"]
        if known not in samples:
            raise UsageError(
                "this candidate is not among the results",
                where=where,
                hint="match the results that you commit to",
            )
        if kind == _SKELETON:
            kind = SAMPLE if entry["value"] in samples[known] else RUN
        elif kind not in INFRASTRUCTURE:
            continue  # bands are leads for an investigation, and make no group
        found[known][kind].append(entry["tag"])
    return found


def matched(path: Path) -> tuple[dict[str, list[str]], dict[str, list[tuple[str, str]]]]:
    """Tags that matched, and by tag who else holds them, from lines of ``{"tag", "met": [{"by", "name"}, …]}``.

    ``name`` is the commitment that a counterpart disclosed. Raises UsageError.
    """
    found: list[str] = []
    met: dict[str, list[tuple[str, str]]] = {}
    for where, entry in _lines(path, ("tag",), ("met",)):
        try:
            met[entry["tag"]] = [(str(one["by"]), str(one["name"])) for one in entry["met"]]
        except (TypeError, KeyError) as error:
            raise UsageError('met is a list of {"by": …, "name": …}', where=where) from error
        found.append(entry["tag"])
    return dict.fromkeys((RUN, SAMPLE, *INFRASTRUCTURE), found), met


def members(path: Path) -> Members:
    """Keys of the active members by identity, from a roster: ``{"members": [{"id", "key", "state"}, …]}``. Raises UsageError.

    A member with several keys has a list ``keys`` of ``{"purpose": "sign", "public", "retired"}`` beside, as the hub gives it.
    """
    value = _json(path, "the roster of the forum: `spiritsafe share match trust` keeps one")
    entries = cast("dict[str, Any]", value).get("members") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise UsageError("this is no list of members", where=str(path))
    found: dict[str, tuple[Ed25519PublicKey, ...]] = {}
    for number, entry in enumerate(cast("list[Any]", entries)):
        where = f"{path}, member {number}"
        fields = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        if not all(isinstance(fields.get(name), str) for name in ("id", "key", "state")):
            raise UsageError("a member has an id, a key and a state", where=where)
        if fields["state"] == "active":
            if fields["id"] in found:
                raise UsageError("two members have one identity", where=where)
            found[fields["id"]] = _keys(fields, where)
    every = [key.public_bytes_raw() for held in found.values() for key in held]
    if len(set(every)) != len(every):
        raise UsageError("two members have one key", where=str(path))
    return found


def _keys(fields: Mapping[str, Any], where: str) -> tuple[Ed25519PublicKey, ...]:
    listed = fields.get("keys")
    try:
        texts = {
            str(one["public"])
            for one in (listed if isinstance(listed, list) else [])
            if one["purpose"] == "sign" and one["retired"] is None
        }
        return tuple(keys.parse(text, where) for text in sorted(texts or {fields["key"]}))
    except (TypeError, KeyError) as error:
        raise UsageError("a key has a purpose, and is public or retired", where=where) from error
    except AttestError as error:
        raise UsageError(error.message, where=where, hint=error.hint) from error


def statements(paths: Sequence[Path]) -> list[object]:
    """The envelopes in files: one a file, or one a line. What is no JSON at all stays as text, to be refused by name."""
    found: list[object] = []
    for path in paths:
        data = _bytes(path, "a statement that `spiritsafe share joint` or the hub wrote")
        whole = _value(data)
        lines = (
            [whole]
            if isinstance(whole, dict)
            else [_value(line) for line in data.splitlines() if line.strip()]
        )
        found += lines
    return found


def objects(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """STIX objects in bundles, or one a line. Raises UsageError with file and line."""
    found: list[dict[str, Any]] = []
    for path in paths:
        data = _bytes(path, "`spiritsafe share bundle` writes one")
        whole = _value(data)
        if isinstance(whole, dict):
            inside = cast("dict[str, Any]", whole).get("objects", [whole])
            entries = [(f"{path}, object {n}", one) for n, one in enumerate(cast("list[Any]", inside))]
        else:
            entries = [
                (f"{path}:{n}", _value(line)) for n, line in enumerate(data.splitlines(), 1) if line.strip()
            ]
        for where, one in entries:
            if not isinstance(one, dict) or not isinstance(cast("dict[str, Any]", one).get("id"), str):
                raise UsageError("this is no STIX object", where=where)
            found.append(cast("dict[str, Any]", one))
    return found


def jointly(path: Path) -> tuple[Jointly, ...]:
    """What `share joint adopt` wrote, as a scan takes it. Raises UsageError."""
    value = _json(path, "`spiritsafe share joint adopt` writes it")
    entries = cast("dict[str, Any]", value).get("jointly") if isinstance(value, dict) else None
    wanted = {"candidate_id": str, "group_id": str, "bits": float, "labs": int}
    if not isinstance(entries, list):
        raise UsageError("this is no joint decision", where=str(path))
    for number, entry in enumerate(cast("list[Any]", entries)):
        fields = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        if fields.keys() != wanted.keys() or not all(
            type(fields[name]) is kind for name, kind in wanted.items()
        ):
            raise UsageError("this is no joint decision", where=f"{path}, entry {number}")
    return tuple(Jointly(**entry) for entry in cast("list[Any]", entries))


def envelope(path: Path) -> dict[str, Any]:
    """One envelope. Raises UsageError."""
    value = _json(path, "make it with `spiritsafe share joint commit`")
    if not isinstance(value, dict):
        raise UsageError("this is no statement", where=str(path))
    return cast("dict[str, Any]", value)


def new_secret(path: Path) -> bytes:
    """A new secret in a file of its own that only its owner may read. Raises StorageError when there is one."""
    made = secrets.token_bytes(_SECRET)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as out:
            out.write(made)
            out.flush()
            os.fsync(out.fileno())
    except FileExistsError as error:
        raise StorageError(
            "a secret is there already and is kept",
            where=str(path),
            hint="each round has a secret of its own; one commitment a round",
        ) from error
    except OSError as error:
        raise StorageError(f"the secret cannot be written: {error.strerror}", where=str(path)) from error
    return made


def secret(path: Path) -> bytes:
    """The secret that a commitment was made with. Raises UsageError."""
    found = _bytes(path, "it was written beside the commitment")
    if len(found) != _SECRET:
        raise UsageError("this is no secret of a round", where=str(path))
    return found


def _bytes(path: Path, hint: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from error
    if len(data) > LARGEST:
        raise UsageError(f"larger than {LARGEST} bytes", where=str(path))
    return data


def _json(path: Path, hint: str) -> object:
    try:
        return json.loads(_bytes(path, hint))
    except (ValueError, RecursionError) as error:
        raise UsageError("this is not JSON", where=str(path), hint=hint) from error


def _value(data: bytes) -> object:
    try:
        return read_canonical(data)
    except AttestError:
        return data.decode(errors="replace")


def _lines(
    path: Path, texts: Sequence[str], lists: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line's place and object, which has these fields, of text and lists. Raises UsageError with file and line."""
    for number, line in enumerate(_bytes(path, "private matching writes it").splitlines(), 1):
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError("this line is not JSON", where=where) from error
        fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        if not all(isinstance(fields.get(name), str) for name in texts) or not all(
            isinstance(fields.get(name), list) for name in lists
        ):
            raise UsageError(f"a line has {', '.join((*texts, *lists))}", where=where)
        yield where, fields


def whose(key: Ed25519PublicKey, known: Members, where: str) -> str:
    """The identity of the member with this key. Raises SharingError."""
    for name, held in known.items():
        if any(one.public_bytes_raw() == key.public_bytes_raw() for one in held):
            return name
    raise SharingError(
        "this key is no member's", where=where, hint="enrol it at the hub, then take the new roster"
    )
