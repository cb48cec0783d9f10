"""``console.toml`` in the data folder: what the operator decides. All of it may be absent.

For a team that starts everything at once, the same keys stand below ``[console]`` in its one file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from spiritsafe import tomlfile
from spiritsafe.console.people import ROLES
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FILE: Final = "console.toml"
DATABASE: Final = "console.db"
LEDGER: Final = "ledger.jsonl"
_MINUTE: Final = 60_000_000
_KEYS: Final = (
    "title", "results", "database", "listen", "session", "orders", "cases", "share", "proofs", "oidc",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Orders:
    """The policy file that the gateway reads, too; the key that signs the orders; how long a signed file is obeyed (µs).

    ``wait``: a proposal that nobody approved for so long is no longer one (µs).
    """

    policy: Path
    signer: Path
    valid: int = 30 * 86_400_000_000
    wait: int = 7 * 86_400_000_000
    issuer: str = "console"


@dataclass(frozen=True, slots=True)
class Oidc:
    """An identity provider. ``roles``: value of ``claim`` → role; who has none of them gets ``otherwise``, or is refused."""

    issuer: str
    client: str
    secret: Path | None = None
    claim: str = "groups"
    name: str = "preferred_username"
    roles: Mapping[str, str] = field(default_factory=dict[str, str])
    otherwise: str | None = None
    title: str = "your organization"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything. Times in microseconds; ``url`` is how browsers name the console (scheme and host)."""

    data: Path
    results: tuple[Path, ...] = ()
    title: str = "Spiritsafe"
    database: str = ""
    host: str = "127.0.0.1"
    port: int = 8600
    url: str = ""
    certificate: Path | None = None
    key: Path | None = None
    idle: int = 30 * _MINUTE
    longest: int = 12 * 60 * _MINUTE
    orders: Orders | None = None
    cases: Path | None = None
    records: tuple[str, ...] = ()
    share: Path | None = None
    proofs: tuple[Path, ...] = ()
    oidc: Oidc | None = None

    @property
    def https(self) -> bool:
        """Whether browsers come by https: then cookies are for that only."""
        return self.url.startswith("https://") or self.certificate is not None

    @property
    def hosts(self) -> frozenset[str]:
        """Names under which the console answers."""
        own = {self.host.lower(), f"[{self.host}]".lower()} if ":" in self.host else {self.host.lower()}
        named = {(urlsplit(self.url).hostname or "").lower()} - {""}
        local = (
            {"localhost", "127.0.0.1", "[::1]"} if self.host in {"127.0.0.1", "localhost", "::1"} else set()
        )
        return frozenset(own | named | local)

    @property
    def address(self) -> str:
        """What to type into a browser."""
        if self.url:
            return self.url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"

    @property
    def store(self) -> str:
        """Where the database is."""
        return self.database or str(self.data / DATABASE)


def read(
    data: Path, results: Sequence[Path] = (), *, listen: str | None = None, team: Path | None = None
) -> Settings:
    """The settings of the console whose data lie in ``data``. Raises UsageError with file and line.

    ``team``: they stand in the table ``[console]`` of that file, in place of ``console.toml``. Paths start at their file.
    """
    path = data / FILE
    if team is not None:
        return settled(tomlfile.read(team).table("console"), data, team.parent, results, listen)
    table = tomlfile.read(path) if path.exists() else tomlfile.Table({}, str(path), {(): 1})
    return settled(table, data, data, results, listen)


def settled(
    table: tomlfile.Table, data: Path, home: Path, results: Sequence[Path] = (), listen: str | None = None
) -> Settings:
    """The settings in ``table``; its paths start at ``home``. Raises UsageError with file and line."""
    table.only(_KEYS, "the console")
    heard, session, cases = table.table("listen"), table.table("session"), table.table("cases")
    heard.only(("address", "url", "certificate", "key"), "[listen]")
    session.only(("idle", "longest"), "[session]")
    cases.only(("folder", "records"), "[cases]")
    host, port = _address(listen or heard.text("address", "127.0.0.1:8600") or "", heard, listen)
    url = (heard.text("url", "") or "").rstrip("/")
    if url and (urlsplit(url).scheme not in {"http", "https"} or urlsplit(url).path):
        raise heard.wrong("url", "scheme and host, as https://console.example")
    if host in {"0.0.0.0", "::"} and not url:  # noqa: S104 - refused, not bound
        raise UsageError(
            "an address for everybody needs the name by which browsers come",
            where=heard.place(),
            hint='[listen] url = "https://console.example"',
        )
    certificate = heard.text("certificate", None)
    share = table.text("share", None)
    return Settings(
        data=data,
        results=(*results, *(home / one for one in table.strings("results", ()))),
        title=table.text("title", "Spiritsafe") or "",
        database=table.text("database", "") or "",
        host=host,
        port=port,
        url=url,
        certificate=home / certificate if certificate else None,
        key=home / heard.needed("key") if certificate else None,
        idle=session.span("idle", "30m"),
        longest=session.span("longest", "12h"),
        orders=_orders(table, home) if "orders" in table.values else None,
        cases=home / (cases.text("folder", None) or data / "cases"),
        records=tuple(str(home / one) for one in cases.strings("records", ())),
        share=home / share if share else None,
        proofs=tuple(home / one for one in table.strings("proofs", ())),
        oidc=_oidc(table, home) if "oidc" in table.values else None,
    )


def _orders(whole: tomlfile.Table, data: Path) -> Orders:
    table = whole.table("orders")
    table.only(("policy", "signer", "valid", "wait", "issuer"), "[orders]")
    return Orders(
        policy=data / table.needed("policy", "the policy file of the gateway"),
        signer=data / table.needed("signer", "the key made with `spiritsafe orders key`"),
        valid=table.span("valid", "30d"),
        wait=table.span("wait", "7d"),
        issuer=table.text("issuer", "console") or "",
    )


def _oidc(whole: tomlfile.Table, data: Path) -> Oidc:
    table = whole.table("oidc")
    table.only(("issuer", "client", "secret", "claim", "name", "roles", "otherwise", "title"), "[oidc]")
    roles = table.table("roles")
    for value in roles.values:
        roles.word(value, ROLES)
    issuer = table.needed("issuer", "the address of the provider")
    local = urlsplit(issuer).hostname in {"127.0.0.1", "localhost", "::1"}
    if not issuer.startswith("https://") and not (issuer.startswith("http://") and local):
        raise table.wrong("issuer", "an address that begins with https://")
    secret = table.text("secret", None)
    otherwise = table.text("otherwise", None)
    if otherwise is not None:
        table.word("otherwise", ROLES)
    return Oidc(
        issuer=issuer.rstrip("/"),
        client=table.needed("client", "the name that the provider gave to this console"),
        secret=data / secret if secret else None,
        claim=table.text("claim", "groups") or "",
        name=table.text("name", "preferred_username") or "",
        roles=dict(roles.values),
        otherwise=otherwise,
        title=table.text("title", "your organization") or "",
    )


def _address(text: str, table: tomlfile.Table, option: str | None) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65_535:
        raise UsageError(
            f"{json.dumps(text)} is no address",
            where="--listen" if option else table.place("address"),
            hint="write it as 127.0.0.1:8600",
        )
    return host, int(port)
