"""A hub in a process of its own, with clients that add objects for ever and say on standard output what was taken.

Run by test_kill.py, which kills it.
"""

from __future__ import annotations

import asyncio
import json
import sys

import httpx
from hubs import SIGNED, TAXII, Someone, refuse_prices, running

from spiritsafe.sharing.hub import sqlite


def begin(database: str, seed: str) -> None:
    """``seed`` is that of the members' keys."""
    sqlite._PAGES = 100  # checkpoints are made all the time, so that some ends fall into one
    sqlite._REST = 0.05

    async def made(_: str) -> None:
        return

    with running(database, made=made, gate=refuse_prices) as hub:
        members = [hub.enrol(seed=int(seed) * 10 + number) for number in range(3)]
        asyncio.run(_load(hub.url, members))


async def _load(url: str, members: list[Someone]) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def add(member: Someone, lane: int) -> None:
            which = 0
            while True:
                count = 1 + (which * 7 + lane) % 40
                names = [f"{lane}-{which + number}" for number in range(count)]
                content = [
                    member.indicator(name, pattern=f"[autonomous-system:number = {lane}]") for name in names
                ]
                which += count
                body = json.dumps({"objects": content}).encode()
                path = f"/api/collections/{SIGNED}/objects/"
                headers = {
                    "content-type": TAXII,
                    "accept": TAXII,
                    "authorization": member.token("POST", path, body),
                }
                answer = await http.post(path, content=body, headers=headers)
                told = answer.json()
                assert told["success_count"] == count, told
                ids = [one["id"] for one in told["successes"]]
                sys.stdout.write(json.dumps({"status": told["id"], "ids": ids}) + "\n")
                sys.stdout.flush()

        async def read(member: Someone) -> None:
            while True:
                path = f"/api/collections/{SIGNED}/objects/?limit=5"
                headers = {"accept": TAXII, "authorization": member.token("GET", path)}
                (await http.get(path, headers=headers)).raise_for_status()

        await asyncio.gather(*(add(member, lane) for lane, member in enumerate(members)), read(members[0]))
