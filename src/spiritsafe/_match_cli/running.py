"""The verbs that match: tokens, runs, withdrawal, comparing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe._match_cli.setting import (
    SETTINGS,
    STATE,
    Json,
    Least,
    Processes,
    Purpose,
    SettingsFile,
    StateFolder,
    Strict,
    Values,
    Wait,
    say,
    sitting,
    tell,
)
from spiritsafe.errors import SharingError, UsageError

if TYPE_CHECKING:
    from spiritsafe.sharing.matching.identifiers import Identifiers
    from spiritsafe.sharing.matching.session import Own, Session


def tokens(
    values: Values,
    out: Annotated[Path, typer.Option(help="Folder for tags.jsonl.")],
    settings: SettingsFile = SETTINGS,
    state: StateFolder = STATE,
    purpose: Purpose = None,
    processes: Processes = 1,
    wait: Wait = 120.0,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Get tokens and write tags.jsonl, to commit to with `share joint commit`. Nothing is posted."""
    with sitting(settings, state, purpose, processes=processes, wait=wait) as session:
        own = _own(session, _read(values, strict))
        _tags(out, own)
        tell({"tokens": len(own.tokens)}, f"{len(own.tokens)} tokens, tags in {out / 'tags.jsonl'}", as_json)


def run(
    values: Values,
    out: Annotated[Path, typer.Option(help="Folder for matches.json, tags.jsonl and matched.jsonl.")],
    settings: SettingsFile = SETTINGS,
    state: StateFolder = STATE,
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
    with sitting(settings, state, purpose, least=least, processes=processes, wait=wait) as session:
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
                + "; ".join(
                    f"{other['pseudonym']} {_shared(other['shared'])}" for other in one["counterparts"]
                )
                for one in groups
            ),
            *([f"waiting for {', '.join(found.content['waiting'])}"] if found.content["waiting"] else []),
            *(f"WRONG {name}: {why}" for name, why in found.content["wrong"].items()),
        ]
        tell(found.content, "\n".join(lines), as_json)


def withdraw(
    settings: SettingsFile = SETTINGS,
    state: StateFolder = STATE,
    purpose: Purpose = None,
    as_json: Json = False,
) -> None:
    """Take back the tags of this epoch and the messages about them."""
    with sitting(settings, state, purpose) as session:
        session.withdraw()
        tell({"withdrawn": True}, "withdrawn; what others have read already, they have read", as_json)


def compare(
    values: Values,
    ask: Annotated[
        list[str] | None, typer.Option("--ask", help="Offer to compare with this member.", show_default=False)
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option("--answer", help="Answer the offer of this member.", show_default=False),
    ] = None,
    settings: SettingsFile = SETTINGS,
    state: StateFolder = STATE,
    purpose: Purpose = None,
    as_json: Json = False,
) -> None:
    """Compare with one member at a time, without the hub knowing what: to check it, or to learn what two hold.

    Who asks learns what both hold, even where the forum's k is larger than two; so each answer is given by name.
    """
    with sitting(settings, state, purpose) as session:
        own = _own(session, _read(values, strict=False))
        names = {one.name: one.id for one in session.roster.members.values()}
        for name in (*(ask or ()), *(answer or ())):
            if name not in names:
                raise UsageError(f"there is no member {name!r} in the roster")
        for name in ask or ():
            session.offer(own, names[name])
        for name in answer or ():
            session.reply(own, names[name])
        waiting = [session.roster.member(one).name for one in session.asked()]
        found = {
            session.roster.member(other).name: sorted({one for tag in tags for one in own.candidates[tag]})
            for other, tags in session.compared(own).items()
        }
    lines = [
        *(f"offered to {name}" for name in ask or ()),
        *(f"answered {name}" for name in answer or ()),
        *(f"{name} asks to compare: --answer {name}" for name in waiting if name not in (answer or ())),
        *(f"{name} holds identifiers of {', '.join(known) or 'none'}" for name, known in found.items()),
    ]
    table = {"offered": ask or [], "answered": answer or [], "asked": waiting, "common": found}
    tell(table, "\n".join(lines) or "nobody has asked or answered yet", as_json)


def _own(session: Session, found: Identifiers) -> Own:
    """Tokens; what this epoch has no class for stays out and is told."""
    for name in sorted(found.held.keys() - session.epoch.proposal.classes.keys()):
        say(f"this epoch has no class {name}: {len(found.held.pop(name))} identifiers stay out")
    return session.own(found)


def _read(path: Path, strict: bool) -> Identifiers:
    from spiritsafe.sharing.matching.identifiers import read  # noqa: PLC0415 - a fast --help

    found = read(path / "identifiers.jsonl" if path.is_dir() else path, strict=strict)
    for why, count in Counter(one.message for one in found.aside).items():
        say(f"{count} set aside: {why}")
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


VERBS = (tokens, run, withdraw, compare)
