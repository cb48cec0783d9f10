"""What medallion's backend tests ask of a TAXII 2.1 server, asked of the hub: the same names, the same questions.

The names are those of medallion/test/test_backends.py of oasis-open/cti-taxii-server; data and code are our own.
Where the hub answers otherwise on purpose, the test says so (docs/sharing/hub.md lists them).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from hubs import NOW, TAXII, Running, Someone, running

from spiritsafe.attest import keys
from spiritsafe.sharing.hub import copies
from spiritsafe.sharing.hub.moments import micros, written
from spiritsafe.sharing.hub.reception import Limits
from spiritsafe.sharing.hub.schema import prepare
from spiritsafe.sharing.hub.setup import add_collection, add_root
from spiritsafe.sharing.hub.store import opened

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    import httpx

READ, WRITE, FORBIDDEN = (
    "91a7b528-80eb-42ed-a74d-c6fbd5a26116", "365fed99-08fa-fdcd-a1b3-fb247eb41d01", "64993447-4d7e-4f70-b94d-d7f33742ee63",
)  # fmt: skip
OTHERS = ("52892447-4d7e-4f70-b94d-d7f22742ff63", "472c94ae-3113-4e3e-a4dd-a9f4ac7471d4")
GET = f"/trustgroup1/collections/{READ}/objects/"
MANIFEST = f"/trustgroup1/collections/{READ}/manifest/"
ADD = f"/trustgroup1/collections/{WRITE}/objects/"
RELATION = "relationship--2f9a9aa9-108a-4333-83e2-4fb25add0463"
FIRST_INDICATOR = "indicator--cd981c25-8042-4166-8945-51178443bdac"
MARKING = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"
MALWARE = "malware--c0931cc6-c75e-47e5-9036-78fabc95d4ec"
INDICATOR = "indicator--6770298f-0fd8-471a-ab8c-1c658a46574e"
COURSE: dict[str, Any] = {
    "type": "course-of-action",
    "spec_version": "2.1",
    "id": "course-of-action--68794cd5-28db-429d-ab1e-1256704ef906",
    "created": "2017-01-27T13:49:53.935Z",
    "modified": "2017-01-27T13:49:53.935Z",
    "name": "Test object",
}


def _indicator(name: str, modified: str) -> dict[str, Any]:
    return {
        "type": "indicator", "spec_version": "2.1", "id": name, "created": "2014-05-08T09:00:00.000Z", "modified": modified,
        "pattern": "[autonomous-system:number = 64500]", "pattern_type": "stix", "valid_from": "2014-05-08T09:00:00.000Z",
    }  # fmt: skip


def _malware(modified: str, **spec: str) -> dict[str, Any]:
    return {
        "type": "malware", "id": MALWARE, "created": "2017-01-27T13:49:53.997Z", "modified": modified, "name": "a harvester",
        "is_family": False, **spec,
    }  # fmt: skip


#: When each object came, and what it is: in the order of coming.
STORY: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "2014-05-08T09:00:00.000000Z",
        {
            "type": "relationship", "spec_version": "2.1", "id": RELATION, "created": "2014-05-08T09:00:00.000Z",
            "modified": "2014-05-08T09:00:00.000Z", "relationship_type": "indicates", "source_ref": FIRST_INDICATOR,
            "target_ref": MALWARE,
        },
    ),
    ("2016-11-01T03:04:05.000000Z", _indicator(FIRST_INDICATOR, "2014-05-08T09:00:00.000Z")),
    ("2016-11-03T12:30:59.001000Z", _indicator(INDICATOR, "2016-11-03T12:30:59.000Z")),
    ("2016-12-27T13:49:59.000000Z", _indicator(INDICATOR, "2016-12-25T12:30:59.444Z")),
    (
        "2017-01-20T00:00:00.000000Z",
        {
            "type": "marking-definition", "spec_version": "2.1", "id": MARKING, "created": "2017-01-20T00:00:00.000Z",
            "definition_type": "tlp", "definition": {"tlp": "green"},
        },
    ),
    ("2017-01-27T13:49:59.997000Z", _malware("2017-01-27T13:49:53.997Z", spec_version="2.1")),
    ("2017-11-01T00:00:00.000000Z", _malware("2018-02-23T18:30:00.000Z")),
    ("2017-12-31T13:49:53.935000Z", _indicator(INDICATOR, "2017-01-27T13:49:53.935Z")),
)  # fmt: skip


class Client:
    """Somebody with a name and a password, as most TAXII clients."""

    def __init__(self, hub: Running, member: Someone) -> None:
        self.hub, self.member = hub, member
        secret = member.api_token("write", "blackbox")
        self.headers = {
            "accept": TAXII,
            "authorization": f"Basic {base64.b64encode(f'x:{secret}'.encode()).decode()}",
        }
        self.status = ""

    def get(self, path: str, status: int = 200) -> httpx.Response:
        answer = self.hub.http.get(path, headers=self.headers)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == TAXII
        return answer

    def post(self, path: str, content: Any, status: int = 202) -> dict[str, Any]:
        answer = self.hub.http.post(path, json=content, headers=self.headers | {"content-type": TAXII})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == TAXII
        return answer.json()

    def delete(self, path: str, status: int = 200) -> None:
        answer = self.hub.http.delete(path, headers=self.headers)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == TAXII


async def _made(database: str) -> None:
    store = opened(database)
    try:
        await prepare(store, "forum.example/log")
        await add_root(store, "trustgroup1", "Malware Research Group", now=NOW)
        for which in (READ, WRITE):
            await add_collection(store, "trustgroup1", which, "open", now=NOW, signed=False)
        await add_collection(store, "trustgroup1", OTHERS[0], "read", now=NOW, signed=False, writers=())
        await add_collection(store, "trustgroup1", OTHERS[1], "write", now=NOW, signed=False, readers=())
        await add_collection(
            store, "trustgroup1", FORBIDDEN, "secret", now=NOW, signed=False, readers=(), writers=()
        )
    finally:
        await store.close()


@pytest.fixture(scope="module")
def client(database: str) -> Generator[Client]:
    with running(database, limits=Limits(page=20), made=_made, gate=None) as hub:
        found = Client(hub, hub.enrol("member"))
        for moment, stix in STORY:
            hub.clock.now = micros(moment)
            told = found.post(GET, {"objects": [stix]})
            assert told["success_count"] == 1
        hub.clock.now = None
        found.status = found.post(
            ADD, {"objects": [COURSE | {"id": COURSE["id"][:-1] + "0"}, COURSE | {"created": "x"}]}
        )["id"]
        found.delete(ADD + COURSE["id"][:-1] + "0/")
        yield found


def _added(answer: httpx.Response) -> tuple[str, str]:
    return answer.headers["X-TAXII-Date-Added-First"], answer.headers["X-TAXII-Date-Added-Last"]


def _ids(answer: httpx.Response) -> list[str]:
    return [one["id"] for one in answer.json()["objects"]]


def _modified(answer: httpx.Response, name: str) -> list[str]:
    return [one.get("modified", one.get("version")) for one in answer.json()["objects"] if one["id"] == name]


def test_server_discovery(client: Client):
    assert client.get("/taxii2/").json()["api_roots"] == [f"{client.hub.url}/trustgroup1/"]


def test_get_api_root_information(client: Client):
    assert client.get("/trustgroup1/").json()["title"] == "Malware Research Group"


def test_get_status(client: Client):
    """The hub's statuses are complete at once: they have successes and failures, never anything pending."""
    told = client.get(f"/trustgroup1/status/{client.status}").json()
    assert (told["status"], told["pending_count"]) == ("complete", 0)
    assert [one["id"] for one in told["successes"]] == [COURSE["id"][:-1] + "0"]
    assert [one["id"] for one in told["failures"]] == [COURSE["id"]]


