"""Logs in object storage are read as if they lay in a folder; the store is a server on loopback that speaks S3."""

from __future__ import annotations

import gzip
import json
import ssl
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import TYPE_CHECKING, Any

import object_store
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trustme
import zstandard
from object_store import SECRET

from spiritsafe import state
from spiritsafe.errors import InputChanged, InputError, InputUnreachable, UsageError
from spiritsafe.settings import Settings
from spiritsafe.sources import _buckets, expand, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NUMBERS = count()
RECORDS = [
    {
        "time": f"2026-09-07T12:{n // 60:02}:{n % 60:02}Z",
        "account_id": f"a{n % 7}",
        "prompt": f"question {n} ☕",
    }
    for n in range(300)
]


@dataclass
class Store:
    """A bucket of one test's own, and a folder with the same files."""

    client: Any
    bucket: str
    folder: Path

    @property
    def at(self) -> str:
        return f"s3://{self.bucket}"

    def put(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.client.put_object(Bucket=self.bucket, Key=name, Body=data)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, object_store.running(patch) as (_, client):
        yield client


@pytest.fixture
def store(client: Any, tmp_path: Path) -> Store:
    bucket = f"logs-{next(NUMBERS)}"
    object_store.create(client, bucket)
    return Store(client, bucket, tmp_path / "logs")


def lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in records).encode()


def parquet(records: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(records), sink, row_group_size=40)
    return sink.getvalue().to_pybytes()


FORMS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "plain.jsonl": lines,
    "packed.jsonl.gz": lambda records: gzip.compress(lines(records)),
    "two members.gz": lambda records: gzip.compress(lines(records[:9])) + gzip.compress(lines(records[9:])),
    "packed.jsonl.zst": lambda records: zstandard.compress(lines(records)),
    "rows.parquet": parquet,
    "document.json": lambda records: json.dumps(records, indent=1).encode(),
    "day=2026-09-07/[odd] näme?#%20&=+.jsonl": lines,
}


def told(result: Any) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "source_file"} for row in result.rows]


@pytest.mark.parametrize("name", FORMS)
def test_an_object_is_read_as_a_file_is(name: str, store: Store, take: Callable[..., Any]):
    store.put(name, FORMS[name](RECORDS))
    here, there = take(store.folder / name), take(f"{store.at}/{name}")
    assert len(here.rows) == len(RECORDS)
    assert told(there) == told(here)
    assert there.present == here.present
    assert {row["source_file"] for row in there.rows} == {f"{store.at}/{name}"}


@pytest.mark.parametrize(
    "pattern",
    [
        "", "*.jsonl", "**/*.jsonl", "2026/*/x.jsonl", "2026/0[12]/*", "2026/0?", "*/*/*", "2026", "**", ".*/x.jsonl",
        "2026/01/x.jsonl",
    ],
)  # fmt: skip
def test_folders_and_patterns_mean_what_they_mean_in_a_folder(pattern: str, store: Store):
    for name in (
        "a.jsonl", "b.jsonl.partial", "_SUCCESS", ".hidden/x.jsonl", "2026/01/x.jsonl", "2026/01/y.jsonl.gz",
        "2026/02/x.jsonl", "2026/02/_tmp/z.jsonl", "2026/10/x.jsonl.open", "2026/10/.crc", "2026/10/w.jsonl",
        "2027/01/x.jsonl",
    ):  # fmt: skip
        store.put(name, b'{"a": 1}\n')
    here, there = (expand([f"{root}/{pattern}"]) for root in (store.folder, store.at))
    assert here[0]

    def below(path: str, root: object) -> str:
        return path.removeprefix(f"{root}/")

    assert sorted(below(one.path, store.at) for one in there[0]) == sorted(
        below(one.path, store.folder) for one in here[0]
    )
    # What a pattern passes over by itself is nowhere told; what a folder passes over is.
    if not set("*?[") & set(pattern):
        assert {below(one, store.at) for one in there[1]} >= {
            below(one, store.folder) for one in here[1] if not one.endswith(("_tmp", ".hidden"))
        }
    assert {one.named for one in there[0]} <= {True, False}


def test_a_file_named_twice_is_read_once_and_places_mix(store: Store, take: Callable[..., Any]):
    store.put("a.jsonl", lines(RECORDS))
    result = take(f"{store.at}/a.jsonl", store.at, f"{store.at}/*", store.folder / "a.jsonl")
    assert len(result.rows) == 2 * len(RECORDS)


@pytest.mark.parametrize(
    ("address", "error", "says"),
    [
        ("{at}/nowhere", InputError, "no such object"),
        ("{at}/*.gz", InputError, "none matches"),
        ("s3://no-such-bucket-here/x", InputError, "no such object"),
        ("{at}/a//b", InputError, "empty steps"),
        ("{at}/../x", InputError, "empty steps or dots"),
        ("{at}/table", InputError, "Delta table cannot be read"),
        ("{at}", InputError, "lies below the folder"),
        ("{at}/_only", InputError, "holds no log files"),
        ("s3://AKIA123:hunter2@bucket/x", UsageError, "never from an address"),
        ("s3://", UsageError, "write s3://BUCKET/PATH"),
    ],
)
def test_what_cannot_be_read_is_told(address: str, error: type[Exception], says: str, store: Store):
    store.put("table/_delta_log/0.json", b"{}")
    store.put("table/part-0.parquet", parquet(RECORDS))
    store.put("_only/_x/y.jsonl.tmp", b"{}")
    with pytest.raises(error) as raised:
        expand([address.format(at=store.at)])
    assert says in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_store_that_stops_answering_stops_the_scan_and_is_not_taken_for_a_damaged_file(
    tmp_path: Path, engine: Any
):
    with pytest.MonkeyPatch.context() as patch, object_store.running(patch) as (server, client):
        object_store.create(client, "ends")
        own = Store(client, "ends", tmp_path / "logs")
        for name in ("a.jsonl", "b.parquet", "c.jsonl.gz"):
            own.put(
                name,
                FORMS[{"a": "plain.jsonl", "b": "rows.parquet", "c": "packed.jsonl.gz"}[name[0]]](RECORDS),
            )
        reading = read(["s3://ends"], engine=engine, rejects=tmp_path / "rejected.jsonl", aside=True)
        server.stop()
        with pytest.raises(InputUnreachable, match="AWS Error") as raised:
            list(reading)
    assert raised.value.where == "s3://ends/a.jsonl"
    assert SECRET not in str(raised.value)


