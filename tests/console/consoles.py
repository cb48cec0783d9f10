"""A console for tests: its folder, its people, its browsers."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import uvicorn

from spiritsafe.attest import keys
from spiritsafe.campaigns.tables import ACCOUNTS, EXCHANGES
from spiritsafe.console import app, people, settings
from spiritsafe.console.desk import Desk, Write
from spiritsafe.sharing.hub import store

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Generator, Mapping

HERE = Path(__file__).parent
NOW = 1_789_000_000_000_000
ROLES = {"vi": "viewer", "ana": "analyst", "bo": "approver", "cy": "approver", "dee": "admin"}
PASSWORD = "correct horse battery 1"
PHRASE = "staple of the approver 2"
POLICY = """
[orders]
file = "orders.json"
signer = "{signer}"
[approvers]
{approvers}
[ladder]
approvals = {{ suspend = 2 }}
[[ladder.steps]]
response = "budget"
scope = "streams"
bits = 10
lifetime = "14d"
parameters = {{ exchanges = 60, seconds = 3600 }}
[[ladder.steps]]
response = "withhold_reasoning"
scope = "accounts"
bits = 20
lifetime = "30d"
[[ladder.steps]]
response = "suspend"
scope = "accounts"
bits = 20
lifetime = "30d"
"""


class _Forms(HTMLParser):
    """The forms of a page: where each is sent, and its hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str]] = {}
        self._at: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {key: value or "" for key, value in attrs}
        if tag == "form":
            self._at = self.found.setdefault(told.get("action", ""), {})
        if tag == "input" and told.get("type") == "hidden":
            self._at[told["name"]] = told["value"]


class Browser:
    """Somebody with cookies, and no JavaScript."""

    def __init__(self, base: str) -> None:
        # No TLS here; reading the certificates of the whole world takes longer than most tests.
        self.line = httpx.Client(base_url=base, timeout=30, follow_redirects=False, verify=False)  # noqa: S501

    def get(self, path: str) -> httpx.Response:
        return self.line.get(path)

    def json(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:800])
        return answer.json()

    def forms(self, path: str) -> dict[str, dict[str, str]]:
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:800])
        found = _Forms()
        found.feed(answer.text)
        return found.found

    def post(self, path: str, fields: Mapping[str, Any]) -> httpx.Response:
        return self.line.post(path, data=dict(fields))

    def send(self, page: str, action: str, **fields: Any) -> httpx.Response:
        """Fill in the form of a page and send it."""
        return self.post(action, {**self.forms(page)[action], **fields})

    def enter(self, name: str, password: str = PASSWORD) -> httpx.Response:
        return self.send("/login", "/login", name=name, password=password)

    def follow(self, answer: httpx.Response) -> httpx.Response:
        assert answer.status_code == 303, (answer.status_code, answer.text[-2000:])
        return self.get(urljoin(str(self.line.base_url), answer.headers["location"]))


@dataclass
class House:
    """One console on loopback, its folder, and a clock that the test moves."""

    data: Path
    base: str = ""
    clock: list[int] = field(default_factory=lambda: [NOW])
    application: Any = None
    people: dict[str, Browser] = field(default_factory=dict[str, Browser])
    strangers: list[Browser] = field(default_factory=list[Browser])

    def someone(self, name: str) -> Browser:
        """Somebody who is signed in."""
        if name not in self.people:
            made = Browser(self.base)
            assert made.enter(name).status_code == 303
            self.people[name] = made
        return self.people[name]

    def new(self) -> Browser:
        """Somebody nobody knows yet."""
        self.strangers.append(Browser(self.base))
        return self.strangers[-1]

    def leave(self) -> None:
        """Everybody goes."""
        for one in (*self.people.values(), *self.strangers):
            one.line.close()
        self.people.clear()
        self.strangers.clear()

    def policy(self, approvers: Mapping[str, str]) -> None:
        lines = "\n".join(f'{name} = "{key}"' for name, key in approvers.items())
        signer = keys.public(keys.load(self.data / "signer.key"))
        (self.data / "policy.toml").write_text(POLICY.format(signer=signer, approvers=lines))

    def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.data / "ledger.jsonl").read_text().splitlines()]

    def later(self, seconds: float) -> None:
        self.clock[0] += round(seconds * 1e6)


