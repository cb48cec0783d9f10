"""The audit: each thing that was done or asked, who sees which entry, and that nothing is answered without one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hubs import SIGNED, Running, Someone, running

from spiritsafe.sharing.hub import books
from spiritsafe.sharing.hub.store import opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from spiritsafe.sharing.hub.reception import Receive, Scope, Send

OBJECTS = f"/api/collections/{SIGNED}/objects/"
Ended = dict[str, Any]


async def counting(scope: Scope, receive: Receive, send: Send) -> None:
    """An app of another part of the forum: tells who asks, and keeps a table of its own."""
    body = (await receive())["body"]

    async def job(tx: Any) -> int:
        await tx.script("CREATE TABLE IF NOT EXISTS counted (name TEXT PRIMARY KEY, times BIGINT NOT NULL)")
        await tx.run(
            "INSERT INTO counted VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET times = counted.times + 1",
            scope["member"].pseudonym,
        )
        row = await tx.one("SELECT times FROM counted WHERE name = $1", scope["member"].pseudonym)
        return row[0]

    times = await scope["store"].write(job)
    said = f"{scope['member'].pseudonym} {times} {len(body)} {scope['root_path']} {scope['path']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": said})


@pytest.fixture(scope="module")
def served(database: str) -> Generator[Running]:
    with running(database, mounts={"matching": counting}) as found:
        yield found


@pytest.fixture(scope="module")
def operator(served: Running) -> Someone:
    return served.enrol("operator")


def _entries(who: Someone, after: int = -1) -> list[Ended]:
    found: list[Ended] = []
    while True:
        behind = f"&after={after}" if after >= 0 else ""
        answer = who.ask("GET", f"/forum/audit?count=25{behind}").json()
        found += answer["entries"]
        if "next" not in answer:
            return found
        after = answer["next"]


def _since(who: Someone, operator: Someone, act: Callable[[], object]) -> list[Ended]:
    """Entries of what ``who`` did in ``act``, as the operator sees them."""
    last = _entries(operator)[-1]["seq"]
    act()
    return [one for one in _entries(operator, last) if one["member"] == who.pseudonym]


def test_everything_a_member_does_or_asks_is_there(served: Running, operator: Someone):
    member = served.enrol("member")
    mine = member.indicator("audit")
    for act, action, outcome in (
        (lambda: member.ask("GET", "/taxii2/"), "discovery", 200),
        (lambda: member.ask("GET", "/api/"), "root", 200),
        (lambda: member.ask("GET", "/api/collections/"), "collections", 200),
        (lambda: member.ask("GET", "/api/collections/plain/"), "collection", 200),
        (lambda: member.add(mine), "objects.add", 202),
        (lambda: member.ask("GET", f"{OBJECTS}?match[type]=indicator"), "objects.read", 200),
        (lambda: member.ask("GET", OBJECTS.replace("objects", "manifest")), "manifest.read", 200),
        (lambda: member.ask("GET", f"{OBJECTS}{mine['id']}/"), "object.read", 200),
        (lambda: member.ask("GET", f"{OBJECTS}{mine['id']}/versions/"), "versions.read", 200),
        (lambda: member.ask("GET", f"{OBJECTS}{mine['id'][:-1]}z/"), "object.read", 404),
        (lambda: member.ask("GET", f"{OBJECTS}?match[x]=1"), "objects.read", 400),
        (lambda: member.ask("POST", OBJECTS, {"objects": []}), "objects.add", 422),
        (lambda: member.ask("POST", OBJECTS, b"{"), "objects.add", 422),
        (lambda: member.ask("POST", "/api/collections/x/objects/", {"objects": [mine]}), "objects.add", 404),
        (lambda: member.ask("DELETE", f"{OBJECTS}{mine['id']}/"), "object.delete", 200),
        (lambda: member.ask("DELETE", f"{OBJECTS}{mine['id']}/"), "object.delete", 404),
        (lambda: member.ask("GET", "/api/status/x/"), "status", 404),
        (lambda: member.ask("GET", "/forum/members"), "members", 200),
        (lambda: member.ask("GET", "/forum/log/head"), "log.head", 200),
        (lambda: member.ask("GET", "/forum/log/proof?index=0"), "log.proof", 200),
        (lambda: member.ask("GET", "/forum/audit"), "audit", 200),
        (lambda: member.ask("POST", "/forum/tokens", {"name": "audit"}), "token.make", 201),
        (lambda: member.ask("DELETE", "/forum/tokens/audit"), "token.end", 200),
        (lambda: member.ask("POST", "/forum/invitations", {}), "members.invite", 403),
        (lambda: member.ask("POST", "/forum/keys", {}), "keys.change", 422),
        (lambda: member.ask("GET", "/forum/matching/x"), "mount.matching", 100),
    ):
        found = _since(member, operator, act)
        assert [(one["action"], one["outcome"]) for one in found] == [(action, outcome)], action
    told = _since(member, operator, lambda: member.ask("GET", f"{OBJECTS}?match[type]=indicator&limit=7"))[0][
        "detail"
    ]
    assert told == {"limit": 7, "type": ["indicator"]}
    assert not any("sst_" in str(one) for one in _entries(operator))


def test_others_learn_when_and_by_whom_their_objects_were_given_out_and_never_what_was_asked(
    served: Running, operator: Someone
):
    author, reader, stranger = (served.enrol("member") for _ in range(3))
    mine = [author.indicator(number) for number in range(7)]
    author.add(*mine)
    last = _entries(author)[-1]["seq"]
    reader.ask("GET", f"{OBJECTS}?match[id]={mine[3]['id']},{mine[5]['id']}")
    reader.ask("GET", f"{OBJECTS}{mine[1]['id']}/")
    reader.ask("GET", "/forum/members")
    reader.ask("GET", f"{OBJECTS}?match[type]=malware")
    seen = [one for one in _entries(author, last) if one["member"] != author.pseudonym]
    assert [(one["member"], one["action"], one["yours"]) for one in seen] == [
        (reader.pseudonym, "objects.read", 3),  # those between the two, at most
        (reader.pseudonym, "object.read", 1),
    ]
    assert {frozenset(one) for one in seen} == {frozenset({"seq", "time", "member", "action", "yours"})}
    assert mine[3]["id"] not in str(seen)
    assert [one for one in _entries(stranger) if one["member"] != stranger.pseudonym] == []
    assert any(mine[3]["id"] in str(one) for one in _entries(operator))


def test_the_operator_can_follow_the_chain(served: Running, operator: Someone):
    async def run() -> list[Ended]:
        store = opened(served.database)
        try:
            return await store.read(lambda tx: books.entries(tx, -1, 100_000))
        finally:
            await store.close()

    kept = asyncio.run(run())
    shown = _entries(operator)
    assert [one["hash"] for one in shown[: len(kept)]] == [one["hash"].hex() for one in kept]
    before = kept[0]["hash"]
    for one in kept[1:]:
        assert books.follows(before, one)
        assert not books.follows(before, one | {"count": one["count"] + 1})
        before = one["hash"]


def test_what_is_mounted_sees_members_only_with_the_body_checked(served: Running):
    member = served.enrol("member")
    answer = member.ask("POST", "/forum/matching/a/b", b"x" * 1_000)
    assert answer.text == f"{member.pseudonym} 1 1000 /forum/matching /forum/matching/a/b"
    assert member.ask("GET", "/forum/matching").text.startswith(f"{member.pseudonym} 2 0")
    assert served.http.get("/forum/matching/a").status_code == 401
    token = member.token("POST", "/forum/matching/a", b"one")
    assert member.ask("POST", "/forum/matching/a", b"two", authorization=token).status_code == 401
    assert member.ask("POST", "/forum/matching/a", b"x" * 11_000_000).status_code == 413
    assert member.ask("GET", "/forum/matchinga").status_code == 404


def test_an_answer_waits_for_its_entry(tmp_path_factory: pytest.TempPathFactory):
    """When the audit cannot be written, there is no answer."""
    with running(str(tmp_path_factory.mktemp("waits") / "hub.db")) as hub:
        member = hub.enrol("member")
        member.add(member.indicator(1))

        async def run(change: str) -> None:
            store = opened(hub.database)
            try:
                await store.write(lambda tx: tx.script(change))
            finally:
                await store.close()

        asyncio.run(run("ALTER TABLE audit RENAME TO elsewhere"))
        for path in (OBJECTS, "/taxii2/", "/forum/members"):
            answer = member.ask("GET", path)
            assert answer.status_code == 503
            assert "indicator" not in answer.text
            assert "audit" not in answer.text
        assert member.ask("POST", OBJECTS, {"objects": [member.indicator(2)]}).status_code == 503
        asyncio.run(run("ALTER TABLE elsewhere RENAME TO audit"))
        assert len(member.ask("GET", OBJECTS).json()["objects"]) == 1


_: Callable[..., Awaitable[None]] = counting
