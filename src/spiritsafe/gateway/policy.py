"""The policy file: what an operator decides, as frozen settings. Every error names file, line, key and nearest name."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import urlsplit

from spiritsafe import tomlfile
from spiritsafe.errors import UsageError
from spiritsafe.gateway import _kept
from spiritsafe.gateway.addresses import checked_address, checked_url
from spiritsafe.gateway.identity import COLUMNS, Trust

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spiritsafe.tomlfile import Table

TABLES = (
    "gateway",
    "identity",
    "log",
    "orders",
    "artefacts",
    "families",
    "state",
    "marks",
    "escrow",
    "ladder",
    "approvers",
    "appeals",
)
GATEWAY = (
    "upstream",
    "listen",
    "admin",
    "paths",
    "shadow",
    "contest",
    "max_body",
    "max_answer",
    "max_depth",
    "body_timeout",
    "connect_timeout",
    "answer_timeout",
    "idle_timeout",
    "drain",
    "connections",
)
OWN = ("identity", "marks", "escrow")
"""Tables that another server has no use for: it names the callers, and its answers are not drawn here."""
HOSTED = ("paths", "shadow", "contest", "answer_timeout", "idle_timeout")
"""Keys of [gateway] inside another server."""
IDENTITY = (*COLUMNS, "trusted", "token", "token_keys", "once", "leeway")
LOG = ("folder", "content", "on_failure", "rotate", "rotate_every", "sync", "otlp")
OTLP = ("endpoint", "content", "encoding", "headers_from", "ca", "insecure", "queue", "timeout")
ORDERS = ("file", "signer", "indicators")
ARTEFACTS = ("keys", "bind", "unbound", "lifetime")
STATE = ("redis", "on_failure", "timeout")
BIND = ("account", "organization", "family")
BOUND = BIND[:2]
"""What counts by default. With ``family``, a caller who changes models within a conversation is refused."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost; sizes in bytes, times in seconds."""

    body: int = 32_000_000
    answer: int = 64_000_000
    depth: int = 128
    body_timeout: float = 30.0
    connect_timeout: float = 5.0
    answer_timeout: float = 600.0  # until the answer's head
    idle_timeout: float = 120.0  # between two pieces of an answer
    drain: float = 30.0
    connections: int = 1_000  # to the upstream, for each worker


@dataclass(frozen=True, slots=True)
class Otlp:
    """Where spans go. ``headers_from``: an environment variable; ``queue``: spans; ``where``: of the policy."""

    endpoint: str
    where: str
    content: Literal["none", "full"] = "none"
    encoding: Literal["json", "protobuf"] = "json"
    headers_from: str | None = None
    ca: Path | None = None
    queue: int = 10_000
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Log:
    """Where exchanges are written, how much of them, and what a full disk means."""

    folder: Path
    on_failure: Literal["open", "closed"]
    content: Literal["none", "skeleton", "full"] = "skeleton"
    rotate: int = 64_000_000
    rotate_every: int = 60_000_000
    sync: Literal["written", "disk"] = "written"
    otlp: Otlp | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    """The signed snapshot of orders and the indicators; absent files mean none."""

    file: Path | None = None
    signer: str | None = None
    indicators: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Artefacts:
    """How reasoning artefacts are bound to their owner; no keys, no binding."""

    keys: Path | None = None
    bind: tuple[str, ...] = BOUND
    unbound: Literal["pass", "refuse"] = "pass"
    lifetime: int = 30 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class State:
    """Where buckets and used tokens are counted: here, or in Redis when several gateways share them."""

    redis: str | None = None
    on_failure: Literal["local", "open", "closed"] = "local"
    timeout: float = 0.25


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy file. ``families`` maps a model name's prefix to its family."""

    path: Path
    upstream: str | None
    listen: str
    admin: str | None
    paths: Literal["known", "all"]
    shadow: bool
    contest: str | None
    limits: Limits
    trust: Trust
    log: Log
    orders: Orders
    artefacts: Artefacts
    families: Mapping[str, str]
    state: State
    marks: _kept.Marks | None = None
    escrow: _kept.Escrowed | None = None


