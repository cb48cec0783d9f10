"""The verbs of ``spiritsafe case add``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spiritsafe._cases_cli.shared import By, Folder, Json, Memory, Threads, Why, moment, now, tell
from spiritsafe._cases_cli.shared import progress as shown
from spiritsafe.errors import UsageError
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from spiritsafe.cases.folder import Item

app = typer.Typer(help="Add something to a case.", no_args_is_help=True)


@app.command("campaign")
def add_campaign(
    case: Folder,
    by: By,
    why: Why,
    campaign: Annotated[
        list[str], typer.Option(help="A campaign id, or the beginning of one; again for more.")
    ],
    results: Annotated[Path, typer.Option(help="Folder that a scan wrote.")] = Path("out"),
    records: Annotated[
        list[str] | None,
        typer.Option(help="The log that was scanned: files, folders, globs; again for more."),
    ] = None,
    format: Annotated[str | None, typer.Option(help="Log format; told from the content when absent.")] = None,
    since: Annotated[str | None, typer.Option(help="As for the scan (RFC 3339).")] = None,
    until: Annotated[str | None, typer.Option(help="As for the scan (RFC 3339).")] = None,
    calibration: Annotated[Path | None, typer.Option(help="As for the scan.")] = None,
    memory: Memory = "3GB",
    threads: Threads = 2,
    as_json: Json = False,
) -> None:
    """Add campaigns of a scan, and the records that they rest on."""
    from spiritsafe.casework import gather  # noqa: PLC0415

    with shown(quiet=as_json) as progress:
        made = gather.add_campaign(
            case, results, campaign, by=by, why=why, now=now(), inputs=records or [], format=format,
            since=moment(since, "--since"), until=moment(until, "--until"), calibration=calibration,
            settings=Settings(memory=memory, threads=threads), **({"progress": progress} if progress else {}),
        )  # fmt: skip
    _added(made, as_json, "" if records else "without --records nothing can be computed anew from the bundle")


@app.command("finding")
def add_finding(
    case: Folder,
    proof: Annotated[Path, typer.Argument(help="Folder of a finished test (spiritsafe prove run).")],
    by: By,
    why: Why,
    ledger: Annotated[Path | None, typer.Option(help="The ledger that holds its commitments.")] = None,
    as_json: Json = False,
) -> None:
    """Add a finished test of a suspect model, with all that it rests on: keys and coins become known to readers."""
    from spiritsafe.casework import gather  # noqa: PLC0415

    _added(gather.add_finding(case, proof, by=by, why=why, now=now(), book=ledger), as_json)


@app.command("opinion")
def add_opinion(
    case: Folder,
    about: Annotated[str, typer.Option(help="What it is about: an item, a campaign, an order.")],
    judgement: Annotated[
        str, typer.Option(help="strongly-disagree, disagree, neutral, agree, strongly-agree.")
    ],
    text: Annotated[str, typer.Option(help="Your words.")],
    by: By,
    why: Why = "opinion",
    key: Annotated[Path | None, typer.Option(help="Your private key, to sign it.")] = None,
    as_json: Json = False,
) -> None:
    """Add what a person thinks. Only here may anybody be named."""
    from spiritsafe.attest import keys  # noqa: PLC0415
    from spiritsafe.cases import opinion  # noqa: PLC0415

    own = keys.load(key) if key else None
    made = opinion.add(case, about=about, judgement=judgement, text=text, by=by, why=why, now=now(), key=own)
    _added(made, as_json)


@app.command("orders")
def add_orders(
    case: Folder,
    policy: Annotated[Path, typer.Option(help="The policy file.")],
    by: By,
    why: Why,
    ledger: Annotated[Path | None, typer.Option(help="The ledger that records orders.")] = None,
    as_json: Json = False,
) -> None:
    """Add the orders that stand against the case's campaigns, with approvals and proofs of the ledger."""
    from spiritsafe.cases import measures  # noqa: PLC0415
    from spiritsafe.orders.policy import read  # noqa: PLC0415

    _added(measures.add(case, read(policy), ledger, by=by, why=why, now=now()), as_json)


@app.command("sighting")
def add_sighting(
    case: Folder,
    file: Annotated[Path, typer.Argument(help="A STIX 2.1 object or bundle, as JSON.")],
    by: By,
    why: Why,
    as_json: Json = False,
) -> None:
    """Add what a peer has seen, as it came with its signature."""
    _added(_file(case, "sighting", file, by, why), as_json)


@app.command("note")
def add_note(
    case: Folder,
    file: Annotated[Path, typer.Argument(help="Any file.")],
    by: By,
    why: Why,
    as_json: Json = False,
) -> None:
    """Add any other file: a letter, a contract, a protocol."""
    _added(_file(case, "note", file, by, why), as_json)


def _file(case: Path, kind: str, file: Path, by: str, why: str) -> Item:
    from spiritsafe.cases import folder  # noqa: PLC0415

    if not file.is_file():
        raise UsageError("there is no such file", where=str(file))
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", file.name).lstrip("._-") or "file"
    return folder.add(case, kind, by=by, why=why, now=now(), about={"file": name}, files={name[-60:]: file})


def _added(made: Item, as_json: bool, more: str = "") -> None:
    text = f"{made.name}: " + ", ".join(f"{n} ({one['leaves']:,})" for n, one in made.parts.items())
    table = {"item": made.name, "parts": dict(made.parts), "about": dict(made.about)}
    tell(table, text + (f"\n{more}" if more else ""), as_json)
