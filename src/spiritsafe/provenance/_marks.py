"""The plan of marks: which key, canaries and coins belong to which campaign and epoch, committed before their first use.

A folder holds ``root.key`` (the only secret, mode 0600, made once), ``plan.toml`` (a person may edit it until it is
committed and add to it later) and ``commitments/`` (leaf hashes; public). All else follows from the root key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from spiritsafe import tomlfile
from spiritsafe.errors import InputError, StorageError, UsageError
from spiritsafe.ledger import entries
from spiritsafe.marking.keys import SCHEMES, MarkKey, Scheme, derive, new_root, read_root
from spiritsafe.orders.snapshot import replace_file
from spiritsafe.provenance import _seal
from spiritsafe.provenance._canary import Canary, draw, grammar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from spiritsafe.ledger import Entry, Ledger

KIND, STAMP = "marks", "marks-timestamp"
KEPT = ("all", "suspected", "none")
_MOST = 10_000  # keys, decoys or canaries of one plan


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign's marks: ``epochs`` keys that take turns from ``begins`` on, each in use for ``lasts`` microseconds."""

    campaign_id: str
    epochs: int
    begins: int
    lasts: int
    canaries: int
    suspected: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``plan.toml`` says. ``decoys``: keys that are committed and never used.

    For the escrow: ``share`` of all traffic, and everything of the campaigns ``kept`` (None: of every one); ``batch`` coins
    committed at a time.
    """

    folder: Path
    digest: str
    scheme: Scheme
    width: int
    green: float
    strength: float
    decoys: int
    variants: int
    share: float
    batch: int
    kept: frozenset[str] | None
    campaigns: tuple[Campaign, ...]

    def keys(self, root: bytes) -> list[MarkKey]:
        """The key of each campaign and epoch."""
        return [
            self.key(root, one.campaign_id, epoch) for one in self.campaigns for epoch in range(one.epochs)
        ]

    def decoy_keys(self, root: bytes) -> list[MarkKey]:
        """Keys made like the others and never used: what a false key gives is measured with them."""
        return [self.key(root, f"decoy/{number}", 0) for number in range(self.decoys)]

    def canaries(self, root: bytes) -> list[Canary]:
        """The canaries of all campaigns."""
        names = (
            (one.campaign_id, f"{one.campaign_id}/canary-{number}")
            for one in self.campaigns
            for number in range(one.canaries)
        )
        return [
            draw(_seal.secret(root, "canary", name), name, campaign, self.variants)
            for campaign, name in names
        ]

    def leaves(self, root: bytes) -> list[_seal.Leaf]:
        """A leaf for each key, decoy and canary, and for the plan and the grammar; sorted by hash, which tells no order."""
        made = [
            *((kind, key_name(key), key.commitment) for kind, key in self._all_keys(root)),
            *(("canary", one.canary_id, one.content) for one in self.canaries(root)),
            ("plan", "plan.toml", self.digest),
            ("grammar", "canaries.toml", grammar()[1]),
        ]
        leaves = [_seal.Leaf(*one, _seal.secret(root, "salt", *one)) for one in made]
        return sorted(leaves, key=lambda leaf: leaf.hash)

    def _all_keys(self, root: bytes) -> Iterator[tuple[str, MarkKey]]:
        yield from (("key", key) for key in self.keys(root))
        yield from (("decoy", key) for key in self.decoy_keys(root))

    def key(self, root: bytes, campaign_id: str, epoch: int) -> MarkKey:
        """The key of one campaign and epoch."""
        how = {"scheme": self.scheme, "width": self.width, "share": self.green, "strength": self.strength}
        return derive(root, campaign_id, epoch, **how)


def key_name(key: MarkKey) -> str:
    """A key's name among the leaves."""
    return f"{key.campaign_id}#{key.epoch}"


