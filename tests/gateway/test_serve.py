"""The gateway as an operator runs it: real processes on loopback, signals, a worker that is killed, the admin address."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from spiritsafe.gateway import policy as policies
from spiritsafe.gateway.admin import Health, Worker
from spiritsafe.gateway.metrics import FAMILIES, PREFIX, Gathered, exposition

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

ROOT = Path(__file__).parent.parent.parent
COMMAND = (sys.executable, "-c", "from spiritsafe.cli import main; main()", "gateway")
ANSWER = json.dumps(
    {
        "id": "c-1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
    }
).encode()


class Model(BaseHTTPRequestHandler):
    """A model server; it takes two seconds for the model called slow."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["model"] == "slow":
            time.sleep(2)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def model() -> Generator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def free() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        return held.getsockname()[1]


class House:
    """One gateway process, its files and its ports."""

    def __init__(self, folder: Path, model: int) -> None:
        self.folder, self.model = folder, model
        self.port, self.admin = free(), free()
        self.policy = folder / "policy.toml"
        self.errors = folder / "stderr"
        self.process: subprocess.Popen[bytes]

    def write(self, more: str = "", *, account: str = "x-account") -> None:
        self.policy.write_text(
            f'[gateway]\nupstream = "http://127.0.0.1:{self.model}"\nlisten = "127.0.0.1:{self.port}"\n'
            f'admin = "127.0.0.1:{self.admin}"\ndrain = "20s"\n{more}'
            f'[identity]\ntrusted = ["127.0.0.1/32"]\naccount = "{account}"\n'
            '[log]\nfolder = "log"\non_failure = "open"\n'
        )

    def begin(self, *options: str) -> None:
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, "--policy", str(self.policy), *options], stderr=errors, start_new_session=True
            )
        self.wait(lambda: self.events("start"))

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [
            json.loads(line) for line in self.errors.read_text().splitlines(keepends=True) if line[-1] == "\n"
        ]
        return [line for line in lines if line["event"] == name]

    def wait(self, condition: Callable[[], Any], seconds: float = 90.0) -> Any:
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, self.errors.read_text()
            assert self.process.poll() is None, self.errors.read_text()
            time.sleep(0.05)
        return found

    def ask(self, model: str = "quick", header: str = "x-account") -> tuple[int, bytes]:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}]})
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as line:
            line.request(
                "POST", "/v1/chat/completions", body, {header: "acct", "content-type": "application/json"}
            )
            answer = line.getresponse()
            return answer.status, answer.read()

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.admin, timeout=30)) as line:
            line.request(method, path)
            answer = line.getresponse()
            return answer.status, answer.read()

    def metrics(self) -> dict[str, float]:
        return read_metrics(self.get("/metrics")[1])

    def workers(self) -> list[dict[str, Any]]:
        return json.loads(self.get("/ready")[1])["workers"]

    def pids(self) -> set[int]:
        return {one["pid"] for one in self.workers() if one["ready"]}

    def segments(self) -> list[Path]:
        return sorted((self.folder / "log").glob("*.jsonl"))

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


def read_metrics(text: bytes) -> dict[str, float]:
    """Name with labels → value; the parser checks the form."""
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@contextmanager
def living(house: House, *options: str) -> Generator[House]:
    house.begin(*options)
    try:
        yield house
    finally:
        if house.process.poll() is None:
            os.killpg(house.process.pid, signal.SIGKILL)
            house.process.wait(20)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, model: int) -> Generator[House]:
    """Two workers on one port."""
    house = House(tmp_path_factory.mktemp("pair"), model)
    house.write()
    with living(house, "--workers", "2") as found:
        yield found
        assert found.end() == 0


