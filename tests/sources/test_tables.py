"""Delta and Iceberg tables as inputs: their newest state and nothing else, or a plain refusal."""

from __future__ import annotations

import json
import os
import sys
import warnings
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from spiritsafe.errors import InputError, UsageError
from spiritsafe.sources import _buckets, _lakehouse, expand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "s3cr3t-of-the-tables"  # noqa: S105 - of a server that lives as long as a test
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
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    numbers = count()
    with pytest.MonkeyPatch.context() as patch:
        running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        running.start()
        host, port = running.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key-of-the-store")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_REGION", "eu-central-1")
        _buckets._store.cache_clear()
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")

        def put(folder: Path, name: str = "") -> str:
            name = name or f"tables-{next(numbers)}"
            client.create_bucket(
                Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
            )
            for path in folder.rglob("*"):
                if path.is_file():
                    key = f"llm/logs/{path.relative_to(folder).as_posix()}"
                    client.put_object(Bucket=name, Key=key, Body=path.read_bytes())
            return f"s3://{name}/llm/logs"

        yield put
        running.stop()
        _buckets._store.cache_clear()


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
    address = bucket(tmp_path / "nothing", "warehouse")
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


def test_a_table_on_this_machine_whose_files_are_elsewhere_is_refused(tmp_path: Path):
    table = iceberg(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.append(NEW)
    folder = tmp_path / "logs" / "exchanges"
    assert _lakehouse._paths(str(folder), [f"file://{folder}/a.parquet", "/b"]) == [
        f"{folder}/a.parquet",
        "/b",
    ]
    assert _lakehouse._paths("s3://one/t", ["s3a://two/a", "s3://one/b"]) == ["s3://two/a", "s3://one/b"]
    for here, there in (
        (str(folder), "s3://one/a"),
        ("s3://one/t", "gs://two/a"),
        ("s3://one/t", f"file://{folder}"),
    ):
        with pytest.raises(InputError, match="where they are not read"):
            _lakehouse._paths(here, [there])


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


def test_what_a_store_refuses_is_told_without_its_keys(bucket: Callable[[Path], str], tmp_path: Path):
    folder = tmp_path / "table"
    write_deltalake(folder, NEW)
    (folder / "_delta_log" / "00000000000000000000.json").write_text("{broken", "utf-8")
    with pytest.raises(InputError, match="Delta table cannot be read") as told:
        expand([bucket(folder)])
    assert SECRET not in f"{told.value} {told.value.hint}"