def write(
    folder: Path, campaigns: Sequence[str], *, now: int, epochs: int, lasts: str, scheme: str, canaries: int,
    variants: int, decoys: int, share: float, suspected: Sequence[str] = (),
) -> Plan:  # fmt: skip
    """Make the folder, its root key and ``plan.toml``. Raises UsageError for what makes no sense or is there already."""
    path, listed = folder / "plan.toml", [*campaigns, *(one for one in suspected if one not in campaigns)]
    if path.exists():
        raise UsageError("there is a plan already", where=str(path), hint="edit it, then commit it again")
    if not listed:
        raise UsageError("a plan marks at least one campaign", hint="name it with --campaign")
    # The next full hour: there is time to look at the plan and to commit it before the first key is used.
    begins = datetime.fromtimestamp((now // 3_600_000_000 + 1) * 3_600, UTC)
    rows = [
        "# What is marked, and how. Edit before `spiritsafe marks commit`; add campaigns and epochs later, then commit again.",
        "schema = 1",
        "",
        "[marks]",
        f"scheme = {json.dumps(scheme)}   # {' or '.join(SCHEMES)}",
        "width = 3            # tokens before the next one that choose its numbers",
        "green = 0.25         # share of the vocabulary that is raised",
        "strength = 2.0       # by so much, in logits",
        f"decoys = {decoys}         # keys that are committed and never used",
        "",
        "[canaries]",
        f"variants = {variants}       # of each canary; one of them is served",
        "",
        "[escrow]",
        f"share = {share!r}        # of all traffic",
        # One that is found later has no place in this file, so all are kept unless a person names some.
        f'campaigns = "{"suspected" if suspected else "all"}"   # everything of these: "all" that are found, "suspected", "none"',
        "batch = 10000        # coins committed at a time",
    ]
    for name in listed:
        rows += [
            "",
            "[[campaign]]",
            f"id = {json.dumps(name)}",
            f"begins = {begins.isoformat()}",
            f"epochs = {epochs}           # keys that take turns",
            f"lasts = {json.dumps(lasts)}         # each",
            f"canaries = {canaries}",
            f"suspected = {str(name in suspected).lower()}",
        ]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot be made: {error.strerror}", where=str(folder)) from error
    replace_file(path, "\n".join([*rows, ""]).encode())
    try:
        plan = read(folder)
    except BaseException:
        path.unlink()
        raise
    if not (folder / "root.key").exists():
        new_root(folder / "root.key")
    return plan


def read(folder: Path) -> Plan:
    """The plan in ``folder``. Raises UsageError with file and line."""
    path = folder / "plan.toml"
    table = tomlfile.read(path)
    table.only(("schema", "marks", "canaries", "escrow", "campaign"), "a plan of marks")
    if table.number("schema") != 1:
        raise table.wrong("schema", "this version reads 1")
    marks, canaries, escrow = (table.table(name) for name in ("marks", "canaries", "escrow"))
    marks.only(("scheme", "width", "green", "strength", "decoys"), "[marks]")
    canaries.only(("variants",), "[canaries]")
    escrow.only(("share", "campaigns", "batch"), "[escrow]")
    word = escrow.word("campaigns", KEPT, "suspected")
    campaigns = tuple(_campaign(one) for one in _listed(table, "campaign"))
    names = [one.campaign_id for one in campaigns]
    for number, name in enumerate(names):
        if name in names[:number] or name.startswith("decoy/"):
            raise UsageError(
                f"the campaign {name!r} cannot be listed here", where=table.place("campaign", number)
            )
    suspected = frozenset(one.campaign_id for one in campaigns if one.suspected and word == "suspected")
    # 0 leaves the escrow to campaigns; the design's range is 0.1 to 1 %.
    share = escrow.number("share", 0.005, most=1.0)
    return Plan(
        folder, _seal.file_digest(path), cast("Scheme", marks.word("scheme", SCHEMES, "green")),
        _whole(marks, "width", 3, 1, 8), marks.number("green", 0.25, least=0.01, most=0.99),
        marks.number("strength", 2.0, most=20.0), _whole(marks, "decoys", 99, 0, _MOST),
        _whole(canaries, "variants", 64, 2, 500), share, _whole(escrow, "batch", 10_000, 1, 10_000_000),
        None if word == "all" else suspected, campaigns,
    )  # fmt: skip


def root_key(folder: Path) -> bytes:
    """The root key of a folder of marks. Raises UsageError when it is missing or others may read it."""
    return read_root(folder / "root.key")


def commit(plan: Plan, book: Ledger, *, now: int) -> dict[str, Any]:
    """Hash everything into the ledger; once for each state of the plan. Returns the entry's body."""
    leaves = plan.leaves(root_key(plan.folder))
    hashes = [leaf.hash for leaf in leaves]
    top = _seal.root(hashes)
    for entry in entries(book.path):
        if entry.kind == KIND and entry.body.get("root") == top:
            return dict(entry.body)
    kinds = [leaf.kind for leaf in leaves]
    body = {
        "schema": 1,
        "plan": plan.digest,
        "root": top,
        "leaves": len(leaves),
        "counts": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
    }
    where = plan.folder / "commitments"
    where.mkdir(mode=0o700, exist_ok=True)
    # First the leaves, then the entry: a root without leaves could never be opened.
    replace_file(where / f"{top}.json", _seal.canonical({"schema": 1, "leaves": hashes}) + b"\n")
    book.append(KIND, body, time=now)
    # Model servers read this file, and so mark with no key that is not committed.
    replace_file(plan.folder / "keyring.toml", _keyring(plan).encode())
    return body


def stamp(plan: Plan, book: Ledger, token: Path, *, now: int) -> dict[str, Any]:
    """Attach an RFC 3161 time-stamp of a committed root, by digest. Raises UsageError when it is of something else.

    The authority's signature is not checked here: ``openssl ts -verify`` does that with its certificate.
    """
    try:
        data = token.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(token)) from error
    roots = [str(entry.body["root"]) for entry in entries(book.path) if entry.kind == KIND]
    # The request hashes nothing anew: message imprint = the root itself, 32 bytes as an OCTET STRING.
    fitting = [one for one in roots if b"\x04\x20" + bytes.fromhex(one) in data]
    if not data.startswith(b"\x30") or not fitting:
        raise UsageError(
            "this is no time-stamp of a committed root",
            where=str(token),
            hint="make the request with: openssl ts -query -sha256 -cert -digest ROOT",
        )
    body = {"root": fitting[-1], "sha256": _seal.digest(data), "bytes": len(data)}
    replace_file(plan.folder / "commitments" / f"{fitting[-1]}.tsr", data)
    book.append(STAMP, body, time=now)
    return body


@dataclass(frozen=True, slots=True)
class Committed:
    """One commitment of marks in a ledger: its entry, and its leaves in their order."""

    entry: Entry
    leaves: tuple[str, ...]


def committed(folder: Path, book: Path) -> list[Committed]:
    """All commitments of a folder that are in the ledger, oldest first. Raises InputError when leaves do not fit."""
    if not book.exists():
        return []
    found: list[Committed] = []
    for entry in entries(book):
        path = folder / "commitments" / f"{entry.body.get('root')}.json"
        if entry.kind != KIND or not path.exists():
            continue
        try:
            leaves = [str(one) for one in json.loads(path.read_bytes())["leaves"]]
            top = _seal.root(leaves)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError("these are no commitments", where=str(path)) from error
        if top != entry.body["root"]:
            raise InputError("the leaves do not give the root in the ledger", where=str(path))
        found.append(Committed(entry, tuple(leaves)))
    return found


def status(plan: Plan, book: Path, *, now: int) -> dict[str, Any]:
    """What is committed since when, in use, to come or expired. It holds no secret."""
    root = root_key(plan.folder)
    known = committed(plan.folder, book)
    first: dict[str, int] = {}
    for one in known:
        for leaf in one.leaves:
            first.setdefault(leaf, one.entry.time)
    since = {(leaf.kind, leaf.name): first.get(leaf.hash) for leaf in plan.leaves(root)}
    rows: list[dict[str, Any]] = []
    for campaign in plan.campaigns:
        for epoch in range(campaign.epochs):
            key = plan.key(root, campaign.campaign_id, epoch)
            begins = campaign.begins + epoch * campaign.lasts
            rows.append(
                {
                    "campaign_id": campaign.campaign_id,
                    "epoch": epoch,
                    "key_id": key.key_id,
                    "begins": begins,
                    "ends": begins + campaign.lasts,
                    "committed": since["key", key_name(key)],
                    "state": _state(since["key", key_name(key)], begins, begins + campaign.lasts, now),
                }
            )
    others = {
        kind: {
            "all": sum(1 for one in since if one[0] == kind),
            "committed": sum(1 for one, time in since.items() if one[0] == kind and time is not None),
        }
        for kind in ("canary", "decoy")
    }
    stamps = [dict(e.body) for e in entries(book) if e.kind == STAMP] if book.exists() else []
    return {
        "schema": 1,
        "roots": [str(one.entry.body["root"]) for one in known],
        "plan_committed": since["plan", "plan.toml"] is not None,
        "keys": rows,
        "canaries": others["canary"],
        "decoys": others["decoy"],
        "timestamps": [one for one in stamps if any(one["root"] == k.entry.body["root"] for k in known)],
    }


def _keyring(plan: Plan) -> str:
    """The file that a model server reads (``marking/keyring.py``): campaigns, epochs and how they mark; no secret."""
    rows = ["# Written by `spiritsafe marks commit`; the keys that are committed.", 'root = "root.key"']
    for one in plan.campaigns:
        for epoch in range(one.epochs):
            rows += [
                "",
                "[[key]]",
                f"campaign = {json.dumps(one.campaign_id)}",
                f"epoch = {epoch}",
                f'scheme = "{plan.scheme}"',
                f"width = {plan.width}",
                f"share = {plan.green!r}",
                f"strength = {plan.strength!r}",
            ]
    return "\n".join([*rows, ""])


def _state(since: int | None, begins: int, ends: int, now: int) -> str:
    if since is None:
        return "not committed"
    # A key that was in use before it was committed proves nothing of that time.
    late = ", committed late" if since > begins else ""
    return ("to come" if now < begins else "expired" if now >= ends else "in use") + late


def _campaign(table: tomlfile.Table) -> Campaign:
    table.only(("id", "begins", "epochs", "lasts", "canaries", "suspected"), "a [[campaign]]")
    begins = table.values.get("begins")
    if not isinstance(begins, datetime) or begins.tzinfo is None:
        raise table.wrong("begins", "a time with its offset is needed, such as 2026-09-30T12:00:00Z")
    return Campaign(
        table.needed("id"), _whole(table, "epochs", 1, 1, _MOST), round(begins.timestamp() * 1_000_000),
        table.span("lasts", "30d"), _whole(table, "canaries", 0, 0, _MOST), table.flag("suspected", default=False),
    )  # fmt: skip


def _listed(table: tomlfile.Table, key: str) -> list[tomlfile.Table]:
    rows: Any = table.values.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(one, dict) for one in cast("list[Any]", rows)):
        raise table.wrong(key, f"tables are needed, each headed [[{key}]]")
    return [
        tomlfile.Table(cast("dict[str, Any]", one), table.file, table.known, (*table.path, key, number))
        for number, one in enumerate(cast("list[Any]", rows))
    ]


def _whole(table: tomlfile.Table, key: str, default: int, least: int, most: int) -> int:
    value = table.number(key, default, least=least, most=most)
    if value != int(value):
        raise table.wrong(key, "a whole number is needed")
    return int(value)