def test_two_workers_share_a_port_and_their_figures_are_summed(pair: House):
    assert len(pair.pids()) == 2
    before = pair.metrics().get(f"{PREFIX}answered_total[200]", 0)
    threads = [threading.Thread(target=lambda: [pair.ask() for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pair.wait(lambda: pair.metrics().get(f"{PREFIX}answered_total[200]", 0) - before == 160, 10)
    found = pair.metrics()
    assert found[f"{PREFIX}workers"] == 2
    assert found[f"{PREFIX}records_total"] == found[f"{PREFIX}requests_total"]
    assert found[f"{PREFIX}answer_seconds_count"] == found[f"{PREFIX}answer_seconds_bucket[+Inf]"] >= 160
    # Each worker writes a log of its own.
    writers = {path.name.split("-")[1] for path in (pair.folder / "log").glob("*.jsonl*")}
    assert len(writers) == 2, writers


def test_the_admin_address_only_reads(pair: House):
    assert pair.get("/health") == (200, b'{"alive": true}\n')
    status, body = pair.get("/ready")
    assert (status, json.loads(body)["ready"]) == (200, True)
    assert pair.get("/health", "HEAD") == (200, b"")
    assert pair.get("/health", "POST")[0] == 405
    assert pair.get("/")[0] == pair.get("/metrics/")[0] == pair.get("/v1/chat/completions", "POST")[0] == 404


def test_a_killed_worker_is_started_again_and_meanwhile_the_other_serves(pair: House):
    before, counted = pair.pids(), pair.metrics()[f"{PREFIX}requests_total"]
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    pair.wait(lambda: pair.events("worker_died"))
    assert pair.ask() == (200, ANSWER)
    pair.wait(lambda: len(pair.pids() - {killed}) == 2)
    told = pair.events("worker_died")[0]
    assert (told["worker_pid"], told["status"]) == (killed, "signal 9")
    assert all(pair.ask() == (200, ANSWER) for _ in range(20))
    pair.wait(lambda: pair.metrics()[f"{PREFIX}requests_total"] >= counted + 21, 10)
    assert pair.metrics()[f"{PREFIX}worker_deaths_total"] == 1
    assert pair.process.poll() is None


def test_a_reload_takes_a_good_policy_and_keeps_the_old_one_when_it_is_bad(pair: House):
    old = pair.pids()
    pair.write(account="x-other")
    asking: list[tuple[int, bytes]] = []
    slow = threading.Thread(target=lambda: asking.append(pair.ask("slow")))
    slow.start()
    time.sleep(0.3)
    pair.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 60
    while not pair.events("reload"):
        assert time.monotonic() < end, pair.errors.read_text()
        # Nobody is refused a connection meanwhile, and each request meets one of the two policies.
        assert {pair.ask()[0], pair.ask(header="x-other")[0]} <= {200, 401}
    slow.join()
    assert asking == [(200, ANSWER)]
    pair.wait(lambda: len(pair.pids()) == 2)
    assert not pair.pids() & old
    assert (pair.ask()[0], pair.ask(header="x-other")[0]) == (401, 200)

    pair.write('paths = "some"\n')
    pair.process.send_signal(signal.SIGHUP)
    pair.wait(lambda: pair.events("reload_failed"))
    assert re.search(r"policy\.toml:\d+: there is no paths 'some'", pair.events("reload_failed")[0]["why"])
    assert pair.ask(header="x-other")[0] == 200

    # A policy that reads well but cannot start: its token keys are not there.
    before = pair.pids()
    text = pair.policy.read_text().replace('paths = "some"\n', "")
    text = re.sub(
        r"\[identity\].*(?=\[log\])",
        '[identity]\ntoken = "x"\ntoken_keys = "none.json"\n',
        text,
        flags=re.DOTALL,
    )
    pair.policy.write_text(text)
    pair.process.send_signal(signal.SIGHUP)
    pair.wait(lambda: len(pair.events("reload_failed")) == 2)
    assert "none.json" in pair.events("reload_failed")[1]["why"]
    assert (pair.pids(), pair.ask(header="x-other")[0]) == (before, 200)
    found = pair.metrics()
    assert (found[f"{PREFIX}reloads_total[done]"], found[f"{PREFIX}reloads_total[failed]"]) == (1, 2)


def test_a_drain_answers_what_is_in_work_refuses_the_rest_and_publishes_the_log(tmp_path: Path, model: int):
    house = House(tmp_path, model)
    house.write()
    with living(house):
        asking: list[tuple[int, bytes]] = []
        slow = threading.Thread(target=lambda: asking.append(house.ask("slow")))
        slow.start()
        time.sleep(0.5)
        house.process.send_signal(signal.SIGTERM)
        house.wait(lambda: house.events("drain"))
        time.sleep(0.5)
        assert house.get("/ready")[0] == 503
        with pytest.raises(ConnectionRefusedError):
            house.ask()
        slow.join()
        assert house.process.wait(30) == 0
        assert asking == [(200, ANSWER)]
    assert [one["event"] for one in map(json.loads, house.errors.read_text().splitlines())] == [
        "start",
        "drain",
        "stopped",
    ]
    (segment,) = house.segments()
    assert len(segment.read_text().splitlines()) == 1


def test_a_head_may_be_neither_huge_nor_slow(tmp_path: Path, model: int):
    house = House(tmp_path, model)
    house.write('body_timeout = "1s"\n')
    begin = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-account: a\r\n"

    def told(first: bytes, *, more: bytes = b"", pieces: int = 0) -> tuple[bytes, float]:
        began = time.monotonic()
        with closing(socket.create_connection(("127.0.0.1", house.port), timeout=20)) as line:
            with contextlib.suppress(ConnectionError):
                line.sendall(first)
                for _ in range(pieces):
                    line.sendall(more)
            try:
                return line.recv(100)[9:12], time.monotonic() - began
            except ConnectionResetError:
                return b"cut", time.monotonic() - began

    with living(house), ThreadPoolExecutor(3) as others:
        # One header without an end: cut off long before the 20 MB that the caller would send.
        assert told(begin + b"x-long: ", more=b"a" * 20_000, pieces=1_000)[0] in {b"431", b"cut"}
        slowly = [others.submit(told, first) for first in (b"", begin, b"POST")]
        # A slow answer is not a slow head, and a kept connection may be idle longer than that.
        with closing(http.client.HTTPConnection("127.0.0.1", house.port, timeout=30)) as line:
            for name, pause in (("slow", 2.5), ("quick", 0)):
                line.request("POST", "/v1/chat/completions", json.dumps({"model": name, "messages": []}),
                             {"x-account": "a", "content-type": "application/json"})  # fmt: skip
                assert line.getresponse().read() == ANSWER
                time.sleep(pause)
        for one in slowly:
            status, seconds = one.result()
            assert status == b"408"
            assert 0.9 < seconds < 8
        assert house.ask() == (200, ANSWER)
        assert house.end() == 0


def test_workers_end_when_their_parent_is_killed(tmp_path: Path, model: int):
    house = House(tmp_path, model)
    house.write()
    with living(house):
        (pid,) = house.pids()
        house.process.kill()
        house.process.wait(10)
        end = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_unix_socket_serves_and_one_left_behind_is_replaced(tmp_path: Path, model: int):
    house = House(tmp_path, model)
    house.write()
    house.policy.write_text(house.policy.read_text().replace('["127.0.0.1/32"]', '["unix"]'))
    path = tmp_path / "gateway.sock"
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(path))
    with living(house, "--listen", f"unix:{path}", "--shadow"):
        assert (house.events("start")[0]["listen"], house.events("start")[0]["shadow"]) == (
            f"unix:{path}",
            True,
        )
        with closing(socket.socket(socket.AF_UNIX)) as line:
            line.connect(str(path))
            body = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'
            line.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-account: a\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(body), body)
            )
            answer = b"".join(iter(lambda: line.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert house.end() == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ("", ("--listen", "nowhere"), "--listen: 'nowhere' makes no sense"),
        ("", ("--upstream", "file:///x"), "--upstream: 'file:///x' makes no sense"),
        ('path = "known"\n', (), "did you mean 'paths'?"),
        ("", ("--shadow", "--workers", "0"), "workers"),
    ],
)
def test_what_cannot_run_says_why_with_status_2(
    ran: Any,
    tmp_path: Path,
    model: int,
    change: str,
    options: tuple[str, ...],
    words: str,
):
    house = House(tmp_path, model)
    house.write(change)
    ended = ran("gateway", "run", "--policy", house.policy, *options)
    assert (ended.returncode, words in ended.stderr) == (2, True), ended.stderr


