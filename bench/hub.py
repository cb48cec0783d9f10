"""The forum's hub beside medallion (and OpenTAXII where it runs), in one run: adding, polling, and growth to a million objects.

Each server is a process of its own, driven over loopback from this one; what counts is its processor time, read from the kernel,
since client and server share the machine. The hub runs as its command does: signatures of each object checked, scope gate,
Merkle log and audit in the same transaction, synced to disk. medallion keeps objects in memory and checks nothing.

    python bench/hub.py [--objects 10000] [--grow 1000000] [--medallion PYTHON] [--opentaxii PYTHON] [--save]

Without ``--medallion`` an environment is made for it (medallion 3.0.0 from the package index).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import http.client
import itertools
import json
import os
import platform
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spiritsafe.attest import keys
from spiritsafe.sharing import scope
from spiritsafe.sharing.hub import members, serve, setup, tokens
from spiritsafe.sharing.hub.app import app
from spiritsafe.sharing.hub.members import Quota
from spiritsafe.sharing.hub.moments import written
from spiritsafe.sharing.hub.schema import prepare
from spiritsafe.sharing.hub.store import opened
from spiritsafe.sharing.signed import sign_object
from spiritsafe.sharing.stix.build import Maker
from spiritsafe.sharing.stix.ids import identity_id, object_id
from spiritsafe.sharing.stix.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

TAXII = "application/taxii+json;version=2.1"
ORIGIN = "bench.example/log"
COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
PATH = f"/bench/collections/{COLLECTION}/objects/"
RESULT = Path(__file__).with_name("results") / "hub.json"
BATCH = 1_000
"""Objects in one request."""
POLLED_BESIDE = 2_000
"""Objects that are polled from each server: medallion's time grows with the square."""
PAGES = 300
KEY = Ed25519PrivateKey.from_private_bytes(b"bench of the hub: member key 32b"[:32])
MEDALLION = """
import json, sys
from medallion import application_instance as app
import medallion
config = json.load(open(sys.argv[1]))
medallion.set_config(app, "users", config)
medallion.set_config(app, "taxii", config)
medallion.set_config(app, "backend", config)
medallion.register_blueprints(app)
import logging; logging.getLogger("werkzeug").setLevel(logging.ERROR)
app.run(host="127.0.0.1", port=int(sys.argv[2]), threaded=False)
"""
OPENTAXII = """
import logging, sys
from opentaxii.http import app
logging.getLogger("werkzeug").setLevel(logging.ERROR)
app.run(host="127.0.0.1", port=int(sys.argv[1]), threaded=False)
"""


@dataclass
class Server:
    """A server process, and a connection to it."""

    process: subprocess.Popen[bytes]
    port: int
    credentials: Callable[[str, str, bytes], str]
    path: str = PATH
    taken: tuple[int, ...] = (202,)
    """Statuses after which the objects are there."""

    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Its largest resident memory so far, bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1_024
        return 0

    def connected(self) -> http.client.HTTPConnection:
        """A connection that is kept."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=900)

    def ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes = b""
    ) -> tuple[int, bytes, Any]:
        """Status, body and headers of the answer to one request."""
        headers = {"accept": TAXII, "authorization": self.credentials(method, path, body)}
        if body:
            headers["content-type"] = TAXII
        connection.request(method, path, body=body or None, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers


def _objects(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Signed indicators as the forum's members send them; each with an id of its own."""
    now = time.time_ns() // 1_000
    maker = Maker(identity_id(keys.public(KEY)), now, Terms())
    campaign = object_id("campaign", maker.author, {"campaign": "bench"})
    pattern = maker.indicator("0", campaign, ["64500"], {"kind": "asn"}, valid_from=now)
    ours = pattern["name"].rpartition("-")[0]
    chance = random.Random(seed)
    for number in range(count):
        name = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        stix = sign_object({**pattern, "id": f"indicator--{name}", "name": f"{ours}-{name[:8]}"}, KEY)
        if number == 0:
            scope.check([stix], at="hub")  # it is what the forum's gate lets pass
        yield stix


def _batches(count: int, seed: int) -> Iterator[bytes]:
    found = _objects(count, seed)
    for _ in range(0, count, BATCH):
        part = list(itertools.islice(found, BATCH))
        yield json.dumps({"objects": part}).encode()


