"""The hub's relay as a member or holder reaches it: signed requests over HTTP, answers bounded before they are read."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import httpx
import orjson

from spiritsafe.attest import dsse, keys
from spiritsafe.attest.canonical import read
from spiritsafe.errors import AttestError, SharingError
from spiritsafe.sharing.hub import tokens
from spiritsafe.sharing.matching import frames, roster
from spiritsafe.sharing.matching.evaluation import Answer
from spiritsafe.sharing.matching.statements import media_type
from spiritsafe.sharing.matching.tags import ROW

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.sharing.matching.roster import Roster
    from spiritsafe.sharing.matching.statements import Statement
    from spiritsafe.sharing.matching.tags import Place

LARGEST = 64 * 2**20
"""Bytes of an answer that are read."""
_TIMEOUT = 60.0
_TRIES = 4
_LONGEST_WAIT = 60.0


class HubError(SharingError):
    """The hub refused a request (``status`` is HTTP's) or does not answer (0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message, hint=None if status else "is the hub running, and is the address right?")
        self.status = status


class Work(NamedTuple):
    """A request that waits for this holder."""

    envelope: object
    elements: bytes


class Signed(httpx.Auth):
    """A token of its own, signed by the member, on each request."""

    requires_request_body = True

    def __init__(self, key: Ed25519PrivateKey, audience: str, clock: Callable[[], int]) -> None:
        self._key, self._audience, self._clock = key, audience, clock

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign method, path and body."""
        request.headers["Authorization"] = tokens.make(
            self._key,
            audience=self._audience,
            method=request.method,
            path=request.url.raw_path.decode("ascii"),
            body=request.content,
            now=self._clock(),
        )
        yield request


class Remote:
    """A member's or holder's side of the relay at ``url``. Every method raises HubError, SharingError.

    ``audience`` and ``log_key`` (``ed25519:…``) are the hub's; both are asked of the hub when absent, which believes it on
    first sight: pin them where that matters.
    """

    def __init__(
        self,
        url: str,
        key: Ed25519PrivateKey,
        clock: Callable[[], int],
        *,
        audience: str | None = None,
        log_key: str | None = None,
        client: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client or httpx.Client(timeout=_TIMEOUT, trust_env=False)
        self._sleep = sleep
        self._url = url.rstrip("/")
        if audience is None or log_key is None:
            about = self._json("/forum", None)
            audience, log_key = audience or str(about.get("origin")), log_key or str(about.get("log_key"))
        self.audience = audience
        self.log_key = keys.parse(log_key, "the hub's key")
        self._auth = Signed(key, audience, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def directory(self) -> Roster:
        """The members as the hub has them."""
        return roster.parse(self._json("/forum/members", self._auth), "the hub's directory")

    def ceremonies(self) -> list[dict[str, Any]]:
        """The last ceremonies: id, number, envelope of the proposal, opened, state, why."""
        found = _dicts(self._get("/ceremonies")[0], "ceremonies")
        if any(type(one.get("number")) is not int for one in found):
            raise SharingError("the hub's answer is malformed")
        return found

    def propose(self, proposal: Statement) -> None:
        """Open a ceremony."""
        self._post("/ceremonies", {"envelope": proposal.envelope})

    def statements(self, ceremony: str) -> dict[str, list[Any]]:
        """The envelopes of a ceremony by round."""
        header = self._get(f"/ceremonies/{ceremony}")[0]
        return {kind: _list(header, kind) for kind in header}

    def state(self, statement: Statement) -> None:
        """Hang up a statement in its ceremony."""
        self._post(
            f"/ceremonies/{statement.body['ceremony']}/{statement.kind}", {"envelope": statement.envelope}
        )

    def epochs(self) -> list[Any]:
        """Certificates of epochs that are not over."""
        return _list(self._get("/epochs")[0], "epochs")

    def destroyed(self, statement: Statement) -> None:
        """Tell that a share was destroyed."""
        self._post("/destroyed", {"envelope": statement.envelope})

    def destructions(self, epoch: str) -> list[Any]:
        """Who has told so."""
        return _list(self._get(f"/epochs/{epoch}/destroyed")[0], "destroyed")

    def counts(self, epoch: str) -> list[dict[str, Any]]:
        """How much each member asked for: member, class, day, count."""
        found = _dicts(self._get(f"/epochs/{epoch}/counts")[0], "counts")
        if any(
            one.keys() != {"member", "class", "day", "count"} or type(one["count"]) is not int
            for one in found
        ):
            raise SharingError("the hub's answer is malformed")
        return found

    def ask(self, request: Statement, elements: bytes) -> None:
        """Hand in a request."""
        self._post("/requests", {"envelope": request.envelope}, elements)

    def answers(self, request: str) -> tuple[dict[str, Answer], dict[str, object]]:
        """Answers and refusals (envelopes) by holder."""
        header, parts = self._get(f"/requests/{request}")
        answered = _dicts(header, "answers")
        if len(answered) != len(parts):
            raise SharingError("the hub's answer is malformed")
        found = {
            str(one.get("holder")): Answer(one.get("envelope"), part)
            for one, part in zip(answered, parts, strict=True)
        }
        return found, {str(one.get("holder")): one.get("envelope") for one in _dicts(header, "refusals")}

    def again(self, request: str, without: Iterable[str]) -> None:
        """Have others asked instead."""
        self._post(f"/requests/{request}/again", {"without": sorted(without)})

    def done(self, request: str) -> None:
        """Remove a request."""
        self._frame("DELETE", f"/requests/{request}", b"")

    def work(self) -> list[Work]:
        """Requests that wait for this holder."""
        header, parts = self._post("/work", {})
        return [Work(one, part) for one, part in zip(_list(header, "requests"), parts, strict=False)]

    def reply(self, request: str, answer: Answer) -> None:
        """Answer a request."""
        self._post(f"/requests/{request}/answer", {"envelope": answer.envelope}, answer.elements)

    def refuse(self, refusal: Statement) -> None:
        """Refuse a request."""
        self._post(f"/requests/{refusal.body['request']}/refusal", {"envelope": refusal.envelope})

    def post(self, statement: Statement, rows: bytes) -> None:
        """Post a set."""
        self._post("/sets", {"envelope": statement.envelope}, rows)

    def sets(self, place: Place) -> list[Any]:
        """The statements of all sets."""
        return _list(self._get(f"/epochs/{place.epoch}/{place.purpose}/sets")[0], "sets")

    def matches(self, place: Place, me: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the hub gives, for `matches.checked`; and what it signed to have given: to whom, when, of which sets.

        Raises SharingError when the two do not fit, or the signature is not the hub's.
        """
        header, parts = self._get(f"/epochs/{place.epoch}/{place.purpose}/matches")
        entries = _dicts(header, "sets")
        if len(parts) != 2 * len(entries):
            raise SharingError("the hub's answer is malformed")
        told, promised = self._told(header.get("told"), place, me)
        sets = [{**one, "rows": parts[2 * i], "proof": parts[2 * i + 1]} for i, one in enumerate(entries)]
        given = [len(one["rows"]) // ROW for one in sets]
        if sorted(many for many in promised if many) != sorted(given):
            raise SharingError("the hub signed that it gave something else than it gave")
        return {"sets": sets}, {"told": header["told"], **told}

    def send(self, cover: Statement, box: bytes) -> None:
        """Send a sealed message."""
        self._post("/messages", {"envelope": cover.envelope}, box)

    def messages(self, place: Place, about: str) -> list[tuple[object, bytes]]:
        """The sealed messages to this member: cover and box."""
        header, parts = self._get(f"/epochs/{place.epoch}/{place.purpose}/messages/{about}")
        return list(zip(_list(header, "messages"), parts, strict=False))

    def _told(self, envelope: object, place: Place, me: str) -> tuple[dict[str, Any], list[int]]:
        """What the hub signed to have given, and of how many rows of each set."""
        try:
            payload = dsse.verify(envelope, {keys.keyid(self.log_key): self.log_key}, media_type("told"))
            told = read(payload)
            promised = [int(one["rows"]) for one in told["sets"].values()]
            meant = (told["to"], told["epoch"], told["purpose"]) == (me, *place)
        except AttestError as error:
            raise SharingError(f"the hub does not sign what it gives: {error.message}") from None
        except (KeyError, TypeError, ValueError, AttributeError):
            raise SharingError("the hub's signed answer is malformed") from None
        if not meant:
            raise SharingError("the hub signed an answer for somebody else")
        return told, promised

    def _get(self, path: str) -> tuple[dict[str, Any], list[bytes]]:
        return self._frame("GET", path, b"")

    def _post(self, path: str, header: dict[str, Any], *parts: bytes) -> tuple[dict[str, Any], list[bytes]]:
        return self._frame("POST", path, frames.pack(header, *parts))

    def _frame(self, method: str, path: str, body: bytes) -> tuple[dict[str, Any], list[bytes]]:
        return frames.unpack(self._read(method, f"/forum/match{path}", body, self._auth))

    def _json(self, path: str, auth: httpx.Auth | None) -> dict[str, Any]:
        try:
            found = read(self._read("GET", path, b"", auth))
        except AttestError as error:
            raise HubError(0, f"the hub's answer is malformed: {error.message}") from None
        if not isinstance(found, dict):
            raise HubError(0, "the hub's answer is malformed")
        return found

    def _read(self, method: str, path: str, body: bytes, auth: httpx.Auth | None) -> bytes:
        """The answer's bytes; asked again, a few times, where the hub says that it is busy and when to come back."""
        for tried in range(1, _TRIES + 1):
            try:
                status, headers, data = self._once(method, path, body, auth)
            except httpx.HTTPError as error:
                raise HubError(0, f"the hub does not answer: {type(error).__name__}") from None
            if 200 <= status < 300:
                return data
            later = headers.get("retry-after", "")
            if status not in {429, 503} or not later.isdigit() or tried == _TRIES:
                raise HubError(status, f"the hub refuses: {_described(data)}")
            self._sleep(min(float(later), _LONGEST_WAIT))
        raise HubError(0, "the hub is busy")

    def _once(
        self, method: str, path: str, body: bytes, auth: httpx.Auth | None
    ) -> tuple[int, httpx.Headers, bytes]:
        sent = {"Accept-Encoding": "identity"}  # a small answer cannot swell
        if body:
            sent["Content-Type"] = frames.MEDIA
        data = bytearray()
        with self._client.stream(
            method, self._url + path, content=body or None, headers=sent, auth=auth
        ) as response:
            for piece in response.iter_raw():
                data += piece
                if len(data) > LARGEST:
                    raise HubError(0, "the hub's answer is too long")
        return response.status_code, response.headers, bytes(data)


def secured(
    ca: str | None = None, certificate: str | None = None, key: str | None = None, timeout: float = _TIMEOUT
) -> httpx.Client:
    """An HTTP client that trusts the certificates in ``ca`` (else the system's) and shows its own, if any."""
    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return httpx.Client(timeout=timeout, verify=context, trust_env=False)


def _list(header: dict[str, Any], name: str) -> list[Any]:
    found = header.get(name)
    if not isinstance(found, list):
        raise SharingError("the hub's answer is malformed")
    return found


def _dicts(header: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = _list(header, name)
    if not all(isinstance(one, dict) for one in found):
        raise SharingError("the hub's answer is malformed")
    return found


def _described(data: bytes) -> str:
    """The description in an error of the hub, without what could disturb a terminal."""
    try:
        text = str(orjson.loads(data)["description"])
    except (ValueError, KeyError, TypeError):
        text = "no reason given"
    return "".join(letter for letter in text if letter.isprintable())[:300]
