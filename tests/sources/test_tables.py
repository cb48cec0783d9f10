"""Delta and Iceberg tables as inputs: their newest state and nothing else, or a plain refusal."""

from __future__ import annotations

import json
import os
import sys
import warnings
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import object_store
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from object_store import SECRET

from spiritsafe.errors import InputError, InputUnreachable, UsageError
from spiritsafe.sources import _lakehouse, expand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OLD = pa.table({"time": [1_788_825_600_000], "account_id": ["a"], "prompt": ["old"], "day": ["2026-09-07"]})
NEW = pa.table(
    {
        "time": [1_788_825_600_000, 1_788_912_000_000, 1_788_912_000_001],
        "account_id": ["a", "b", "c"],
        "prompt": ["x", "y", "z"],
        "day": ["2026-09-07", "2026-09-08", "2026-09-08"],
    }
)

ODD = NEW.set_column(3, "day", pa.array(["a day", "näme?#%20&=+", "a day"]))


def prompts(result: Any) -> list[str]:
    return sorted(row["prompt"] for row in result.rows)


def iceberg(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the catalog's database is not ours
        from pyiceberg.catalog.memory import InMemoryCatalog  # noqa: PLC0415

        catalog = InMemoryCatalog("tests", warehouse=folder.as_uri())
        catalog.create_namespace("logs")
        return catalog.create_table("logs.exchanges", schema=NEW.schema)


def test_a_delta_table_gives_its_newest_state(tmp_path: Path, take: Callable[..., Any]):
    folder = tmp_path / "it's a table"
    write_deltalake(folder, OLD, partition_by=["day"])
    write_deltalake(folder, NEW, partition_by=["day"], mode="overwrite")
    assert len(list(folder.rglob("*.parquet"))) == 3, "the old state's file is still there"
    found = take(folder)
    assert prompts(found) == ["x", "y", "z"]
    assert set(found.scanned["formats"].values()) == {"canonical_parquet"}


def test_values_of_a_partition_are_escaped_in_names_of_folders(tmp_path: Path, take: Callable[..., Any]):
    write_deltalake(tmp_path / "a b", ODD, partition_by=["day"])
    assert len(list((tmp_path / "a b").glob("day=*%*"))) == 2
    assert prompts(take(tmp_path / "a b")) == ["x", "y", "z"]


def test_an_iceberg_table_gives_its_newest_state(tmp_path: Path, take: Callable[..., Any]):
    table = iceberg(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.append(OLD)
        table.overwrite(NEW)
    folder = tmp_path / "logs" / "exchanges"
    assert len(list(folder.rglob("*.parquet"))) == 2
    assert prompts(take(folder)) == ["x", "y", "z"]


def test_a_partition_that_takes_a_canonical_column_out_of_the_files_is_refused(tmp_path: Path):
    write_deltalake(tmp_path / "table", NEW, partition_by=["account_id"])
    with pytest.raises(InputError, match="partitioned by account_id"):
        expand([tmp_path / "table"])


def test_a_damaged_log_is_named(tmp_path: Path):
    write_deltalake(tmp_path / "table", NEW)
    log = tmp_path / "table" / "_delta_log" / "00000000000000000000.json"
    log.write_text(json.dumps({"add": 5}) + "\n{broken", "utf-8")
    with pytest.raises(InputError, match="Delta table cannot be read") as told:
        expand([tmp_path / "table"])
    assert told.value.where == str(tmp_path / "table")


@pytest.mark.parametrize(("log", "package"), [("_delta_log", "deltalake"), ("metadata", "pyiceberg")])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str, package: str):
    (tmp_path / log).mkdir()
    (tmp_path / log / "v1.metadata.json").write_text("{}", "utf-8")
    for name in [known for known in sys.modules if known.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"needs the package {package}") as told:
        expand([tmp_path])
    assert "lakehouse" in str(told.value.hint)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Callable[[Path], str]]:
    """Puts a folder in a bucket of its own, on a server on loopback that speaks S3; gives the folder's address."""
    numbers = count()
    with pytest.MonkeyPatch.context() as patch, object_store.running(patch) as (_, client):

        def put(folder: Path, name: str = "", into: str = "llm/logs") -> str:
            if not name:
                name = f"tables-{next(numbers)}"
                object_store.create(client, name)
            for path in folder.rglob("*"):
                if path.is_file():
                    key = f"{into}/{path.relative_to(folder).as_posix()}"
                    client.put_object(Bucket=name, Key=key, Body=path.read_bytes())
            return f"s3://{name}/{into}"

        yield put


def test_a_delta_table_in_a_bucket_gives_its_newest_state(
    tmp_path: Path, bucket: Callable[[Path], str], take: Callable[..., Any]
):
    folder = tmp_path / "table"
    write_deltalake(folder, OLD, partition_by=["day"])
    write_deltalake(folder, ODD, partition_by=["day"], mode="overwrite")
    address = bucket(folder)
    for given in (address, address + "/"):
        found = take(given)
        assert prompts(found) == ["x", "y", "z"]
        assert set(found.scanned["formats"].values()) == {"canonical_parquet"}
    assert [(one.size, one.named) for one in expand([address])[0]] == [
        (Path(one.path).stat().st_size, False) for one in expand([folder])[0]
    ]


