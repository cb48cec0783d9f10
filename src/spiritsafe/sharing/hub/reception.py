"""One request: who asks, may it, what is the answer, and the entry in the audit without which no answer goes out."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from spiritsafe.attest import keys
from spiritsafe.errors import SharingError, StorageError
from spiritsafe.sharing.hub import members, tokens
from spiritsafe.sharing.hub.books import Books, Entry
from spiritsafe.sharing.hub.members import Member, Quota
from spiritsafe.sharing.hub.query import Misasked
from spiritsafe.sharing.hub.store import TooLong

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.sharing.hub.intake import Gate
    from spiritsafe.sharing.hub.store import Store, Tx

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TAXII: Final = "application/taxii+json;version=2.1"
JSON: Final = "application/json"
_LOG = logging.getLogger("spiritsafe.hub")
_CHALLENGES: Final = tuple(
    (b"www-authenticate", value) for value in (b"Spiritsafe", b'Bearer realm="forum"', b'Basic realm="forum"')
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one request may cost. Bytes, counts, seconds."""

    body: int = 10_000_000
    objects: int = 10_000
    object: int = 65_536
    page: int = 2_000
    page_bytes: int = 8_000_000
    body_seconds: float = 30.0
    send_seconds: float = 60.0
    intakes: int = 8
    """Requests that wait for their objects to be checked; more are asked to come again."""