def test_get_collections(client: Client):
    found = client.get("/trustgroup1/collections/").json()["collections"]
    assert {one["id"]: (one["can_read"], one["can_write"]) for one in found} == {
        READ: (True, True), WRITE: (True, True), OTHERS[0]: (True, False), OTHERS[1]: (False, True), FORBIDDEN: (False, False),
    }  # fmt: skip


def test_get_objects(client: Client):
    answer = client.get(GET)
    assert answer.json()["more"] is False
    assert _added(answer) == ("2014-05-08T09:00:00.000000Z", "2017-12-31T13:49:53.935000Z")
    assert _ids(answer) == [RELATION, FIRST_INDICATOR, MARKING, MALWARE, INDICATOR]


def test_get_object(client: Client):
    answer = client.get(f"{GET}{MALWARE}/")
    assert _ids(answer) == [MALWARE]
    assert _added(answer) == ("2017-01-27T13:49:59.997000Z",) * 2


def test_add_and_delete_object(client: Client):
    name = COURSE["id"]
    told = client.post(ADD, {"objects": [COURSE]})
    assert name in _ids(client.get(ADD))
    assert _ids(client.get(f"{ADD}?match[id]={name}")) == [name]
    assert client.get(f"/trustgroup1/status/{told['id']}/").json()["success_count"] == 1
    manifest = f"/trustgroup1/collections/{WRITE}/manifest/?match[id]={name}"
    assert _ids(client.get(manifest)) == [name]
    client.delete(ADD + name)
    client.get(ADD + name, 404)
    assert client.get(manifest).json() == {}


