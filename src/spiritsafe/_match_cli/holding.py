"""The verbs about members, keys and rules of matching."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe._match_cli.setting import (
    ROSTER,
    SETTINGS,
    STATE,
    Json,
    Purpose,
    SettingsFile,
    StateFolder,
    clock,
    connected,
    folder,
    load,
    members_of,
    say,
    sitting,
    tell,
)
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

    from spiritsafe.sharing.matching.worker import Worker

_DAY = 86_400 * 1_000_000
_USUAL = 50_000
"""Evaluations a day by which public classes are judged."""
_SOON = 0.05
"""Seconds to the next round when there was something to do."""
_LARGE, _YEARS = 10**6, 2


def classes(
    days: Annotated[int, typer.Option(min=1, max=100, help="Days of an epoch.")] = 30,
    members: Annotated[int, typer.Option(min=1, help="Members that put their quotas together.")] = 1,
    as_json: Json = False,
) -> None:
    """Tell which identifiers are matched, and how long guessing them takes under the quotas."""
    from spiritsafe.sharing.matching.classes import CLASSES, NEVER, PUBLIC, ceiling, exposure  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    lines = [f"{'class':13}{'a day':>9}  {'to guess':>13}  {'all take':>13}  {'an epoch':>9}  what"]
    for one in CLASSES.values():
        quota = ceiling(one, days)
        row: dict[str, Any] = {
            "class": one.name,
            "version": one.version,
            "of": one.of,
            "quota": quota,
            "space": one.space,
        }
        cells = ("whole texts", "", "")
        if one.space is not None and quota:
            found = exposure(one.space, quota, days, members)
            row |= {"days_for_all": found.days, "share_in_an_epoch": found.share}
            cells = (_many(one.space), _span(found.days), f"{found.share:.2g}")
        rows.append(row)
        lines.append(f"{one.name:13}{quota:>9,}  {cells[0]:>13}  {cells[1]:>13}  {cells[2]:>9}  {one.of}")
    for name, space in PUBLIC.items():
        found = exposure(space, _USUAL, days, members)
        rows.append({"class": name, "public": True, "space": space, "days_for_all": found.days})
        lines.append(
            f"{name:13}{'public':>9}  {_many(space):>13}  {_span(found.days):>13}  {found.share:>9.2g}  at {_USUAL:,} a day"
        )
    lines += [f"{name:13}{'never':>9}  {why}" for name, why in NEVER.items() if name not in PUBLIC]
    tell({"days": days, "members": members, "classes": rows, "never": NEVER}, "\n".join(lines), as_json)


def trust(
    settings: SettingsFile = SETTINGS,
    state: StateFolder = STATE,
    accept: Annotated[
        bool, typer.Option("--accept", help="Take the changes into the roster, after you looked at each.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the hub's directory with the roster of members that count here; take it over with --accept."""
    from spiritsafe.sharing.matching import roster  # noqa: PLC0415 - a fast --help

    kept = folder(state)
    with connected(load(settings)) as remote:
        path = kept.path(ROSTER)
        ours = roster.load(path) if path.exists() else roster.Roster([])
        theirs = remote.directory()
        lines = roster.changes(ours, theirs)
        if accept:
            kept.keep(theirs.written(), ROSTER)
        tail = (
            []
            if not lines
            else [f"taken into {path}"]
            if accept
            else ["nothing is taken yet: check each with the forum, then --accept"]
        )
        tell(
            {"changes": lines, "accepted": accept},
            "\n".join([*(lines or ["the roster is the directory"]), *tail]),
            as_json,
        )


def propose(
    least: Annotated[
        int, typer.Option(min=2, help="k: members that must hold an identifier before it is disclosed.")
    ],
    settings: SettingsFile = SETTINGS,
    state: StateFolder = STATE,
    holder: Annotated[
        list[str] | None,
        typer.Option(help="Name of a key holder; all of the roster when absent.", show_default=False),
    ] = None,
    threshold: Annotated[
        int | None,
        typer.Option(help="Holders needed for a token; a majority when absent.", show_default=False),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=100, help="How long the epoch lasts.")] = 30,
    starts_in: Annotated[int, typer.Option(min=0, help="Days until it begins.")] = 0,
    purpose: Purpose = None,
    quota: Annotated[
        list[str] | None,
        typer.Option(help="CLASS=EVALUATIONS a day, below the most that is safe.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Open the ceremony of a new epoch; the holders' `hold` do the rest."""
    from spiritsafe.attest import keys  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.matching.classes import CLASSES, ceiling  # noqa: PLC0415
    from spiritsafe.sharing.matching.epoch import proposed  # noqa: PLC0415
    from spiritsafe.sharing.matching.roster import HOLDER  # noqa: PLC0415
    from spiritsafe.sharing.matching.statements import sign  # noqa: PLC0415

    known = load(settings)
    members, now = members_of(state), clock()
    with connected(known) as remote:
        holding = [
            one
            for one in members.members.values()
            if HOLDER in one.roles and (not holder or one.name in holder)
        ]
        if holder and len(holding) != len(set(holder)):
            raise UsageError("not all of these are key holders of the roster", where="--holder")
        quotas = {one.name: ceiling(one, days) for one in CLASSES.values()} | _quotas(quota or [])
        key = keys.load(known.needs_key())
        body = {
            "by": members.who(key.public_key()).id,
            "forum": remote.audience,
            "number": max((int(one["number"]) for one in remote.ceremonies()), default=0) + 1,
            "holders": [
                {"member": one.id, "key": one.keys[-1]} for one in sorted(holding, key=lambda one: one.id)
            ],
            "threshold": threshold or len(holding) // 2 + 1,
            "least": least,
            "classes": {
                name: {"version": CLASSES[name].version, "quota": many}
                for name, many in sorted(quotas.items())
                if many
            },
            "purposes": [purpose or known.terms.purpose],
            "valid_from": now + starts_in * _DAY,
            "valid_until": now + (starts_in + days) * _DAY,
            "opened": now,
        }
        proposed(body, members)
        statement = sign("proposal", body, key)
        remote.propose(statement)
        text = f"ceremony {statement.id[:8]}, number {body['number']}: {body['threshold']} of {len(holding)} holders"
        tell({"ceremony": statement.id, **body}, text, as_json)


def hold(
    settings: SettingsFile = SETTINGS,
    state: StateFolder = STATE,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks for work.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Do what there is to do now, then end.")] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Never write shares down: they are gone with the process.")
    ] = False,
    least: Annotated[int, typer.Option(min=2, help="Take part only where k is at least this.")] = 2,
    days: Annotated[
        int, typer.Option(min=1, max=100, help="Take part only in epochs no longer than this.")
    ] = 31,
    purpose: Annotated[
        list[str] | None,
        typer.Option(help="Take part only for this; the settings' purpose when absent.", show_default=False),
    ] = None,
) -> None:
    """Hold a share of the key: take part in ceremonies, evaluate, destroy shares that are over."""
    from spiritsafe.attest import keys  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.matching.worker import Terms, Worker  # noqa: PLC0415

    known = load(settings)
    key, members = keys.load(known.needs_key()), members_of(state)
    with connected(known) as remote:
        me = members.who(key.public_key()).id
        terms = Terms(least, days, frozenset(purpose or [known.terms.purpose]))
        worker = Worker(
            remote, me, key, members, folder(state), remote.audience, clock, terms, memory=memory, told=say
        )
        try:
            with _asked_to_end() as ending:
                while not ending.is_set():
                    done = _round(worker, patient=not once)
                    if once and not done:
                        return
                    ending.wait(_SOON if done else every)
        except KeyboardInterrupt:  # asked twice: in the middle of a round
            return
        finally:
            worker.close()


