"""Between a decision and the signed file: interrupted anywhere, an order is signed in once and told once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from consoles import CAMPAIGN, NOW, furnish
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spiritsafe import ledger
from spiritsafe.attest import keys
from spiritsafe.console import measures
from spiritsafe.console.desk import Desk, Write
from spiritsafe.console.people import Person
from spiritsafe.console.results import Results
from spiritsafe.orders import policy, snapshot
from spiritsafe.sharing.hub import store

if TYPE_CHECKING:
    from pathlib import Path

    from spiritsafe.console.settings import Settings


class Killed(BaseException):
    """What a kill is to the code that it ends."""


async def approved(desk: Desk, settings: Settings, key: Ed25519PrivateKey) -> str:
    """A proposal that bo approved and nothing more was done about."""
    wanted = measures.read(settings.orders)
    run = Results(settings.results, settings.data / "cache").runs()[0]
    order = next(
        one
        for one in measures.derived(run, CAMPAIGN, wanted, now=NOW)
        if one.response == "withhold_reasoning"
    )
    name = measures.name_of("w")
    await desk.write(
        Write("ana", "order-proposed", measures.subject(name), "because"), {},
        lambda tx: measures.propose(tx, name, order, "out", "ana", "because", wait=10**12, now=NOW), now=NOW,
    )  # fmt: skip
    signed = measures.signed(order, Person("bo", "approver", public=keys.public(key)), key, wanted, now=NOW)
    await desk.write(
        Write("bo", "order-approved", measures.subject(name), "because"), {},
        lambda tx: measures.approve(tx, name, signed, "because", wanted, "console", version=1), now=NOW,
    )  # fmt: skip
    return name


@pytest.mark.parametrize("point", ["before the file", "after the file", "after the ledger"])
def test_an_order_that_was_interrupted_is_signed_in_once_and_told_once(
    point: str, tmp_path: Path, password_hash: str, monkeypatch: pytest.MonkeyPatch
):
    data, key = tmp_path / "data", Ed25519PrivateKey.generate()
    settings = furnish(data, password_hash)
    path = data / "policy.toml"
    path.write_text(path.read_text().replace("[approvers]", f'[approvers]\nbo = "{keys.public(key)}"'))

    async def run(job: Any) -> Any:
        desk = Desk(store.opened(settings.store), data / "ledger.jsonl")
        await desk.open()
        try:
            return await job(desk, measures.Press(desk, settings.orders))
        finally:
            await desk.close()

    async def begin(desk: Desk, press: measures.Press) -> str:
        name = await approved(desk, settings, key)

        async def killed(*_: object, **__: object) -> None:
            raise Killed

        with monkeypatch.context() as here:
            if point == "before the file":
                here.setattr(measures.Press, "_sign", lambda *_: (_ for _ in ()).throw(Killed))
            elif point == "after the file":
                here.setattr(measures.Press, "_record", killed)
            else:
                here.setattr(Desk, "settle", lambda _: asyncio.sleep(0))
            with contextlib.suppress(Killed):
                await press.apply(now=NOW)
        return name

    async def again(desk: Desk, press: measures.Press) -> dict[str, Any] | None:
        await press.apply(now=NOW)
        await press.apply(now=NOW)
        assert press.trouble == ""
        return await desk.read(lambda tx: measures.one(tx, name))

    name = asyncio.run(run(begin))
    told = asyncio.run(run(again))
    assert told is not None
    assert told["state"] == "in force"
    wanted = policy.read(path)
    found = snapshot.read(wanted.file, wanted.signer, now=NOW, rules=wanted.rules)
    assert (found.version, [one.response for one in found.orders]) == (1, ["withhold_reasoning"])
    assert [one.kind for one in ledger.entries(data / "ledger.jsonl")].count("order") == 1


def test_an_order_that_cannot_be_signed_waits_and_says_why(tmp_path: Path, password_hash: str):
    data, key = tmp_path / "data", Ed25519PrivateKey.generate()
    settings = furnish(data, password_hash)
    path = data / "policy.toml"
    path.write_text(path.read_text().replace("[approvers]", f'[approvers]\nbo = "{keys.public(key)}"'))

    async def job() -> None:
        desk = Desk(store.opened(settings.store), data / "ledger.jsonl")
        await desk.open()
        press = measures.Press(desk, settings.orders)
        name = await approved(desk, settings, key)
        signer = (data / "signer.key").rename(data / "away.key")
        await press.apply(now=NOW)
        assert "signer.key" in press.trouble
        told = await desk.read(lambda tx: measures.one(tx, name))
        assert told is not None
        assert told["state"] == "approved"
        signer.rename(data / "signer.key")
        await press.apply(now=NOW)
        told = await desk.read(lambda tx: measures.one(tx, name))
        assert told is not None
        assert (told["state"], press.trouble) == ("in force", "")
        await desk.close()

    asyncio.run(job())
