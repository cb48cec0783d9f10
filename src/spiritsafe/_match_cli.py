"""The verbs of ``spiritsafe share match``: find with other laboratories what enough of you hold already."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe.errors import SharingError, UsageError

if TYPE_CHECKING:
    from spiritsafe.sharing.client.settings import Member
    from spiritsafe.sharing.matching.identifiers import Identifiers
    from spiritsafe.sharing.matching.remote import Remote
    from spiritsafe.sharing.matching.session import Own, Session

app = typer.Typer(
    help="Match identifiers with other providers; each learns only what at least k of you hold.",
    no_args_is_help=True,
)

DAY = 86_400 * 1_000_000

SettingsFile = Annotated[Path, typer.Option("--settings", help="This member's settings.")]
StateFolder = Annotated[
    Path, typer.Option("--state", help="Folder of roster, tokens and shares; only you may read it.")
]
Values = Annotated[
    Path, typer.Argument(help="identifiers.jsonl, or the folder of a scan that has one.", show_default=False)
]
Purpose = Annotated[
    str | None,
    typer.Option(help="What is matched for; the settings' purpose when absent.", show_default=False),
]
Least = Annotated[
    int, typer.Option(min=0, help="Disclose only what so many hold, if more than the forum asks.")
]
Processes = Annotated[int, typer.Option(min=1, help="Processes to blind and verify in.")]
Wait = Annotated[float, typer.Option(min=1, help="Seconds to wait for key holders without an answer.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first line that may not be matched.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]

_SETTINGS, _STATE = Path("share.toml"), Path("match")


@app.command()
def classes(
    days: Annotated[int, typer.Option(min=1, max=100, help="Days of an epoch.")] = 30,
    members: Annotated[int, typer.Option(min=1, help="Members that put their quotas together.")] = 1,
    as_json: Json = False,
) -> None:
    """Tell which identifiers are matched, and how long guessing them takes under the quotas."""
    from spiritsafe.sharing.matching.classes import CLASSES, NEVER, PUBLIC, ceiling, exposure  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    for one in CLASSES.values():
        quota = ceiling(one, days)
        row: dict[str, Any] = {
            "class": one.name,
            "version": one.version,
            "of": one.of,
            "quota": quota,
            "space": one.space,
        }
        if one.space is not None and quota:
            found = exposure(one.space, quota, days, members)
            row |= {"days_for_all": found.days, "share_in_an_epoch": found.share}
        rows.append(row)
    for name, space in PUBLIC.items():
        rows.append({"class": name, "public": True, "space": space, "days_for_all_at_50000": space / 50_000})
    text = "\n".join(
        [
            *(f"{row['class']:13} {_quota(row)}" for row in rows),
            *(f"{name:13} never: {why}" for name, why in NEVER.items() if name not in PUBLIC),
        ]
    )
    _tell({"days": days, "members": members, "classes": rows, "never": NEVER}, text, as_json)


@app.command()
def trust(
    settings: SettingsFile = _SETTINGS,
    state: StateFolder = _STATE,
    accept: Annotated[
        bool, typer.Option("--accept", help="Take the changes into the roster, after you looked at each.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the hub's directory with the roster of members that count here; take it over with --accept."""
    from spiritsafe.sharing.matching import roster  # noqa: PLC0415 - a fast --help

    kept, remote = _state(state), _remote(_settings(settings))
    path = kept.path(_ROSTER)
    ours = roster.load(path) if path.exists() else roster.Roster([])
    theirs = remote.directory()
    lines = roster.changes(ours, theirs)
    if accept:
        kept.keep(theirs.written(), _ROSTER)
    tail = (
        []
        if not lines
        else [f"taken into {path}"]
        if accept
        else ["nothing is taken yet: check each with the forum, then --accept"]
    )
    _tell(
        {"changes": lines, "accepted": accept},
        "\n".join([*(lines or ["the roster is the directory"]), *tail]),
        as_json,
    )


