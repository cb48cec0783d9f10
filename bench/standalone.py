"""A Spark master with workers on this machine, on the loopback: for measurements and for tests that kill them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import spiritsafe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEAN = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group: nothing of it gets a chance to tidy up."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait(ready: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Look until it is ``ready``. Raises TimeoutError that names ``what``."""
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            raise TimeoutError(f"not in time: {what}")
        time.sleep(0.02)


class Standalone:
    """A master and workers with one processor each; ``kill`` ends one worker and its executors. A context manager."""

    def __init__(
        self, folder: Path, workers: Sequence[str] = ("one", "two"), memory: str = "700m", options: str = LEAN
    ) -> None:
        import pyspark  # noqa: PLC0415 - an extra

        self._home = Path(pyspark.__file__).parent
        self._folder = folder
        self._options = options
        self.started: list[subprocess.Popen[bytes]] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.master = f"spark://127.0.0.1:{self.port}"
        self._run("master", "Master", "--host", "127.0.0.1", "--port", str(self.port), "--webui-port", "0")
        self._wait("master", "I have been elected leader")
        self.workers = [self._worker(name, memory) for name in workers]
        for name in workers:
            self._wait(name, "Successfully registered with master")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _worker(self, name: str, memory: str) -> subprocess.Popen[bytes]:
        options = ("--host", "127.0.0.1", "--cores", "1", "--memory", memory, "--webui-port", "0")
        return self._run(
            name, "Worker", *options, "--work-dir", str(self._folder / f"{name}-work"), self.master
        )

    def _run(self, name: str, kind: str, *options: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ, "SPARK_HOME": str(self._home), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable,
            "SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": self._options, "SPARK_NO_DAEMONIZE": "1",
        }  # fmt: skip
        program = f"org.apache.spark.deploy.{kind.lower()}.{kind}"
        with (self._folder / f"{name}.log").open("wb") as told:
            started = subprocess.Popen(
                [self._home / "bin" / "spark-class", program, *options],
                env=environment, stdout=told, stderr=told, start_new_session=True,
            )  # fmt: skip
        self.started.append(started)
        return started

    def _wait(self, name: str, words: str) -> None:
        wait(
            lambda: words in (self._folder / f"{name}.log").read_text("utf-8", "replace"), f"{name}: {words}"
        )

    def conf(self, executor: str = "500m", driver: str = "600m") -> dict[str, str]:
        """What a session needs to run on it."""
        return {
            "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.ui.enabled": "false",
            "spark.executor.memory": executor, "spark.executor.cores": "1", "spark.driver.memory": driver,
            "spark.executor.extraJavaOptions": self._options, "spark.driver.extraJavaOptions": self._options,
            "spark.worker.timeout": "5", "spark.executorEnv.PYTHONPATH": str(Path(spiritsafe.__file__).parents[1]),
        }  # fmt: skip

    def kill(self, worker: int) -> None:
        """End a worker and its executors at once."""
        end(self.workers[worker])

    def close(self) -> None:
        """End all."""
        for one in self.started:
            end(one)