def read(path: Path, *, hosted: bool = False) -> Policy:
    """The policy in a TOML file. Raises UsageError that says what is wrong, and on which line.

    ``hosted``: another server names the callers and asks the models; only what has an effect there may be set.
    """
    whole = tomlfile.read(path)
    whole.only([one for one in TABLES if not hosted or one not in OWN], "a policy")
    base = path.parent
    gateway = whole.table("gateway")
    gateway.only(HOSTED if hosted else GATEWAY, "[gateway]")
    return Policy(
        path=path,
        upstream=_url(gateway, "upstream"),
        listen=_address(gateway, "listen", "127.0.0.1:8080") or "",
        admin=_address(gateway, "admin", "127.0.0.1:9464"),
        paths=cast("Literal['known', 'all']", gateway.word("paths", ("known", "all"), "known")),
        shadow=gateway.flag("shadow", default=False),
        contest=_url(gateway, "contest"),
        limits=_limits(gateway),
        trust=Trust() if hosted else _trust(whole.table("identity"), base),
        log=_log(whole.table("log"), base),
        orders=_orders(whole.table("orders"), base),
        artefacts=_artefacts(whole.table("artefacts"), base),
        families=_families(whole.table("families")),
        state=_state(whole.table("state")),
        marks=_kept.marks(whole.table("marks"), base) if "marks" in whole.values else None,
        escrow=_kept.escrow(whole, base) if "escrow" in whole.values else None,
    )


def _limits(table: Table) -> Limits:
    return Limits(
        body=table.size("max_body", "32MB"),
        answer=table.size("max_answer", "64MB"),
        depth=round(table.number("max_depth", 128, least=4, most=1_000)),
        body_timeout=table.span("body_timeout", "30s") / 1e6,
        connect_timeout=table.span("connect_timeout", "5s") / 1e6,
        answer_timeout=table.span("answer_timeout", "10m") / 1e6,
        idle_timeout=table.span("idle_timeout", "2m") / 1e6,
        drain=table.span("drain", "30s") / 1e6,
        connections=round(table.number("connections", 1_000, least=1, most=1_000_000)),
    )


def _trust(table: Table, base: Path) -> Trust:
    table.only(IDENTITY, "[identity]")
    headers: dict[str, bytes] = {}
    for key, column in COLUMNS.items():
        name = table.text(key, None)
        if name is not None:
            headers[column] = _header(table, key, name)
    twice = [name for name in headers.values() if list(headers.values()).count(name) > 1]
    if twice:
        raise UsageError(f"two columns are read from the header {twice[0].decode()}", where=table.place())
    networks = [_network(table, text) for text in table.strings("trusted", ()) if text != "unix"]
    token = table.text("token", None)
    if token is not None and "token_keys" not in table.values:
        raise UsageError(
            "a token needs token_keys", where=table.place("token"), hint='token_keys = "identity-keys.json"'
        )
    if "account_id" not in headers and token is None:
        raise UsageError(
            "[identity] says not who asks: account or token is needed",
            where=table.place(),
            hint='account = "x-account-id" and trusted = ["127.0.0.1/32"], or token and token_keys',
        )
    if headers and token is not None:
        raise UsageError(
            "identity comes from headers or from a token, not from both", where=table.place("token")
        )
    if headers and not networks and "unix" not in table.strings("trusted", ()):
        raise UsageError(
            "headers are believed only from trusted peers: name them",
            where=table.place(),
            hint='trusted = ["10.0.0.0/8"], and "unix" for a unix socket',
        )
    keys = table.text("token_keys", None)
    return Trust(
        headers=headers,
        networks=tuple(networks),
        unix="unix" in table.strings("trusted", ()),
        token=_header(table, "token", token) if token else None,
        token_keys=base / keys if keys else None,
        once=table.flag("once", default=False),
        leeway=table.span("leeway", "5s") // 1_000_000,
    )


