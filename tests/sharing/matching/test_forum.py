"""The whole way on loopback: a real hub, holders that poll it, members that match through it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from matchforum import NOW, Forum, identity, pseudonym, signer
from spiritsafe.attest import keys
from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import evaluation, group, tags, voprf
from spiritsafe.sharing.matching.epoch import DAY, proposed
from spiritsafe.sharing.matching.identifiers import Identifiers
from spiritsafe.sharing.matching.remote import HubError, Remote, Signed
from spiritsafe.sharing.matching.statements import b64, opened, sign
from spiritsafe.sharing.matching.worker import Terms

if TYPE_CHECKING:
    from matchhub import Hub
    from spiritsafe.sharing.matching.session import Own, Session
    from spiritsafe.sharing.matching.worker import Worker


def _propose(hub: Hub, number: int = 1, **changes: Any) -> str:
    forum = Forum("abc", 3, 2, number=number)
    body = forum.body(**{"forum": "forum.example/log", "by": identity("a"), **changes})
    statement = sign("proposal", body, signer("a"))
    hub.remote("a").propose(statement)
    return statement.id


def _ceremony(hub: Hub, **changes: Any) -> list[Worker]:
    """Three holders that have made an epoch."""
    _propose(hub, **changes)
    workers = [hub.worker(name) for name in "abc"]
    for _ in range(5):
        for one in workers:
            one.round()
    return workers


def _device(number: int) -> str:
    return f"{number:02d}0123456789abcdef0123456789abcdef"


def _held(*numbers: int, who: str) -> Identifiers:
    found = Identifiers()
    for number in numbers:
        found.add("device", _device(number), f"{who}-{number // 10}")
    return found


def test_three_laboratories_match_what_they_share_and_learn_nothing_else(hub: Hub):
    workers = _ceremony(hub)
    assert sum("holds share" in line for line in hub.lines) == 3
    held = {"a": (1, 2, 11, 12, 21), "b": (1, 2, 11, 33), "d": (2, 21, 44)}
    sessions = {name: hub.session(name) for name in held}
    own: dict[str, Own] = {}
    with hub.holding(*workers):
        for name, one in sessions.items():
            own[name] = one.own(_held(*held[name], who=name))
            assert one.post(own[name]) == 256
        facts = {"a-0": {"exchanges": 5, "contact": "desk@a.example"}}
        first = sessions["a"].collect(own["a"], facts).content
        assert {one for group_ in first["groups"] for one in group_["candidates"]} == {"a-0", "a-1", "a-2"}
        assert first["waiting"] == sorted([pseudonym("b"), pseudonym("d")])
        sessions["b"].collect(own["b"], {})
        found = sessions["b"].collect(own["b"], {}).content
        last = sessions["a"].collect(own["a"], facts).content
    assert not found["wrong"]
    by_candidate = {tuple(one["candidates"]): one for one in found["groups"]}
    assert by_candidate.keys() == {("b-0",), ("b-1",)}
    zero = {one["pseudonym"]: one for one in by_candidate["b-0",]["counterparts"]}
    assert zero[pseudonym("a")]["shared"] == {"device": 2}
    assert zero[pseudonym("a")]["disclosed"][0]["facts"] == facts["a-0"]
    assert zero[pseudonym("d")]["shared"] == {"device": 1}
    assert zero[pseudonym("d")]["disclosed"] == []  # d has not collected yet
    assert last["waiting"] == [pseudonym("d")]
    # What went through the hub has no identifier and no name of a candidate in it.
    stored = b"".join(one.read_bytes() for one in hub.folder.glob("hub.sqlite*"))
    for secret in (_device(1), "a-0", "desk@a.example"):
        assert secret.encode() not in stored
    # The forum sees how much each asked for, not what.
    counts = hub.remote("d").counts(sessions["d"].epoch.id)
    assert {(one["member"], one["class"], one["count"]) for one in counts} == {
        (identity(name), "device", evaluation.SMALLEST) for name in held
    }


def test_with_three_needed_two_learn_nothing(hub: Hub):
    workers = _ceremony(hub, least=3)
    sessions = {name: hub.session(name) for name in "abd"}
    held = {"a": (1, 2), "b": (1, 2), "d": (2,)}
    with hub.holding(*workers):
        own = {name: one.own(_held(*held[name], who=name)) for name, one in sessions.items()}
        for name, one in sessions.items():
            one.post(own[name])
        found = sessions["a"].collect(own["a"], {}).content
    assert [one["tokens"] for one in found["groups"]] == [{"device": 1}]
    stricter = hub.session("a", least=4)
    assert stricter.k == 4
    assert stricter.collect(own["a"], {}).content["groups"] == []


def test_a_withdrawn_set_meets_nobody_and_its_messages_are_gone(hub: Hub):
    workers = _ceremony(hub)
    a, b = hub.session("a"), hub.session("b")
    with hub.holding(*workers):
        own_a, own_b = a.own(_held(1, who="a")), b.own(_held(1, who="b"))
        a.post(own_a)
        b.post(own_b)
        a.collect(own_a, {})
        assert b.collect(own_b, {}).content["groups"][0]["counterparts"][0]["disclosed"]
        a.withdraw()
        found = b.collect(own_b, {}).content
    assert found["groups"] == []
    assert hub.remote("b").messages(b.place, "disclosure") == []
    assert {
        json.dumps(one)[:20] for one in hub.remote("b").sets(b.place)
    }  # the statement of withdrawal stays
    a.post(own_a)  # and may be posted again, as a newer version
    assert b.collect(own_b, {}).content["groups"]


def test_members_compare_without_the_hub_knowing_what(hub: Hub):
    workers = _ceremony(hub, least=3)  # the hub would tell nothing of two
    a, b = hub.session("a"), hub.session("b")
    with hub.holding(*workers):
        own = {"a": a.own(_held(1, 2, 3, who="a")), "b": b.own(_held(2, 3, 4, who="b"))}
    a.post(own["a"])
    b.post(own["b"])
    assert a.collect(own["a"], {}).content["groups"] == []
    a.offer(own["a"], identity("b"))
    assert b.asked() == [identity("a")]  # it answers when a person says so
    assert a.compared(own["a"]) == {}
    b.reply(own["b"], identity("a"))
    with pytest.raises(SharingError, match="has not asked"):
        b.reply(own["b"], identity("c"))
    found = a.compared(own["a"])
    shared = {own["a"].candidates[tag][0] for tag in found[identity("b")]}
    assert len(found[identity("b")]) == 2
    assert shared == {"a-0"}
    a.offer(own["a"], identity("b"))  # a new offer: the answer to the old one is none to this
    assert a.compared(own["a"]) == {}


def test_tokens_are_kept_and_cost_their_quota_once(hub: Hub):
    workers = _ceremony(hub)
    a = hub.session("a")
    with hub.holding(*workers):
        a.own(_held(1, 2, who="a"))
    again = hub.session("a")
    again.own(_held(1, 2, who="a"))  # no holder runs now
    (count,) = hub.remote("a").counts(again.epoch.id)
    assert count["count"] == evaluation.SMALLEST


def test_other_processes_blind_and_join_the_same(hub: Hub):
    """Two classes are two batches, so both processes have one."""
    workers = _ceremony(hub)
    found = _held(1, 2, who="a")
    found.add("ipv4", "9.9.9.9", "a-0")
    a, b = hub.session("a", processes=2), hub.session("b")
    with hub.holding(*workers):
        assert a.own(found).tokens == b.own(found).tokens


def test_the_hub_counts_quotas_and_holders_count_again(hub: Hub):
    _ceremony(hub)
    a = hub.session("a")
    batch = evaluation.prepare([b"%d" % i for i in range(900)])
    remote = hub.remote("a")
    for expected in (None, 429):
        asked = evaluation.request(
            a.epoch, identity("a"), signer("a"), "device", batch, expires=hub.clock() + DAY // 2
        )
        if expected is None:
            remote.ask(asked.statement, asked.elements)
            remote.ask(asked.statement, asked.elements)  # the same once more is the same request
            continue
        with pytest.raises(HubError) as caught:
            remote.ask(asked.statement, asked.elements)
        assert caught.value.status == expected
        assert "of 1000 evaluations of device" in str(caught.value)


def test_a_holder_that_evaluates_wrongly_is_named_and_replaced(hub: Hub):
    workers = _ceremony(hub)
    (cheat,) = workers[0]._holders.values()
    cheat.shares = {name: group.random_scalar() for name in cheat.shares}
    lied: list[str] = []

    def lying(envelope: object, elements: bytes, *, now: int) -> evaluation.Answer:
        request = opened("request", envelope, hub.roster)
        key = cheat.shares["device"]
        wrong = voprf.evaluate(key, group.base(key), elements)
        digest = evaluation.digest(wrong.elements)
        body = {"by": cheat.me, "request": request.id, "elements": digest, "proof": b64(wrong.proof)}
        lied.append(request.id)
        return evaluation.Answer(sign("answer", body, cheat.key).envelope, wrong.elements)

    cheat.answer = lying
    # Two answers are needed: the last holder looks for work only when the cheat has had its turn.
    last = workers[2].remote
    work = last.work
    last.work = lambda: work() if lied else []
    own: dict[str, Own] = {}
    with hub.holding(*workers):
        for name in "ab":
            lied.clear()
            own[name] = hub.session(name).own(_held(1, who=name))
    assert own["a"].tokens.keys() == own["b"].tokens.keys()
    assert any(f"{pseudonym('a')} evaluated with another key" in line for line in hub.lines)
    (kept,) = (hub.folder / "member-b" / "evidence").glob("blamed-*.json")
    evidence = json.loads(kept.read_text())[0]
    statement = opened("answer", evidence["answer"], hub.roster)  # anybody can see who signed it
    assert statement.by == identity("a")
    assert statement.body["elements"] == evaluation.digest(bytes.fromhex(evidence["answered"]))


def test_a_holder_that_is_silent_loses_its_turn(hub: Hub):
    """One of three does not run: the other two are enough. A request lent to one that died is lent again."""
    workers = _ceremony(hub)
    a = hub.session("a")
    dead = workers[0].remote
    batch = evaluation.prepare([b"x"])
    asked = evaluation.request(
        a.epoch, identity("a"), signer("a"), "device", batch, expires=hub.clock() + DAY // 2
    )
    hub.remote("a").ask(asked.statement, asked.elements)
    assert len(dead.work()) == len(workers[1].remote.work()) == 1
    assert workers[2].remote.work() == []  # lent to two, and two are needed
    hub.clock.now += 61_000_000
    workers[2].round()
    workers[1].round()
    answers, _ = hub.remote("a").answers(asked.statement.id)
    assert answers.keys() == {identity("b"), identity("c")}
    assert len(evaluation.tokens(a.epoch, asked, answers, hub.roster)[0]) == 1


def test_an_epoch_ends_and_its_secrets_with_it(hub: Hub):
    workers = _ceremony(hub)
    a = hub.session("a")
    with hub.holding(*workers):
        a.post(a.own(_held(1, who="a")))
    epoch = a.epoch.id
    shares = list(hub.folder.glob("holder-*/epochs/*/share.json"))
    assert len(shares) == 3
    assert all(one.stat().st_mode & 0o077 == 0 for one in hub.folder.rglob("epochs/**/*.json"))
    hub.clock.now = NOW + 30 * DAY
    for one in workers:
        one.round()
    assert not [one for one in shares if one.exists()]
    said = [opened("destroyed", one, hub.roster).by for one in hub.remote("d").destructions(epoch)]
    assert sorted(said) == sorted(identity(name) for name in "abc")
    with pytest.raises(SharingError, match="not in force"):
        _ = a.epoch
    assert hub.session("a").end() == [epoch]
    assert not list((hub.folder / "member-a" / "epochs").iterdir())
    with pytest.raises(SharingError, match="no epoch is in force"):
        _ = hub.session("a").epoch
    # The next one is a new ceremony, with a higher number.
    with pytest.raises(HubError, match="the next ceremony is number 2"):
        _propose(hub, valid_from=hub.clock.now, valid_until=hub.clock.now + 30 * DAY)
    _propose(hub, number=2, valid_from=hub.clock.now, valid_until=hub.clock.now + 30 * DAY)
    for _ in range(5):
        for one in workers:
            one.round()
    assert hub.session("a").epoch.proposal.number == 2


def test_a_holder_that_starts_anew_keeps_its_share_unless_it_is_only_in_memory(hub: Hub):
    _propose(hub)
    workers = [hub.worker(name, memory=name == "a") for name in "abc"]
    for _ in range(5):
        for one in workers:
            one.round()
    again = [hub.worker(name) for name in "abc"]
    assert [len(one._holders) for one in again] == [0, 1, 1]
    a = hub.session("a")
    with hub.holding(*again):
        assert len(a.own(_held(1, who="a")).tokens) == 1


def test_a_holder_that_dies_in_a_ceremony_is_named_when_it_fails(hub: Hub):
    name = _propose(hub)
    workers = [hub.worker(one) for one in "abc"]
    for _ in range(2):
        for one in workers[:2]:
            one.round()
    hub.worker("b").round()  # b started anew: it cannot join twice
    assert any("another statement in this round" in line for line in hub.lines)
    hub.clock.now += DAY
    assert [one["state"] for one in hub.remote("d").ceremonies() if one["id"] == name] == ["failed"]
    assert len(hub.remote("d").statements(name)["join"]) == 2  # who is missing, everybody sees


def test_a_ceremony_with_a_cheat_fails_and_says_who(hub: Hub):
    name = _propose(hub)
    workers = [hub.worker(one) for one in "abc"]
    for one in workers:
        one.round()
    part = workers[0]._parts[name]
    part._polynomials["device"] = [group.random_scalar() for _ in range(2)]  # other than it committed to
    for _ in range(4):
        for one in workers:
            one.round()
    (entry,) = hub.remote("d").ceremonies()
    assert entry["state"] == "failed"
    assert f"{pseudonym('a')} dealt other commitments than it joined with" in entry["why"]
    assert hub.remote("d").epochs() == []


def test_a_minority_of_key_holders_makes_no_epoch_of_its_own(hub: Hub):
    """Two of three could; one alone, or two who name themselves with a threshold that one fills, could not."""
    body = Forum("ab", 2, 2, number=1).body(forum="forum.example/log", by=identity("a"))
    hub.remote("a").propose(sign("proposal", body, signer("a")))  # 2 of 2 is a majority of all three
    wide = Forum("abcde", 5, 3)
    with pytest.raises(SharingError, match="more than half of all 5 key holders"):
        proposed(Forum("ab", 2, 2).body(), wide.roster)


def test_a_holder_joins_only_what_it_agreed_to(hub: Hub):
    for number, changes in enumerate(
        ({"least": 2}, {"purposes": ["other"]}, {"valid_until": NOW + 60 * DAY}), 1
    ):
        _propose(hub, number, **{"least": 3, **changes})
    strict = hub.worker("a", terms=Terms(least=3, days=31, purposes=frozenset({"distillation"})))
    strict.round()
    assert [line.partition("not joined, ")[2] for line in hub.lines] == [
        "it lasts more than 31 days",
        "it matches for other",
        "it discloses what 2 members hold",
    ]
    _propose(hub, 4, least=3)
    strict.round()
    assert "joined ceremony" in hub.lines[-1]


def test_a_member_accepts_no_second_epoch_of_one_number(hub: Hub):
    _ceremony(hub)
    a = hub.session("a")
    first = a.epoch
    state = a.state.read("epochs", first.id, "epoch.json")
    other = "0" * 64
    a.state.keep(state, "epochs", other, "epoch.json")  # as if another had been accepted before
    a.state.destroy(first.id)
    with pytest.raises(SharingError, match="is another than before"):
        _ = hub.session("a").epoch


def _raw(hub: Hub, client: httpx.Client, method: str, path: str, content: bytes = b"") -> httpx.Response:
    auth = Signed(signer("a"), "forum.example/log", hub.clock)
    return client.request(method, f"{hub.url}/forum/match{path}", content=content, auth=auth)


def test_the_relay_refuses_what_is_no_message(hub: Hub):
    _ceremony(hub)
    posts = [
        "/ceremonies",
        "/ceremonies/x/join",
        "/ceremonies/x/y",
        "/destroyed",
        "/requests",
        "/sets",
        "/messages",
    ]
    posts += ["/requests/x/again", "/requests/x/answer", "/requests/x/refusal"]
    bodies = [
        b"", b"{}", b"\n", b"{}\n", b'{"parts":[]}\n', b'{"parts":[0]}\n', b'{"parts":[-1]}\n', b'{"parts":[1e9]}\n',
        b'{"parts":[true]}\n', b'{"parts":[5]}\nab', b'{"envelope":{},"parts":[0]}\n', b'{"envelope":7,"parts":[]}\n',
        b"\xff" * 100, b"[" * 5_000 + b"\n", b'{"parts":' + b"[" * 50 + b"]" * 50 + b"}\n",
    ]  # fmt: skip
    with httpx.Client() as client:
        for path in posts:
            for body in bodies:
                answer = _raw(hub, client, "POST", path, body)
                assert 400 <= answer.status_code < 500, (path, body[:30], answer.text)
                assert "Traceback" not in answer.text
        for path in ("/requests/x", "/epochs/x/distillation/matches", "/nothing"):
            assert _raw(hub, client, "GET", path).status_code == 404
        assert client.get(f"{hub.url}/forum/match/epochs").status_code == 401


def test_members_send_only_their_own(hub: Hub):
    """A statement of another, whoever signed it, is not taken from this member."""
    _ceremony(hub)
    a, d = hub.session("a"), hub.remote("d")
    batch = evaluation.prepare([b"x"])
    asked = evaluation.request(
        a.epoch, identity("a"), signer("a"), "device", batch, expires=hub.clock() + DAY // 2
    )
    forged = sign("request", asked.statement.body, signer("d"))
    for statement in (asked.statement, forged):
        with pytest.raises(HubError) as caught:
            d.ask(statement, batch.elements)
        assert caught.value.status in {400, 403}
    hub.remote("a").ask(asked.statement, batch.elements)
    for refused in (
        lambda: d.answers(asked.statement.id),
        lambda: d.done(asked.statement.id),
        lambda: d.again(asked.statement.id, []),
        d.work,
        lambda: d.propose(sign("proposal", Forum("abc", 3, 2, number=9).body(by=identity("d")), signer("d"))),
    ):
        with pytest.raises(HubError) as caught:
            refused()
        assert caught.value.status in {403, 404}


def test_no_set_is_older_than_the_last_and_none_is_for_ever(hub: Hub):
    _ceremony(hub)
    a = hub.session("a")
    rows = b"".join(bytes([i]) * 48 for i in range(3))

    def post(
        version: int, place: tags.Place = a.place, until: int = DAY, content: bytes = rows, made: int = 0
    ) -> None:
        now = hub.clock() + made
        statement = tags.post(
            place,
            identity("a"),
            signer("a"),
            rows,
            version=version,
            seal_to=bytes(32),
            made=now,
            until=now + until,
        )
        hub.remote("a").post(statement, content)

    post(2)
    for bad in (
        lambda: post(2),
        lambda: post(1),
        lambda: post(3, until=40 * DAY),
        lambda: post(3, made=DAY),
        lambda: post(3, made=-2 * DAY),
        lambda: post(3, content=rows[48:]),
        lambda: post(3, place=a.place._replace(purpose="other")),
        lambda: post(3, place=a.place._replace(epoch="0" * 64)),
    ):
        with pytest.raises(HubError):
            bad()
    post(3)
    hub.clock.now += 2 * DAY
    assert hub.remote("a").sets(a.place) == []  # it ran out


def test_what_the_hub_gives_it_signs(hub: Hub):
    workers = _ceremony(hub)
    sessions: dict[str, Session] = {name: hub.session(name) for name in "ab"}
    with hub.holding(*workers):
        own = {name: one.own(_held(1, 2, who=name)) for name, one in sessions.items()}
    for name, one in sessions.items():
        one.post(own[name])
    _, told = hub.remote("a").matches(sessions["a"].place, identity("a"))
    assert {name: one["rows"] for name, one in told["sets"].items()} == {identity("a"): 0, identity("b"): 2}
    stranger = Remote(hub.url, signer("a"), hub.clock, audience="forum.example/log", log_key=_other_key())
    with pytest.raises(SharingError, match="does not sign what it gives"):
        stranger.matches(sessions["a"].place, identity("a"))
    stranger.close()


def _other_key() -> str:
    return keys.public(signer("another hub"))