def test_get_object_manifests(client: Client):
    answer = client.get(MANIFEST)
    times = [one["date_added"] for one in answer.json()["objects"]]
    assert len(times) == 5
    assert times == sorted(set(times))
    assert (
        _added(answer)
        == ("2014-05-08T09:00:00.000000Z", "2017-12-31T13:49:53.935000Z")
        == (times[0], times[-1])
    )


def test_get_version(client: Client):
    answer = client.get(f"{GET}{RELATION}/versions")
    assert answer.json() == {"more": False, "versions": ["2014-05-08T09:00:00.000Z"]}
    assert _added(answer) == ("2014-05-08T09:00:00.000000Z",) * 2


def test_get_objects_added_after(client: Client):
    answer = client.get(f"{GET}?added_after=2016-11-03T12:30:59Z")
    assert answer.json()["more"] is False
    assert len(_ids(answer)) == 3


def test_get_objects_limit(client: Client):
    answer = client.get(f"{GET}?limit=3")
    assert answer.json()["more"] is True
    assert _ids(answer) == [RELATION, FIRST_INDICATOR, MARKING]
    assert _added(answer) == ("2014-05-08T09:00:00.000000Z", "2017-01-20T00:00:00.000000Z")
    answer = client.get(f"{GET}?limit=3&next={answer.json()['next']}")
    assert answer.json()["more"] is False
    assert _ids(answer) == [MALWARE, INDICATOR]
    assert _added(answer) == ("2017-01-27T13:49:59.997000Z", "2017-12-31T13:49:53.935000Z")


def test_get_objects_id(client: Client):
    assert _ids(client.get(f"{GET}?match[id]={MALWARE}")) == [MALWARE]


def test_get_objects_type(client: Client):
    assert _ids(client.get(f"{GET}?match[type]=indicator")) == [FIRST_INDICATOR, INDICATOR]


def test_objects_version_match_specific_date(client: Client):
    assert _ids(client.get(f"{GET}?match[version]=2016-12-25T12:30:59.444Z")) == [INDICATOR]


def test_objects_version_match_first(client: Client):
    answer = client.get(f"{GET}?match[version]=first")
    assert _modified(answer, INDICATOR) == ["2016-11-03T12:30:59.000Z"]
    assert _modified(answer, MALWARE) == ["2017-01-27T13:49:53.997Z"]


def test_objects_version_match_last(client: Client):
    assert _modified(client.get(f"{GET}?match[version]=last"), INDICATOR) == ["2017-01-27T13:49:53.935Z"]


def test_objects_version_match_all(client: Client):
    assert len(_ids(client.get(f"{GET}?match[version]=all"))) == 7


