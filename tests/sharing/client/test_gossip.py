"""Members' words about the log: a hub that shows two logs is told by the first word that crosses, and by silence else."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe.attest import keys
from spiritsafe.attest.canonical import jcs
from spiritsafe.sharing import seen
from spiritsafe.sharing.client import mirror
from spiritsafe.sharing.client.state import State
from spiritsafe.sharing.client.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = 86_400_000_000
ORIGIN = "forum.example/log"
SEEN = "/forum/log/seen"


def notes(someone: Any, *words: str) -> None:
    with someone.session() as one:
        about = "campaign--967ad7ce-3a06-59de-a97c-2dc330ac3f22"
        made = [one.maker.note([about], f"Word {word}.") for word in words]
    assert someone.push(made).failed == []


def me(someone: Any) -> str:
    with someone.session() as one:
        return one.maker.author


def said(someone: Any) -> dict[str, Any]:
    """The last word of a member, as it signed it."""
    with someone.session() as one:
        return json.loads(one.state.words()[one.maker.author].envelope)


def giving(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Any:
    """A hub that changes members' words on the way."""

    def between(path: str, body: bytes) -> bytes:
        table = json.loads(body)
        if path != SEEN or "seen" not in table:
            return body
        return json.dumps({"seen": change(table["seen"])}).encode()

    return between


def test_members_hear_each_other_and_say_no_more_than_they_need(forum: Any, clock: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    assert ben.pull().heard.agree == []  # the log is empty: nothing to say
    notes(anna, "one", "two")
    assert (ben.pull().heard.agree, ben.pull().heard.silent) == ([], [_name(ben, anna)])
    first = said(ben)
    assert anna.pull().heard.agree == [_name(anna, ben)]
    notes(anna, "three")
    clock.now += 1_000_000
    anna.pull()
    heard = ben.pull().heard
    assert (heard.agree, heard.silent, heard.unheard) == ([_name(ben, anna)], [], [])
    again = said(ben)
    assert again != first
    ben.pull()
    assert said(ben) == again  # nothing new, nothing said
    clock.now += 2 * DAY
    ben.pull()
    assert said(ben) != again


def _name(who: Any, other: Any) -> str:
    with who.session() as one:
        names = one.state.members()
    return names[me(other)][0]


@pytest.fixture
def halves(forum: Any, serve: Any, tmp_path: Path, clock: Any) -> Any:
    """Ben and cleo are members of one hub that shows them two logs; what cleo, at the other half, said last."""
    anna, ben, cleo = (forum.member(name) for name in ("anna", "ben", "cleo"))
    notes(anna, "one")
    ben.pull()
    cleo.pull()
    for suffix in ("", "-wal", "-shm"):
        if (tmp_path / f"hub.db{suffix}").exists():
            shutil.copy(tmp_path / f"hub.db{suffix}", tmp_path / f"fork.db{suffix}")
    clock.now += 1_000_000
    notes(anna, "two", "three")
    with serve(tmp_path, str(tmp_path / "fork.db"), clock=clock, make=False) as other:
        for one in (anna, cleo):
            one.forum = other
            one.rules("")
        notes(anna, "four")
        cleo.pull()
        word = said(cleo)
    return ben, cleo, word


def test_a_word_that_crosses_tells_the_fork_and_the_evidence_stays(forum: Any, halves: Any):
    ben, cleo, word = halves
    forum.between = giving(
        lambda told: [{**one, "envelope": word} if one["identity"] == me(cleo) else one for one in told]
    )
    for _ in range(2):  # and it is told again, until somebody does something about it
        with pytest.raises(mirror.Forked, match="another log of 2 leaves"):
            ben.pull()
    kept = json.loads(next(ben.folder.glob("forked-*.json")).read_text())
    assert (kept["identity"], kept["they_saw"]) == (me(cleo), word)
    with ben.session() as one:
        known = {
            each.keyid: keys.parse(each.public, "test")
            for each in one.state.known_keys()
            if each.identity == me(cleo)
        }
        theirs = seen.opened(kept["they_saw"], known, audience=ORIGIN)
        sizes = [
            mirror.verified(text, one.hub.log_key, ORIGIN).size for text in (theirs.head, kept["we_saw"])
        ]
    assert sizes == [2, 3]


def test_a_hub_that_shows_less_than_it_showed_another_is_told(forum: Any, clock: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    notes(anna, "one")
    ben.pull()
    with ben.session() as one:
        old = one.state.head()
    notes(anna, "two")
    clock.now += 1_000_000
    anna.pull()

    def between(path: str, body: bytes) -> bytes:
        return json.dumps({"head": old}).encode() if path == "/forum/log/head" else body

    forum.between = between
    with pytest.raises(mirror.Forked):
        ben.pull()
    forum.between = None
    assert ben.pull().heard.agree == [_name(ben, anna)]


def test_words_kept_back_or_made_up_are_silence(forum: Any, clock: Any):
    anna, ben, eve = (forum.member(name) for name in ("anna", "ben", "eve"))
    notes(anna, "one")
    anna.pull()
    ben.pull()
    old = said(anna)
    with eve.session() as one:
        one.wire.about()
        forged = seen.statement("x", one.key, audience=one.wire.origin, now=clock.now)
    clock.now += 1_000_000
    notes(anna, "two")
    anna.pull()
    assert ben.pull().heard.agree == [_name(ben, anna)]
    hers = me(anna)
    for word, why in (
        (forged, "signatures hold"),
        (old, "newer word before"),
        ({"payload": 7}, ""),
        (None, ""),
    ):
        forum.between = giving(lambda _, word=word: [{"identity": hers, "envelope": word}])
        heard = ben.pull().heard
        assert [name for name, told in heard.unheard if why in told] == [_name(ben, anna)]
    forum.between = giving(lambda _: [])
    assert _name(ben, anna) in ben.pull().heard.agree
    clock.now += 8 * DAY
    assert _name(ben, anna) in ben.pull().heard.silent


def test_the_hub_takes_only_a_members_own_and_fresh_word(forum: Any, clock: Any):
    anna, eve = forum.member("anna"), forum.member("eve")
    notes(anna, "one")
    anna.pull()
    with anna.session() as one, eve.session() as other:
        one.wire.about()
        other.wire.about()
        head = one.state.head()

        def post(by: Any, head: str, key: Any, now: int, audience: str = ORIGIN) -> None:
            by.wire.post(SEEN, jcs(seen.statement(head, key, audience=audience, now=now)))

        post(other, head, other.key, clock.now)
        wrong: tuple[Any, ...]
        for wrong in (
            (other, head, one.key, clock.now),
            (one, head, one.key, clock.now - DAY),
            (one, head, one.key, clock.now, "other.example/log"),
            (one, head.replace("time 1", "time 2"), one.key, clock.now),
            (one, "x" * 5_000, one.key, clock.now),
        ):
            with pytest.raises(Refused) as caught:
                post(*wrong)
            assert caught.value.status == 422
        listed = one.wire.get(SEEN).content["seen"]
    assert {each["identity"] for each in listed} == {me(anna), me(eve)}


def test_a_state_of_before_goes_on(forum: Any):
    anna = forum.member("anna")
    notes(anna, "one")
    anna.pull()
    with closing(sqlite3.connect(anna.folder / "forum.sqlite")) as db:
        db.executescript("DROP TABLE words; PRAGMA user_version = 1;")
    anna.pull()
    with State(anna.folder) as state:
        assert len(state.words()) == 1
