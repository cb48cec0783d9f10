"""Who may come in, with what, how often, and what it may do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hubs import ORIGIN, PLAIN, SIGNED, TAXII, Running, Someone, running

from spiritsafe.attest import dsse, keys
from spiritsafe.errors import SharingError, UsageError
from spiritsafe.sharing.hub import enrolling, housekeeping, members, tokens
from spiritsafe.sharing.hub.members import Quota
from spiritsafe.sharing.hub.reception import Meter, Problem
from spiritsafe.sharing.hub.store import opened
from spiritsafe.sharing.stix import ids

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from spiritsafe.sharing.hub.store import Tx

OBJECTS = f"/api/collections/{SIGNED}/objects/"
SEAL = "x25519:" + "A" * 43 + "="
OTHER_SEAL = "x25519:" + "B" * 42 + "A="


def _at_console(hub: Running, job: Callable[[Tx], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        store = opened(hub.database)
        try:
            return await store.write(job)
        finally:
            await store.close()

    return asyncio.run(run())


def _post(hub: Running, envelope: Any) -> httpx.Response:
    return hub.http.post("/forum/enrol", json=envelope)


def test_a_member_is_a_pseudonym_made_from_its_key(hub: Running):
    someone = hub.enrol("member", "keyholder")
    public = keys.public(someone.key)
    assert someone.identity == ids.identity_id(public)
    assert someone.pseudonym == f"member-{keys.keyid(someone.key.public_key())[:6]}"
    found = {one["pseudonym"]: one for one in someone.ask("GET", "/forum/members").json()["members"]}[
        someone.pseudonym
    ]
    assert (found["roles"], found["state"], found["identity"]) == (
        ["keyholder", "member"],
        "active",
        someone.identity,
    )
    assert [(one["public"], one["purpose"], one["retired"]) for one in found["keys"]] == [
        (public, "sign", None)
    ]
    fixed = keys.public(Ed25519PrivateKey.from_private_bytes(b"1" * 32))
    assert ids.identity_id(fixed) == "identity--c4fbccc7-1aee-5f87-9f52-4871e00615f9"


def test_an_invitation_opens_once_and_only_for_who_holds_the_key(hub: Running):
    code = hub.invitation("member")
    assert code.isalnum()  # a hyphen in front would make it an option of a command
    key = Ed25519PrivateKey.generate()
    now = hub.clock()
    good = members.enrolment(key, code, audience=ORIGIN, now=now, others={"seal": SEAL})
    bad = [
        members.enrolment(key, code + "x", audience=ORIGIN, now=now),
        members.enrolment(key, code, audience="other.example/log", now=now),
        members.enrolment(key, code, audience=ORIGIN, now=now - 600_000_000),
        members.enrolment(key, code, audience=ORIGIN, now=now + 600_000_000),
        members.enrolment(key, code, audience=ORIGIN, now=now, others={"seal": "x25519:AAAA"}),
        members.enrolment(key, code, audience=ORIGIN, now=now, others={"tls": "sha256:zz"}),
        members.enrolment(key, code, audience=ORIGIN, now=now, others={"role": "operator"}),
        good
        | {
            "signatures": members.enrolment(Ed25519PrivateKey.generate(), code, audience=ORIGIN, now=now)[
                "signatures"
            ]
        },
        dsse.sign(b'{"public":"ed25519:x"}', members.ENROL, key),
        dsse.sign(b"[]", members.ENROL, key),
        dsse.sign(b"no json", members.ENROL, key),
        {},
        {"payload": "x"},
        [],
        None,
    ]
    for envelope in bad:
        assert _post(hub, envelope).status_code == 422, envelope
    assert _post(hub, good).status_code == 201
    for envelope in (good, members.enrolment(Ed25519PrivateKey.generate(), code, audience=ORIGIN, now=now)):
        assert "no such invitation is open" in _post(hub, envelope).json()["description"]
    again = members.enrolment(key, hub.invitation("member"), audience=ORIGIN, now=now)
    assert "pseudonym exists" in _post(hub, again).json()["description"]


def test_an_invitation_expires(hub: Running):
    now = hub.clock()
    code = _at_console(hub, lambda tx: members.invite(tx, ["member"], now=now - 100, lasts=50))
    envelope = members.enrolment(Ed25519PrivateKey.generate(), code, audience=ORIGIN, now=now)
    assert "no such invitation" in _post(hub, envelope).json()["description"]


def test_the_command_of_who_enrols(hub: Running):
    key = Ed25519PrivateKey.generate()
    found = enrolling.enrol(
        hub.url, key, hub.invitation("member"), now=hub.clock(), others={"seal": OTHER_SEAL}
    )
    assert found["identity"] == ids.identity_id(keys.public(key))
    assert (found["origin"], found["log_key"]) == (ORIGIN, keys.public(hub.key))
    with pytest.raises(SharingError, match="the hub refuses: no such invitation"):
        enrolling.enrol(hub.url, key, "x", now=hub.clock())
    with pytest.raises(SharingError, match="cannot be reached"):
        enrolling.enrol("http://127.0.0.1:1", key, "x", now=hub.clock())


def test_a_token_is_for_one_request_at_one_hub_once(alice: Someone):
    hub, now = alice.hub, alice.hub.clock()
    path = f"{OBJECTS}?limit=1"
    good = alice.token("GET", path)
    assert alice.ask("GET", path, authorization=good).status_code == 200
    replay = alice.ask("GET", path, authorization=good)
    assert (replay.status_code, replay.json()["description"]) == (401, "this was sent before")
    stranger = Someone(hub, Ed25519PrivateKey.generate())
    middle = alice.token("GET", path)
    for value in (
        alice.token("POST", path),
        alice.token("GET", OBJECTS),
        alice.token("GET", path, b"body"),
        alice.token("GET", path, now=now - 600_000_000),
        alice.token("GET", path, now=now + 600_000_000),
        tokens.make(alice.key, audience="other.example", method="GET", path=path, now=now),
        tokens.make(alice.key, audience=ORIGIN, method="GET", path=path, now=now, nonce="short"),
        stranger.token("GET", path),
        middle[:60] + "A" + middle[61:],
        middle[:-3] + "AAA",
        "Spiritsafe",
        "Spiritsafe a.b",
        "Spiritsafe ....",
        "Spiritsafe " + "x" * 5_000,
        "Bearer",
        "Bearer x",
        "Basic x",
        "Digest username=x",
        "",
    ):
        answer = alice.ask("GET", path, authorization=value)
        assert answer.status_code == 401, value
        assert answer.headers["content-type"] == TAXII


def test_a_body_that_is_not_the_tokens_is_refused(alice: Someone):
    body = b'{"objects":[]}'
    other = alice.token("POST", OBJECTS, b'{"objects":[1]}')
    assert alice.ask("POST", OBJECTS, body, authorization=other).status_code == 401
    good = alice.token("POST", OBJECTS, body)
    assert alice.ask("POST", OBJECTS, body, authorization=good).status_code == 422
    # The nonce is taken by the refusal, too.
    assert alice.ask("POST", OBJECTS, body, authorization=good).status_code == 401


def test_api_tokens_read_unless_they_may_write_and_end_when_revoked(alice: Someone):
    hub = alice.hub
    reading, writing = alice.api_token("read", "reader"), alice.api_token("write", "writer")
    content = {"objects": [alice.indicator("by token")]}

    def ask(secret: str, method: str, path: str, json: Any = None, media: str = TAXII) -> int:
        headers = {"authorization": f"Bearer {secret}", "accept": media, "content-type": media}
        return hub.http.request(method, path, json=json, headers=headers).status_code

    assert ask(reading, "GET", OBJECTS) == 200
    assert ask(reading, "POST", OBJECTS, content) == 403
    assert ask(reading, "DELETE", f"{OBJECTS}{content['objects'][0]['id']}/") == 403
    assert ask(writing, "POST", OBJECTS, content) == 202
    for path in ("/forum/tokens", "/forum/invitations", "/forum/keys"):
        assert ask(writing, "POST", path, {"name": "x"}, "application/json") == 403
    listed = hub.http.get(
        f"/api/collections/{SIGNED}/", headers={"authorization": f"Bearer {reading}", "accept": TAXII}
    )
    assert (listed.json()["can_read"], listed.json()["can_write"]) == (True, False)
    assert alice.ask("DELETE", "/forum/tokens/reader").status_code == 200
    assert alice.ask("DELETE", "/forum/tokens/reader").status_code == 404
    assert ask(reading, "GET", OBJECTS) == 401
    assert ask(writing, "GET", OBJECTS) == 200
    for wrong in (
        {"name": "writer"},
        {"name": "x", "scope": "all"},
        {"name": "x\n"},
        {"name": ""},
        {},
        {"name": "x", "days": 0},
    ):
        assert alice.ask("POST", "/forum/tokens", wrong).status_code == 422, wrong
    rows = _at_console(hub, lambda tx: tx.all("SELECT secret FROM tokens"))
    assert all(reading.encode() not in row[0] and len(row[0]) == 32 for row in rows)


def test_an_api_token_expires(alice: Someone):
    secret = alice.ask("POST", "/forum/tokens", {"name": "short", "days": 1}).json()["token"]
    hub = alice.hub
    headers = {"authorization": f"Bearer {secret}", "accept": TAXII}
    try:
        hub.clock.now = hub.clock() + 86_400_000_000 + 1
        assert hub.http.get("/taxii2/", headers=headers).status_code == 401
    finally:
        hub.clock.now = None
    assert hub.http.get("/taxii2/", headers=headers).status_code == 200


def _change(who: Someone, signer: Ed25519PrivateKey | None = None, **change: Any) -> httpx.Response:
    envelope = members.change(signer or who.key, audience=ORIGIN, now=who.hub.clock(), **change)
    return who.ask("POST", "/forum/keys", envelope)


def test_a_key_is_changed_by_old_and_new_together_and_the_identity_stays(hub: Running):
    someone = hub.enrol("member")
    old, new = someone.key, Ed25519PrivateKey.generate()
    name, fresh = keys.keyid(old.public_key()), keys.keyid(new.public_key())
    add = {"purpose": "sign", "public": keys.public(new)}
    assert _change(someone, add=add).status_code == 422  # the new key did not sign
    assert _change(someone, signer=new, add=add, new=new).status_code == 422  # the old one did not
    assert _change(someone, retire=name).json()["description"] == "the last signing key stays"
    early = someone.indicator("signed before")
    someone.add(early)
    assert _change(someone, add=add, new=new).json() == {"added": fresh}
    assert "this key is or was somebody's" in _change(someone, add=add, new=new).json()["description"]
    assert _change(someone, signer=new, retire=name).json() == {"retired": name}
    assert someone.ask("GET", OBJECTS).status_code == 401
    late = someone.indicator("signed with the old key afterwards")
    someone.key = new
    assert "nobody here has" in someone.add(late)["failures"][0]["message"]
    assert someone.add(someone.indicator("signed with the new key"))["success_count"] == 1
    found = {one["pseudonym"]: one for one in someone.ask("GET", "/forum/members").json()["members"]}[
        someone.pseudonym
    ]
    assert [(one["keyid"], one["retired"] is None) for one in found["keys"]] == [(name, False), (fresh, True)]
    assert found["identity"] == someone.identity


def test_changes_of_keys_that_make_no_sense(hub: Running):
    someone, other = hub.enrol("member"), hub.enrol("member")
    envelope = members.change(
        someone.key, audience=ORIGIN, now=hub.clock(), add={"purpose": "seal", "public": SEAL[:-2] + "E="}
    )
    assert someone.ask("POST", "/forum/keys", envelope).status_code == 200
    assert someone.ask("POST", "/forum/keys", envelope).json()["description"] == "this was sent before"
    assert other.ask("POST", "/forum/keys", envelope).status_code == 422
    wrong: tuple[dict[str, Any], ...] = (
        {"add": {"purpose": "other", "public": SEAL}},
        {"add": {"purpose": "seal"}},
        {"add": {"purpose": "sign", "public": "x"}},
        {"add": {"purpose": "tls", "public": "sha256:AA"}},
        {"retire": keys.keyid(other.key.public_key())},
        {"retire": "x"},
    )
    for change in wrong:
        assert _change(someone, **change).status_code == 422, change
    late = members.change(someone.key, audience=ORIGIN, now=hub.clock() - 900_000_000, retire="x")
    assert "too old" in someone.ask("POST", "/forum/keys", late).json()["description"]


def test_a_suspended_member_is_out_and_back(hub: Running):
    someone = hub.enrol("member")
    secret = someone.api_token()
    headers = {"authorization": f"Bearer {secret}", "accept": TAXII}
    for state, status in (("suspended", 401), ("active", 200), ("left", 401)):
        _at_console(hub, lambda tx, state=state: members.set_state(tx, someone.pseudonym, state))
        assert someone.ask("GET", OBJECTS).status_code == status
        assert hub.http.get(OBJECTS, headers=headers).status_code == status
    with pytest.raises(SharingError, match="no such member"):
        _at_console(hub, lambda tx: members.set_state(tx, "member-000000", "active"))


def test_roles(hub: Running):
    observer, operator = hub.enrol("observer"), hub.enrol("operator")
    content = {"objects": [observer.indicator()]}
    assert observer.ask("POST", OBJECTS, content).status_code == 403
    assert observer.ask("POST", f"/api/collections/{PLAIN}/objects/", content).status_code == 202
    assert operator.ask("POST", OBJECTS, content).status_code == 403
    assert observer.ask("POST", "/forum/invitations", {}).status_code == 403
    made = operator.ask("POST", "/forum/invitations", {"roles": ["observer"], "days": 3})
    envelope = members.enrolment(
        Ed25519PrivateKey.generate(), made.json()["code"], audience=ORIGIN, now=hub.clock()
    )
    assert _post(hub, envelope).json()["roles"] == ["observer"]
    for wrong in (
        {"roles": ["king"]},
        {"roles": []},
        {"roles": "member"},
        {"days": 1_000},
        {"days": True},
        [],
    ):
        assert operator.ask("POST", "/forum/invitations", wrong).status_code == 422, wrong


def test_a_members_day_has_an_end(tmp_path_factory: pytest.TempPathFactory):
    with running(
        str(tmp_path_factory.mktemp("quota") / "hub.db"), quota=Quota(objects_per_day=5, bytes_per_day=4_000)
    ) as hub:
        one, other = hub.enrol("member"), hub.enrol("member")
        try:
            hub.clock.now = 20_000 * 86_400_000_000
            assert one.add(*(one.indicator(n, pattern="x") for n in range(3)))["success_count"] == 3
            late = one.ask("POST", OBJECTS, {"objects": [one.indicator(n, pattern="x") for n in range(3, 6)]})
            assert (late.status_code, late.headers["retry-after"]) == (429, "86401")
            assert one.add(one.indicator(3, pattern="x"))["success_count"] == 1
            assert other.add(other.indicator(1))["success_count"] == 1  # another's day is its own
            hub.clock.now += 86_400_000_000
            assert one.add(*(one.indicator(n, pattern="x") for n in range(4, 7)))["success_count"] == 3
            big = one.ask("POST", OBJECTS, {"objects": [one.indicator(9, labels=["x" * 3_000])]})
            assert big.status_code == 429
        finally:
            hub.clock.now = None


def test_a_minute_has_so_many_requests():
    member = members.Member(1, "member-000000", "", frozenset(), Quota(requests_per_minute=60))
    meter = Meter()
    for _ in range(60):
        meter.take(member, 0)
    with pytest.raises(Problem) as told:
        meter.take(member, 0)
    assert (told.value.status, dict(told.value.headers)) == (429, {b"retry-after": b"1"})
    meter.take(member, 1_000_000)
    with pytest.raises(Problem):
        meter.take(member, 1_500_000)
    meter.take(members.Member(2, "", "", frozenset(), Quota(requests_per_minute=60)), 0)
    for _ in range(60):
        meter.take(member, 10**12)


def test_requests_beyond_the_minute_are_refused_and_others_go_on(tmp_path_factory: pytest.TempPathFactory):
    with running(
        str(tmp_path_factory.mktemp("minute") / "hub.db"), quota=Quota(requests_per_minute=20)
    ) as hub:
        one, other = hub.enrol("member"), hub.enrol("member")
        try:
            hub.clock.now = hub.clock()
            assert [one.ask("GET", "/taxii2/").status_code for _ in range(22)] == [200] * 20 + [429] * 2
            assert other.ask("GET", "/taxii2/").status_code == 200
        finally:
            hub.clock.now = None


def test_nonces_are_forgotten_when_no_token_can_use_them(hub: Running, alice: Someone):
    alice.ask("GET", "/taxii2/")

    async def run(now: int) -> int:
        store = opened(hub.database)
        try:
            await housekeeping.round_(store, now)
            row = await store.read(lambda tx: tx.one("SELECT COUNT(*) FROM nonces"))
            return row[0] if row else -1
        finally:
            await store.close()

    assert asyncio.run(run(hub.clock())) > 0
    assert asyncio.run(run(hub.clock() + tokens.LONGEST + 2 * tokens.SKEW + 600_000_000)) == 0


def test_a_certificate_that_is_none_is_told(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("cert") / "x.pem"
    path.write_text("no certificate")
    with pytest.raises(UsageError, match="no certificate"):
        enrolling.certificate_key(path)