def test_get_objects_spec_version_20(client: Client):
    found = client.get(f"{GET}?match[spec_version]=2.0").json()["objects"]
    assert ["spec_version" in one for one in found] == [False]


def test_get_objects_spec_version_21_20(client: Client):
    assert len(_ids(client.get(f"{GET}?match[spec_version]=2.0,2.1"))) == 5


@pytest.mark.parametrize("question", ["?match[spec_version]=2.1", ""], ids=["21", "default"])
def test_get_objects_spec_version(client: Client, question: str):
    found = client.get(GET + question).json()["objects"]
    assert [one["spec_version"] for one in found] == ["2.1"] * 5


def test_get_object_added_after_case1(client: Client):
    assert client.get(f"{GET}{MALWARE}?added_after=2018-01-27T13:49:59.997000Z").json() == {}


def test_get_object_added_after_case2(client: Client):
    answer = client.get(f"{GET}{MALWARE}?added_after=2017-01-27T13:49:59Z")
    assert answer.json()["more"] is False
    assert _ids(answer) == [MALWARE]


def test_get_object_limit(client: Client):
    answer = client.get(f"{GET}{INDICATOR}?limit=1")
    assert (answer.json()["more"], len(_ids(answer))) == (False, 1)
    assert _added(answer) == ("2017-12-31T13:49:53.935000Z",) * 2
    answer = client.get(f"{GET}{INDICATOR}?match[version]=all&limit=2")
    assert answer.json()["more"] is True
    assert _modified(answer, INDICATOR) == ["2016-11-03T12:30:59.000Z", "2016-12-25T12:30:59.444Z"]
    assert _added(answer) == ("2016-11-03T12:30:59.001000Z", "2016-12-27T13:49:59.000000Z")
    answer = client.get(f"{GET}{INDICATOR}?match[version]=all&limit=2&next={answer.json()['next']}")
    assert (answer.json()["more"], len(_ids(answer))) == (False, 1)
    assert _added(answer) == ("2017-12-31T13:49:53.935000Z",) * 2


@pytest.mark.parametrize(
    ("version", "modified"),
    [
        ("2016-12-25T12:30:59.444Z", "2016-12-25T12:30:59.444Z"),
        ("first", "2016-11-03T12:30:59.000Z"),
        ("last", "2017-01-27T13:49:53.935Z"),
    ],
)
def test_get_object_version_single(client: Client, version: str, modified: str):
    answer = client.get(f"{GET}{INDICATOR}?match[version]={version}")
    assert answer.json()["more"] is False
    assert _modified(answer, INDICATOR) == [modified]


def test_get_object_version_match_all(client: Client):
    assert _ids(client.get(f"{GET}{INDICATOR}?match[version]=all")) == [INDICATOR] * 3


@pytest.mark.parametrize(
    ("question", "modified"),
    [
        ("?match[spec_version]=2.0", "2018-02-23T18:30:00.000Z"),
        ("?match[spec_version]=2.1", "2017-01-27T13:49:53.997Z"),
        ("?match[spec_version]=2.0,2.1", "2018-02-23T18:30:00.000Z"),
        ("", "2017-01-27T13:49:53.997Z"),
    ],
    ids=["20", "21", "2021", "default"],
)
def test_get_object_spec_version(client: Client, question: str, modified: str):
    answer = client.get(f"{GET}{MALWARE}{question}")
    assert _modified(answer, MALWARE) == [modified]
    assert ("spec_version" in answer.json()["objects"][0]) == modified.startswith("2017")


def test_get_manifest_added_after(client: Client):
    assert _ids(client.get(f"{MANIFEST}?added_after=2017-01-20T00:00:00.000Z")) == [MALWARE, INDICATOR]


def test_get_manifest_limit(client: Client):
    seen: list[str] = []
    place = ""
    for count, more in ((2, True), (2, True), (1, False)):
        answer = client.get(f"{MANIFEST}?limit=2{place}")
        records = answer.json()["objects"]
        assert (len(records), answer.json()["more"]) == (count, more)
        assert _added(answer) == (records[0]["date_added"], records[-1]["date_added"])
        seen += _ids(answer)
        place = f"&next={answer.json().get('next')}"
    assert seen == [RELATION, FIRST_INDICATOR, MARKING, MALWARE, INDICATOR]


