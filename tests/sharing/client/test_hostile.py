"""A hub that lies, members that forge, processes that are killed: each is noticed, nothing is lost, nothing is believed."""

from __future__ import annotations

import copy
import json
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nursery import nursery

from spiritsafe.attest import keys
from spiritsafe.errors import SharingError
from spiritsafe.sharing.client import incoming, mirror
from spiritsafe.sharing.client.wire import MOST_BYTES
from spiritsafe.sharing.hub.reception import Limits
from spiritsafe.sharing.signed import EXTENSION, sign_object
from spiritsafe.sharing.stix.export import to_stix
from spiritsafe.sharing.stix.ids import DISTILLATION

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400_000_000
SHARE = """
import sys
from spiritsafe.cli import main

def begin(*words):
    sys.argv = ["spiritsafe", "share", *words]
    main()
"""


def shared(someone: Any, sample: Any, **changed: Any) -> list[dict[str, Any]]:
    told, found = sample.results()
    with someone.session() as one:
        made = to_stix({**told["campaigns"][0], **changed}, found, one.maker, release=sample.FULL).objects
    assert someone.push(made).failed == []
    return made


def notes(someone: Any, many: int) -> list[dict[str, Any]]:
    """So many small objects, pushed."""
    with someone.session() as one:
        about = "campaign--967ad7ce-3a06-59de-a97c-2dc330ac3f22"
        made = [
            one.maker.note([about], f"Word {'abcdefghij'[n % 10]} {'x' * (n // 10)}.") for n in range(many)
        ]
    assert someone.push(made).failed == []
    return made


def objects_changed(change: Any) -> Any:
    """A hub that changes what it hands out."""

    def between(path: str, body: bytes) -> bytes:
        if not path.endswith("/objects/"):
            return body
        page = json.loads(body)
        page["objects"] = [each for one in page.get("objects", []) for each in change(copy.deepcopy(one))]
        return json.dumps(page).encode()

    return between


