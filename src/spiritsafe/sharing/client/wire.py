"""The connection to the hub: signed requests, bounded answers. Whatever the hub says is checked by who reads it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, cast
from urllib.parse import quote, urlencode

import httpx

from spiritsafe.attest.canonical import jcs, read
from spiritsafe.errors import AttestError, SharingError
from spiritsafe.sharing.hub import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.sharing.client.settings import Hub

TAXII: Final = "application/taxii+json;version=2.1"
JSON: Final = "application/json"
MOST_BYTES: Final = 32_000_000
"""Of one answer; a hub gives pages of 8 MB."""
_DEPTH: Final = 40
_TRIES: Final = 4
_LONGEST_WAIT: Final = 30.0


class Refused(SharingError):  # noqa: N818 - reads as the fact it states
    """The hub refused a request. ``status``: of HTTP."""

    def __init__(
        self, message: str, status: int, *, where: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer. ``last``: the time of adding of a page's last object, "" when it has none."""

    content: dict[str, Any]
    last: str


class Wire:
    """Requests to the hub in ``hub``, signed with ``key``. ``clock`` gives microseconds since the epoch."""

    def __init__(
        self,
        hub: Hub,
        key: Ed25519PrivateKey,
        *,
        clock: Callable[[], int],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.hub, self._key, self.clock, self._pause = hub, key, clock, pause
        self.origin = ""
        cert = None
        if hub.certificate and hub.certificate_key:
            cert = (str(hub.certificate), str(hub.certificate_key))
        self._http = httpx.Client(
            base_url=hub.url,
            timeout=hub.timeout / 1_000_000,
            verify=_trust(str(hub.ca) if hub.ca else None, cert),
            follow_redirects=False,
            trust_env=False,  # no proxy that a stray variable names
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def about(self) -> dict[str, Any]:
        """Who the hub says it is; from then on requests are signed for its origin."""
        found = self._send("GET", "/forum", b"", JSON, {}).content
        origin = found.get("origin")
        if not isinstance(origin, str) or not 0 < len(origin) <= 256:
            raise SharingError("this is no hub of the forum", where=self.hub.url)
        self.origin = origin
        return found

    def get(self, path: str, query: Mapping[str, str] | None = None, *, media: str = JSON) -> Answer:
        """What is at ``path``. Raises SharingError."""
        return self._send("GET", path + (f"?{urlencode(query)}" if query else ""), b"", media, None)

    def post(self, path: str, body: bytes, *, media: str = JSON, signed: bool = True) -> Answer:
        """What the hub answers to ``body``. Raises SharingError."""
        return self._send("POST", path, body, media, None if signed else {})

    @property
    def objects(self) -> str:
        """The path of the collection's objects."""
        return f"/{quote(self.hub.root)}/collections/{quote(self.hub.collection)}/objects/"

    def _send(
        self, method: str, path: str, body: bytes, media: str, headers: Mapping[str, str] | None
    ) -> Answer:
        """One request; again, a few times, where the hub says that it is busy, or cannot be reached."""
        for tried in range(1, _TRIES + 1):
            try:
                status, data, seen = self._once(method, path, body, media, headers)
            except httpx.HTTPError as error:
                if tried == _TRIES:
                    raise SharingError(
                        f"the hub cannot be reached: {type(error).__name__}",
                        where=self.hub.url,
                        hint="try again later",
                    ) from error
                self._pause(min(2.0**tried, _LONGEST_WAIT))
                continue
            if status in (429, 503) and tried < _TRIES:
                asked = seen.get("retry-after", "")
                self._pause(min(float(asked) if asked.isdigit() else 2.0**tried, _LONGEST_WAIT))
                continue
            if not 200 <= status < 300:
                raise Refused(_title(data, status), status, where=f"{self.hub.url}{path.partition('?')[0]}")
            return Answer(_object(data, self.hub.url), seen.get("x-taxii-date-added-last", "")[:64])
        raise SharingError("the hub is busy", where=self.hub.url, hint="try again later")

    def _once(
        self, method: str, path: str, body: bytes, media: str, headers: Mapping[str, str] | None
    ) -> tuple[int, bytes, httpx.Headers]:
        sent = {"accept": media, "accept-encoding": "identity"}  # a small answer cannot swell
        if body:
            sent["content-type"] = media
        request = self._http.build_request(method, path, content=body, headers=sent)
        if headers is None:
            request.headers["authorization"] = tokens.make(
                self._key,
                audience=self.origin,
                method=method,
                path=request.url.raw_path.decode("ascii"),
                body=body,
                now=self.clock(),
            )
        answer = self._http.send(request, stream=True)
        try:
            parts: list[bytes] = []
            size = 0
            for part in answer.iter_raw(65_536):
                size += len(part)
                if size > MOST_BYTES:
                    raise SharingError("the hub's answer is too large", where=self.hub.url)
                parts.append(part)
            return answer.status_code, b"".join(parts), answer.headers
        finally:
            answer.close()


def encoded(content: Mapping[str, Any]) -> bytes:
    """A request's body."""
    return jcs(dict(content))


def _trust(ca: str | None, cert: tuple[str, str] | None) -> Any:
    import ssl  # noqa: PLC0415 - only where a connection is made

    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(*cert)
    except (OSError, ssl.SSLError) as error:
        raise SharingError(
            "the certificates cannot be read", where=ca, hint="[hub] ca, certificate, certificate_key"
        ) from error
    return context


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        found = read(data, depth=_DEPTH)
    except AttestError as error:
        raise SharingError(f"the hub's answer is no JSON: {error.message}", where=where) from error
    if not isinstance(found, dict):
        raise SharingError("the hub's answer is no object", where=where)
    return cast("dict[str, Any]", found)


def _title(data: bytes, status: int) -> str:
    """What the hub says is wrong: a short plain text, whatever it sends."""
    try:
        found = read(data[:65_536], depth=_DEPTH)
    except AttestError:
        found = {}
    fields = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    told = [str(fields[key]) for key in ("title", "description") if isinstance(fields.get(key), str)]
    text = "".join(one if one.isprintable() else "?" for one in ": ".join(told))[:300]
    return f"the hub refused it ({status}){': ' + text if text else ''}"