def test_an_iceberg_table_in_a_bucket_gives_its_newest_state(
    tmp_path: Path, bucket: Callable[..., str], take: Callable[..., Any]
):
    address = bucket(tmp_path / "nothing")
    host = os.environ["AWS_ENDPOINT_URL"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyiceberg.catalog.memory import InMemoryCatalog  # noqa: PLC0415

        told = {"s3.endpoint": host, "s3.region": "eu-central-1"}
        catalog = InMemoryCatalog("stored", warehouse=address, **told)
        catalog.create_namespace("one")
        table = catalog.create_table("one.exchanges", schema=NEW.schema)
        table.append(OLD)
        table.overwrite(NEW)
    assert prompts(take(table.location())) == ["x", "y", "z"]
    with pytest.raises(InputError, match="lies below the folder"):
        expand([address])


def hurt(table: Path, path: str) -> None:
    """Let the log of a Delta table of one file name another path for it."""
    (log,) = (table / "_delta_log").glob("*.json")
    entries = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    for entry in entries:
        if "add" in entry:
            entry["add"]["path"] = path
    log.write_text("".join(json.dumps(one) + "\n" for one in entries), "utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "../secret.parquet",
        "..%2Fsecret.parquet",
        "day=1/../../secret.parquet",
        "file://{root}/secret.parquet",
        "file:{root}/secret.parquet",
        "{root}/secret.parquet",
        "s3://others/secret.parquet",
        "gs://KEY:hunter2@others/\x1b[2Jsecret.parquet",
    ],
)
@pytest.mark.parametrize("stored", [False, True])
def test_a_delta_table_does_not_reach_out_of_its_folder(
    path: str, stored: bool, tmp_path: Path, bucket: Callable[[Path], str]
):
    pq.write_table(OLD, tmp_path / "secret.parquet")
    write_deltalake(tmp_path / "table", NEW)
    hurt(tmp_path / "table", path.format(root=tmp_path))
    folder = bucket(tmp_path / "table") if stored else tmp_path / "table"
    with pytest.raises(InputError, match="outside its folder") as told:
        expand([folder])
    assert str(told.value).replace("\n", "").isprintable()
    assert "hunter2" not in str(told.value)


def test_a_delta_table_may_name_its_files_by_whole_paths(tmp_path: Path, take: Callable[..., Any]):
    table = tmp_path / "a b"
    write_deltalake(table, NEW)
    (data,) = table.glob("*.parquet")
    hurt(table, data.as_uri())
    assert prompts(take(table)) == ["x", "y", "z"]


@pytest.mark.parametrize("stored", [False, True])
def test_an_iceberg_table_chooses_neither_code_nor_server_nor_folder(
    stored: bool, tmp_path: Path, bucket: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
):
    table = iceberg(tmp_path / "table")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.append(NEW)
    folder = tmp_path / "table" / "logs" / "exchanges"
    address = bucket(folder) if stored else str(folder)
    for state in folder.glob("metadata/*.metadata.json"):
        known = state.read_text("utf-8").replace(folder.as_uri(), address)
        written = json.loads(known)
        written["properties"] |= {"py-io-impl": "builtins.exit", "s3.endpoint": "http://127.0.0.1:9"}
        state.write_text(json.dumps(written), "utf-8")
    # What lists the files still names them where they were made, which is outside of a bucket.
    given = bucket(folder) if stored else folder
    if stored:
        with pytest.raises(InputError, match="outside its folder"):
            expand([given])
    else:
        assert len(expand([given])[0]) == 1
    for state in folder.glob("metadata/*.metadata.json"):
        written = json.loads(state.read_text("utf-8"))
        for snapshot in written.get("snapshots", []):
            snapshot["manifest-list"] = "s3://others/list.avro"
        state.write_text(json.dumps(written), "utf-8")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"s3://others/list\.avro: the table has files outside its folder"):
        expand([folder])


@pytest.mark.parametrize("name", ["t#1", "w x", "ä"])
def test_what_a_table_in_a_bucket_is_called_leads_to_no_other(
    name: str, tmp_path: Path, bucket: Callable[..., str], take: Callable[..., Any]
):
    write_deltalake(tmp_path / "one", OLD)
    write_deltalake(tmp_path / "two", NEW)
    decoy = bucket(tmp_path / "one", into="t")
    address = bucket(tmp_path / "two", decoy.split("/")[2], into=name)
    assert prompts(take(address)) == ["x", "y", "z"]


def test_an_escape_in_the_path_of_a_delta_table_is_refused(tmp_path: Path):
    write_deltalake(tmp_path / "table", NEW)
    (tmp_path / "table").rename(tmp_path / "a%20b")
    with pytest.raises(InputError, match="has a %"):
        expand([tmp_path / "a%20b"])


@pytest.mark.parametrize("said", ["2", "v2", "v2.metadata.json", "7", "", "../../x"])
def test_a_hint_names_a_state_that_is_there(said: str):
    states = [f"metadata/v{number}.metadata.json" for number in (1, 2, 10)]
    assert _lakehouse._newest(states, said) == states[1 if "2" in said else 2]


def test_an_object_that_a_table_names_and_the_store_lacks_is_named(
    tmp_path: Path, bucket: Callable[[Path], str]
):
    folder = tmp_path / "table"
    write_deltalake(folder, NEW)
    (data,) = folder.glob("*.parquet")
    data.unlink()
    address = bucket(folder)
    with pytest.raises(InputError, match="names an object that is not there") as told:
        expand([address])
    assert told.value.where == f"{address}/{data.name}"


class Fails(object_store.Quiet, BaseHTTPRequestHandler):
    """A store that lists a table and then fails."""

    def do_GET(self) -> None:
        key = "<Contents><Key>t/_delta_log/00000000000000000000.json</Key><Size>9</Size></Contents>"
        lists = "list-type" in self.path and "start-after" not in self.path
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{key}</ListBucketResult>" if lists else ""
        self.send_response(200 if lists else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()


def test_a_store_that_fails_is_not_taken_for_a_damaged_table(monkeypatch: pytest.MonkeyPatch):
    with object_store.answering(monkeypatch, Fails), pytest.raises(InputUnreachable) as told:
        expand(["s3://logs/t"])
    assert SECRET not in str(told.value)
