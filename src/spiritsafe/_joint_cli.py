"""The verbs of ``spiritsafe share joint``: commit to evidence, open what matched, decide together, look back."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from spiritsafe.sharing.joint.rules import Rules

app = typer.Typer(
    help="Find with other providers what none of you finds alone; nobody opens a log.", no_args_is_help=True
)

Results = Annotated[Path, typer.Option("--results", help="Folder that a scan wrote.")]
Tags = Annotated[Path, typer.Option("--tags", help="Tags of the identifiers, as private matching gave them.")]
Members = Annotated[Path, typer.Option("--members", help="Roster of the forum.")]
RulesFile = Annotated[
    Path | None, typer.Option("--rules", help="Rules of the round; the usual ones when absent.")
]
Key = Annotated[Path, typer.Option("--key", help="File of this member's private key.")]
Secret = Annotated[Path, typer.Option("--secret", help="File of the round's secret.")]
Forum = Annotated[str, typer.Option("--forum", help="Name of the forum.")]
Round = Annotated[str, typer.Option("--round", help="Name of the round.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.command()
def commit(
    tags: Tags,
    members: Members,
    key: Key,
    forum: Forum,
    round: Round,
    out: Annotated[Path, typer.Option(help="The signed commitment to write.")],
    secret: Annotated[Path, typer.Option(help="The secret to write: needed to open, shown to nobody.")],
    facts: Annotated[
        Path | None,
        typer.Option(help="Write what private matching discloses of each candidate: its commitment."),
    ] = None,
    results: Results = Path("out"),
    rules: RulesFile = None,
    as_json: Json = False,
) -> None:
    """Commit to the evidence of every candidate that the scan tested, before anybody opens theirs."""
    from spiritsafe.attest import keys  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.joint import files, own  # noqa: PLC0415

    content = files.tested(results)
    held = files.tags(tags, content)
    private = keys.load(key)
    by = files.whose(private.public_key(), files.members(members), str(key))
    hidden = files.new_secret(secret)
    candidates = own.prepared(content, held, hidden)
    body = own.commitment(
        candidates,
        own.Place(forum, round, by),
        _rules(rules),
        fingerprint_version=content["fingerprint_version"],
        secret=hidden,
        now=time.time_ns() // 1_000,
    )
    _write(out, own.signed_commitment(body, private))
    names = {one.candidate_id: {"commitment": one.name} for one in candidates}
    if facts is not None:
        _write(facts, names)
    _tell(
        {"committed": len(names), "out": str(out)},
        f"{len(names)} candidates committed in {out}; keep {secret} until the round is over",
        as_json,
    )


@app.command(name="open")
def open_(
    tags: Tags,
    matched: Annotated[Path, typer.Option(help="Tags that matched, and who else holds them.")],
    commitment: Annotated[Path, typer.Option(help="The signed commitment.")],
    members: Members,
    key: Key,
    secret: Secret,
    out: Annotated[Path, typer.Option(help="The signed opening to write.")],
    results: Results = Path("out"),
    as_json: Json = False,
) -> None:
    """Open the evidence of the candidates that matched, and of no others."""
    from spiritsafe.attest import keys  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.joint import files, own, statements  # noqa: PLC0415

    content = files.tested(results)
    candidates = own.prepared(content, files.tags(tags, content), files.secret(secret))
    common, met = files.matched(matched)
    base = statements.opened(files.envelope(commitment), files.members(members))
    body = own.opening(candidates, common, met, base.body)
    _write(out, own.signed_opening(body, keys.load(key)))
    opened = len(body["candidates"])
    _tell(
        {"opened": opened, "of": len(candidates), "out": str(out)},
        f"{opened} of {len(candidates)} candidates opened in {out}",
        as_json,
    )


@app.command()
def decide(
    statements: Annotated[list[Path], typer.Argument(help="Commitments and openings of all labs.")],
    members: Members,
    forum: Forum,
    round: Round,
    rules: RulesFile = None,
    out: Annotated[Path | None, typer.Option(help="The decision to write, as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Decide from signed statements alone: any member gets the same bytes."""
    from spiritsafe.sharing.joint import files  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.joint.decide import decide as decided  # noqa: PLC0415

    result = decided(
        files.statements(statements), files.members(members), _rules(rules), forum=forum, round=round
    )
    if out is not None:
        _write(out, result)
    _tell(result, _decision(result), as_json)


@app.command()
def adopt(
    decision: Annotated[Path, typer.Argument(help="A decision that this member computed.")],
    facts: Annotated[Path, typer.Option(help="Commitments by candidate, as `commit --facts` wrote them.")],
    members: Members,
    key: Key,
    out: Annotated[Path, typer.Option(help="File for `spiritsafe scan --jointly`.")],
    as_json: Json = False,
) -> None:
    """Take over what was decided about this member's own candidates: a scan of the same log then tells them."""
    from spiritsafe.attest import keys  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.joint import files, own  # noqa: PLC0415

    by = files.whose(keys.load(key).public_key(), files.members(members), str(key))
    found = own.adopted(files.envelope(decision), files.envelope(facts), by)
    _write(out, {"schema": 1, "jointly": found})
    names = ", ".join(one["candidate_id"] for one in found) or "none"
    _tell({"adopted": found}, f"{len(found)} candidates adopted: {names}", as_json)


