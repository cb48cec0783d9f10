"""The page of a campaign with 5,000 accounts: how long the server takes, and when a browser can be used.

    python bench/console_campaign.py [--accounts 5000] [--results DIR]

Composes one day of a campaign among chat users, scans it as a user would, and starts ``spiritsafe console`` on the result. Times
of the server are those of HTTP requests on loopback: the first one (it reads the result's tables) and nine more. In Chromium:
until the document can be used (``domInteractive``, scripts included), until it is loaded, and from a click on a node of the
graph, on a box of the what-if and on a step of the timeline until the new part stands there and the browser has drawn it. Writes
``bench/results/console_campaign.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from spiritsafe import pipeline
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, load_corpus, shipped, simulate

if TYPE_CHECKING:
    from collections.abc import Generator

RESULT = Path(__file__).with_name("results") / "console_campaign.json"
CHROMIUM = "/usr/bin/chromium"
AGAIN = 9
AIM = 2.0
"""Seconds until the page can be used."""


def scanned(folder: Path, accounts: int) -> Path:
    """A result with a campaign of so many accounts."""
    ties = {"payment": 0.3, "device": 0.3, "network": 0.5}
    plan = Plan(
        (
            Population("reasoning_harvest", {"accounts": accounts, "rate": 20.0, **ties}),
            Population("chat_users", {"accounts": 2 * accounts, "rate": 3.0}),
        ),
        load_corpus(shipped()),
        days=1.0,
    )
    made = simulate(plan, folder / "log", seed=11)
    pipeline.scan([made.log], folder / "out", settings=Settings(seed=1))
    return folder / "out"


@contextmanager
def console(results: Path, data: Path) -> Generator[tuple[str, str, int]]:
    """A console on loopback; its address, the password of its admin, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", "from spiritsafe.cli import main; main()", "console"]
    server = subprocess.Popen([*command, str(results), "--data", str(data), "--listen", f"127.0.0.1:{port}"])
    try:
        for _ in range(600):
            try:
                httpx.get(f"{base}/healthz", timeout=1)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        told = (data / "first-admin.txt").read_text("utf-8")
        found = re.search(r"^password\s+(\S+)", told, re.MULTILINE)
        if found is None:
            raise SystemExit("the console told no password")
        yield base, found[1], server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


@contextmanager
def entered(base: str, password: str) -> Generator[httpx.Client]:
    """Somebody who is signed in."""
    with httpx.Client(base_url=base, timeout=60) as line:
        form = line.get("/login").text
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
        answer = line.post("/login", data={**hidden, "name": "admin", "password": password})
        if answer.status_code != 303:
            raise SystemExit(f"could not sign in: {answer.status_code}")
        yield line


def served(line: httpx.Client, path: str, process: int) -> dict[str, Any]:
    """Seconds of the first request and of the others, of the processor for each of the others, and bytes."""
    times: list[float] = []
    answer, spent = line.get("/healthz"), 0.0
    for turn in range(AGAIN + 1):
        begin = time.perf_counter()
        answer = line.get(path)
        times.append(time.perf_counter() - begin)
        answer.raise_for_status()
        spent = cpu(process) if turn == 0 else spent
    return {
        "first": round(times[0], 3), "median": round(statistics.median(times[1:]), 3), "most": round(max(times[1:]), 3),
        "processor": round((cpu(process) - spent) / AGAIN, 3), "bytes": len(answer.content),
    }  # fmt: skip


def cpu(process: int) -> float:
    """Seconds of processor that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def browsed(base: str, password: str, path: str) -> dict[str, Any]:
    """What a person at a browser waits for, in seconds; empty where there is no browser."""
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only here, and not everywhere
    except ImportError:
        return {}
    if not Path(CHROMIUM).exists():
        return {}
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{base}/login")
        page.fill("input[name=name]", "admin")
        page.fill("input[type=password]", password)
        page.click("main form.stack button")
        page.wait_for_load_state()
        usable, loaded = [], []
        for _ in range(AGAIN):
            page.goto(base + path)
            told = page.evaluate("(() => { const n = performance.getEntriesByType('navigation')[0];"
                                 " return [n.domInteractive, n.loadEventEnd, n.domContentLoadedEventEnd]; })()")  # fmt: skip
            usable.append(max(told[0], told[2]) / 1e3)
            loaded.append(told[1] / 1e3)
        nodes = page.evaluate("document.querySelectorAll('*').length")
        clicks = {
            "open a node of the graph": ("#network a.node-link[data-swap]", "network"),
            "take a test away": ("#whatif input[type=checkbox]", "whatif"),
            "zoom in time": ("#timeline a[data-way=closer]", "timeline"),
        }
        after: dict[str, float] = {}
        for name, (chosen, part) in clicks.items():
            page.evaluate(f"document.getElementById('{part}').dataset.old = '1'")
            begin = time.perf_counter()
            page.locator(chosen).first.click()
            page.wait_for_selector(f"#{part}:not([data-old])", state="attached")
            page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            after[name] = round(time.perf_counter() - begin, 3)
        version = browser.version
        browser.close()
    return {
        "chromium": version, "elements": nodes, "can be used": round(statistics.median(usable), 3),
        "loaded": round(statistics.median(loaded), 3), "loaded, most": round(max(loaded), 3), "after a click": after,
    }  # fmt: skip


def main() -> int:
    """Measure, write, and end with 1 where the aim is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, default=5_000)
    parser.add_argument("--results", type=Path, help="a result that is there already")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        results = asked.results or scanned(folder, asked.accounts)
        told = json.loads((results / "campaigns.json").read_text("utf-8"))
        entry = max(told["campaigns"], key=lambda one: len(one["accounts"]))
        with console(results, folder / "data") as (base, password, process), entered(base, password) as line:
            run = line.get("/campaigns.json?label=all").json()["rows"][0]["run"]
            page = f"/campaigns/{run}/{entry['campaign_id']}"
            paths = {
                "page": page,
                "page as JSON": f"{page}.json",
                "graph, opened": f"{page}/network?by=ties&open=a%3Aloose&open=l%3Apayment",
                "timeline by ten minutes": f"{page}/timeline?step=600",
                "what if": f"{page}/whatif?without=taken_in_turn",
                "members by exchanges": f"{page}/members?sort=exchanges",
                "exchanges": f"{page}/exchanges?slots=test&page=100",
            }
            server = {name: served(line, path, process) for name, path in paths.items()}
            browser = browsed(base, password, page)
            measured: dict[str, Any] = {
                "accounts": len(entry["accounts"]), "exchanges": entry["exchanges"], "label": entry["label"],
                "server": server,
                "browser": browser,
                "machine": {
                    "processors": os.cpu_count(),
                    "python": platform.python_version(),
                    "load": round(os.getloadavg()[0], 1),
                },
            }  # fmt: skip
    RESULT.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
    print(json.dumps(measured, indent=1))
    return int(browser.get("loaded, most", 0.0) > AIM)


if __name__ == "__main__":
    sys.exit(main())
