"""What has expired goes, in store and answers; the log keeps its hash, the audit that it went."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hubs import SIGNED, Running, Someone, log_key, running

from spiritsafe.errors import SharingError
from spiritsafe.sharing.hub import housekeeping, intake
from spiritsafe.sharing.hub.store import opened
from spiritsafe.sharing.hub.verify import Report, verify

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from spiritsafe.sharing.hub.store import Store

OBJECTS = f"/api/collections/{SIGNED}/objects/"
DAY = 86_400_000_000


@pytest.fixture(scope="module")
def served(database: str) -> Generator[Running]:
    with running(database) as found:
        yield found


def _do(hub: Running, job: Callable[[Store], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        store = opened(hub.database, patience=60.0)  # a check reads everything
        try:
            return await job(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _checked(hub: Running) -> Report:
    return _do(hub, lambda store: verify(store, log_key().public_key()))


def _ids(who: Someone, question: str = "") -> set[str]:
    return {one["id"] for one in who.ask("GET", OBJECTS + question).json().get("objects", [])}


def test_expired_objects_go_and_their_leaves_stay(served: Running):
    member = served.enrol("member")
    short = [
        member.indicator(f"short {number}", valid_until="2030-01-01T00:00:00.000Z") for number in range(3)
    ]
    extension = {"extension_type": "property-extension", "valid_until": "2030-06-01T00:00:00Z"}
    inner = member.indicator(
        "inner", extensions={"extension-definition--04b8ae0b-0b0b-4b0b-8b0b-0b0b0b0b0b0b": extension}
    )
    long = member.indicator("long")
    member.add(*short, inner, long)
    before = _checked(served)
    january = intake.expiry(short[0])
    assert january is not None
    assert _do(served, lambda store: housekeeping.expire(store, january - 1)) == 0
    assert _do(served, lambda store: housekeeping.expire(store, january)) == 3
    assert _ids(member) == {inner["id"], long["id"]}
    for stix in short:
        assert member.ask("GET", f"{OBJECTS}{stix['id']}/").status_code == 404
    assert _do(served, lambda store: housekeeping.expire(store, january + 200 * DAY)) == 1
    after = _checked(served)
    assert (after.leaves, after.objects, after.retired) == (
        before.leaves,
        before.objects - 4,
        before.retired + 4,
    )
    assert len(member.ask("GET", "/forum/log/leaves").json()["hashes"]) == after.leaves
    entry = (
        served.enrol("operator").ask("GET", f"/forum/audit?after={before.entries - 1}").json()["entries"][0]
    )
    assert (entry["member"], entry["action"], entry["count"]) == ("console", "objects.expired", 3)


def test_when_the_newest_version_goes_the_one_before_is_current(served: Running):
    member = served.enrol("member")
    until = ["2036-01-01T00:00:00.000Z", "2036-01-01T00:00:00.000Z", "2028-01-01T00:00:00.000Z"]
    story = [
        member.indicator("versions", version=number, valid_until=time) for number, time in enumerate(until)
    ]
    member.add(*story)
    path = f"{OBJECTS}{story[0]['id']}/"
    assert member.ask("GET", path).json()["objects"] == [story[2]]
    expires = intake.expiry(story[2])
    assert expires is not None
    _do(served, lambda store: housekeeping.expire(store, expires))
    assert member.ask("GET", path).json()["objects"] == [story[1]]
    _checked(served)


def test_what_has_expired_does_not_come_in(served: Running):
    member = served.enrol("member")
    told = member.add(member.indicator("old", valid_until="2020-01-01T00:00:00.000Z"))
    assert told["failures"][0]["message"] == "the object has expired already"


def test_the_operator_withdraws_an_object_and_says_why(served: Running):
    member, operator = served.enrol("member"), served.enrol("operator")
    mine = member.indicator("withdrawn")
    member.add(mine, member.indicator("withdrawn", version=1))
    with pytest.raises(SharingError, match="no such object"):
        _do(
            served, lambda store: housekeeping.withdraw(store, [mine["id"], "indicator--x"], "court order", 1)
        )
    assert mine["id"] in _ids(member)
    now = served.clock()
    assert _do(served, lambda store: housekeeping.withdraw(store, [mine["id"]], "court order", now)) == 2
    assert mine["id"] not in _ids(member, "?match[version]=all")
    found = [
        one
        for one in operator.ask("GET", "/forum/audit?count=1000").json()["entries"]
        if one["action"] == "objects.withdrawn"
    ]
    assert found[0]["detail"]["why"] == "court order"
    _checked(served)


def test_housekeeping_goes_on_until_nothing_is_due(served: Running):
    member = served.enrol("member")
    member.add(
        *(
            member.indicator(f"many {number}", valid_until="2029-01-01T00:00:00.000Z")
            for number in range(1_200)
        )
    )
    due = intake.expiry({"valid_until": "2029-01-01T00:00:00.000Z"})
    assert due is not None

    async def rounds(store: Store) -> int:
        count = 1
        while await housekeeping.round_(store, due):
            count += 1
        return count

    assert _do(served, rounds) >= 3
    assert not any(one.startswith("many") for one in _ids(member))
    assert _checked(served).retired >= 1_200


def test_a_running_hub_keeps_house_by_itself(tmp_path_factory: pytest.TempPathFactory):
    database = str(tmp_path_factory.mktemp("keeps") / "hub.db")
    with running(database) as hub:
        member = hub.enrol("member")
        member.add(
            member.indicator("short", valid_until="2031-01-01T00:00:00.000Z"), member.indicator("long")
        )

    class Later:
        def __call__(self) -> int:
            due = intake.expiry({"valid_until": "2031-06-01T00:00:00.000Z"})
            assert due is not None
            return due

    with running(database, made=_nothing, clock=Later()) as hub:
        member.hub = hub
        token = member.token("GET", OBJECTS)
        for _ in range(200):
            found = hub.http.get(
                OBJECTS, headers={"authorization": token, "accept": "application/taxii+json"}
            )
            if len(found.json().get("objects", [])) == 1:
                break
            token = member.token("GET", OBJECTS)
        else:
            pytest.fail("the expired object is still there")


async def _nothing(_: str) -> None:
    return
