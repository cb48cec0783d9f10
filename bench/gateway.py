"""The gateway beside its upstream alone, beside a bare ASGI proxy and beside LiteLLM proxy, in one run.

wrk drives nginx, which answers a fixed JSON of about 1 kB; bodies are about 4 kB, of a thousand accounts in turn. The gateway
runs as its command does, with everything on: identity, sketch, 10,000 orders, 1,000,000 indicator keys, artefact keys, the log
without text. Streams come from an upstream that sends an event every 10 ms. Ratios count, not the figures: generator, gateway
and upstream share the machine.

    python bench/gateway.py [--seconds 10] [--litellm BIN/litellm] [--save]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np

from spiritsafe.attest import keys
from spiritsafe.gateway import keys as artefact_keys
from spiritsafe.model import Order
from spiritsafe.orders import snapshot

if TYPE_CHECKING:
    from collections.abc import Generator

ORDERS, KEYS = 10_000, 1_000_000
EVENTS = 6
"""Events of a stream, 10 ms apart."""
SECRET = "sk-" + "0123456789abcdef" * 4
RESULT = Path(__file__).with_name("results") / "gateway.json"
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 140}}
        ],
        "usage": {"prompt_tokens": 700, "completion_tokens": 140, "total_tokens": 840},
    }
)
BARE = """
import aiohttp
session = None
async def app(scope, receive, send):
    global session
    if scope["type"] == "lifespan":
        await receive(); session = aiohttp.ClientSession(auto_decompress=False)
        await send({"type": "lifespan.startup.complete"}); await receive(); await session.close()
        await send({"type": "lifespan.shutdown.complete"}); return
    body, more = b"", True
    while more:
        message = await receive(); body += message.get("body", b""); more = message.get("more_body", False)
    async with session.post(UPSTREAM + scope["path"], data=body, headers={"content-type": "application/json"}) as answer:
        await send({"type": "http.response.start", "status": answer.status, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": await answer.read()})
"""

STREAM = """
import asyncio, sys
EVENT = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word "}}]}\\n\\n'
async def serve(reader, writer):
    while head := await reader.readuntil(b"\\r\\n\\r\\n"):
        length = [line for line in head.lower().split(b"\\r\\n") if line.startswith(b"content-length:")][0]
        await reader.readexactly(int(length.split(b":")[1]))
        writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n")
        for _ in range(EVENTS):
            writer.write(b"%x\\r\\n%b\\r\\n" % (len(EVENT), EVENT))
            await asyncio.sleep(0.01)
        writer.write(b"e\\r\\ndata: [DONE]\\n\\n\\r\\n0\\r\\n\\r\\n")
async def main():
    await (await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))).serve_forever()
