"""Which path does what, and which media types it has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spiritsafe.sharing.hub import forum, gossip, taxii
from spiritsafe.sharing.hub.reception import JSON, TAXII, Answer, Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_NAME: Final = r"([a-z0-9][a-z0-9-]{0,63})"
_PART: Final = r"([^/\x00-\x1f]{1,320})"


@dataclass(frozen=True, slots=True)
class Route:
    """What one method of one path does: ``action`` is its name in the audit.

    A reading is an async function of the call and the transaction; a change has the books, too, and its body goes first
    through ``prepare``.
    """

    action: str
    reading: Callable[..., Awaitable[Answer]] | None = None
    change: Callable[..., Awaitable[Answer]] | None = None
    prepare: str = ""


_ROUTES: Final[tuple[tuple[re.Pattern[str], dict[str, Route]], ...]] = tuple(
    (re.compile(pattern), methods)
    for pattern, methods in (
        (r"/taxii2", {"GET": Route("discovery", taxii.discovery)}),
        (r"/forum/members", {"GET": Route("members", forum.directory)}),
        (r"/forum/keys", {"POST": Route("keys.change", change=forum.change_keys, prepare="json")}),
        (r"/forum/invitations", {"POST": Route("members.invite", change=forum.invite, prepare="json")}),
        (r"/forum/tokens", {"POST": Route("token.make", change=forum.make_token, prepare="json")}),
        (r"/forum/tokens/" + _PART, {"DELETE": Route("token.end", change=forum.end_token)}),
        (r"/forum/log/head", {"GET": Route("log.head", forum.head)}),
        (r"/forum/log/leaf", {"GET": Route("log.leaf", forum.leaf)}),
        (r"/forum/log/leaves", {"GET": Route("log.leaves", forum.leaves)}),
        (r"/forum/log/proof", {"GET": Route("log.proof", forum.proof)}),
        (r"/forum/log/consistency", {"GET": Route("log.consistency", forum.consistency)}),
        (
            r"/forum/log/seen",
            {
                "GET": Route("log.seen", gossip.told),
                "POST": Route("log.saw", change=gossip.leave, prepare="json"),
            },
        ),
        (r"/forum/audit", {"GET": Route("audit", forum.audit)}),
        (rf"/{_NAME}", {"GET": Route("root", taxii.root)}),
        (rf"/{_NAME}/status/{_PART}", {"GET": Route("status", taxii.status)}),
        (rf"/{_NAME}/collections", {"GET": Route("collections", taxii.collections)}),
        (rf"/{_NAME}/collections/{_PART}", {"GET": Route("collection", taxii.collection)}),
        (rf"/{_NAME}/collections/{_PART}/manifest", {"GET": Route("manifest.read", taxii.manifest)}),
        (
            rf"/{_NAME}/collections/{_PART}/objects",
            {
                "GET": Route("objects.read", taxii.objects),
                "POST": Route("objects.add", change=taxii.add, prepare="objects"),
            },
        ),
        (
            rf"/{_NAME}/collections/{_PART}/objects/{_PART}",
            {
                "GET": Route("object.read", taxii.single),
                "DELETE": Route("object.delete", change=taxii.delete),
            },
        ),
        (
            rf"/{_NAME}/collections/{_PART}/objects/{_PART}/versions",
            {"GET": Route("versions.read", taxii.versions)},
        ),
    )
)


def routed(bare: str, method: str, headers: dict[bytes, bytes]) -> tuple[Route, tuple[str, ...]] | Problem:
    """The route and the names in its path, or why there is none."""
    for pattern, methods in _ROUTES:
        found = pattern.fullmatch(bare)
        if found is None:
            continue
        route = methods.get(method)
        if route is None:
            allow = ", ".join(sorted(methods)).encode()
            return Problem(405, "Not allowed", "this path has other methods", ((b"allow", allow),))
        return _negotiated(route, headers, JSON if bare.startswith("/forum/") else TAXII) or (
            route,
            found.groups(),
        )
    return Problem(404, "Not found", "there is nothing here")


def _negotiated(route: Route, headers: dict[bytes, bytes], media: str) -> Problem | None:
    """Problem 406 or 415, when the media types do not fit."""
    wanted = headers.get(b"accept", b"*/*").decode("latin-1")
    if not any(_fits(one, media, accepting=True) for one in wanted.split(",")):
        return Problem(406, "Not acceptable", f"answers here are {media}")
    given = headers.get(b"content-type", b"").decode("latin-1")
    if route.prepare and not _fits(given, media, accepting=False):
        return Problem(415, "Unsupported media type", f"bodies here are {media}")
    return None


def _fits(given: str, media: str, *, accepting: bool) -> bool:
    """Whether a media type, as a peer writes it, is the one that is meant; a version that is not said is the newest."""
    name, *parameters = (part.strip() for part in given.lower().split(";"))
    known, _, version = media.partition(";version=")
    if accepting and name in {"*/*", "application/*"}:
        return True
    if name != known:
        return False
    for part in parameters:
        key, _, value = part.replace('"', "").partition("=")
        if key.strip() == "version" and value.strip() != version:
            return False
    return True
