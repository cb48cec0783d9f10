"""``share.toml``: who this member is, where the hub is, under which terms it shares, and what it uses of what it pulls.

::

    [member]
    key = "member.key"               # Ed25519, beside this file; made with `spiritsafe orders key`
    ledger = "forum-ledger.jsonl"    # decisions, releases and reviews are entries of it

    [hub]
    url = "https://hub.example:8440"
    root = "api"                   # the API root
    collection = "indicators"        # id or alias
    log_key = "ed25519:..."          # signs the heads of the hub's log; from the operator, not from the hub
    ca = "forum-ca.pem"              # absent: the system's; certificate and certificate_key for mTLS
    timeout = "30s"

    [terms]
    purpose = "detect-distillation"
    legal_basis = "legitimate-interests"
    valid = "90d"
    tlp = "amber+strict"
    pap = "amber"

    [receive]
    folder = "forum"                 # what was pulled, and the cursor
    review_within = "14d"            # a revocation or an upheld appeal must be looked at by then

    [[receive.use]]                  # no rule, no use
    members = ["*"]                  # names or identities; "*" for all
    kinds = ["template", "address"]
    use = "lookup"                   # "lead": a person looks; "lookup": matched and recorded; "observe": an order is drafted
    newer_than = "30d"
    sightings = 1                    # by so many members beside the author
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, cast
from urllib.parse import urlsplit

from spiritsafe import tomlfile
from spiritsafe.errors import SharingError, UsageError
from spiritsafe.sharing.stix.terms import DAY, LONGEST_DAYS, Terms

if TYPE_CHECKING:
    from pathlib import Path

Use = Literal["lead", "lookup", "observe"]
USES: Final = ("lead", "lookup", "observe")
"""From little to most. There is no more: what rivals say never limits anybody here."""
KINDS: Final = ("template", "skeleton", "address")
_PARTS = ("member", "hub", "terms", "receive")


@dataclass(frozen=True, slots=True)
class Hub:
    """Where the hub is and how it proves itself. ``timeout`` microseconds."""

    url: str
    root: str
    collection: str
    log_key: str
    ca: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    timeout: int = 30_000_000


@dataclass(frozen=True, slots=True)
class Rule:
    """Which indicators may be used, and for what. ``newer_than`` microseconds since the last change."""

    members: frozenset[str]
    kinds: frozenset[str]
    use: Use
    newer_than: int
    sightings: int
    disputed: bool


@dataclass(frozen=True, slots=True)
class Member:
    """One member's settings. Paths are beside the file. ``hub`` None: nothing can be sent or pulled."""

    path: Path
    key: Path | None = None
    ledger: Path | None = None
    hub: Hub | None = None
    terms: Terms = field(default_factory=Terms)
    folder: Path | None = None
    review_within: int = 14 * DAY
    rules: tuple[Rule, ...] = ()

    def needs_hub(self) -> Hub:
        """The hub. Raises UsageError when the file names none."""
        if self.hub is None:
            raise UsageError(
                "no hub is named", where=str(self.path), hint="[hub] url, root, collection, log_key"
            )
        return self.hub

    def needs_key(self) -> Path:
        """The member's key. Raises UsageError when the file names none."""
        if self.key is None:
            raise UsageError("no key is named", where=str(self.path), hint="[member] key")
        return self.key

    def needs_folder(self) -> Path:
        """The folder of what was pulled. Raises UsageError when the file names none."""
        if self.folder is None:
            raise UsageError("no folder is named", where=str(self.path), hint="[receive] folder")
        return self.folder


def read(path: Path) -> Member:
    """The settings in ``path``. Raises UsageError with file and line."""
    table = tomlfile.read(path)
    table.only(_PARTS, "share.toml")
    base = path.parent
    member, receive = table.table("member"), table.table("receive")
    member.only(("key", "ledger"), "[member]")
    receive.only(("folder", "review_within", "use"), "[receive]")
    return Member(
        path=path,
        key=_beside(base, member, "key"),
        ledger=_beside(base, member, "ledger"),
        hub=_hub(table.table("hub"), base) if "hub" in table.values else None,
        terms=_terms(table.table("terms")),
        folder=_beside(base, receive, "folder"),
        review_within=receive.span("review_within", "14d"),
        rules=tuple(_rules(receive)),
    )


def _beside(base: Path, table: tomlfile.Table, key: str) -> Path | None:
    name = table.text(key, None)
    return None if name is None else base / name


def _hub(table: tomlfile.Table, base: Path) -> Hub:
    table.only(
        ("url", "root", "collection", "log_key", "ca", "certificate", "certificate_key", "timeout"), "[hub]"
    )
    url = table.needed("url", "https://host:port")
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        raise UsageError(
            "the hub is reached over https", where=table.place("url"), hint="http is for this machine only"
        )
    if parts.query or parts.fragment or parts.username:
        raise UsageError("a hub's address has no more than host, port and path", where=table.place("url"))
    return Hub(
        url=url.rstrip("/"),
        root=table.needed("root"),
        collection=table.needed("collection"),
        log_key=table.needed("log_key", "the operator gives it to members"),
        ca=_beside(base, table, "ca"),
        certificate=_beside(base, table, "certificate"),
        certificate_key=_beside(base, table, "certificate_key"),
        timeout=table.span("timeout", "30s"),
    )


def _terms(table: tomlfile.Table) -> Terms:
    from spiritsafe.sharing.scope.schemas import words  # noqa: PLC0415 - reads a file

    table.only(("purpose", "legal_basis", "valid", "tlp", "pap"), "[terms]")
    usual = Terms()
    days = table.span("valid", f"{usual.days}d") // DAY
    if not 1 <= days <= LONGEST_DAYS:
        raise table.wrong("valid", f"from 1d to {LONGEST_DAYS}d")
    try:
        return Terms(
            purpose=table.word("purpose", words("purpose"), usual.purpose),
            legal_basis=table.word("legal_basis", words("legal-basis"), usual.legal_basis),
            days=days,
            tlp=cast("str", table.text("tlp", usual.tlp)),
            pap=cast("str", table.text("pap", usual.pap)),
        )
    except SharingError as error:
        raise UsageError(error.message, where=table.place(), hint=error.hint) from error


def _rules(receive: tomlfile.Table) -> list[Rule]:
    found: list[Rule] = []
    for table in receive.tables("use"):
        table.only(("members", "kinds", "use", "newer_than", "sightings", "disputed"), "[[receive.use]]")
        kinds = table.strings("kinds", KINDS)
        for kind in kinds:
            if kind not in KINDS:
                raise table.wrong("kinds", f"some of {', '.join(KINDS)}")
        use = table.values.get("use")
        if use not in USES:
            raise UsageError(
                f"there is no use {use!r} of what others say",
                where=table.place("use"),
                hint=f"one of {', '.join(USES)}: more than observing needs your own evidence, and persons",
            )
        sightings = table.number("sightings", 0)
        found.append(
            Rule(
                members=frozenset(table.strings("members")),
                kinds=frozenset(kinds),
                use=use,
                newer_than=table.span("newer_than", "30d"),
                sightings=int(sightings),
                disputed=table.flag("disputed", default=False),
            )
        )
    return found