class Refuses(object_store.Quiet, BaseHTTPRequestHandler):
    """Lets nobody in, and says so in a way that would colour a terminal."""

    def do_GET(self) -> None:
        said = b"<Error><Code>AccessDenied</Code><Message>no \x7f\xc2\x9b31m entry</Message></Error>"
        self.send_response(403)
        self.send_header("content-type", "application/xml")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(said)

    do_HEAD = do_GET  # noqa: N815 - the base class's names


def test_a_store_that_refuses_is_told_as_one_and_colours_no_terminal(monkeypatch: pytest.MonkeyPatch):
    with (
        object_store.answering(monkeypatch, Refuses),
        pytest.raises(InputUnreachable, match="ACCESS_DENIED") as raised,
    ):
        expand(["s3://closed/logs"])
    assert str(raised.value).replace("\n", "").isprintable()
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "server", ["127.0.0.1:9000", "ftp://127.0.0.1", "http://key:word@127.0.0.1", "http://"]
)
def test_an_address_of_a_server_that_makes_no_sense_is_told(server: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    _buckets._store.cache_clear()
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL: this is no server's address"):
        expand(["s3://logs/x"])


def test_a_damaged_object_among_several_is_set_aside(store: Store, take: Callable[..., Any]):
    store.put("good.jsonl", lines(RECORDS))
    store.put("torn.jsonl.gz", gzip.compress(lines(RECORDS))[:-200])
    store.put("torn.parquet", parquet(RECORDS)[:-20])
    result = take(store.at, aside=True)
    assert len(result.rows) == len(RECORDS)
    assert sorted(result.scanned["set_aside"]) == [f"{store.at}/torn.jsonl.gz", f"{store.at}/torn.parquet"]


def test_an_object_that_is_written_anew_meanwhile_is_told(store: Store, engine: Any, tmp_path: Path):
    store.put("a.jsonl", lines(RECORDS))
    reading = read([store.at], engine=engine, rejects=tmp_path / "rejected.jsonl")
    store.put("a.jsonl", lines(RECORDS[:5]))
    with pytest.raises(InputChanged, match="changed while it was read"):
        list(reading)


def test_what_was_kept_of_objects_is_not_read_again_and_outlives_them(store: Store, tmp_path: Path):
    half = len(RECORDS) // 2
    store.put("1.jsonl", lines(RECORDS[:half]))
    store.put("2.parquet", parquet(RECORDS[half:]))

    def scanned(out: str, **more: Any) -> dict[str, Any]:
        state.scan(
            [store.at], tmp_path / out, settings=Settings(threads=1), checkpoint=tmp_path / "kept", **more
        )
        return json.loads((tmp_path / out / "campaigns.json").read_text())["scanned"]

    first = scanned("a")
    assert first["accepted"] == len(RECORDS)
    gone: Any = store.client
    gone.delete_object(Bucket=store.bucket, Key="1.jsonl")
    assert scanned("b", history=True)["accepted"] == len(RECORDS)
    assert scanned("c")["accepted"] == len(RECORDS) - half


class OneObject(object_store.Quiet, BaseHTTPRequestHandler):
    """A store that has one object, and speaks as much S3 as reading it takes."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._say(200, b"", len(lines(RECORDS)))

    def do_GET(self) -> None:
        data = lines(RECORDS)
        asked = self.headers.get("Range")
        if not asked:
            self._say(200, data, len(data))
            return
        begin, _, end = asked.removeprefix("bytes=").partition("-")
        part = data[int(begin) : int(end) + 1]
        self._say(206, part, len(part), f"bytes {begin}-{int(begin) + len(part) - 1}/{len(data)}")

    def _say(self, status: int, data: bytes, length: int, which: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Last-Modified", "Mon, 07 Sep 2026 12:00:00 GMT")
        if which:
            self.send_header("Content-Range", which)
        self.end_headers()
        self.wfile.write(data)


def test_a_store_with_an_authority_of_its_own_is_believed_when_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, take: Callable[..., Any]
):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with object_store.answering(monkeypatch, OneObject, context):
        with pytest.raises(InputUnreachable):
            expand(["s3://logs/rows.jsonl"])
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
        _buckets._store.cache_clear()
        with pytest.raises(UsageError, match="AWS_CA_BUNDLE"):
            expand(["s3://logs/rows.jsonl"])
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "authority.pem"))
        _buckets._store.cache_clear()
        assert len(take("s3://logs/rows.jsonl").rows) == len(RECORDS)
