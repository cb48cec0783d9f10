"""The verbs of ``spiritsafe case``: what an investigator assembles, seals, hands on and answers for."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe._cases_cli import adding, appealing, sealing, transparent
from spiritsafe._cases_cli.shared import By, Folder, Json, Why, now, tell
from spiritsafe.errors import UsageError
from spiritsafe.orders.content import rfc3339

if TYPE_CHECKING:
    from spiritsafe.cases.folder import Case

app = typer.Typer(help="Assemble, seal, check and answer for a case.", no_args_is_help=True)
app.add_typer(adding.app, name="add")
app.add_typer(appealing.app, name="appeal")
app.add_typer(sealing.app)
transparency = transparent.app


@app.command()
def new(
    case: Folder,
    title: Annotated[str, typer.Option(help="What the case is called.")],
    claim: Annotated[str, typer.Option(help="What is claimed, in plain words.")],
    by: By,
    why: Why,
    name: Annotated[str | None, typer.Option("--id", help="Its number; drawn when absent.")] = None,
    as_json: Json = False,
) -> None:
    """Open a case in a new folder."""
    from spiritsafe.cases import folder  # noqa: PLC0415 - a fast --help

    number = name or f"case-{secrets.token_hex(5)}"
    made = folder.create(case, case_id=number, title=title, claim=claim, by=by, why=why, now=now())
    tell(_told(made), f"{made.case_id} is open in {case}", as_json)


@app.command()
def show(case: Folder, as_json: Json = False) -> None:
    """Tell what is in a case, who added it, when and why."""
    from spiritsafe.cases import folder  # noqa: PLC0415

    found = folder.open_case(case)
    rows = [f"{found.case_id}  {found.title}  ({found.status})"]
    rows += [f"{rfc3339(one.time)}  {one.name:20} {one.by}: {one.why}" for one in found.items]
    tell(_told(found), "\n".join(rows), as_json)


@app.command("list")
def listing(
    root: Annotated[Path, typer.Argument(help="Folder that holds folders of cases.")],
    as_json: Json = False,
) -> None:
    """List the cases below a folder, the one changed last first."""
    from spiritsafe.cases import folder  # noqa: PLC0415

    found = folder.listed(root)
    rows = [f"{one.case_id}  {one.status:10} {one.items:4} items  {one.title}{one.fault}" for one in found]
    table = [
        {"case": one.case_id, "title": one.title, "status": one.status, "folder": str(one.folder), "items": one.items,
         "fault": one.fault} for one in found
    ]  # fmt: skip
    tell({"cases": table}, "\n".join(rows) or "no case here", as_json)


@app.command("loss")
def estimate_loss(
    case: Folder,
    prices: Annotated[Path, typer.Option(help="Your price book (docs/loss.md).")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    by: Annotated[str | None, typer.Option(help="Who does this; with --why the estimate is added.")] = None,
    why: Annotated[str | None, typer.Option(help="Why, for the case's ledger.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what was taken, by four methods, as ranges. With --by and --why it becomes part of the case."""
    from spiritsafe.cases import folder, loss  # noqa: PLC0415
    from spiritsafe.cases import prices as room  # noqa: PLC0415

    if (by is None) != (why is None):
        raise UsageError(
            "--by and --why go together", hint="both add the estimate to the case, neither shows it"
        )
    found, book = folder.open_case(case), room.read(prices)
    usage = loss.usage_of(found)
    result = loss.estimate(usage, book, seed=seed)
    text = "\n".join(loss.words(result))
    if by and why:
        made = loss.add(case, usage, result, prices, by=by, why=why, now=now())
        text += f"\nadded as {made.name}"
    tell(result, text, as_json)


def _told(case: Case) -> dict[str, Any]:
    return {
        "case": case.case_id, "title": case.title, "claim": case.claim, "status": case.status, "head": case.head,
        "items": [
            {"item": one.name, "kind": one.kind, "time": rfc3339(one.time), "by": one.by, "why": one.why,
             "about": dict(one.about)} for one in case.items
        ],
    }  # fmt: skip