@contextmanager
def _hub(folder: Path) -> Generator[Server]:
    database = str(folder / "hub.db")

    async def make() -> None:
        store = opened(database)
        now = time.time_ns() // 1_000
        try:
            await prepare(store, ORIGIN)
            await setup.add_root(store, "bench", "Bench", now=now)
            await setup.add_collection(store, "bench", COLLECTION, "Signals", now=now)
            code = await store.write(lambda tx: members.invite(tx, ["member"], now=now, lasts=10**10))
            envelope = members.enrolment(KEY, code, audience=ORIGIN, now=now)
            quota = Quota(10**9, 10**13, 10**9)
            await store.write(lambda tx: members.enrol(tx, envelope, audience=ORIGIN, quota=quota, now=now))
        finally:
            await store.close()

    asyncio.run(make())
    port = _port()
    line = [sys.executable, __file__, "--serve", database, str(port)]
    process = subprocess.Popen(line, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})

    def credentials(method: str, path: str, body: bytes) -> str:
        return tokens.make(
            KEY, audience=ORIGIN, method=method, path=path, body=body, now=time.time_ns() // 1_000
        )

    with _ended(process):
        yield _up(Server(process, port, credentials))


def _serve(database: str, port: int) -> None:
    """What the hub's process does, as `spiritsafe hub serve` does it."""
    sys.setswitchinterval(serve.SWITCH)
    log = Ed25519PrivateKey.from_private_bytes(b"bench of the hub: log's key, 32b"[:32])
    served = app(
        opened(database), origin=ORIGIN, key=log, clock=lambda: time.time_ns() // 1_000,
        gate=lambda objects: scope.check(objects, at="hub"),
    )  # fmt: skip
    serve.server(served, serve.Address(port=port)).run()