def _log(table: Table, base: Path) -> Log:
    table.only(LOG, "[log]")
    return Log(
        folder=base / table.needed("folder", 'folder = "log"'),
        on_failure=cast("Literal['open', 'closed']", table.word("on_failure", ("open", "closed"))),
        content=cast(
            "Literal['none', 'skeleton', 'full']",
            table.word("content", ("none", "skeleton", "full"), "skeleton"),
        ),
        rotate=table.size("rotate", "64MB"),
        rotate_every=table.span("rotate_every", "60s"),
        sync=cast("Literal['written', 'disk']", table.word("sync", ("written", "disk"), "written")),
        otlp=_otlp(table.table("otlp"), base, table) if "otlp" in table.values else None,
    )


def _otlp(table: Table, base: Path, log: Table) -> Otlp:
    table.only(OTLP, "[log.otlp]")
    endpoint = checked_url(
        table.needed("endpoint", 'endpoint = "https://collector.example:4318"'), table.place("endpoint")
    )
    parts = urlsplit(endpoint)
    if parts.scheme == "http" and not table.flag("insecure", default=False) and not _loopback(parts.hostname):
        raise UsageError(
            "spans would travel in the clear",
            where=table.place("endpoint"),
            hint="https://…, or insecure = true",
        )
    content = table.word("content", ("none", "full"), "none")
    if content == "full" and log.values.get("content") != "full":
        raise UsageError(
            "a span holds no more than the log does",
            where=table.place("content"),
            hint='[log] content = "full"',
        )
    ca = table.text("ca", None)
    return Otlp(
        endpoint,
        table.place(),
        cast("Literal['none', 'full']", content),
        cast("Literal['json', 'protobuf']", table.word("encoding", ("json", "protobuf"), "json")),
        table.text("headers_from", None),
        base / ca if ca else None,
        round(table.number("queue", 10_000, least=1, most=10_000_000)),
        table.span("timeout", "10s") / 1e6,
    )


def _loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _orders(table: Table, base: Path) -> Orders:
    table.only(ORDERS, "[orders]")
    file, signer = table.text("file", None), table.text("signer", None)
    if file is not None and signer is None:
        raise UsageError(
            "an orders file needs the signer whose signature is believed",
            where=table.place("file"),
            hint='signer = "ed25519:BASE64"',
        )
    return Orders(
        base / file if file else None, signer, tuple(base / one for one in table.strings("indicators", ()))
    )


def _artefacts(table: Table, base: Path) -> Artefacts:
    table.only(ARTEFACTS, "[artefacts]")
    bind = table.strings("bind", BOUND)
    for name in bind:
        if name not in BIND:
            raise UsageError(
                f"nothing can be bound to {name!r}",
                where=table.place("bind"),
                hint=tomlfile.nearest(name, BIND),
            )
    if not bind:
        raise table.wrong("bind", "at least one of account, organization, family is needed")
    keys = table.text("keys", None)
    return Artefacts(
        base / keys if keys else None,
        bind,
        cast("Literal['pass', 'refuse']", table.word("unbound", ("pass", "refuse"), "pass")),
        table.span("lifetime", "30d"),
    )


def _families(table: Table) -> dict[str, str]:
    return {prefix: table.needed(prefix) for prefix in table.values}


def _state(table: Table) -> State:
    table.only(STATE, "[state]")
    return State(
        table.text("redis", None),
        cast(
            "Literal['local', 'open', 'closed']",
            table.word("on_failure", ("local", "open", "closed"), "local"),
        ),
        table.span("timeout", "250ms") / 1e6,
    )


def _header(table: Table, key: str, name: str) -> bytes:
    lower = name.lower()
    if not all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in lower):
        raise table.wrong(key, "the name of a header is needed")
    return lower.encode()


def _network(table: Table, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no network: {error}",
            where=table.place("trusted"),
            hint="write it as 10.0.0.0/8, 2001:db8::/32 or unix",
        ) from error


def _url(table: Table, key: str) -> str | None:
    text = table.text(key, None)
    if text is None:
        return None
    return checked_url(text, table.place(key))


def _address(table: Table, key: str, default: str) -> str | None:
    return checked_address(table.text(key, default) or "", table.place(key))