def test_an_address_that_is_taken_ends_the_process_with_status_2(tmp_path: Path, model: int):
    house = House(tmp_path, model)
    house.write()
    done = subprocess.run(
        [*COMMAND, "run", "--policy", str(house.policy), "--listen", f"127.0.0.1:{model}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "cannot listen on" in done.stderr) == (2, True), done.stderr


def test_workers_that_cannot_start_end_the_gateway_with_the_reason(tmp_path: Path, model: int):
    house = House(tmp_path, model)
    house.write()
    (tmp_path / "log").write_text("in the way")
    text = house.policy.read_text().replace('on_failure = "open"', 'on_failure = "closed"')
    house.policy.write_text(text)
    done = subprocess.run(
        [*COMMAND, "--policy", str(house.policy)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the log folder cannot be used" in done.stderr


def test_keys_are_made_shown_and_rotated_and_no_secret_is_told(ran: Any, tmp_path: Path):
    path = tmp_path / "keys.json"
    told = ""
    for words in (("make",), ("rotate", "--lifetime", "7d"), ("show", "--json")):
        ended = ran("gateway", "keys", words[0], path, *words[1:])
        assert ended.returncode == 0, ended.stderr
        told += ended.stdout
    found = json.loads(told.splitlines()[-1])["keys"]
    assert [one["state"] for one in found] == ["current", "future"]
    assert all(one["secret"] not in told for one in json.loads(path.read_text())["keys"])


def test_counts_outlive_a_worker_and_gauges_do_not():
    live = [{"requests": 3.0, "orders_in_force": 2.0, "connections": 4.0, "answered.200": 3.0}]
    gathered = Gathered(lambda: live)
    gathered.add(
        {
            "requests": 5.0,
            "orders_in_force": 9.0,
            "connections": 7.0,
            "answered.200": 4.0,
            "answered.429": 1.0,
        }
    )
    found = read_metrics(exposition(gathered))
    assert found[f"{PREFIX}requests_total"] == 8
    assert (found[f"{PREFIX}orders_in_force"], found[f"{PREFIX}connections"]) == (2, 4)
    assert (found[f"{PREFIX}answered_total[200]"], found[f"{PREFIX}answered_total[429]"]) == (7, 1)
    live.append({"new_thing.a": 1.0, "orders_in_force": 3.0})
    found = read_metrics(exposition(gathered))
    assert (found[f"{PREFIX}orders_in_force"], found[f"{PREFIX}new_thing_total[a]"]) == (3, 1)


def test_ready_needs_every_worker_that_serves():
    good = Worker(0, 10, started=True, ready=True, silent=0.1)
    full = Worker(1, 11, started=True, ready=False, silent=0.1, complaints=("the disk is full",))
    stuck = Worker(2, 12, started=True, ready=True, silent=9.0)
    begins = Worker(3, 13, started=False, ready=False, silent=9.0)
    assert Health(draining=False, workers=(good, begins)).ready()
    for others in ((full,), (stuck, good), (begins,), ()):
        assert not Health(draining=False, workers=others).ready()
    assert not Health(draining=True, workers=(good,)).ready()
    told = Health(draining=False, workers=(full, stuck)).told()["workers"]
    assert [one["complaints"] for one in told] == [["the disk is full"], ["silent for 9 s"]]


def test_the_page_shows_a_policy_that_reads_and_the_metrics_there_are(tmp_path: Path):
    page = (ROOT / "docs" / "gateway.md").read_text("utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "policy.toml").write_text(example)
    found = policies.read(tmp_path / "policy.toml")
    assert (found.log.on_failure, found.trust.headers["account_id"]) == ("open", b"x-account-id")
    listed = re.findall(r"^\| `(\w+)(?:\{(\w+)\})?` \|", page.partition("## Metrics")[2], flags=re.MULTILINE)
    expected = [
        (name + ("_total" if one.kind == "counter" else ""), one.label) for name, one in FAMILIES.items()
    ]
    assert listed == [*expected, ("answer_seconds", "")]
