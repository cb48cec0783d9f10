"""Pull: from the hub's pages to objects that are known to be their author's, in scope, and in the log.

The place in the collection is kept with each page, so that a pull that was killed goes on where it was. A place that is too
old, or of another hub, forces a refetch of everything; so does a long time without one, since deletions leave no trace in pages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from spiritsafe.attest import keys as keyfile
from spiritsafe.attest import merkle
from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import AttestError, ScopeError, SharingError
from spiritsafe.sharing import scope
from spiritsafe.sharing.client import mirror
from spiritsafe.sharing.client.state import Known, State
from spiritsafe.sharing.client.wire import TAXII, Answer, Refused, Wire
from spiritsafe.sharing.signed import verify_object
from spiritsafe.sharing.stix import ids
from spiritsafe.sharing.stix.terms import DAY, micros

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STALE: Final = 7 * DAY
"""A place that was not used for so long is not gone on from."""
REFETCH: Final = 7 * DAY
"""So often everything is fetched, whatever the place says."""
SKEW: Final = 300_000_000
_MOST_PAGES: Final = 100_000
_BEFORE_LOG: Final = 3
"""How often the log is looked at for the objects of one page, which may be younger than the head."""


@dataclass(slots=True)
class Pulled:
    """What one pull brought. ``refused``: (id, why). ``new_keys``: (pseudonym, key id) for which the hub alone vouches."""

    objects: int = 0
    new: int = 0
    gone: int = 0
    whole: bool = False
    leaves: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    new_keys: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def pull(wire: Wire, state: State, *, now: int, whole: bool = False) -> Pulled:
    """Bring what is new at the hub into ``state``. Nothing is applied by it. Raises SharingError.

    ``whole``: fetch everything again, and drop what the hub has no more.
    """
    found = Pulled()
    _recognise(wire, state, now)
    _directory(wire, state, found)
    mirror.follow(wire, state, wire.hub.log_key)
    found.whole = whole or _must_refetch(state, now)
    if found.whole:
        _begin_again(state, now)
    try:
        _pages(wire, state, found, now)
    except Refused as error:
        if error.status not in (400, 416, 422) or found.whole:
            raise
        # The hub does not know this place: it was restored, or the question changed.
        found.whole = True
        _begin_again(state, now)
        _pages(wire, state, found, now)
    found.leaves = state.size()
    return found


def _recognise(wire: Wire, state: State, now: int) -> None:
    """Whether this is the hub of before, with the log key of the settings, and a clock like ours."""
    told = wire.about()
    if told.get("log_key") != wire.hub.log_key:
        raise SharingError(
            "the hub's log has another key than the settings say",
            where=wire.hub.url,
            hint="ask the operator and another member",
        )
    before = state.fact("origin")
    if before is not None and before != wire.origin:
        raise SharingError(
            f"this is the log {wire.origin!r}, before it was {before!r}",
            where=wire.hub.url,
            hint="another folder for another hub",
        )
    time = told.get("time")
    if type(time) is not int or abs(time - now) > SKEW:
        raise SharingError(
            "the hub's clock and this one differ by minutes", where=wire.hub.url, hint="set the clock"
        )
    if before is None:
        with state.change():
            state.note("origin", wire.origin)


def _directory(wire: Wire, state: State, found: Pulled) -> None:
    listed: Any = wire.get("/forum/members").content.get("members")
    members: list[tuple[str, str, str, str]] = []
    known: list[Known] = []
    try:
        for one in listed:
            identity, pseudonym = str(one["identity"]), str(one["pseudonym"])
            members.append((identity, pseudonym, " ".join(map(str, one["roles"])), str(one["state"])))
            known += [_key(identity, key) for key in one["keys"] if key["purpose"] == "sign"]
    except (KeyError, TypeError, ValueError, AttestError) as error:
        raise SharingError("the hub's directory of members is malformed", where=wire.hub.url) from error
    by_identity: dict[str, list[Known]] = {}
    for one in known:
        by_identity.setdefault(one.identity, []).append(one)
    for identity, theirs in by_identity.items():
        if not any(one.own for one in theirs):
            raise SharingError(
                f"no key of {identity} is the one that its identity is made from", where=wire.hub.url,
                hint="the hub's directory is wrong: ask the operator and another member",
            )  # fmt: skip
    with state.change():
        fresh = state.set_directory(members, known)
    names = {identity: pseudonym for identity, pseudonym, _, _ in members}
    found.new_keys = [(names[one.identity], one.keyid) for one in fresh if not one.own]


def _key(identity: str, told: Mapping[str, Any]) -> Known:
    public = keyfile.parse(str(told["public"]), "directory")
    text, since, retired = keyfile.shown(public), told["since"], told["retired"]
    if (
        type(since) is not int
        or not (retired is None or type(retired) is int)
        or keyfile.keyid(public) != told["keyid"]
    ):
        raise ValueError("keyid, since, retired")
    return Known(told["keyid"], identity, text, since, retired, own=ids.identity_id(text) == identity)


def _must_refetch(state: State, now: int) -> bool:
    cursor, whole = state.fact("used"), state.fact("whole")
    if state.fact("refetching"):
        return False  # one is under way and goes on
    return cursor is None or whole is None or now - int(cursor) > STALE or now - int(whole) > REFETCH


def _begin_again(state: State, now: int) -> None:
    with state.change():
        state.note("cursor", "")
        state.note("refetching", str(now))
        state.refetch()


def _pages(wire: Wire, state: State, found: Pulled, now: int) -> None:
    place = ""
    for _ in range(_MOST_PAGES):
        query: dict[str, str] = {"match[version]": "last"}
        cursor = state.fact("cursor") or ""
        if cursor:
            query["added_after"] = cursor
        if place:
            query["next"] = place
        page = wire.get(wire.objects, query, media=TAXII)
        more = page.content.get("more") is True
        _page(wire, state, page, found, now)
        # `added_after` moves with each page, so that no place but a time need outlive this process.
        place = "" if page.last else str(page.content.get("next", "")) if more else ""
        if not more:
            break
        if not page.last and not place:
            raise SharingError("the hub says that there is more, and not where", where=wire.hub.url)
    with state.change():
        begun = state.fact("refetching")
        if begun:
            found.gone = state.leave_seen()
            state.note("whole", begun)
            state.note("refetching", "")
        state.note("used", str(now))


def _page(wire: Wire, state: State, page: Answer, found: Pulled, now: int) -> None:
    listed: Any = page.content.get("objects", [])
    if not isinstance(listed, list):
        raise SharingError("a page without a list of objects", where=wire.hub.url)
    if not all(isinstance(one, dict) for one in cast("list[Any]", listed)):
        raise SharingError("a page with something that is no object", where=wire.hub.url)
    objects = cast("list[dict[str, Any]]", listed)
    good, bad = sorted_out(objects, state)
    _in_log(wire, state, good)
    with state.change():
        for stix, author in good:
            found.new += state.take(stix, author, now)
        for stix, why in bad:
            key, version = (str(stix.get(name, "")) for name in ("id", "modified"))
            found.refused.append((key[:128], why))
            state.refuse(key, version, why, now)
        if state.fact("refetching"):
            state.saw(one["id"] for one, _ in good)
        if page.last:
            state.note("cursor", page.last)
        state.note("used", str(now))
    found.objects += len(objects)


def sorted_out(
    objects: Sequence[dict[str, Any]], state: State
) -> tuple[list[tuple[dict[str, Any], str]], list[tuple[dict[str, Any], str]]]:
    """Objects that pass the gate and are signed by their author, with the author; and the others, with what is wrong."""
    known = {one.keyid: one for one in state.known_keys()}
    public = {keyid: keyfile.parse(one.public, keyid) for keyid, one in known.items()}
    passing, bad = _gated(objects)
    owners = state.owners(one["id"] for one in passing)
    good: list[tuple[dict[str, Any], str]] = []
    for stix in passing:
        try:
            author = _author(stix, known[verify_object(stix, public)], owners)
        except (SharingError, AttestError) as error:
            bad.append((stix, error.message))
        else:
            good.append((stix, author))
    return good, bad


def _author(stix: Mapping[str, Any], key: Known, owners: dict[str, tuple[str, int | None]]) -> str:
    """The author of an object that ``key`` signed. Raises SharingError when it is not his to sign."""
    author: str = stix["created_by_ref"]
    modified = micros(stix["modified"])
    owner, revoked = owners.setdefault(stix["id"], (author, None))
    wrong = ""
    if author != key.identity:
        wrong = "signed by another member than its author"
    elif owner != author:
        wrong = "the id is another member's"
    elif revoked is not None and modified > revoked:
        wrong = "it was revoked, and what is revoked is revoked for good"
    elif key.retired is not None and modified > key.retired:
        wrong = "signed with a key that was given up before"
    elif modified < key.since - SKEW and not key.own:
        wrong = "signed with a key that is younger than the object"
    if wrong:
        raise SharingError(wrong)
    return author


def _gated(
    objects: Sequence[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[tuple[dict[str, Any], str]]]:
    """All at once; where the gate refuses, one by one, so that one bad object does not keep the others away."""
    try:
        scope.check(objects, at="receiver")
    except ScopeError:
        pass
    else:
        return list(objects), []
    good: list[dict[str, Any]] = []
    bad: list[tuple[dict[str, Any], str]] = []
    for stix in objects:
        try:
            scope.check([stix], at="receiver")
        except ScopeError as error:
            bad.append((stix, f"{error.where}: {error.message}"))
        else:
            good.append(stix)
    return good, bad


def _in_log(wire: Wire, state: State, good: Sequence[tuple[dict[str, Any], str]]) -> None:
    """Every object of the page stands in the log. One that came after the last look at it is looked for once more."""
    wanted = [merkle.leaf_hash(jcs(stix)) for stix, _ in good]
    for _ in range(_BEFORE_LOG):
        wanted = [one for one in wanted if state.leaf(one) is None]
        if not wanted:
            return
        mirror.follow(wire, state, wire.hub.log_key)
    raise mirror.Forked(
        f"the hub gives {len(wanted)} objects that are not in its log", where=wire.origin,
        hint="show the other members what it gave you: what is not in the log, nobody else may have seen",
    )  # fmt: skip
