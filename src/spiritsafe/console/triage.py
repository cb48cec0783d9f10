"""Triage: what people think of a campaign so far. One state each, with the reason; the newest one counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from spiritsafe.console.desk import Stale, generation, history
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from spiritsafe.sharing.hub.store import Tx

STATES: Final = ("new", "looking", "confirmed", "dismissed")
KIND: Final = "opinion"
"""What the ledger calls it."""


def subject(campaign: str) -> str:
    """What writes about a campaign are filed under."""
    return f"campaign {campaign}"


async def state(tx: Tx, campaign: str) -> dict[str, Any]:
    """``state, reason, by, time, version`` of a campaign; ``new``, version 0, when nobody said anything."""
    row = await tx.one(
        "SELECT state, reason, person, time, version FROM triage WHERE campaign = $1", campaign
    )
    keys = ("state", "reason", "by", "time", "version")
    return dict(zip(keys, row or ("new", "", "", None, 0), strict=True))


async def every(tx: Tx) -> dict[str, tuple[str, str]]:
    """Campaign → (state, by), of all of which somebody said something."""
    return {row[0]: (row[1], row[2]) for row in await tx.all("SELECT campaign, state, person FROM triage")}


async def known(state: Any) -> dict[str, tuple[str, str]]:
    """`every`, read again only when somebody wrote something; ``state`` is the app's."""

    async def job(tx: Tx) -> tuple[int, dict[str, tuple[str, str]] | None]:
        now = await generation(tx)
        return now, None if state.shared.get("triage", (None,))[0] == now else await every(tx)

    now, fresh = await state.desk.read(job)
    if fresh is not None:
        state.shared["triage"] = (now, fresh)
    return state.shared["triage"][1]


async def judge(tx: Tx, campaign: str, to: str, reason: str, by: str, *, version: int, now: int) -> int:
    """Set a campaign's state; the new version. Raises Stale when ``version`` is not the present one."""
    if to not in STATES:
        raise UsageError(f"there is no state {to!r}", hint=f"states: {', '.join(STATES)}")
    known = await state(tx, campaign)
    if known["version"] != version:
        since = [
            one for one in await history(tx, subject(campaign)) if one["body"].get("version", 0) > version
        ]
        raise Stale(f"{campaign} is {known['state']} by now, said {known['by']}", since)
    await tx.run(
        "INSERT INTO triage (campaign, state, reason, person, time, version) VALUES ($1, $2, $3, $4, $5, $6) "
        "ON CONFLICT (campaign) DO UPDATE SET state = excluded.state, reason = excluded.reason, person = excluded.person, "
        "time = excluded.time, version = excluded.version",
        campaign, to, reason, by, now, version + 1,
    )  # fmt: skip
    return version + 1


async def told(tx: Tx, campaign: str) -> dict[str, Any]:
    """``opinion`` and ``history`` of a campaign, as ``opinion.html`` shows them."""
    return {"opinion": await state(tx, campaign), "history": await history(tx, subject(campaign))}