@app.command()
def record(
    decisions: Annotated[list[Path], typer.Argument(help="Decisions of earlier rounds, the oldest first.")],
    refuted: Annotated[
        list[str] | None, typer.Option(help="A group that was found innocent since.", show_default=False)
    ] = None,
    level: Annotated[
        float, typer.Option(min=1e-9, max=0.5, help="Chance that any honest lab is ever flagged.")
    ] = 0.01,
    as_json: Json = False,
) -> None:
    """Look back at whose opened evidence was systematically too large."""
    from dataclasses import asdict  # noqa: PLC0415 - a fast --help

    from spiritsafe.sharing.joint import files, honesty  # noqa: PLC0415

    entries = [entry for path in decisions for entry in honesty.history(files.envelope(path), refuted or ())]
    found = honesty.records(entries, level=level)
    rows = [
        f"{'FLAGGED ' if one.flagged else 'in order'}  {one.by}  {one.bits:8.2f} bits  "
        f"{one.refuted} of {one.matched} refuted in {one.rounds} rounds"
        for one in found
    ]
    _tell({"records": [asdict(one) for one in found]}, "\n".join(rows) or "no lab took part", as_json)


def transparency(
    members: Members,
    start: Annotated[str, typer.Option("--from", help="First day of the period, 2026-01-01.")],
    end: Annotated[str, typer.Option("--to", help="Day after the period.")],
    objects: Annotated[
        list[Path] | None, typer.Argument(help="STIX bundles or lines of objects; absent: what was pulled.")
    ] = None,
    config: Annotated[Path, typer.Option(help="This member's settings, for what was pulled.")] = Path(
        "share.toml"
    ),
    out: Annotated[Path | None, typer.Option(help="Write the page: .md for Markdown, else JSON.")] = None,
    decision: Annotated[
        list[Path] | None, typer.Option(help="Joint decisions of the period.", show_default=False)
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="With differential privacy; exact for members when absent.")
    ] = False,
    ledger: Annotated[
        Path | None, typer.Option(help="Ledger of what was published; needed with --public.")
    ] = None,
    epsilon: Annotated[float, typer.Option(min=1e-3, help="Epsilon of each section of a period.")] = 1.0,
    unit: Annotated[str, typer.Option(help="Unit of privacy: member or object.")] = "member",
    cap: Annotated[int, typer.Option(min=1, help="Objects of one member that count in a section.")] = 20,
    budget: Annotated[float, typer.Option(min=1e-3, help="Epsilon of all periods together.")] = 16.0,
    as_json: Json = False,
) -> None:
    """Report what the forum shared, saw, disputed and took back: exact among members, or for the public."""
    from spiritsafe.ledger import Ledger, entries  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing import transparency as room  # noqa: PLC0415
    from spiritsafe.sharing.joint import files  # noqa: PLC0415

    period = room.Period(start, end)
    known = len(files.members(members))
    everything = files.objects(objects) if objects else _pulled(config)
    if not public:
        rounds = [files.envelope(path) for path in decision or ()]
        page = room.among_members(everything, period, members=known, rounds=rounds)
    elif ledger is None:
        raise UsageError(
            "a public page needs --ledger", hint="what was published, and what it cost, is kept there"
        )
    else:
        privacy = room.Privacy(epsilon, unit, cap, budget)
        with Ledger(ledger) as book:
            page = room.to_the_public(
                everything,
                period,
                book,
                list(entries(ledger)),
                members=known,
                privacy=privacy,
                now=time.time_ns() // 1_000,
            )
    if out is not None:
        from spiritsafe.orders.snapshot import replace_file  # noqa: PLC0415

        plain = json.dumps(page, indent=1, sort_keys=True) + "\n"
        replace_file(out, (room.as_text(page) if out.suffix == ".md" else plain).encode())
    _tell(page, room.as_text(page), as_json)


def _pulled(config: Path) -> list[dict[str, Any]]:
    from spiritsafe.sharing.client import settings  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.client.state import State  # noqa: PLC0415

    with State(settings.read(config).needs_folder()) as state:
        return [dict(one.stix) for one in state.everything()]


def _rules(path: Path | None) -> Rules:
    from spiritsafe.sharing.joint import rules  # noqa: PLC0415

    return rules.read(path) if path else rules.Rules()


def _decision(result: dict[str, Any]) -> str:
    lines = [
        f"{result['campaigns']} campaigns in {result['hypotheses']} groups; an accusation needs {result['bar_bits']:.1f} bits"
    ]
    for group in result["groups"]:
        if group["label"] is None:
            continue
        bears = f"bears {group['tolerates']} liars" if group["tolerates"] is not None else group["why"]
        lines.append(f"{group['label']:12} {group['group_id']}  {group['bits']:.1f} bits  {bears}")
        lines += [
            f"  {one['by']}  {one['state']}  {'–' if one['bits'] is None else format(one['bits'], '.1f')} bits"
            + ("  could have stopped it" if one["could_stop"] else "")
            for one in group["members"]
        ]
    lines += [f"set aside: {one['why']}  {one['by']}" for one in result["refused"]]
    lines += [f"committed twice: {by}" for by in result["double"]]
    return "\n".join(lines)


def _write(path: Path, value: object) -> None:
    from spiritsafe.orders.snapshot import replace_file  # noqa: PLC0415

    replace_file(path, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n")


def _tell(table: dict[str, Any], text: str, as_json: bool) -> None:
    sys.stdout.write((json.dumps(table, sort_keys=True) if as_json else text) + "\n")
