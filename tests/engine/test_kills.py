"""A real master with two workers on this machine: what is killed on the way changes no answer and loses no part."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import spiritsafe
from spiritsafe import spread
from spiritsafe.state.folder import Folder

from .conftest import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spiritsafe.engine.spark import Spark

pytestmark = pytest.mark.cluster

FILES = 24
ASKED = {"format": None, "since": None, "until": None, "strict": False, "history": False}
LEAN = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
#: A driver that does stage A and waits to be killed: what `spiritsafe scan --engine spark` does first.
DRIVER = """
import json, sys
from pathlib import Path
import spiritsafe
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


class Standalone:
    """A master and two workers with one processor each; ``kill`` ends one worker and its executors."""

    def __init__(self, folder: Path) -> None:
        import pyspark  # noqa: PLC0415 - an extra

        self._home = Path(pyspark.__file__).parent
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.master = f"spark://127.0.0.1:{self.port}"
        self._run("master", "Master", "--host", "127.0.0.1", "--port", str(self.port), "--webui-port", "0")
        self._wait("master", "I have been elected leader")
        self.workers = [self._worker(name) for name in ("one", "two")]
        for name in ("one", "two"):
            self._wait(name, "Successfully registered with master")

    def _worker(self, name: str) -> subprocess.Popen[bytes]:
        options = ("--host", "127.0.0.1", "--cores", "1", "--memory", "700m", "--webui-port", "0")
        return self._run(
            name, "Worker", *options, "--work-dir", str(self._folder / f"{name}-work"), self.master
        )

    def _run(self, name: str, kind: str, *options: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ, "SPARK_HOME": str(self._home), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable,
            "SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": LEAN, "SPARK_NO_DAEMONIZE": "1",
        }  # fmt: skip
        program = f"org.apache.spark.deploy.{kind.lower()}.{kind}"
        with (self._folder / f"{name}.log").open("wb") as told:
            started = subprocess.Popen(
                [self._home / "bin" / "spark-class", program, *options],
                env=environment, stdout=told, stderr=told, start_new_session=True,
            )  # fmt: skip
        self.__dict__.setdefault("started", []).append(started)
        return started

    def _wait(self, name: str, words: str) -> None:
        wait(
            lambda: words in (self._folder / f"{name}.log").read_text("utf-8", "replace"), f"{name}: {words}"
        )

    def conf(self) -> dict[str, str]:
        return {
            "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.ui.enabled": "false",
            "spark.executor.memory": "500m", "spark.executor.cores": "1", "spark.driver.memory": "600m",
            "spark.executor.extraJavaOptions": LEAN, "spark.driver.extraJavaOptions": LEAN,
            "spark.worker.timeout": "5", "spark.executorEnv.PYTHONPATH": str(Path(spiritsafe.__file__).parents[1]),
        }  # fmt: skip

    def kill(self, worker: int) -> None:
        end(self.workers[worker])

    def close(self) -> None:
        for one in self.__dict__.get("started", []):
            end(one)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group: nothing of it gets a chance to tidy up."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait(ready: Callable[[], bool], what: str, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, f"not in time: {what}"
        time.sleep(0.02)


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
    return {
        path.parent.name: path.stat().st_mtime_ns
        for path in (folder / "shared" / "parts").glob("*/part.json")
    }


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.parent.name: path.read_bytes() + (path.parent / "projection.bin").read_bytes()
        for path in (folder / "shared" / "parts").glob("*/sketch.parquet")
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