@app.command()
def propose(
    least: Annotated[
        int, typer.Option(min=2, help="k: members that must hold an identifier before it is disclosed.")
    ],
    settings: SettingsFile = _SETTINGS,
    state: StateFolder = _STATE,
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

    known = _settings(settings)
    remote, members, now = _remote(known), _roster(state), _now()
    holding = [
        one for one in members.members.values() if HOLDER in one.roles and (not holder or one.name in holder)
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
        "valid_from": now + starts_in * DAY,
        "valid_until": now + (starts_in + days) * DAY,
        "opened": now,
    }
    proposed(body, members)
    statement = sign("proposal", body, key)
    remote.propose(statement)
    text = (
        f"ceremony {statement.id[:8]}, number {body['number']}: {body['threshold']} of {len(holding)} holders"
    )
    _tell({"ceremony": statement.id, **body}, text, as_json)


@app.command()
def hold(
    settings: SettingsFile = _SETTINGS,
    state: StateFolder = _STATE,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks for work.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Do what there is to do now, then end.")] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Never write shares down: they are gone with the process.")
    ] = False,
) -> None:
    """Hold a share of the key: take part in ceremonies, evaluate, destroy shares that are over."""
    from spiritsafe.attest import keys  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.matching.remote import HubError  # noqa: PLC0415
    from spiritsafe.sharing.matching.worker import Worker  # noqa: PLC0415

    known = _settings(settings)
    key, members, remote = keys.load(known.needs_key()), _roster(state), _remote(known)
    me = members.who(key.public_key()).id
    worker = Worker(remote, me, key, members, _state(state), remote.audience, _now, memory=memory, told=_say)
    try:
        while True:
            try:
                done = worker.round()
            except HubError as error:
                if once:
                    raise
                _say(error.message)
                done = 0
            if once and not done:
                return
            if not done:
                time.sleep(every)
    except KeyboardInterrupt:
        return
    finally:
        worker.close()


@app.command()
def epoch(settings: SettingsFile = _SETTINGS, state: StateFolder = _STATE, as_json: Json = False) -> None:
    """Tell which epoch is in force, who holds shares of it, what was asked, and how the last ceremonies went."""
    session = _session(settings, state)
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
        f"{found.proposal.threshold} of {', '.join(named(one) for one in found.proposal.holders)}; k = {found.proposal.least}",
        *(f"{name:13} {rule.quota:>9,} a day" for name, rule in sorted(found.proposal.classes.items())),
        *(
            f"asked   {named(member):16} {name:13} {count:>9,}"
            for (member, name), count in sorted(asked.items())
        ),
        *(f"ceremony {one['number']} {one['state']} {one['why']}" for one in ceremonies),
    ]
    told = [
        {"member": member, "class": name, "count": count} for (member, name), count in sorted(asked.items())
    ]
    _tell(
        {"epoch": found.id, "rules": body, "asked": told, "ceremonies": ceremonies}, "\n".join(lines), as_json
    )