def test_get_manifest_id(client: Client):
    assert _ids(client.get(f"{MANIFEST}?match[id]={MALWARE}")) == [MALWARE]


def test_get_manifest_type(client: Client):
    assert _ids(client.get(f"{MANIFEST}?match[type]=indicator")) == [FIRST_INDICATOR, INDICATOR]


def test_get_manifest_version_specific(client: Client):
    answer = client.get(f"{MANIFEST}?match[version]=2016-12-25T12:30:59.444Z")
    assert _modified(answer, INDICATOR) == ["2016-12-25T12:30:59.444Z"]
    assert len(_ids(answer)) == 1


@pytest.mark.parametrize(
    ("version", "count", "modified"),
    [("first", 5, "2016-11-03T12:30:59.000Z"), ("last", 5, "2017-01-27T13:49:53.935Z"), ("all", 7, None)],
)
def test_get_manifest_version(client: Client, version: str, count: int, modified: str | None):
    answer = client.get(f"{MANIFEST}?match[version]={version}")
    assert len(_ids(answer)) == count
    if modified:
        assert _modified(answer, INDICATOR) == [modified]


@pytest.mark.parametrize(
    ("question", "media"),
    [
        ("?match[spec_version]=2.0", ["2.0"]),
        ("?match[spec_version]=2.1", ["2.1"] * 5),
        ("", ["2.1"] * 5),
    ],
    ids=["20", "21", "default"],
)
def test_manifest_spec_version(client: Client, question: str, media: list[str]):
    found = client.get(MANIFEST + question).json()["objects"]
    assert [one["media_type"] for one in found] == [f"application/stix+json;version={one}" for one in media]


def test_manifest_spec_version_2021(client: Client):
    answer = client.get(f"{MANIFEST}?match[spec_version]=2.0,2.1")
    assert len(_ids(answer)) == 5
    assert _modified(answer, MALWARE) == ["2018-02-23T18:30:00.000Z"]


def test_get_version_added_after(client: Client):
    path = f"{GET}{RELATION}/versions?added_after="
    assert client.get(f"{path}2014-05-08T09:00:00Z").json() == {}
    assert client.get(f"{path}2014-05-08T08:00:00Z").json() == {
        "more": False,
        "versions": ["2014-05-08T09:00:00.000Z"],
    }


def test_get_version_limit(client: Client):
    place = ""
    for version, added, more in (
        ("2016-11-03T12:30:59.000Z", "2016-11-03T12:30:59.001000Z", True),
        ("2016-12-25T12:30:59.444Z", "2016-12-27T13:49:59.000000Z", True),
        ("2017-01-27T13:49:53.935Z", "2017-12-31T13:49:53.935000Z", False),
    ):
        answer = client.get(f"{GET}{INDICATOR}/versions?limit=1{place}")
        assert (answer.json()["versions"], answer.json()["more"]) == ([version], more)
        assert _added(answer) == (added, added)
        place = f"&next={answer.json().get('next')}"


@pytest.mark.parametrize(
    ("question", "versions"),
    [
        ("?match[spec_version]=2.0", ["2018-02-23T18:30:00.000Z"]),
        ("?match[spec_version]=2.1", ["2017-01-27T13:49:53.997Z"]),
        ("?match[spec_version]=2.0,2.1", ["2017-01-27T13:49:53.997Z", "2018-02-23T18:30:00.000Z"]),
        ("", ["2017-01-27T13:49:53.997Z"]),
    ],
    ids=["20", "21", "2021", "default"],
)
def test_get_version_spec_version(client: Client, question: str, versions: list[str]):
    assert client.get(f"{GET}{MALWARE}/versions{question}").json() == {"more": False, "versions": versions}