class Problem(Exception):  # noqa: N818 - a status, not a failure of the program
    """An answer that is an error. ``text`` is written for the one who asked."""

    def __init__(
        self, status: int, title: str, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.text = text
        self.headers = headers


@dataclass(slots=True)
class Answer:
    """What goes out, and what the audit says of it."""

    body: bytes
    status: int = 200
    media: str = TAXII
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    collection: int | None = None
    earliest: int | None = None
    latest: int | None = None
    count: int = 0
    detail: dict[str, Any] | None = None


def as_json(content: dict[str, Any], status: int = 200, *, detail: dict[str, Any] | None = None) -> Answer:
    """An answer in plain JSON. ``detail``: what the audit keeps of it."""
    return Answer(orjson.dumps(content), status, JSON, detail=detail)


@dataclass(slots=True)
class Hub:
    """All that requests need. ``clock`` gives microseconds since the epoch."""

    store: Store
    key: Ed25519PrivateKey
    clock: Callable[[], int]
    gate: Gate | None = None
    url: str = ""
    title: str = "Spiritsafe forum"
    contact: str = ""
    limits: Limits = field(default_factory=Limits)
    quota: Quota = field(default_factory=Quota)
    origin: str = ""
    secret: bytes = b""


@dataclass(slots=True)
class Call:
    """One request that was let in."""

    hub: Hub
    method: str
    path: str
    query: str
    base: str
    now: int
    member: Member
    body: bytes = b""
    prepared: Any = None
    """What was made of the body before the transaction."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows, taken apart."""

    token: tokens.Token | None = None
    secret: str = ""
    certificate: str = ""


def credentials(scope: Scope, headers: dict[bytes, bytes]) -> Credentials:
    """What the request shows of who asks. Raises Problem 401 when that is nothing that is understood."""
    scheme, _, rest = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "spiritsafe":
            try:
                return Credentials(token=tokens.parse(rest))
            except SharingError as error:
                raise unauthorized() from error
        case "bearer" | "token" if rest:  # the second is what taxii2-client writes
            return Credentials(secret=rest)
        case "basic":
            try:
                secret = base64.b64decode(rest, validate=True).decode().partition(":")[2]
            except ValueError as error:
                raise unauthorized() from error
            return Credentials(secret=secret)
        case "":
            if certificate := _certificate(scope):
                return Credentials(certificate=certificate)
        case _:
            pass
    raise unauthorized()


async def recognised(tx: Tx, shown: Credentials, now: int) -> Member:
    """The member who shows these credentials, before the request itself is looked at. Raises Problem 401."""
    found: Member | None = None
    if shown.token is not None:
        known = await members.by_key(tx, shown.token.keyid, "sign")
        if known is not None and shown.token.signed(keys.parse(known[1], "key")):
            found = known[0]
    elif shown.secret:
        found = await members.by_secret(tx, shown.secret, now)
    elif shown.certificate:
        known = await members.by_key(tx, shown.certificate, "tls")
        found = known[0].shown_by("tls") if known else None
    if found is None:
        raise unauthorized()
    return found


def fitting(shown: Credentials, call: Call) -> bytes | None:
    """The nonce to be taken, if the credentials are a token for just this request. Raises Problem 401."""
    if shown.token is None:
        return None
    path = call.path + (f"?{call.query}" if call.query else "")
    try:
        return shown.token.check(
            audience=call.hub.origin, method=call.method, path=path, body=call.body, now=call.now
        )
    except SharingError as error:
        raise unauthorized(error.message) from error


async def recorded(
    call: Call,
    shown: Credentials,
    action: str,
    effect: Callable[[Tx, Books], Awaitable[Answer]],
    *,
    durable: bool,
) -> Answer:
    """The answer of ``effect``, in one transaction with the nonce of the request and its entry in the audit."""
    nonce = fitting(shown, call)

    async def job(tx: Tx) -> Answer:
        if nonce is not None and shown.token is not None:
            try:
                await members.once(tx, hashlib.sha256(nonce).digest(), shown.token.expires + tokens.SKEW)
            except SharingError as error:
                raise unauthorized(error.message) from error
        books = await Books.opened(tx)
        answer = await effect(tx, books)
        books.note(
            Entry(
                call.member.number, action, answer.status, answer.collection, answer.earliest, answer.latest,
                answer.count, answer.detail,
            ),
            call.now,
        )  # fmt: skip
        await books.closed(tx, call.hub.key, call.now)
        return answer

    return await call.hub.store.write(job, durable=durable)


async def body_of(receive: Receive, headers: dict[bytes, bytes], limits: Limits) -> bytes:
    """The body, within limits. Raises Problem 413, 408, 400."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:16]) > limits.body:
        raise Problem(413, "Too large", f"a request has at most {limits.body} bytes")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, "Gone", "the request broke off")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limits.body:
                    raise Problem(413, "Too large", f"a request has at most {limits.body} bytes")
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError as error:
        raise Problem(408, "Too slow", "the request took too long to arrive") from error


async def answer_to(send: Send, answer: Answer, limits: Limits) -> None:
    """Send an answer; a peer that does not take it in time is cut off."""
    headers = [
        (b"content-type", answer.media.encode()),
        (b"content-length", b"%d" % len(answer.body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *answer.headers,
    ]
    async with asyncio.timeout(limits.send_seconds):
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def problem(error: Exception) -> Answer:
    """The answer that says what went wrong, without a word from inside."""
    if isinstance(error, Problem):
        found = error
    elif isinstance(error, Misasked):
        found = Problem(400, "ProcessingError", error.message)
    elif isinstance(error, TooLong):
        found = Problem(503, "Too long", "the question takes too long; ask for less at once", _later(5))
    elif isinstance(error, SharingError):
        found = Problem(422, "ProcessingError", error.message)
    else:
        name = secrets.token_hex(8)
        kind = "the store fails" if isinstance(error, StorageError) else type(error).__name__
        _LOG.error("request failed: %s", kind, extra={"error_id": name}, exc_info=error)
        status = 503 if isinstance(error, StorageError) else 500
        found = Problem(status, "Failure", f"the hub failed; its operator finds more under {name}")
    body = {"title": found.title, "description": found.text, "http_status": str(found.status)}
    return Answer(orjson.dumps(body), found.status, headers=list(found.headers))


def unauthorized(text: str = "show who you are: a signed token, a certificate or an API token") -> Problem:
    """401."""
    return Problem(401, "Unauthorized", text, _CHALLENGES)


def overloaded(seconds: int = 1) -> Problem:
    """503, come again."""
    return Problem(503, "Busy", "the hub has much to do; come again", _later(seconds))


def too_many(text: str, seconds: int) -> Problem:
    """429."""
    return Problem(429, "Too much", text, _later(seconds))


class Meter:
    """How many requests each member may still make: a bucket that fills within a minute. One for each process."""

    def __init__(self) -> None:
        self._left: dict[int, tuple[float, int]] = {}
        self._lock = threading.Lock()  # readers' threads count, too

    def take(self, member: Member, now: int) -> None:
        """Count one. Raises Problem 429."""
        most = member.quota.requests_per_minute
        with self._lock:
            left, since = self._left.get(member.number, (float(most), now))
            left = min(most, left + max(0, now - since) * most / 60_000_000)
            if left >= 1:
                self._left[member.number] = (left - 1, now)
                return
        raise too_many("too many requests", max(1, round(60 / most)))


def _later(seconds: int) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"retry-after", b"%d" % seconds),)


def _certificate(scope: Scope) -> str:
    """The name of the key in the certificate that the server has verified; of ASGI's TLS extension."""
    chain = ((scope.get("extensions") or {}).get("tls") or {}).get("client_cert_chain") or ()
    if not chain:
        return ""
    from cryptography import x509  # noqa: PLC0415 - only with mTLS
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    key = x509.load_pem_x509_certificate(next(iter(chain)).encode()).public_key()
    info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(info).hexdigest()}"


def own(call: Call) -> None:
    """Only the member itself, not who holds an API token of it."""
    if call.member.by == "api":
        raise Problem(403, "Forbidden", "an API token does not do this; sign the request")