@app.command()
def tokens(
    values: Values,
    out: Annotated[Path, typer.Option(help="Folder for tags.jsonl.")],
    settings: SettingsFile = _SETTINGS,
    state: StateFolder = _STATE,
    purpose: Purpose = None,
    processes: Processes = 1,
    wait: Wait = 120.0,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Get tokens and write tags.jsonl, to commit to with `share joint commit`. Nothing is posted."""
    session = _session(settings, state, purpose, processes=processes, wait=wait)
    own = _own(session, _read(values, strict))
    _tags(out, own)
    _tell({"tokens": len(own.tokens)}, f"{len(own.tokens)} tokens, tags in {out / 'tags.jsonl'}", as_json)


@app.command()
def run(
    values: Values,
    out: Annotated[Path, typer.Option(help="Folder for matches.json, tags.jsonl and matched.jsonl.")],
    settings: SettingsFile = _SETTINGS,
    state: StateFolder = _STATE,
    facts: Annotated[
        Path | None,
        typer.Option(
            help="What may be disclosed of each candidate: JSON by candidate id.", show_default=False
        ),
    ] = None,
    purpose: Purpose = None,
    least: Least = 0,
    processes: Processes = 1,
    wait: Wait = 120.0,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Get tokens, post tags, look what enough others hold, disclose it to them. Run it again to see what they answer."""
    from spiritsafe.sharing.matching.result import met  # noqa: PLC0415 - a fast --help

    told = _facts(facts)
    session = _session(settings, state, purpose, least=least, processes=processes, wait=wait)
    own = _own(session, _read(values, strict))
    session.post(own)
    found = session.collect(own, told)
    _tags(out, own)
    _write(out / "matched.jsonl", met(found.shared, found.told))
    _write_text(out / "matches.json", json.dumps(found.content, indent=1) + "\n")
    groups = found.content["groups"]
    lines = [
        f"{len(own.tokens)} tokens posted; {len(groups)} groups are held by at least {found.content['k']} members",
        *(
            f"{', '.join(one['candidates'][:4])}: "
            + "; ".join(f"{other['pseudonym']} {_shared(other['shared'])}" for other in one["counterparts"])
            for one in groups
        ),
        *([f"waiting for {', '.join(found.content['waiting'])}"] if found.content["waiting"] else []),
        *(f"WRONG {name}: {why}" for name, why in found.content["wrong"].items()),
    ]
    _tell(found.content, "\n".join(lines), as_json)


@app.command()
def withdraw(
    settings: SettingsFile = _SETTINGS,
    state: StateFolder = _STATE,
    purpose: Purpose = None,
    as_json: Json = False,
) -> None:
    """Take back the tags of this epoch and the messages about them."""
    _session(settings, state, purpose).withdraw()
    _tell({"withdrawn": True}, "withdrawn; what others have read already, they have read", as_json)


@app.command()
def compare(
    values: Values,
    ask: Annotated[
        list[str] | None, typer.Option("--ask", help="Name of a member to compare with.", show_default=False)
    ] = None,
    settings: SettingsFile = _SETTINGS,
    state: StateFolder = _STATE,
    purpose: Purpose = None,
    as_json: Json = False,
) -> None:
    """Compare with one member at a time, without the hub knowing what: to check it, or to learn what two hold.

    Offers to those that --ask names, answers to who asked, and tells what earlier offers have found.
    """
    session = _session(settings, state, purpose)
    own = _own(session, _read(values, strict=False))
    names = {one.name: one.id for one in session.roster.members.values()}
    for name in ask or []:
        if name not in names:
            raise UsageError(f"there is no member {name!r} in the roster", where="--ask")
        session.offer(own, names[name])
    answered = [session.roster.member(one).name for one in session.reply(own)]
    found = {
        session.roster.member(other).name: sorted({one for tag in tags for one in own.candidates[tag]})
        for other, tags in session.compared(own).items()
    }
    lines = [
        *(f"offered to {name}" for name in ask or []),
        *(f"answered {name}" for name in answered),
        *(
            f"{name} holds identifiers of {', '.join(candidates) or 'none'}"
            for name, candidates in found.items()
        ),
    ]
    _tell(
        {"offered": ask or [], "answered": answered, "common": found},
        "\n".join(lines) or "nobody has answered yet",
        as_json,
    )


@app.command()
def end(settings: SettingsFile = _SETTINGS, state: StateFolder = _STATE, as_json: Json = False) -> None:
    """Destroy tokens and keys of epochs that are over."""
    done = _session(settings, state).end()
    _tell(
        {"destroyed": done},
        "\n".join(f"destroyed epoch {one}" for one in done) or "no epoch is over",
        as_json,
    )


_ROSTER = "roster.json"


def _settings(path: Path) -> Member:
    from spiritsafe.sharing.client.settings import read  # noqa: PLC0415 - a fast --help

    return read(path)


def _state(folder: Path) -> Any:
    from spiritsafe.sharing.matching.state import State  # noqa: PLC0415 - a fast --help

    return State(folder)


def _roster(folder: Path) -> Any:
    from spiritsafe.sharing.matching.roster import load  # noqa: PLC0415 - a fast --help

    return load(folder / _ROSTER)


def _remote(settings: Member) -> Remote:
    from spiritsafe.attest import keys  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.matching.remote import Remote, secured  # noqa: PLC0415

    hub = settings.needs_hub()
    files = [str(one) if one else None for one in (hub.ca, hub.certificate, hub.certificate_key)]
    client = secured(*files, timeout=hub.timeout / 1_000_000)
    return Remote(hub.url, keys.load(settings.needs_key()), _now, log_key=hub.log_key, client=client)


def _session(
    settings: Path,
    state: Path,
    purpose: str | None = None,
    *,
    least: int = 0,
    processes: int = 1,
    wait: float = 120.0,
) -> Session:
    from spiritsafe.attest import keys  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.matching.session import Session  # noqa: PLC0415

    known = _settings(settings)
    key, members, remote = keys.load(known.needs_key()), _roster(state), _remote(known)
    return Session(
        remote, members.who(key.public_key()).id, key, members, _state(state), remote.audience,
        purpose or known.terms.purpose, _now, time.sleep, least, processes, wait, _say,
    )  # fmt: skip


def _own(session: Session, found: Identifiers) -> Own:
    """Tokens; what this epoch has no class for stays out and is told."""
    for name in sorted(found.held.keys() - session.epoch.proposal.classes.keys()):
        _say(f"this epoch has no class {name}: {len(found.held.pop(name))} identifiers stay out")
    return session.own(found)


def _read(path: Path, strict: bool) -> Identifiers:
    from spiritsafe.sharing.matching.identifiers import read  # noqa: PLC0415 - a fast --help

    found = read(path / "identifiers.jsonl" if path.is_dir() else path, strict=strict)
    for why, count in Counter(one.message for one in found.aside).items():
        _say(f"{count} set aside: {why}")
    if not len(found):
        raise UsageError("there is nothing to match", where=str(path))
    return found


def _facts(path: Path | None) -> dict[str, Any]:
    from spiritsafe.sharing.matching.disclosure import facts  # noqa: PLC0415 - a fast --help

    if path is None:
        return {}
    try:
        table = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            "the facts cannot be read", where=str(path), hint="JSON: facts by candidate id"
        ) from error
    if not isinstance(table, dict):
        raise UsageError("facts are JSON by candidate id", where=str(path))
    return {name: facts(one, f"{path}: {name}") for name, one in table.items()}


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