def test_delete_objects_version(client: Client):
    name = COURSE["id"]
    years = ["2017", "2015", "2016", "2018", "2019"]
    versions = [f"{year}-01-27T13:49:53.935Z" for year in years]
    told = client.post(
        ADD,
        {
            "objects": [
                COURSE | {"created": "2014-01-27T13:49:53.935Z", "modified": version} for version in versions
            ]
        },
    )
    assert told["success_count"] == 5
    left = list(versions)
    for wanted, gone in ((versions[3], [versions[3]]), ("first", [versions[1]]), ("last", [versions[4]])):
        assert client.get(f"{ADD}{name}/versions").json()["versions"] == left
        client.delete(f"{ADD}{name}?match[version]={wanted}")
        left = [one for one in left if one not in gone]
    assert client.get(f"{ADD}{name}/versions").json() == {"more": False, "versions": left}
    client.delete(f"{ADD}{name}?match[version]=all")
    client.get(f"{ADD}{name}/versions", 404)


def test_delete_objects_spec_version(client: Client):
    name = COURSE["id"]
    newer = COURSE | {"modified": "2019-01-27T13:49:53.936Z", "spec_version": "2.0"}
    client.post(ADD, {"objects": [COURSE | {"modified": "2017-02-01T00:00:00.000Z"}, newer]})
    client.delete(f"{ADD}{name}?match[spec_version]=2.0")
    assert client.get(f"{ADD}{name}/versions").json()["versions"] == ["2017-02-01T00:00:00.000Z"]
    client.delete(f"{ADD}{name}?match[spec_version]=2.1")
    client.get(f"{ADD}{name}/versions", 404)


def test_SCO_versioning(client: Client):  # noqa: N802 - the name of the original
    name = "artifact--6f437177-6e48-5cf8-9d9e-872a2bddd641"
    stix = {"type": "artifact", "spec_version": "2.1", "id": name, "mime_type": "application/zip"}
    before = client.hub.clock()
    for _ in range(2):  # without times there is one version, however often it comes
        assert client.post(ADD, {"objects": [stix]})["success_count"] == 1
    for question in (
        "match[version]=all",
        "match[version]=first",
        "match[version]=last",
        f"added_after={written(before)}",
    ):
        assert _ids(client.get(f"{ADD}{name}?{question}")) == [name]
    later = written(client.hub.clock() + 1_000)
    assert client.get(f"{ADD}{name}?added_after={later}").json() == {}
    assert client.get(f"{ADD}{name}/versions").json()["versions"] == [_added(client.get(ADD + name))[0]]


def test_get_api_root_information_not_existent(client: Client):
    client.get("/trustgroup2/", 404)


def test_get_collection_not_existent(client: Client):
    client.get("/trustgroup1/collections/12345678-1234-1234-1234-123456789012/", 404)


@pytest.mark.parametrize(
    "path",
    [
        "/trustgroup1/collections/",
        "/trustgroup1/status/2223/",
        "/trustgroup1/collections/24042009/manifest/",
        GET + MALWARE,
        ADD,
        "/nothing/here/",
    ],
    ids=["collections", "status", "object_manifest", "object", "objects", "nothing"],
)
def test_get_401(client: Client, path: str):
    answer = client.hub.http.get(path, headers={"accept": TAXII})
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == [
        "Spiritsafe",
        'Bearer realm="forum"',
        'Basic realm="forum"',
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/carbon1/collections/",
        "/carbon1/collections/12345678-1234-1234-1234-123456789012/",
        "/trustgroup1/status/22101993/",
        "/trustgroup1/collections/24042009/manifest/",
        "/trustgroup1/collections/12345678-1234-1234-1234-123456789012/objects/",
        f"{GET}malware--cee60c30-a68c-11e3-b0c1-a01aac20d000/",
    ],
    ids=["collections", "collection", "status", "object_manifest", "objects", "object"],
)
def test_get_404(client: Client, path: str):
    client.get(path, 404)


@pytest.mark.parametrize(
    "path", ["manifest/", "objects/", f"objects/{INDICATOR}/", f"objects/{INDICATOR}/versions/"]
)
def test_get_403(client: Client, path: str):
    client.get(f"/trustgroup1/collections/{FORBIDDEN}/{path}", 403)