@contextmanager
def _medallion(folder: Path, python: str) -> Generator[Server]:
    folder.mkdir(parents=True, exist_ok=True)
    collection = {
        "id": COLLECTION, "title": "x", "description": "", "can_read": True, "can_write": True,
        "media_types": ["application/stix+json;version=2.1"], "objects": [], "manifest": [],
    }  # fmt: skip
    information = {"title": "Bench", "versions": [TAXII], "max_content_length": 100_000_000}
    data = {
        "/discovery": {"title": "x", "api_roots": ["http://localhost/bench/"]},
        "bench": {"information": information, "status": [], "collections": [collection]},
    }
    (folder / "data.json").write_text(json.dumps(data))
    backend = {
        "module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": str(folder / "data.json"),
    }  # fmt: skip
    config = {"backend": backend, "users": {"bench": "word"}, "taxii": {"max_page_size": BATCH}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "run.py").write_text(MEDALLION)
    port = _port()
    line = [python, str(folder / "run.py"), str(folder / "config.json"), str(port)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    basic = f"Basic {base64.b64encode(b'bench:word').decode()}"
    with _ended(process):
        yield _up(Server(process, port, lambda *_: basic))


@contextmanager
def _opentaxii(folder: Path, python: str) -> Generator[Server]:
    """OpenTAXII 0.9 on SQLite, as its own commands set it up; behind Flask's server, as medallion is."""
    folder.mkdir(parents=True, exist_ok=True)
    programs = Path(python).parent
    store = {"db_connection": f"sqlite:///{folder}/data.db", "create_tables": True}
    configuration = {
        "domain": "localhost",
        "support_basic_auth": True,
        "auth_api": {
            "class": "opentaxii.auth.sqldb.SQLDatabaseAPI",
            "parameters": {"db_connection": f"sqlite:///{folder}/auth.db", "create_tables": True, "secret": "s" * 32},
        },
        "taxii1": None,
        "taxii2": {
            "title": "Bench", "description": "", "contact": "", "max_content_length": 100_000_000, "public_discovery": True,
            "max_pagination_limit": BATCH,
            "persistence_api": {"class": "opentaxii.persistence.sqldb.Taxii2SQLDatabaseAPI", "parameters": store},
        },
        "logging": {"opentaxii": "error"},
    }  # fmt: skip
    (folder / "opentaxii.yml").write_text(json.dumps(configuration))  # JSON is YAML
    environment = {**os.environ, "OPENTAXII_CONFIG": str(folder / "opentaxii.yml")}

    def run(name: str, *arguments: str) -> str:
        line = [str(programs / f"opentaxii-{name}"), *arguments]
        return subprocess.run(line, env=environment, check=True, capture_output=True, text=True).stdout

    if not (folder / "auth.db").exists():
        run("create-account", "--username", "bench", "--password", "word", "--admin")
        run("add-api-root", "-t", "bench", "--default")
        known = run("add-collection", "--help")
        root = known[known.index("{") + 1 : known.index("}")]
        run("add-collection", "-r", root, "-t", "signals", "-a", "signals", "--public", "--public-write")
        (folder / "root").write_text(root)
    port = _port()
    line, null = [python, "-c", OPENTAXII, str(port)], subprocess.DEVNULL
    process = subprocess.Popen(line, env=environment, stdout=null, stderr=null)
    basic = f"Basic {base64.b64encode(b'bench:word').decode()}"
    root = (folder / "root").read_text()
    with _ended(process):
        server = Server(process, port, lambda *_: basic)
        server.path = f"/taxii2/{root}/collections/signals/objects/"
        server.taken = (
            202,
            500,
        )  # 0.9.3 stores the objects, and then fails to answer; polling shows that all are there
        yield _up(server)


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Generator[None]:
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _up(server: Server) -> Server:
    for _ in range(600):
        try:
            status, _, _ = server.ask(server.connected(), "GET", "/taxii2/")
            if status == 200:
                return server
        except OSError:
            pass
        if server.process.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit("a server did not start")


def _added(server: Server, batches: Sequence[bytes]) -> dict[str, float]:
    """Objects added in a second of the server's processor time, and of the clock."""
    connection = server.connected()
    cpu, begun = server.cpu(), time.perf_counter()
    for body in batches:
        status, answer, _ = server.ask(connection, "POST", server.path, body)
        if status not in server.taken or (status == 202 and json.loads(answer).get("failure_count")):
            raise SystemExit(f"an add failed with {status}: {answer[:300]!r}")
    count = len(batches) * BATCH
    return _rates(count, server.cpu() - cpu, time.perf_counter() - begun)


def _rates(count: int, cpu: float, wall: float) -> dict[str, float]:
    return {
        "objects": count,
        "cpu_s": round(cpu, 3),
        "wall_s": round(wall, 3),
        "per_cpu_s": round(count / max(cpu, 1e-9)),
    }


def _polled(server: Server, expected: int, page: int) -> dict[str, float]:
    """All objects of the collection, page after page."""
    connection = server.connected()
    seen, place = 0, ""
    cpu, begun = server.cpu(), time.perf_counter()
    while True:
        status, answer, _ = server.ask(connection, "GET", f"{server.path}?limit={page}{place}")
        if status != 200:
            raise SystemExit(f"a page failed with {status}: {answer[:300]!r}")
        seen += answer.count(b'"pattern_type"')
        found = answer[:400] if b'"next"' in answer[:400] else answer[-400:]
        if b'"next"' not in found:
            break
        place = "&next=" + found.partition(b'"next"')[2].split(b'"')[1].decode()
    if seen != expected:
        raise SystemExit(f"{seen} objects came, not {expected}")
    return _rates(seen, server.cpu() - cpu, time.perf_counter() - begun)


def _latency(server: Server, times: Sequence[str], page: int) -> dict[str, float]:
    """How long one page takes, from places all over the collection."""
    connection = server.connected()
    taken: list[float] = []
    for after in times:
        begun = time.perf_counter()
        status, _, _ = server.ask(connection, "GET", f"{server.path}?limit={page}&added_after={after}")
        taken.append(1_000 * (time.perf_counter() - begun))
        if status != 200:
            raise SystemExit(f"a page failed with {status}")
    taken.sort()
    return {"p50_ms": round(statistics.median(taken), 2), "p99_ms": round(taken[int(len(taken) * 0.99)], 2)}


def _beside(folder: Path, count: int, medallion: str, opentaxii: str) -> dict[str, Any]:
    """Adding ``count`` objects and polling some, at each server in turn; the same objects."""
    batches = list(_batches(count, 1))
    few = POLLED_BESIDE // BATCH
    found: dict[str, Any] = {}
    numbers = itertools.count()
    servers: dict[str, Callable[[], Any]] = {
        "hub": lambda: _hub(_made(folder / f"hub{next(numbers)}")),
        "medallion": lambda: _medallion(folder / f"medallion{next(numbers)}", medallion),
    }
    if opentaxii:
        servers["opentaxii"] = lambda: _opentaxii(folder / f"opentaxii{next(numbers)}", opentaxii)
    for name, make in servers.items():
        with make() as server:
            _added(server, batches[:few])
            found[name] = {"polled": _polled(server, POLLED_BESIDE, BATCH)}
        with make() as server:
            found[name]["added"] = _added(server, batches)
            found[name]["memory_mb"] = round(server.memory() / 1e6)
            if (
                name == "hub"
            ):  # the time of the others grows with the square: at 10,000 objects they do not end
                found[name]["polled_all"] = _polled(server, count, 2_000)
        print(name, json.dumps(found[name]), flush=True)
    # The hub's polling of 2,000 objects is shorter than the kernel's clock tick, so that of all objects stands for it.
    for what, ours in (("added", "added"), ("polled", "polled_all")):
        found[f"{what}_ratio"] = {
            name: round(found["hub"][ours]["per_cpu_s"] / found[name][what]["per_cpu_s"], 1)
            for name in servers
            if name != "hub"
        }
    return found


def _growth(folder: Path, most: int) -> list[dict[str, Any]]:
    """The hub as it grows: how fast it takes the last objects, and how long a page takes."""
    found: list[dict[str, Any]] = []
    marks = [size for size in (10_000, 100_000, 300_000, 1_000_000) if size <= most]
    with _hub(_made(folder / "grow")) as server:
        size, chance = 0, random.Random(3)
        began = time.time_ns() // 1_000
        for mark in marks:
            connection = server.connected()
            cpu, begun, before = server.cpu(), time.perf_counter(), size
            for body in _batches(mark - size - 10_000 if mark > 10_000 else 0, mark):
                status, answer, _ = server.ask(connection, "POST", server.path, body)
                if status != 202:
                    raise SystemExit(f"an add failed: {answer[:300]!r}")
                size += BATCH
            since = _rates(size - before, server.cpu() - cpu, time.perf_counter() - begun)
            last = list(_batches(10_000, mark + 1))
            row: dict[str, Any] = {"objects": mark, "on_the_way": since, "added": _added(server, last)}
            size += 10_000
            now = time.time_ns() // 1_000
            times = [written(began + round(chance.random() * (now - began))) for _ in range(PAGES)]
            row["page_100"] = _latency(server, times, 100)
            row["page_1000"] = _latency(server, times, 1_000)
            row["polled"] = _polled(server, size, 2_000)
            row["memory_mb"] = round(server.memory() / 1e6)
            row["database_mb"] = round(
                sum(one.stat().st_size for one in (folder / "grow").glob("hub.db*")) / 1e6
            )
            row["load"] = os.getloadavg()[0]
            found.append(row)
            print(json.dumps(row), flush=True)
    return found


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _environment(folder: Path) -> str:
    """An environment with medallion, from the package index."""
    subprocess.run([sys.executable, "-m", "venv", folder / "medallion"], check=True)
    python = folder / "medallion" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "medallion==3.0.0"], check=True)
    return str(python)


def main() -> None:
    """Run all of it."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--objects", type=int, default=10_000)
    words.add_argument("--grow", type=int, default=1_000_000)
    words.add_argument("--medallion", default="")
    words.add_argument(
        "--opentaxii", default="", help="python of an environment with opentaxii and sqlalchemy<2"
    )
    words.add_argument("--save", action="store_true")
    words.add_argument("--serve", nargs=2, metavar=("DATABASE", "PORT"), help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.serve:
        _serve(given.serve[0], int(given.serve[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        medallion = given.medallion or _environment(folder)
        result: dict[str, Any] = {
            "machine": f"{platform.machine()}, {os.cpu_count()} processors",
            "python": platform.python_version(),
            "load_before": os.getloadavg()[0],
            "beside": _beside(folder, given.objects, medallion, given.opentaxii),
            "growth": _growth(folder, given.grow),
            "load_after": os.getloadavg()[0],
            "client_cpu_s": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime),
        }
    if given.save:
        RESULT.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
        print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