@contextmanager
def _asked_to_end() -> Generator[Event]:
    """Set by the first SIGINT or SIGTERM, after which both do what they did before.

    An exception out of a handler may land in a callback or a destructor, where Python drops it: a flag is never lost.
    """
    ending = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(_number: int, _frame: FrameType | None) -> None:
        ending.set()
        restore()

    for number in before:
        signal.signal(number, ask)
    try:
        yield ending
    finally:
        restore()


def _round(worker: Worker, *, patient: bool) -> int:
    """A round; a hub that does not answer is waited for when ``patient``."""
    from spiritsafe.sharing.matching.remote import HubError  # noqa: PLC0415 - a fast --help

    try:
        return worker.round()
    except HubError as error:
        if not patient:
            raise
        say(error.message)
        return 0


def epoch(settings: SettingsFile = SETTINGS, state: StateFolder = STATE, as_json: Json = False) -> None:
    """Tell which epoch is in force, who holds its shares, what was asked, how the last ceremonies went."""
    with sitting(settings, state) as session:
        found, members = session.epoch, session.roster
        body = found.proposal.body
        asked: Counter[tuple[str, str]] = Counter()
        for one in session.remote.counts(found.id):
            asked[str(one["member"]), str(one["class"])] += int(one["count"])
        ceremonies = [
            {name: one[name] for name in ("number", "state", "why")} for one in session.remote.ceremonies()
        ]

        def named(identity: str) -> str:
            return members.members[identity].name if identity in members.members else identity

        lines = [
            f"epoch {found.proposal.number}, {found.id}",
            f"{found.proposal.threshold} of {', '.join(map(named, found.proposal.holders))}; k = {found.proposal.least}",
            *(f"{name:13} {rule.quota:>9,} a day" for name, rule in sorted(found.proposal.classes.items())),
            *(
                f"asked   {named(member):16} {name:13} {count:>9,}"
                for (member, name), count in sorted(asked.items())
            ),
            *(f"ceremony {one['number']} {one['state']} {one['why']}" for one in ceremonies),
        ]
        told = [
            {"member": member, "class": name, "count": count}
            for (member, name), count in sorted(asked.items())
        ]
        tell(
            {"epoch": found.id, "rules": body, "asked": told, "ceremonies": ceremonies},
            "\n".join(lines),
            as_json,
        )


def end(settings: SettingsFile = SETTINGS, state: StateFolder = STATE, as_json: Json = False) -> None:
    """Destroy tokens and keys of epochs that are over."""
    with sitting(settings, state) as session:
        done = session.end()
        tell(
            {"destroyed": done},
            "\n".join(f"destroyed epoch {one}" for one in done) or "no epoch is over",
            as_json,
        )


def _quotas(given: list[str]) -> dict[str, int]:
    from spiritsafe.sharing.matching.classes import CLASSES  # noqa: PLC0415 - a fast --help

    found: dict[str, int] = {}
    for one in given:
        name, _, many = one.partition("=")
        if name not in CLASSES or not many.isdigit():
            raise UsageError(
                f"{one!r} is no quota", where="--quota", hint="ipv4=10000; 0 leaves the class out"
            )
        found[name] = int(many)
    return found


def _many(count: int) -> str:
    """A count; a power of two as one where it is large."""
    return f"2^{count.bit_length() - 1}" if count > _LARGE**2 and count.bit_count() == 1 else f"{count:,}"


def _span(days: float) -> str:
    years = days / 365
    if years > _LARGE:
        return f"{years:.0e} years"
    return f"{years:,.0f} years" if years > _YEARS else f"{days:,.1f} days"


VERBS = (classes, trust, propose, hold, epoch, end)