def result(folder: Path, change: Callable[[Any], Any] = lambda whole: whole) -> Path:
    """A small result folder: three entries of a scan of the demo log, six accounts each."""
    folder.mkdir(parents=True)
    whole = change(json.loads((HERE / "result.json").read_text("utf-8")))
    (folder / "campaigns.json").write_text(json.dumps(whole), "utf-8")
    accounts, exchanges = [], []
    for entry in whole["campaigns"]:
        for n, one in enumerate(entry["accounts"]):
            name, campaign = one["account_id"], entry["campaign_id"]
            accounts.append((name, entry["label"], campaign, one["membership"]))
            role = entry["roles"][0]["role"] if entry["roles"] else None
            exchanges += [
                (
                    f"ex-{campaign}-{n}-{k}",
                    1_788_740_000_000_000 + (4 * n + k) * 10**10,
                    name,
                    f"{name}/s{k % 2}",
                    campaign if k else None,
                    role if k else None,
                )
                for k in range(4)
            ]
    for name, schema, rows in (("accounts", ACCOUNTS, accounts), ("exchanges", EXCHANGES, exchanges)):
        columns = [list(column) for column in zip(*rows, strict=True)]
        pq.write_table(pa.table(columns, schema=schema), folder / f"{name}.parquet")
    return folder


def log(path: Path, whole: Mapping[str, Any]) -> Path:
    """A log of the same accounts: two accounts an organization, one exchange each."""
    lines = []
    for entry in whole["campaigns"]:
        for n, one in enumerate(entry["accounts"]):
            lines.append(
                {
                    "time": "2026-09-07T12:00:00Z", "account_id": one["account_id"], "prompt": f"prompt {n}",
                    "organization_id": f"org-{entry['campaign_id']}-{n // 2}",
                    "relation": "distillation-licence" if n == 5 else None,
                }
            )  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@contextmanager
def served(data: Path, known: settings.Settings, clock: list[int]) -> Generator[tuple[str, Any]]:
    """A console in a thread of its own; its address and its app."""
    held = socket.create_server(("127.0.0.1", 0))
    made = app.made(known, now=lambda: clock[0], tick=0.2)
    server = uvicorn.Server(uvicorn.Config(made, log_level="error", ws="none", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the console did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{held.getsockname()[1]}", made
    finally:
        server.should_exit = True
        thread.join(20)
        held.close()


def furnish(
    data: Path,
    known_hash: str,
    *,
    extra: str = "",
    database: str = "",
    change: Callable[[Any], Any] = lambda whole: whole,
) -> settings.Settings:
    """The folder of a console: people, policy, signer, result, log."""
    data.mkdir(parents=True, exist_ok=True)
    found = result(data / "out", change)
    log(data / "log.jsonl", json.loads((found / "campaigns.json").read_text()))
    keys.make(data / "signer.key")
    House(data).policy({})
    where = f'database = "{database}"\n' if database else ""
    (data / "console.toml").write_text(
        f'{where}results = ["out"]\n[orders]\npolicy = "policy.toml"\nsigner = "signer.key"\n'
        f'[cases]\nfolder = "cases"\nrecords = ["log.jsonl"]\n{extra}'
    )
    known = settings.read(data)

    async def fill() -> None:
        desk = Desk(store.opened(known.store), data / settings.LEDGER)
        await desk.open()
        for name, role in ROLES.items():
            what = Write("operator", "person-added", f"person {name}", "for the tests")
            await desk.write(
                what, {"name": name, "role": role},
                lambda tx, name=name, role=role: people.add(tx, name, role, password=known_hash, now=NOW), now=NOW,
            )  # fmt: skip
        await desk.close()

    # In a thread: where a browser is driven, this one has a loop already.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, fill()).result()
    return known


CAMPAIGN = "c-c030e0d325"
PAGE = f"/campaigns/out/{CAMPAIGN}"


def key_for(house: House, name: str) -> str:
    """Somebody makes a key to approve with; the public half."""
    who = house.someone(name)
    answer = who.send(
        "/me", "/me/key", password=PASSWORD, passphrase=PHRASE, again=PHRASE, reason="my first key"
    )
    assert answer.status_code == 303, answer.text
    return who.json("/me.json")["public"]


def proposed(house: House, by: str = "ana", response: str = "withhold_reasoning") -> str:
    """Somebody proposes an order; the proposal's id."""
    who = house.someone(by)
    page = f"/orders/new?run=out&campaign={CAMPAIGN}"
    rows = who.json(page.replace("?", ".json?"))["rows"]
    chosen = next(one["order_id"] for one in rows if one["response"] == response)
    answer = who.send(page, "/orders/new", order_id=chosen, reason="it takes the reasoning")
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].split("/")[2].partition("?")[0]


def answering(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Wait until a console of a process of its own answers."""
    end = time.monotonic() + seconds
    while True:
        assert process.poll() is None, "the console ended"
        assert time.monotonic() < end, "the console does not answer"
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as line:
                line.request("GET", "/healthz")
                if line.getresponse().status == 200:
                    return
        except OSError:
            time.sleep(0.1)
