"""What people decide about cases, done in the cases' folders and in the signed orders; each looks first at what is there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from spiritsafe.cases import appeals, folder, notice
from spiritsafe.console import measures
from spiritsafe.console.desk import Repeated, Write
from spiritsafe.errors import UsageError
from spiritsafe.orders.content import from_exemption

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from spiritsafe.cases.folder import Case
    from spiritsafe.console.desk import Desk
    from spiritsafe.console.results import Results
    from spiritsafe.console.settings import Settings
    from spiritsafe.console.work import Job
    from spiritsafe.model import Exemption
    from spiritsafe.sharing.hub.store import Tx

    Tell = Callable[[str, float], None]
    Kind = Callable[[Job, Tell], Awaitable[None]]

OPEN, APPEAL, REVIEW, DECIDE = "case-opened", "appeal-filed", "appeal-review", "appeal-decided"


def subject(case: str) -> str:
    """What writes about a case are filed under."""
    return f"case {case}"


def kinds(
    settings: Settings, results: Results, press: measures.Press, desk: Desk, now: Callable[[], int]
) -> Mapping[str, Kind]:
    """The jobs of cases, by kind."""

    async def opened(job: Job, tell: Tell) -> None:
        await asyncio.to_thread(_open, settings, results, job, tell)

    async def filed(job: Job, _tell: Tell) -> None:
        await _file(settings, press, desk, job, now())

    async def reviewed(job: Job, _tell: Tell) -> None:
        await asyncio.to_thread(_review, settings, job, now())

    async def decided(job: Job, _tell: Tell) -> None:
        await _decide(settings, press, desk, job, now())

    return {OPEN: opened, APPEAL: filed, REVIEW: reviewed, DECIDE: decided}


def place(settings: Settings, case: str) -> Path:
    """The folder of a case. Raises UsageError for a name that is none."""
    if (
        settings.cases is None
        or not case
        or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in case)
    ):
        raise UsageError(f"{case!r} is no name of a case", hint="letters, digits, and . _ -")
    if case.startswith((".", "-")) or len(case) > 80:
        raise UsageError(f"{case!r} is no name of a case", hint="a letter or digit first, at most 80")
    return settings.cases / case


def told(case: Case) -> dict[str, Any]:
    """A case for a page: what it claims, what it holds, its appeals."""
    return {
        "case_id": case.case_id, "title": case.title, "claim": case.claim, "opened": case.opened, "by": case.by,
        "status": case.status, "head": case.head,
        "items": [
            {
                "name": one.name, "kind": one.kind, "time": one.time, "by": one.by, "why": one.why, "about": dict(one.about),
                "parts": [{"name": name, **part} for name, part in one.parts.items()],
            }
            for one in case.items
        ],
        "appeals": [
            {
                "name": one.item.name, "reference": one.item.about["reference"], "grounds": one.item.about["grounds"],
                "filed": one.item.time, "by": one.item.by, "reviewer": one.reviewer, "frozen": one.frozen,
                "outcome": one.outcome, "decided": one.decided, "statement": _statement(case, one.item.name),
            }
            for one in case.appeals
        ],
        "first": sorted(appeals.first(case)),
    }  # fmt: skip


def notice_of(settings: Settings, case: Case, account: str, *, now: int) -> tuple[dict[str, Any], str]:
    """What the holder of an account is told: as data and as text. Raises UsageError."""
    orders, policy = (), measures.policy.Appeals()
    if settings.orders is not None:
        wanted = measures.read(settings.orders)
        policy = wanted.appeals
        found, _ = measures.in_file(wanted, now=now)
        orders = found.orders if found else ()
    made = notice.notice(case, account, orders, policy, now=now)
    return notice.told(made), notice.text(made)


def _statement(case: Case, item: str) -> str:
    try:
        return case.path(f"{item}/{appeals.STATEMENT}").read_text("utf-8", "replace")
    except OSError:
        return ""


def _open(settings: Settings, results: Results, job: Job, tell: Tell) -> None:
    from spiritsafe.casework import gather  # noqa: PLC0415 - the kernel takes a second to load

    body = job.body
    where = place(settings, body["case"])
    if not (where / folder.LEDGER).exists():
        folder.create(
            where,
            case_id=body["case"],
            title=body["title"],
            claim=body["claim"],
            by=job.person,
            why=job.reason,
            now=job.time,
        )
    case = folder.open_case(where)
    if any(one["id"] == body["campaign"] for item in case.of("campaign") for one in item.about["campaigns"]):
        return
    run = results.run(body["run"])
    if run is None:
        raise UsageError(f"the run {body['run']!r} is not there any more")
    gather.add_campaign(
        where, run.path, [body["campaign"]], by=job.person, why=job.reason, now=folder.not_before(where, job.time),
        inputs=settings.records if body["records"] else (),
        progress=lambda stage, done, total: tell(stage, done / max(1, total)),
    )  # fmt: skip


async def _file(settings: Settings, press: measures.Press, desk: Desk, job: Job, now: int) -> None:
    body, where = job.body, place(settings, job.body["case"])

    def first() -> str:
        case = folder.open_case(where)
        mine = notice.reference(case, body["account"] or body["organization"])
        if any(one.item.about["reference"] == mine and not one.outcome for one in case.appeals):
            return mine
        item = appeals.file(
            where, account=body["account"] or None, organization=body["organization"] or None,
            statement=body["statement"].encode(), grounds=body["grounds"], by=job.person, why=job.reason,
            now=folder.not_before(where, now),
        )  # fmt: skip
        return item.about["reference"]

    mine = await asyncio.to_thread(first)
    if settings.orders is None:
        return
    found: dict[str, Any] = {}

    def freeze(change: Any) -> bool:
        case = folder.open_case(where)
        one = appeals.open_appeal(case, mine)
        spared, orders = appeals.frozen(
            case, one, change.orders.values(), change.policy.appeals, by=job.person, now=change.now
        )
        already = next((each for each in change.exempt if spared and each.reason == spared.reason), None)
        if spared is None:
            return False
        found.update(spared=already or spared, orders=orders, item=one.item.name, recorded=bool(one.frozen))
        if already is None:
            change.exempt.append(spared)
        return already is None

    _, version, digest = await press.change(freeze, now=now)
    if not found:
        return
    await _told(desk, job, found["spared"], version, digest, now=now)
    if not found["recorded"]:
        await asyncio.to_thread(
            lambda: appeals.record_freeze(
                where, found["item"], found["orders"], until=found["spared"].expires, snapshot=digest, by=job.person,
                why=f"appeal {mine}", now=folder.not_before(where, now),
            )
        )  # fmt: skip


def _review(settings: Settings, job: Job, now: int) -> None:
    where = place(settings, job.body["case"])
    one = appeals.open_appeal(folder.open_case(where), job.body["appeal"])
    if one.reviewer != job.person:
        appeals.review(where, one.item.name, by=job.person, why=job.reason, now=folder.not_before(where, now))


async def _decide(settings: Settings, press: measures.Press, desk: Desk, job: Job, now: int) -> None:
    body, where = job.body, place(settings, job.body["case"])

    def first() -> None:
        case = folder.open_case(where)
        mine = next((one for one in case.appeals if one.item.name == body["appeal"]), None)
        if mine is None or not mine.outcome:
            appeals.decide(
                where,
                body["appeal"],
                body["outcome"],
                by=job.person,
                why=job.reason,
                now=folder.not_before(where, now),
            )

    await asyncio.to_thread(first)
    if settings.orders is None:
        return

    spared: list[Exemption] = []

    def thaw(change: Any) -> bool:
        case, before = folder.open_case(where), list(change.exempt)
        decided = appeals.decided(case, body["appeal"])
        after = appeals.thawed(case, decided, before, change.orders.values(), by=job.person, now=change.now)
        added = [one for one in after if one not in before]
        # Whom this job spared before it was interrupted is spared once.
        same = [one for one in before if any(_who(one) == _who(new) for new in added)]
        spared.extend(same or added)
        change.exempt = [one for one in after if not (same and one in added)]
        return change.exempt != before

    _, version, digest = await press.change(thaw, now=now)
    for one in spared:
        await _told(desk, job, one, version, digest, now=now)


async def _told(desk: Desk, job: Job, one: Exemption, version: int, digest: str, *, now: int) -> None:
    """The exemption in the ledger, as `spiritsafe orders exempt` keeps it; once."""
    what = Write(job.person, "exemption", job.subject, job.reason, f"exempt-{job.id}")
    body = {**from_exemption(one), "version": version, "snapshot": digest}
    with suppress(Repeated):
        await desk.write(what, body, _nothing, now=now)


async def _nothing(_tx: Tx) -> None:
    """The orders stand in their own file."""


def _who(one: Exemption) -> tuple[str, str | None, str | None]:
    return one.reason, one.organization_id, one.account_id
