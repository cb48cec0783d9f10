"""Kill -9 of the whole gateway under load: every complete answer is a record, once, and nobody gets another's."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn
from nursery import nursery

from spiritsafe.gateway.segments import recover

if TYPE_CHECKING:
    from pathlib import Path

KILLS, CLIENTS = int(os.environ.get("SPIRITSAFE_KILLS", "6")), 8
RUN = """
import socket, uvicorn
from pathlib import Path
from spiritsafe.gateway import policy
from spiritsafe.gateway.app import Gateway
from spiritsafe.gateway.works import Works

def begin(path, port, writer):
    held = socket.create_server(("127.0.0.1", int(port)))
    read = policy.read(Path(path))
    app = Gateway(read, works=Works(read, writer=writer))
    known = uvicorn.Config(app, log_level="critical", loop="uvloop", http="httptools", lifespan="on")
    uvicorn.Server(known).run(sockets=[held])
"""


async def model(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was asked, half of the times as a stream."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    asked = json.loads(body)
    text = asked["messages"][0]["content"]
    choice = {"index": 0, "finish_reason": "stop"}
    if asked.get("stream"):
        chunk = json.dumps({"id": text, "choices": [choice | {"delta": {"content": text}}]}).encode()
        pieces, kind = [b"data: " + chunk + b"\n\n", b"data: [DONE]\n\n"], b"text/event-stream"
    else:
        message = {"role": "assistant", "content": text}
        pieces, kind = (
            [json.dumps({"id": text, "choices": [choice | {"message": message}]}).encode()],
            b"application/json",
        )
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def hammer(port: int, client: int, done: threading.Event, complete: dict[str, str], wrong: list[str]) -> None:
    """Ask until told to stop; note each answer that was complete."""
    number = 0
    while not done.is_set():
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            while not done.is_set():
                number += 1
                text = f"{client}-{number}-{random.random()}"
                asked = {"messages": [{"role": "user", "content": text}], "stream": number % 2 == 0}
                link.request(
                    "POST", "/v1/chat/completions", json.dumps(asked), {"x-account": f"account-{client}"}
                )
                answer = link.getresponse()
                data = answer.read()
                whole = answer.status == 200 and (number % 2 or data.endswith(b"[DONE]\n\n"))
                if whole:
                    complete[text] = f"account-{client}"
                    if text.encode() not in data:
                        wrong.append(text)
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
        finally:
            link.close()


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


def test_a_complete_answer_is_a_record_whatever_kills_the_gateway(tmp_path: Path):
    held = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(model, log_level="critical", http="httptools", lifespan="off"))
    behind = threading.Thread(target=server.run, kwargs={"sockets": [held]})
    behind.start()
    policy = tmp_path / "policy.toml"
    policy.write_text(
        f'[gateway]\nupstream = "http://127.0.0.1:{held.getsockname()[1]}"\n'
        '[identity]\ntrusted = ["127.0.0.1/32"]\naccount = "x-account"\n'
        '[log]\nfolder = "log"\non_failure = "closed"\ncontent = "full"\nrotate = "100kB"\n'
    )
    port, rng = free(), random.Random(0)
    done = threading.Event()
    complete: dict[str, str] = {}
    wrong: list[str] = []
    clients = [threading.Thread(target=hammer, args=(port, n, done, complete, wrong)) for n in range(CLIENTS)]
    for one in clients:
        one.start()
    try:
        with nursery(RUN) as started:
            for kill in range(KILLS):
                before = len(complete)
                started.begin(tmp_path / "out", str(policy), str(port), f"k{kill}")
                end = time.monotonic() + 60
                while len(complete) == before:
                    assert time.monotonic() < end
                    assert started.alive()
                    time.sleep(0.01)
                time.sleep(rng.random() * 0.7)
                assert started.kill() == -signal.SIGKILL
    finally:
        done.set()
        for one in clients:
            one.join(15)
        server.should_exit = True
        behind.join(15)
        held.close()
    recover(tmp_path / "log")
    lines = [
        line for path in sorted((tmp_path / "log").glob("*.jsonl")) for line in path.read_text().splitlines()
    ]
    records = [json.loads(line) for line in lines]
    assert wrong == []
    assert len(complete) > 100
    kept = {one["response"]: one["account_id"] for one in records if one["status"] == 200 and one["response"]}
    assert complete.items() <= kept.items()
    assert len({one["exchange_id"] for one in records}) == len(records)
    prompts = [one["prompt"] for one in records]
    assert len(set(prompts)) == len(prompts)
