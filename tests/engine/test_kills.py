"""A real master with two workers on this machine: what is killed on the way changes no answer and loses no part."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from spiritsafe import spread
from spiritsafe.state.folder import Folder
from standalone import Standalone, end, wait

from .conftest import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spiritsafe.engine.spark import Spark

pytestmark = pytest.mark.cluster

FILES = 24
ASKED = {"format": None, "since": None, "until": None, "strict": False, "history": False}
#: A driver that does stage A and waits to be killed: what `spiritsafe scan --engine spark` does first.
DRIVER = """
import json, sys
from pathlib import Path
from spiritsafe import spread
from spiritsafe.engine.spark import Spark
from spiritsafe.settings import Settings
from spiritsafe.state.folder import Folder
told = json.loads(sys.argv[1])
work = Path(told["work"])
work.mkdir()
with Spark(work, master=told["master"], conf=told["conf"]) as spark, Folder(Path(told["shared"])) as kept:
    taken = spread.ingest(spark, [told["logs"]], work, kept, work, asked=told["asked"], settings=Settings(memory="500MB"))
    print(taken.rows)
"""


@pytest.fixture(scope="module")
def cut(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of the log in many, so that there is a middle of the work."""
    folder = tmp_path_factory.mktemp("cut")
    lines = (logs / "d.jsonl").read_bytes().splitlines(keepends=True)[:40]
    for number in range(FILES):
        (folder / f"{number:02}.jsonl").write_bytes(b"".join(lines) * 50)
    return folder


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    made = Standalone(tmp_path_factory.mktemp("standalone"))
    yield made
    made.close()


def drive(standalone: Standalone, cut: Path, folder: Path) -> subprocess.Popen[bytes]:
    told = {
        "master": standalone.master, "conf": standalone.conf(), "work": str(folder / f"work-{time.monotonic_ns()}"),
        "logs": str(cut), "shared": str(folder / "shared"), "asked": ASKED,
    }  # fmt: skip
    (folder / "shared" / "parts").mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps(told)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def finished(folder: Path) -> dict[str, int]:
    """Parts with the time at which each was made; one that is being made has a name with a dot."""
    return {
        path.parent.name: path.stat().st_mtime_ns
        for path in (folder / "shared" / "parts").glob("[!.]*/part.json")
    }


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.parent.name: path.read_bytes() + (path.parent / "projection.bin").read_bytes()
        for path in (folder / "shared" / "parts").glob("[!.]*/sketch.parquet")
    }


def test_killed_workers_and_drivers_lose_nothing(
    standalone: Standalone, cut: Path, spark: Spark, tmp_path: Path
):
    first = tmp_path / "first"
    driver = drive(standalone, cut, first)
    wait(lambda: len(finished(first)) >= 3, "the first parts")
    end(driver)
    before = finished(first)
    assert 3 <= len(before) < FILES, "the driver was killed in the middle"

    driver = drive(standalone, cut, first)
    wait(lambda: len(finished(first)) >= len(before) + 3, "more parts")
    standalone.kill(0)
    assert len(finished(first)) < FILES, "the worker was killed in the middle"
    told, _ = driver.communicate(timeout=200)
    assert driver.returncode == 0, "one worker is left and does the rest"

    after = finished(first)
    assert len(after) == FILES
    assert {name: after[name] for name in before} == before, "what was finished is not made again"
    second = tmp_path / "second"
    with Folder(second / "shared") as kept:
        taken = spread.ingest(spark, [cut], tmp_path, kept, tmp_path, asked=ASKED, settings=SETTINGS)
    assert int(told) == taken.rows
    assert content(first) == content(second)
