"""A log with everything that engines might see differently, what a scan of it gives here, and one Spark for all tests."""

from __future__ import annotations

import gzip
import json
import shutil
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zstandard

from spiritsafe.engine.spark import Spark
from spiritsafe.registry import extensions
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, load_corpus, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTINGS = Settings(memory="500MB")

ODD: tuple[dict[str, Any], ...] = (
    {"time": "2026-09-07T23:30:00+05:45", "account_id": "наташа", "prompt": "Привет 🌍, où est la gare\u0000?"},
    {"time": "2026-09-07T10:30:00-07:00", "account_id": "İstanbul", "prompt": "مرحبا", "email_domain": "ÉCOLE.example"},
    {"time": 1_788_825_600_000, "account_id": "नमस्ते", "prompt": "你好,请翻译", "email_domain": "école.example"},
    {"time": "2026-09-07T12:00:00Z", "account_id": "z", "prompt": "", "temperature": 0.0, "status": 429},
    {"time": "2026-09-07T12:00:00.123456Z", "account_id": "Z", "prompt": "\ud83d half", "temperature": -0.0, "n": 3},
    {"time": "2026-09-08T12:00:00Z", "account_id": "z", "prompt": "twice", "exchange_id": "same"},
    {"time": "2026-09-07T12:00:00Z", "account_id": "y", "prompt": "twice", "exchange_id": "same"},
    {"time": "never", "account_id": "y", "prompt": "no time"},
)  # fmt: skip


def _lines(part: pa.Table) -> bytes:
    for column in ("time", "account_created"):
        text = pc.strftime(part.column(column), "%Y-%m-%dT%H:%M:%SZ")
        part = part.set_column(part.schema.get_field_index(column), column, text)
    rows = [{key: value for key, value in row.items() if value is not None} for row in part.to_pylist()]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


LANGUAGES = ("Danish", "Portuguese", "Swahili")


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 5,000 exchanges, a campaign, one account with a tenth of all.

    All formats and compressions, doubles, nulls, broken and foreign files.
    """
    made = tmp_path_factory.mktemp("made")
    plan = Plan(
        (
            Population("chat_users", {"accounts": 150, "rate": 4.0}),
            Population("byo_key_app", {"accounts": 40, "rate": 5.0}),
            Population("A1", {"accounts": 60, "rate": 20.0}, sources=("problems",)),
        ),
        load_corpus(None),
        days=2.0,
    )
    whole = pq.read_table(simulate(plan, made / "log", seed=3).log)
    folder = made / "logs"
    (folder / "deeper").mkdir(parents=True)
    third = len(whole) // 3
    pq.write_table(whole.slice(0, third), folder / "a.parquet", row_group_size=700)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(_lines(whole.slice(third, third))))
    (folder / "deeper" / "c.jsonl.zst").write_bytes(zstandard.compress(_lines(whole.slice(2 * third))))
    heavy = [
        {
            "time": 1_788_768_000_000 + 90_000 * number,
            "account_id": "firm",
            "prompt": LANGUAGES[number % 3].join(("For ", " speakers, in ", " words, for our ", " desk, as "))
            + f"{LANGUAGES[number % 3]} as can be: answer this ticket, which tells of order {number * 7_919}, "
            f"house {number % 41}, as our handbook says.",
        }
        for number in range(700)
    ]
    (folder / "heavy.jsonl").write_text("".join(json.dumps(one) + "\n" for one in heavy), "utf-8")
    again = _lines(whole.slice(third - 20, 40))
    odd = "".join(json.dumps(one) + "\n" for one in ODD).encode()
    bad = b'{"time": "2026-09-07T12:00:00Z", "account_id": "q", "prompt": "caf\xe9"}\n{broken\n\n[]\n'
    (folder / "d.jsonl").write_bytes(again + odd + bad)
    for name, source in extensions("sources").items():
        records = [record for record, _ in source.module.EXAMPLES]
        path = folder / f"example-{name}"
        if getattr(source.module, "READS", "lines") == "rows":
            pq.write_table(pa.Table.from_pylist(records), path)
        else:
            path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    (folder / "empty.jsonl").touch()
    (folder / "notes.txt").write_text("no log at all\n", "utf-8")
    (folder / ".hidden").write_text("{}\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    """One session for all tests; scans in this process use it and leave it running."""
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    work = tmp_path_factory.mktemp("spark")
    # A log of a few thousand exchanges is not worth compiling for: this is what most of Spark's time would go to. With room
    # from the start it collects its garbage seldom.
    conf = {
        "spark.driver.memory": "1g",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xms1g -Xmn400m -XX:MetaspaceSize=400m",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(work / "warehouse"),
    }
    with Spark(work, master="local[2]", conf=conf) as engine:
        yield engine
