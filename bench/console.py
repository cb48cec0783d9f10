"""The console's list of 10,000 campaigns: how long a page takes, for the server and for who waits.

    python bench/console.py [--campaigns 10000] [--runs 20] [--again 30] [--save]

Composes result folders, as of weekly scans, from the entries of the tests' small result; a third of the campaigns has
an opinion of somebody. Starts ``spiritsafe console`` on them, signs in, and asks each page again and again on loopback.
What counts is the server's processor time for a request, read from the kernel; the time that the client waits stands
beside it, since other work may share the machine. Exits with 1 when the median of any page of the queue takes more than
200 ms of processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import os
import platform
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from spiritsafe.console import people
from spiritsafe.console.desk import Desk, Write
from spiritsafe.console.passwords import hashed
from spiritsafe.sharing.hub import store

RESULT = Path(__file__).with_name("results") / "console.json"
ENTRIES = Path(__file__).parents[1] / "tests" / "console" / "result.json"
GATE = 0.2
"""Seconds of processor time that a page of the queue may take."""
PASSWORD = "correct horse battery 1"  # noqa: S105 - of a console that lives for a minute
PAGES = {
    "queue": "/campaigns",
    "queue, all states and labels": "/campaigns?state=all&label=all",
    "queue, sorted by last seen": "/campaigns?state=all&label=all&sort=last_seen",
    "queue, words of the claim": "/campaigns?state=all&label=all&q=reasoning",
    "queue, one state": "/campaigns?state=confirmed",
    "queue, last page": "/campaigns?state=all&label=all&offset=9950",
    "queue, as JSON": "/campaigns.json?state=all&label=all",
    "overview": "/",
    "one opinion and the queue after it": "",
}


def composed(folder: Path, campaigns: int, runs: int, draw: random.Random) -> list[str]:
    """Result folders with so many campaigns in all; the ids."""
    whole = json.loads(ENTRIES.read_text("utf-8"))
    entries, ids = whole["campaigns"], []
    for run in range(runs):
        made: list[dict[str, Any]] = []
        for n in range(campaigns // runs):
            entry = copy.deepcopy(draw.choice(entries))
            entry["campaign_id"] = f"c-{run:02x}{n:08x}"
            size = draw.randint(5, 60)
            entry["accounts"] = [
                {"account_id": f"acct-{run}-{n}-{k}", "membership": round(draw.uniform(0.9, 1), 4)}
                for k in range(size)
            ]
            entry["exchanges"] = size * draw.randint(5, 80)
            entry["headline"] = entry["headline"].replace("340", str(size))
            entry["coordination"]["bits"] = round(draw.uniform(12, 1_300), 2)
            entry["last_seen"] = f"2026-{1 + run % 12:02d}-{draw.randint(1, 28):02d}T00:00:00Z"
            made.append(entry)
            ids.append(entry["campaign_id"])
        place = folder / f"week-{run:02d}"
        place.mkdir(parents=True)
        (place / "campaigns.json").write_text(json.dumps({**whole, "campaigns": made}), "utf-8")
    return ids


async def furnished(data: Path, ids: list[str], draw: random.Random) -> None:
    """A person, and opinions on a third of the campaigns."""
    desk = Desk(store.opened(str(data / "console.db")), data / "ledger.jsonl")
    await desk.open()
    known, now = hashed(PASSWORD), time.time_ns() // 1_000
    what = Write("operator", "person-added", "person ana", "for the measurement")
    await desk.write(
        what, {"name": "ana"}, lambda tx: people.add(tx, "ana", "analyst", password=known, now=now), now=now
    )
    rows = [
        (one, draw.choice(["looking", "confirmed", "dismissed"]), "because", "ana", now, 1)
        for one in draw.sample(ids, len(ids) // 3)
    ]
    await desk.quietly(
        lambda tx: tx.many(
            "INSERT INTO triage (campaign, state, reason, person, time, version) VALUES ($1, $2, $3, $4, $5, $6)",
            rows,
        )
    )
    await desk.close()


def processor(pid: int) -> float:
    """Seconds of processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def form(line: httpx.Client, path: str, **fields: str) -> dict[str, str]:
    """The token of a page's forms, and what else is sent."""
    found = re.search(r'name="csrf" value="([^"]+)"', line.get(path).text)
    return {"csrf": found[1] if found else "", **fields}


def measured(base: str, pid: int, ids: list[str], again: int) -> dict[str, Any]:
    """Each page, asked again and again."""
    told: dict[str, Any] = {}
    with httpx.Client(base_url=base, timeout=120) as line:
        begun = time.perf_counter()
        answer = line.post("/login", data=form(line, "/login", name="ana", password=PASSWORD))
        assert answer.status_code == 303, answer.text  # noqa: S101 - nothing was measured else
        line.get("/campaigns")
        told["first page after the start, index made, seconds"] = round(time.perf_counter() - begun, 2)
        token = form(line, "/orders")
        for name, path in PAGES.items():
            waits, size = [], 0
            line.get(path or "/campaigns")
            before = processor(pid)
            for n in range(again):
                begun = time.perf_counter()
                if not path:
                    line.post(
                        f"/campaigns/week-00/{ids[n]}/opinion",
                        data={**token, "version": "0", "state": "looking", "reason": "again"},
                    )
                size = len(line.get(path or "/campaigns").content)
                waits.append(time.perf_counter() - begun)
            told[name] = {
                "processor_ms": round(1_000 * (processor(pid) - before) / again, 1),
                "waits_ms_median": round(1_000 * statistics.median(waits), 1),
                "waits_ms_p95": round(1_000 * sorted(waits)[int(0.95 * (again - 1))], 1),
                "bytes": size,
            }
            print(f"{name:36} {told[name]}", flush=True)
    return told


def main() -> int:
    """Run it."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--campaigns", type=int, default=10_000)
    ask.add_argument("--runs", type=int, default=20)
    ask.add_argument("--again", type=int, default=30)
    ask.add_argument("--save", action="store_true")
    known = ask.parse_args()
    draw = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="spiritsafe-") as scratch:
        data = Path(scratch) / "data"
        data.mkdir()
        ids = composed(Path(scratch) / "results", known.campaigns, known.runs, draw)
        asyncio.run(furnished(data, ids, draw))
        size = sum(one.stat().st_size for one in (Path(scratch) / "results").rglob("*.json"))
        command = "from spiritsafe.cli import main; main()"
        line = [sys.executable, "-c", command, "console", str(Path(scratch) / "results"), "--data", str(data)]
        server = subprocess.Popen([*line, "--listen", "127.0.0.1:8699"], stdout=subprocess.DEVNULL)
        try:
            base, end = "http://127.0.0.1:8699", time.monotonic() + 60
            while time.monotonic() < end:
                try:
                    httpx.get(f"{base}/healthz")
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            told = measured(base, server.pid, ids, known.again)
            peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
    slow = [
        name for name, one in told.items() if name.startswith("queue") and one["processor_ms"] > 1_000 * GATE
    ]
    record = {
        "campaigns": len(ids), "runs": known.runs, "bytes_of_results": size, "again": known.again,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "peak_memory_mb": round(int(peak[1]) / 1_024) if peak else None, "gate_processor_ms": 1_000 * GATE, "pages": told,
    }  # fmt: skip
    if known.save:
        RESULT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps({key: value for key, value in record.items() if key != "pages"}))
    if slow:
        print(f"more than {1_000 * GATE:.0f} ms of processor time: {', '.join(slow)}")
    return int(bool(slow))


if __name__ == "__main__":
    raise SystemExit(main())