asyncio.run(main())
"""


def body(*, stream: bool = False) -> bytes:
    """A chat request of about 4 kB."""
    rng = np.random.default_rng(0)
    words = " ".join(f"word{n}" for n in rng.integers(0, 5_000, 430))
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": f"Summarise: {words}"},
    ]
    asked = {"model": "m", "messages": messages} | ({"stream": True} if stream else {})
    return json.dumps(asked, separators=(",", ":")).encode()


def port() -> int:
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


@contextmanager
def running(
    command: list[str],
    at: int,
    env: dict[str, str] | None = None,
    *,
    seconds: float = 60,
    ready: bool = False,
) -> Generator[int]:
    """A server process that listens at a port; gives its process id. ``ready``: it answers, too."""
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, env={**os.environ, **(env or {})})
        end = time.monotonic() + seconds
        try:
            while True:
                try:
                    with socket.create_connection(("127.0.0.1", at), 1) as one:
                        if ready:
                            one.settimeout(seconds)
                            one.sendall(b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                            one.recv(1)
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > end:
                        told.seek(0)
                        raise SystemExit(
                            f"{command[0]} did not start:\n{told.read().decode()[-2000:]}"
                        ) from None
                    time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()
            process.wait(20)


def policy(folder: Path, upstream: int) -> Path:
    """A policy with everything on, and its files."""
    signer, key = keys.make(folder / "signer.pem"), None
    key = keys.load(folder / "signer.pem")
    now = time.time_ns() // 1000
    artefact_keys.make(folder / "artefacts.json", now=now)
    orders = [
        Order(
            f"o-{n}", f"c-{n}", "budget", "accounts" if n % 2 else "streams",
            frozenset(f"account-{n}-{k}" for k in range(10)) if n % 2 else frozenset(),
            "distillation", f"c-{n}@0", now - 1, now + 10**11, (), {"exchanges": 100},
        )
        for n in range(ORDERS)
    ]  # fmt: skip
    snapshot.write(
        folder / "orders.json",
        key,
        version=1,
        issuer="bench",
        orders=orders,
        exempt=(),
        now=now,
        expires=now + 10**11,
    )
    drawn = np.random.default_rng(1).integers(1, 2**63, KEYS, dtype=np.uint64).tolist()
    each = KEYS // 20_000
    indicators = [
        {
            "indicator_id": f"i-{n}", "campaign_id": f"c-{n % ORDERS}", "kind": "template", "least": 2,
            "anchors": [f"{value:016x}" for value in drawn[n * each : (n + 1) * each]],
            "valid_from": "2026-01-01T00:00:00Z",
        }
        for n in range(20_000)
    ]  # fmt: skip
    (folder / "indicators.json").write_text(
        json.dumps({"schema": 1, "fingerprint_version": 1, "indicators": indicators})
    )
    path = folder / "policy.toml"
    path.write_text(
        f'[gateway]\nupstream = "http://127.0.0.1:{upstream}"\nadmin = "127.0.0.1:{port()}"\n'
        '[identity]\ntrusted = ["127.0.0.1/32"]\naccount = "x-account-id"\norganization = "x-organization-id"\n'
        '[log]\nfolder = "log"\non_failure = "open"\n'
        f'[orders]\nfile = "orders.json"\nsigner = "{signer}"\nindicators = ["indicators.json"]\n'
        '[artefacts]\nkeys = "artefacts.json"\n[approvers]\n'
    )
    return path


def wrk(at: int, connections: int, seconds: float, script: Path) -> dict[str, float]:
    """Requests a second and median latency, from wrk."""
    told = subprocess.run(
        [shutil.which("wrk") or "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "-s", str(script),
         f"http://127.0.0.1:{at}/v1/chat/completions"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1])  # type: ignore[index]
    number, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", told).groups()  # type: ignore[union-attr]
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    scale = {"us": 1, "ms": 1e3, "s": 1e6}[unit]
    return {"rps": rate, "p50_us": float(number) * scale, "errors": float(errors[1]) if errors else 0.0}


async def paced(
    ports: dict[str, int], seconds: float, rate: float = 200.0, *, stream: bool = False
) -> dict[str, list[float]]:
    """Latency in µs of requests sent at a fixed pace, alternating between the servers; of a stream, until its first event."""
    found: dict[str, list[float]] = {name: [] for name in ports}
    data = body(stream=stream)
    waiting: set[asyncio.Task[None]] = set()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(name: str, at: int, number: int) -> None:
            headers = {
                "content-type": "application/json", "x-account-id": f"a-{number % 1000}",
                "authorization": f"Bearer {SECRET}",
            }  # fmt: skip
            begin = time.perf_counter()
            async with session.post(
                f"http://127.0.0.1:{at}/v1/chat/completions", data=data, headers=headers
            ) as got:
                await (got.content.readany() if stream else got.read())
                found[name].append((time.perf_counter() - begin) * 1e6)
                await got.read()

        for number in range(int(seconds * rate)):
            for name, at in ports.items():
                task = asyncio.create_task(one(name, at, number))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
                await asyncio.sleep(1 / rate / len(ports))
        await asyncio.gather(*waiting)
    return found


def added(found: dict[str, list[float]]) -> dict[str, int]:
    """What the gateway adds, in µs: the difference of the medians and of the 99 % quantiles."""
    return {
        f"p{q}": round(float(np.percentile(found["spiritsafe"], q) - np.percentile(found["direct"], q)))
        for q in (50, 99)
    }


def streams(gateway: list[str], folder: Path, seconds: float) -> dict[str, int]:
    """What the gateway adds, in µs, until the first event of a stream."""
    (folder / "stream.py").write_text(f"EVENTS = {EVENTS}\n{STREAM}")
    slow, through = port(), port()
    command = [*gateway, "--upstream", f"http://127.0.0.1:{slow}", "--listen", f"127.0.0.1:{through}"]
    with (
        running([sys.executable, str(folder / "stream.py"), str(slow)], slow),
        running(command, through, seconds=120, ready=True),
    ):
        return added(asyncio.run(paced({"direct": slow, "spiritsafe": through}, seconds, 50.0, stream=True)))


def memory(pid: int) -> dict[str, int]:
    """MB resident of the largest of a process and its children, and of all of them."""
    held: list[float] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text()
            except OSError:
                continue
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            if entry.name == str(pid) or fields.get("PPid", "").strip() == str(pid):
                held.append(int(fields.get("VmRSS", "0 kB").split()[0]) / 1024)
    return {"mb": round(max(held)), "mb_with_parent": round(sum(held))}


def files(folder: Path, upstream: int) -> Path:
    """What nginx and wrk read; the latter's script."""
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/err;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; client_max_body_size 1m; server {{ listen 127.0.0.1:{upstream} reuseport;\n"
        "keepalive_requests 100000000;\n"
        f"location / {{ default_type application/json; return 200 '{ANSWER}'; }} }} }}\n"
    )
    script = folder / "post.lua"
    script.write_text(
        f"wrk.method='POST'\nwrk.body=[==[{body().decode()}]==]\nwrk.headers['content-type']='application/json'\n"
        "wrk.headers['x-organization-id']='g-1'\n"
        "local n = 0\nfunction request() n = n + 1; wrk.headers['x-account-id'] = 'a-' .. n % 1000; "
        "return wrk.format() end\n"
        f"wrk.headers['authorization']='Bearer {SECRET}'\n"
    )
    return script


def litellm(program: Path, folder: Path, upstream: int, at: int) -> tuple[list[str], dict[str, str]]:
    """LiteLLM's proxy before the same upstream: command and environment."""
    (folder / "litellm.yaml").write_text(
        "model_list:\n- model_name: m\n  litellm_params:\n    model: openai/m\n"
        f"    api_base: http://127.0.0.1:{upstream}/v1\n    api_key: k\n"
    )
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True", "LITELLM_MASTER_KEY": SECRET}
    command = [
        str(program),
        "--config",
        str(folder / "litellm.yaml"),
        "--port",
        str(at),
        "--host",
        "127.0.0.1",
    ]
    return command, env


def main() -> int:
    """Run and print; 2 when wrk or nginx is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument(
        "--litellm", type=Path, help="the program `litellm` of an environment with litellm[proxy]"
    )
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    for tool in ("wrk", "nginx"):
        if shutil.which(tool) is None:
            print(f"{tool} is needed (Debian: apt install {tool})", file=sys.stderr)
            return 2
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        folder = Path(work)
        upstream, bare, safe, lite = port(), port(), port(), port()
        script = files(folder, upstream)
        nginx = [shutil.which("nginx") or "nginx", "-p", work, "-c", str(folder / "nginx.conf")]
        stack.enter_context(running(nginx, upstream))
        (folder / "bare.py").write_text(f"UPSTREAM = 'http://127.0.0.1:{upstream}'\n{BARE}")
        uvicorn = [
            sys.executable,
            "-m",
            "uvicorn",
            "--log-level",
            "critical",
            "--loop",
            "uvloop",
            "--http",
            "httptools",
        ]
        stack.enter_context(running([*uvicorn, "--app-dir", work, "--port", str(bare), "bare:app"], bare))
        told = policy(folder, upstream)
        gateway = [
            sys.executable,
            "-c",
            "from spiritsafe.cli import main; main()",
            "gateway",
            "--policy",
            str(told),
        ]
        pid = stack.enter_context(
            running([*gateway, "--listen", f"127.0.0.1:{safe}"], safe, seconds=120, ready=True)
        )
        ports = {"direct": upstream, "bare": bare, "spiritsafe": safe}
        if args.litellm:
            command, env = litellm(args.litellm, folder, upstream, lite)
            stack.enter_context(running(command, lite, env, seconds=180))
            ports["litellm"] = lite
        for name, at in ports.items():
            wrk(at, 4, 2, script)  # warm
            found[name] = {
                "c32": wrk(at, 32, args.seconds, script),
                "c1": wrk(at, 1, args.seconds / 2, script),
            }
        paces = asyncio.run(paced({name: ports[name] for name in ("direct", "spiritsafe")}, args.seconds * 2))
        found["added_us_at_200"] = added(paces)
        found["medians_us_at_200"] = {name: round(statistics.median(times)) for name, times in paces.items()}
        found["spiritsafe"] |= memory(pid)
        stack.close()  # what follows has the machine to itself
        found["first_event_added_us_at_50"] = streams(gateway, folder, args.seconds * 2)
        found["workers"] = {}
        for many in (1, 2):
            at = port()
            command = [*gateway, "--listen", f"127.0.0.1:{at}", "--workers", str(many)]
            with running(nginx, upstream), running(command, at, seconds=120, ready=True):
                wrk(at, 32, 2, script)
                found["workers"][str(many)] = wrk(at, 32, args.seconds, script)
        lines = sum(path.read_bytes().count(b"\n") for path in (folder / "log").glob("*.jsonl*"))
        found["records"] = lines
    for name in ports:
        one = found[name]
        print(
            f"{name:12} {one['c32']['rps']:10,.0f} requests/s at 32 connections, p50 {one['c1']['p50_us']:8,.0f} µs at one,"
            f" errors {one['c32']['errors']:.0f}"
        )
    mine = found["spiritsafe"]["c32"]["rps"]
    print(
        f"spiritsafe is {mine / found['bare']['c32']['rps']:.2f} of the bare proxy"
        + (f", {mine / found['litellm']['c32']['rps']:.1f} times LiteLLM" if "litellm" in found else "")
    )
    print(
        f"added at 200/s: {found['added_us_at_200']} µs; to a stream's first event {found['first_event_added_us_at_50']} µs;"
        f" {found['spiritsafe']['mb']} MB; {lines:,} records"
    )
    print("at 32 connections: " + ", ".join(
        f"{one['rps']:,.0f} requests/s with {many} worker(s)" for many, one in found["workers"].items()
    ))  # fmt: skip
    if args.save:
        RESULT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