def _quota(row: dict[str, Any]) -> str:
    if row.get("public"):
        return f"public: all {row['space']:,} are guessed in {row['days_for_all_at_50000']:.1f} days at 50,000 a day"
    head = f"{row['quota']:>8,} a day  {row['of']}"
    if row["space"] is None:
        return f"{head}; a guess is a whole text"
    if "days_for_all" not in row:
        return f"{head}; too small for an epoch of this length"
    years = row["days_for_all"] / 365
    time_ = f"{years:,.0f} years" if years >= 2 else f"{row['days_for_all']:,.0f} days"
    return f"{head}; {row['space']:,} of them take {time_}, {row['share_in_an_epoch']:.2g} in an epoch"


def _shared(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _tags(out: Path, own: Own) -> None:
    from spiritsafe.sharing.matching.result import tagged  # noqa: PLC0415 - a fast --help

    _write(out / "tags.jsonl", tagged(own.tokens, own.values, own.candidates))


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    _write_text(path, "".join(json.dumps(one, sort_keys=True) + "\n" for one in lines))


def _write_text(path: Path, text: str) -> None:
    from spiritsafe.orders.snapshot import replace_file  # noqa: PLC0415 - a fast --help

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SharingError(f"the folder cannot be made: {error.strerror}", where=str(path.parent)) from error
    replace_file(path, text.encode())


def _now() -> int:
    return time.time_ns() // 1_000


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def _tell(table: dict[str, Any], text: str, as_json: bool) -> None:
    sys.stdout.write((json.dumps(table, sort_keys=True) if as_json else text) + "\n")
