"""A campaign that replaces its accounts, played through a real gateway on loopback: what leaks once the orders are in force.

The first day of a composed log (one campaign with churn, innocent customers and look-alikes) is scanned. The second is sent
through ``spiritsafe gateway`` as fast as it takes it, in the order of its times, with the caller's columns in the headers of a
trusted proxy. After a fifth of it the orders that ``spiritsafe orders propose`` makes of the scan are approved, signed and
put in the policy's place; nobody waits for the gateway to see them. Composed data.

    python bench/churn.py [--accounts 2000] [--seed 41] [--save]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe import pipeline
from spiritsafe.attest import keys
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, load_corpus, shipped, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULT = Path(__file__).with_name("results") / "churn.json"
DAY = 86_400_000_000
LANDS = 0.2
"""Part of the second day after which the orders land."""
CONNECTIONS = 16
HEADERS = {
    "account": "account_id", "organization": "organization_id", "device": "device_id", "client_ip": "client_ip",
    "relation": "relation",
}  # fmt: skip
INNOCENT = {"chat_users": 0.5, "explainability_capture": 0.03, "llm_judge_product": 0.02, "reseller": 0.1}
"""Accounts of each family, as a share of the campaign's."""
ANSWER = json.dumps(
    {
        "id": "c", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
).encode()  # fmt: skip


def port() -> int:
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


def spiritsafe(*arguments: object, wait: bool = True) -> subprocess.Popen[bytes]:
    """The command; when it is waited for, it has to succeed."""
    program = [sys.executable, "-c", "from spiritsafe.cli import main; main()"]
    process = subprocess.Popen([*program, *map(str, arguments)], stdout=subprocess.DEVNULL)
    if wait and process.wait() != 0:
        raise SystemExit(f"spiritsafe {arguments[0]} {arguments[1]} failed")
    return process


def compose(folder: Path, accounts: int, seed: int) -> tuple[Path, pa.Table]:
    """The first day as a file to scan, and the second as a table with the column ``campaign`` (null: innocent)."""
    calm = [
        Population(family, {"accounts": max(10, round(share * accounts))})
        for family, share in INNOCENT.items()
    ]
    knobs: dict[str, Any] = {"accounts": accounts, "rate": 13.0, "churn": 0.3, "text": "template"}
    plan = Plan((*calm, Population("A1", knobs, name="A1")), load_corpus(shipped()), days=2)
    made = simulate(plan, folder / "made", seed=seed)
    log = pq.read_table(made.log)
    truth = pq.read_table(made.truth, columns=["exchange_id", "campaign"])
    whose = truth["campaign"].take(pc.index_in(log["exchange_id"], truth["exchange_id"]))
    log = log.append_column("campaign", whose).sort_by("time")
    times = np.asarray(log["time"].cast(pa.int64()))
    first = pa.array(times < times.min() // DAY * DAY + DAY)
    pq.write_table(log.filter(first).drop_columns(["campaign"]), folder / "first.parquet")
    return folder / "first.parquet", log.filter(pc.invert(first))


def policy(folder: Path, upstream: int, admin: int) -> Path:
    """A policy with the scan's indicators and, for now, no orders."""
    signer, anna = keys.make(folder / "signer.key"), keys.make(folder / "anna.key")
    names = "".join(f'{key} = "x-{key.replace("_", "-")}"\n' for key in HEADERS)
    path = folder / "policy.toml"
    path.write_text(
        f'[gateway]\nupstream = "http://127.0.0.1:{upstream}"\nadmin = "127.0.0.1:{admin}"\n'
        f'[identity]\ntrusted = ["127.0.0.1/32"]\n{names}[log]\nfolder = "log"\non_failure = "closed"\n'
        f'[orders]\nfile = "orders.json"\nsigner = "{signer}"\nindicators = ["out/indicators.json"]\n'
        f'[approvers]\nanna = "{anna}"\n[ladder]\napprovals = {{ refuse = 1 }}\n'
        '[[ladder.steps]]\nresponse = "refuse"\nscope = "streams"\nbits = 10\nlifetime = "14d"\n'
        '[[ladder.steps]]\nresponse = "refuse"\nscope = "accounts"\nbits = 10\nlifetime = "14d"\n'
    )
    return path


def requests(second: pa.Table) -> Iterator[tuple[str, dict[str, str], bytes]]:
    """For each exchange of the second day: whose it is, its headers, its body."""
    for batch in second.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            messages = [{"role": "user", "content": row["prompt"]}]
            if row.get("system"):
                messages.insert(0, {"role": "system", "content": row["system"]})
            body = json.dumps({"model": row.get("model") or "m", "messages": messages}, ensure_ascii=False)
            headers = {
                f"x-{key.replace('_', '-')}": str(row[column])
                for key, column in HEADERS.items()
                if row.get(column)
            }
            yield row["campaign"] or "innocent", headers, body.encode("utf-8", "replace")


async def model(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A model server that always says yes."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
    try:
        while asked := await reader.readuntil(b"\r\n\r\n"):
            (length,) = [line for line in asked.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(length.split(b":")[1]))
            writer.write(head + ANSWER)
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        writer.close()


async def landing(session: aiohttp.ClientSession, folder: Path, told: dict[str, str]) -> None:
    """Put the signed orders in their place, and note when the gateway says that they are in force."""
    begin = time.monotonic()
    (folder / "signed.json").replace(folder / "orders.json")
    told["phase"] = "landing"
    while told["phase"] == "landing":
        async with session.get(f"http://127.0.0.1:{told['admin']}/metrics") as got:
            text = await got.text()
        name = "spiritsafe_gateway_orders_in_force"
        if any(line.startswith(name) and float(line.split()[-1]) > 0 for line in text.splitlines()):
            told["phase"] = "after"
        await asyncio.sleep(0.05)
    told["seconds"] = f"{time.monotonic() - begin:.2f}"


async def play(second: pa.Table, folder: Path, at: int, upstream: int) -> dict[str, Any]:
    """Send the second day, land the orders on the way, and count what came back."""
    server = await asyncio.start_server(model, "127.0.0.1", upstream)
    counts: Counter[tuple[str, str, str]] = Counter()
    lands = round(second.num_rows * LANDS)
    told = {"phase": "before"}
    waiting: asyncio.Queue[tuple[str, dict[str, str], bytes] | None] = asyncio.Queue(CONNECTIONS)
    async with aiohttp.ClientSession() as session:

        async def caller() -> None:
            while (one := await waiting.get()) is not None:
                whose, headers, body = one
                phase = told["phase"]
                async with session.post(
                    f"http://127.0.0.1:{at}/v1/chat/completions",
                    data=body,
                    headers=headers | {"content-type": "application/json"},
                ) as got:
                    await got.read()
                what = {200: "answered", 403: "refused"}.get(got.status, f"status {got.status}")
                counts[whose, phase, what] += 1

        told["admin"] = (folder / "admin").read_text()
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(caller())
            for number, one in enumerate(requests(second)):
                if number == lands:
                    group.create_task(landing(session, folder, told))
                await waiting.put(one)
            for _ in range(CONNECTIONS):
                await waiting.put(None)
    server.close()
    found: dict[str, Any] = {"seconds_until_told": float(told["seconds"])}
    for (whose, phase, what), many in sorted(counts.items()):
        found.setdefault(whose, {}).setdefault(phase, {})[what] = many
    return found


def measure(accounts: int, seed: int) -> dict[str, Any]:
    """Compose, scan, propose, play."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        first, second = compose(folder, accounts, seed)
        record = pipeline.scan([first], folder / "out", settings=Settings(seed=seed))
        upstream, at, admin = port(), port(), port()
        (folder / "admin").write_text(str(admin))
        file = policy(folder, upstream, admin)
        proposed = folder / "proposed.json"
        spiritsafe("orders", "propose", "--results", folder / "out", "--policy", file, "--out", proposed)
        spiritsafe("orders", "approve", proposed, "--by", "anna", "--key", folder / "anna.key")
        spiritsafe("orders", "sign", proposed, "--policy", file, "--key", folder / "signer.key")
        orders = json.loads((folder / "orders.json").read_text())["orders"]
        if not orders:
            raise SystemExit("the scan gave no order: nothing to play")
        (folder / "orders.json").rename(folder / "signed.json")
        gateway = spiritsafe("gateway", "--policy", file, "--listen", f"127.0.0.1:{at}", wait=False)
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", at), 1).close()
                    break
                except OSError:
                    if gateway.poll() is not None:
                        raise SystemExit("the gateway did not start") from None
                    time.sleep(0.1)
            found = asyncio.run(play(second, folder, at, upstream))
        finally:
            gateway.terminate()
            gateway.wait(60)
        found["scan"] = dict(Counter(entry["label"] for entry in record["campaigns"]))
        found["indicators"] = dict(
            Counter(
                one["kind"]
                for one in json.loads((folder / "out" / "indicators.json").read_text())["indicators"]
            )
        )
        return {**found, "accounts": accounts, "seed": seed}


def main() -> int:
    """Run and print; 1 when an innocent request was refused or more than 0.2 % of the plan leaked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--accounts", type=int, default=2000)
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    found = measure(args.accounts, args.seed)
    campaign, innocent = found["A1"], found["innocent"]
    plan = sum(sum(phase.values()) for phase in campaign.values())
    leaked = campaign.get("after", {}).get("answered", 0)
    refused = sum(phase.get("refused", 0) for phase in innocent.values())
    found |= {"plan": plan, "leaked": leaked, "innocent_refused": refused}
    calm = sum(sum(phase.values()) for phase in innocent.values())
    print(
        f"campaign: {plan:,} requests planned, {leaked:,} answered after the orders ({leaked / plan:.3%}),"
        f" {campaign.get('landing', {}).get('answered', 0):,} while they landed ({found['seconds_until_told']} s)"
    )
    print(
        f"innocent: {calm:,} requests, {refused:,} refused; {found['scan']}, indicators {found['indicators']}"
    )
    if args.save:
        RESULT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return int(refused > 0 or leaked > 0.002 * plan)


if __name__ == "__main__":
    raise SystemExit(main())