def test_what_the_hub_changed_is_not_taken(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    made = shared(anna, sample)

    def worse(one: dict[str, Any]) -> list[dict[str, Any]]:
        if one["type"] == "campaign":
            one["last_seen"] = "2026-11-20T00:00:00Z"
        return [one]

    forum.between = objects_changed(worse)
    outcome = ben.pull()
    assert outcome.pulled.refused == [(made[0]["id"], "the object is not what its author signed")]
    assert ben.ids() == {one["id"] for one in made[1:]}
    # Once the hub hands out what was signed, a whole fetch brings it.
    forum.between = None
    ben.pull(whole=True)
    assert made[0]["id"] in ben.ids()


@pytest.mark.parametrize(
    "what", ["unsigned", "foreign key", "own id of another", "out of scope", "future field"]
)
def test_forged_objects_are_set_aside_one_by_one(forum: Any, sample: Any, what: str):
    anna, ben, eve = forum.member("anna"), forum.member("ben"), forum.member("eve")
    made = shared(anna, sample)
    ben.pull()
    with eve.session() as one:
        mallory, forged = one.key, one.maker.note([made[0]["id"]], "Lies.")
    match what:
        case "unsigned":
            pass
        case "foreign key":
            forged = sign_object(forged, Ed25519PrivateKey.generate())
        case "own id of another":
            # A newer version of anna's campaign, well formed, signed by eve as hers.
            forged = {
                **made[0],
                "created_by_ref": forged["created_by_ref"],
                "modified": "2026-11-26T00:00:01.000Z",
            }
            forged = sign_object(forged, mallory)
        case "out of scope":
            forged["content"] += " account acct_00ff12"
            forged = sign_object(forged, mallory)
        case _:
            forged["extensions"][DISTILLATION]["price_tier"] = "gold"
            forged = sign_object(forged, mallory)

    def between(path: str, body: bytes) -> bytes:
        return (
            json.dumps({"more": False, "objects": [forged]}).encode() if path.endswith("/objects/") else body
        )

    before = ben.ids()
    forum.between = between
    outcome = ben.pull()
    assert [key for key, _ in outcome.pulled.refused] == [forged["id"]]
    assert ben.ids() == before
    with ben.session() as one:
        kept = one.state.object(made[0]["id"])
        assert kept is not None
        assert kept.author == made[0]["created_by_ref"]


def test_an_object_that_is_not_in_the_log_is_noticed(forum: Any, sample: Any):
    ben, eve = forum.member("ben"), forum.member("eve")
    notes(eve, 1)
    ben.pull()
    with eve.session() as one:
        secret = sign_object(
            one.maker.note(["campaign--967ad7ce-3a06-59de-a97c-2dc330ac3f22"], "For ben alone."), one.key
        )
    forum.between = objects_changed(lambda one: [one, secret])
    before = ben.ids()
    with pytest.raises(mirror.Forked, match="not in its log"):
        ben.pull(whole=True)
    assert ben.ids() == before
    forum.between = None
    assert ben.pull().pulled.refused == []


def test_a_replayed_version_does_not_bring_back_what_was_revoked(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    made = shared(anna, sample)
    ben.pull()
    with ben.session() as one:
        old = [kept.stix for kept in one.state.here()]
    with anna.session() as one:
        gone = [one.maker.revoked(stix, "error") for stix in made]
    anna.push(gone)
    ben.pull()
    assert ben.pull().used == []

    def between(path: str, body: bytes) -> bytes:
        return json.dumps({"more": False, "objects": old}).encode() if path.endswith("/objects/") else body

    forum.between = between
    outcome = ben.pull(whole=True)
    assert (outcome.pulled.new, outcome.used) == (0, [])


def test_what_was_revoked_does_not_come_back_in_a_later_version(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    made = shared(anna, sample)
    with anna.session() as one:
        anna_key = one.key
        gone = one.maker.revoked(made[0], "error")
    anna.push([gone])
    ben.pull()
    again = sign_object({**made[0], "modified": "2026-11-26T01:00:00.000Z"}, anna_key)
    anna_again = {"more": False, "objects": [again]}
    forum.between = lambda where, body: (
        json.dumps(anna_again).encode() if where.endswith("/objects/") else body
    )
    assert "revoked for good" in ben.pull(whole=True).pulled.refused[0][1]


def test_two_histories_are_found_out_when_heads_are_compared(
    forum: Any, sample: Any, serve: Any, tmp_path: Path, clock: Any
):
    anna, ben, cleo = (forum.member(name) for name in ("anna", "ben", "cleo"))
    notes(anna, 3)
    ben.pull()
    cleo.pull()
    fork = tmp_path / "fork.db"
    for suffix in ("", "-wal", "-shm"):
        if (tmp_path / f"hub.db{suffix}").exists():
            shutil.copy(tmp_path / f"hub.db{suffix}", f"{fork}{suffix}")
    shared(anna, sample)
    ben.pull()
    with serve(tmp_path, str(fork), clock=clock, make=False) as other:
        # The same hub to cleo: name, key, members, and a log that goes on in another way.
        cleo.forum = other
        cleo.rules("")
        anna_there = type(anna)(other, anna.config)
        anna_there.rules("")
        clock.now += 1_000_000
        notes(anna_there, 5)
        cleo.pull()
    heads: dict[str, str] = {}
    for name, who in (("ben", ben), ("cleo", cleo)):
        with who.session() as one:
            heads[name] = one.state.head()
    with ben.session() as one:
        log_key, origin = one.hub.log_key, "forum.example/log"
        with pytest.raises(mirror.Forked, match="another log"):
            mirror.compare(one.state, heads["cleo"], log_key, origin)
        assert mirror.compare(one.state, heads["ben"], log_key, origin).startswith("one log")
        with pytest.raises(SharingError, match="not signed"):
            mirror.compare(one.state, heads["ben"].replace("time 1", "time 2"), log_key, origin)
    # And cleo notices herself, as soon as she is shown the first history again.
    cleo.forum = forum
    cleo.rules("")
    with pytest.raises(mirror.Forked):
        cleo.pull()


def test_a_log_that_was_rolled_back_is_noticed(forum: Any, serve: Any, tmp_path: Path, clock: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    notes(anna, 2)
    for suffix in ("", "-wal", "-shm"):
        if (tmp_path / f"hub.db{suffix}").exists():
            shutil.copy(tmp_path / f"hub.db{suffix}", tmp_path / f"old.db{suffix}")
    clock.now += 1_000_000
    with anna.session() as one:
        more = one.maker.note(["campaign--967ad7ce-3a06-59de-a97c-2dc330ac3f22"], "One more.")
    anna.push([more])
    ben.pull()
    with serve(tmp_path, str(tmp_path / "old.db"), clock=clock, make=False) as other:
        ben.forum = other
        ben.rules("")
        with pytest.raises(mirror.Forked, match="leaves, 3 before"):
            ben.pull()


@pytest.mark.parametrize(
    ("path", "change", "words"),
    [
        ("/forum", lambda one: {**one, "origin": "other.example/log"}, "before it was"),
        ("/forum", lambda one: {**one, "log_key": "ed25519:" + "A" * 43 + "="}, "another key"),
        ("/forum", lambda one: {**one, "time": one["time"] + 2 * DAY}, "clock"),
        ("/forum", lambda _: {}, "no hub"),
        ("/forum/members", lambda _: {"members": 7}, "malformed"),
        ("/forum/members", lambda one: {"members": [{**one["members"][0], "keys": []}]}, None),
        ("/forum/log/head", lambda one: {"head": one["head"].replace("time", "tame")}, "not signed"),
        ("/forum/log/head", lambda _: {"head": 7}, "no head"),
    ],
)
def test_a_hub_that_says_something_else_is_refused(
    forum: Any, sample: Any, path: str, change: Any, words: str | None
):
    anna, ben = forum.member("anna"), forum.member("ben")
    notes(anna, 1)
    ben.pull()
    with anna.session() as one:
        more = one.maker.note(["campaign--967ad7ce-3a06-59de-a97c-2dc330ac3f22"], "One more.")
    anna.push([more])
    before = ben.ids()
    forum.between = lambda where, body: (
        json.dumps(change(json.loads(body))).encode() if where == path else body
    )
    if (
        words is None
    ):  # a directory without anna's key: her object cannot be checked by it, and the old key is still known
        assert ben.pull().pulled.refused == []
        return
    with pytest.raises(SharingError, match=words):
        ben.pull()
    assert ben.ids() == before


def test_a_directory_that_gives_a_key_to_another_member_is_refused(forum: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    notes(anna, 1)
    ben.pull()

    def swapped(where: str, body: bytes) -> bytes:
        if where != "/forum/members":
            return body
        found = json.loads(body)
        found["members"][0]["keys"], found["members"][1]["keys"] = (
            found["members"][1]["keys"], found["members"][0]["keys"],
        )  # fmt: skip
        return json.dumps(found).encode()

    forum.between = swapped
    with pytest.raises(SharingError, match="its identity is made from"):
        ben.pull()

    def added(where: str, body: bytes) -> bytes:
        if where != "/forum/members":
            return body
        found = json.loads(body)
        first, second = found["members"][:2]
        first["keys"].append(second["keys"][0])
        return json.dumps(found).encode()

    forum.between = added
    with pytest.raises(SharingError, match="another member"):
        ben.pull()


def test_a_new_key_is_told_as_vouched_for_by_the_hub_alone(forum: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    notes(anna, 1)
    keys.make(forum.folder / "new.key")
    public = keys.load(forum.folder / "new.key").public_key()

    def added(where: str, body: bytes) -> bytes:
        if where != "/forum/members":
            return body
        found = json.loads(body)
        fresh = {
            "keyid": keys.keyid(public),
            "purpose": "sign",
            "public": keys.shown(public),
            "since": 1,
            "retired": None,
        }
        found["members"][0]["keys"].append(fresh)
        return json.dumps(found).encode()

    forum.between = added
    assert [keyid for _, keyid in ben.pull().pulled.new_keys] == [keys.keyid(public)]
    assert ben.pull().pulled.new_keys == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"objects": 7}',
        b'{"objects": [7]}',
        b'{"more": true, "objects": []}',
        b"[" * 100_000,
    ],
)
def test_pages_that_make_no_sense_are_errors(forum: Any, body: bytes):
    ben = forum.member("ben")
    forum.between = lambda where, data: body if where.endswith("/objects/") else data
    with pytest.raises(SharingError):
        ben.pull()


def test_an_answer_without_end_is_cut_off(forum: Any):
    ben = forum.member("ben")
    forum.between = lambda where, data: b" " * (MOST_BYTES + 1) if where == "/forum/members" else data
    with pytest.raises(SharingError, match="too large"):
        ben.pull()


def test_a_stale_place_forces_a_refetch_that_sees_deletions(forum: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    made = notes(anna, 12)
    assert ben.pull().pulled.whole
    with anna.session() as one:
        one.wire.about()
        one.wire._send(
            "DELETE", f"{one.wire.objects}{made[0]['id']}/", b"", "application/taxii+json;version=2.1", None
        )
    assert ben.pull().pulled.gone == 0  # pages say nothing of what was deleted
    forum.clock.now += incoming.STALE + 1
    outcome = ben.pull()
    assert (outcome.pulled.whole, outcome.pulled.gone) == (True, 1)
    assert made[0]["id"] not in ben.ids()
    with ben.session() as one:
        assert one.state.object(made[0]["id"]) is not None  # what was known stays findable, for redress


def test_a_refetch_that_broke_off_goes_on_and_drops_nothing_too_early(
    forum: Any, serve: Any, tmp_path: Path, clock: Any
):
    with serve(tmp_path, str(tmp_path / "small.db"), clock=clock, limits=Limits(page=5)) as small:
        anna, ben = small.member("anna"), small.member("ben")
        made = notes(anna, 23)
        asked = 0

        def fails(where: str, body: bytes) -> bytes:
            nonlocal asked
            asked += where.endswith("/objects/")
            return b"{" if asked == 3 and where.endswith("/objects/") else body

        small.between = fails
        with pytest.raises(SharingError):
            ben.pull()
        assert len(ben.ids()) == 10
        outcome = ben.pull()
        assert (outcome.pulled.objects, len(ben.ids())) == (13, 23)
        assert ben.ids() == {one["id"] for one in made}


@pytest.mark.parametrize("verb", ["pull", "push"])
def test_kill_9_at_any_moment_loses_nothing(serve: Any, tmp_path: Path, clock: Any, verb: str):
    clock.now = time.time_ns() // 1_000  # the command has the real clock
    with serve(
        tmp_path, str(tmp_path / "k.db"), clock=lambda: time.time_ns() // 1_000, limits=Limits(page=20)
    ) as forum:
        anna, ben = forum.member("anna"), forum.member("ben")
        many = 400
        with anna.session() as one:
            about = "campaign--967ad7ce-3a06-59de-a97c-2dc330ac3f22"
            made = [
                one.maker.note([about], f"Note {'abcdefghij'[n % 10]} {'x' * (n // 10)}.")
                for n in range(many)
            ]
            for at in range(0, many, 20):
                one.put(one.sealed(made[at : at + 20]), "test")
            if verb == "pull":
                one.send()
        who = ben if verb == "pull" else anna
        command = (verb, "--config", str(who.config))
        kills = 0
        with nursery(SHARE) as started:
            for round_ in range(5):
                started.begin(tmp_path / "out", *command)
                time.sleep(0.1 + 0.12 * round_)
                kills += started.kill() == -signal.SIGKILL
            started.begin(tmp_path / "out", *command)
            assert started.ended() == 0, (tmp_path / "out").read_text()
        assert kills
        ben.pull()
        assert ben.ids() == {one["id"] for one in made}
        with anna.session() as one:
            assert one.state.waiting() == []
        with ben.session() as one:
            assert one.state.size() == many  # each object once in the log, however often it was sent
            assert all(EXTENSION in kept.stix["extensions"] for kept in one.state.here())