def test_get_or_add_objects_401(client: Client):
    for headers in ({}, {"authorization": "Basic dXNlcjpwYXNz"}):
        answer = client.hub.http.post(
            ADD, json={"objects": [COURSE]}, headers=headers | {"content-type": TAXII}
        )
        assert answer.status_code == 401


def test_get_or_add_objects_403(client: Client):
    client.get(f"/trustgroup1/collections/{FORBIDDEN}/objects/", 403)
    client.post(f"/trustgroup1/collections/{FORBIDDEN}/objects/", {"objects": [COURSE]}, 403)
    client.post(f"/trustgroup1/collections/{OTHERS[0]}/objects/", {"objects": [COURSE]}, 403)
    client.get(f"/trustgroup1/collections/{OTHERS[1]}/objects/", 403)


def test_get_or_add_objects_404(client: Client):
    client.post(
        "/trustgroup1/collections/12345678-1234-1234-1234-123456789012/objects/", {"objects": [COURSE]}, 404
    )


def test_get_or_add_objects_422(client: Client):
    """The hub says what is wrong in its own words."""
    told = client.post(ADD, COURSE, 422)
    assert (told["title"], told["http_status"]) == ("ProcessingError", "422")
    assert "envelope" in told["description"]


@pytest.mark.parametrize("limit", ["-20", "0", "x", "", "1.5", "1e3"])
def test_object_pagination_bad_limit_value_400(client: Client, limit: str):
    client.get(f"{GET}?limit={limit}", 400)


def test_object_pagination_changing_params_400(client: Client):
    answer = client.get(f"{GET}?match[version]=all&limit=2")
    place = answer.json()["next"]
    answer = client.get(f"{GET}?match[version]=all&limit=2&next={place}")
    assert (len(_ids(answer)), answer.json()["more"]) == (2, True)
    told = client.get(f"{GET}?match[version]=first&limit=2&next={answer.json()['next']}", 400).json()
    assert told["title"] == "ProcessingError"
    client.get(f"{ADD}?match[version]=all&limit=2&next={place}", 400)


def test_default_userpass(client: Client):
    """There are no default users: nobody comes in with a password that all servers have."""
    for pair in (b"user:pass", b"admin:Password0", b":", b"x"):
        headers = {"authorization": f"Basic {base64.b64encode(pair).decode()}", "accept": TAXII}
        assert client.hub.http.get("/taxii2/", headers=headers).status_code == 401


def test_default_backend_and_page(tmp_path: Path):
    """Without settings a hub is empty, and a page has at most 2,000 objects, not 100: it has bounds in bytes, too."""
    with running(str(tmp_path / "hub.db")) as hub:
        member = hub.enrol()
        empty = member.ask("GET", f"/api/collections/{READ}/objects/")
        assert (empty.status_code, empty.json()) == (200, {})
        assert member.ask("GET", "/forum/log/head").status_code == 404
    assert Limits().page == 2_000


def test_object_already_present(client: Client):
    present = STORY[0][1]
    without = {name: value for name, value in present.items() if name != "modified"}
    for content in ([present], [present, without]):
        told = client.post(GET, {"objects": content})
        assert "failures" not in told
        assert len(told["successes"]) == len(content)
    assert client.get(f"{GET}{RELATION}/versions").json()["versions"] == ["2014-05-08T09:00:00.000Z"]


def test_save_to_file(client: Client, tmp_path: Path):
    """All that is there is also in a backup, made while the hub serves."""
    report = copies.backup(client.hub.database, tmp_path / "copy.db", client.hub.key.public_key())
    assert report.objects >= len(STORY)
    assert keys.public(client.hub.key) == client.hub.http.get("/forum/").json()["log_key"]


def test_get_objects_match_type_version(client: Client):
    assert client.get(f"{GET}?match[type]=incident&match[version]=2016-01-01T01:01:01.000Z").json() == {}


def test_get_objects_match_type_spec_version(client: Client):
    assert _ids(client.get(f"{GET}?match[type]=indicator&match[spec_version]=2.1")) == [
        FIRST_INDICATOR,
        INDICATOR,
    ]
