"""The verbs of ``spiritsafe transparency``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from spiritsafe._cases_cli.shared import By, Json, Out, moment, now, tell
from spiritsafe.errors import UsageError

app = typer.Typer(
    help="Tell the public: orders, appeals, what was overturned, how often it was wrong.",
    no_args_is_help=True,
)

Cases = Annotated[Path, typer.Option("--cases", help="Folder that holds folders of cases.")]
LedgerFile = Annotated[
    Path | None, typer.Option("--ledger", help="The ledger that orders and draws are recorded in.")
]


@app.command()
def draw(
    cases: Cases,
    out: Out,
    count: Annotated[int, typer.Option(min=1, help="How many accounts to draw.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw; fix it before you look.")],
    by: By,
    ledger: LedgerFile = None,
    as_json: Json = False,
) -> None:
    """Draw accused accounts at random for an audit: a sheet that somebody fills in who did not decide."""
    from spiritsafe.cases import folder, transparency  # noqa: PLC0415 - a fast --help
    from spiritsafe.ledger import Ledger  # noqa: PLC0415

    found = [folder.open_case(one.folder) for one in folder.listed(cases)]
    rows = transparency.draw(found, count, seed=seed)
    if out.exists():
        raise UsageError("the sheet exists already and is kept", where=str(out))
    if ledger:
        with Ledger(ledger) as book:
            body = {"seed": seed, "count": count, "drawn": transparency.drawn(rows), "by": by}
            book.append(transparency.DRAWN, body, time=now())
    out.write_text(transparency.sheet(rows), "utf-8")
    out.chmod(0o600)
    tell({"sheet": str(out), "drawn": len(rows)}, f"{out}: {len(rows)} accounts to judge", as_json)


@app.command()
def report(
    cases: Cases,
    out: Annotated[
        Path | None, typer.Option(help="Page to write (.html); the JSON stands beside it.")
    ] = None,
    ledger: LedgerFile = None,
    audit: Annotated[Path | None, typer.Option(help="An audit sheet that was filled in.")] = None,
    since: Annotated[str | None, typer.Option(help="From this time on (RFC 3339).")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time (RFC 3339).")] = None,
    least: Annotated[int, typer.Option(min=1, help="Counts of customers below this are not told.")] = 5,
    as_json: Json = False,
) -> None:
    """Write the transparency report of a period."""
    from spiritsafe.cases import folder, transparency  # noqa: PLC0415
    from spiritsafe.orders.snapshot import replace_file  # noqa: PLC0415

    summaries = folder.listed(cases)
    broken = [one for one in summaries if one.fault]
    if broken:
        raise UsageError(f"a case cannot be opened: {broken[0].fault}", where=str(broken[0].folder))
    found = [folder.open_case(one.folder) for one in summaries]
    told = transparency.report(
        found, ledger, since=moment(since, "--since") or 0, until=moment(until, "--until") or now(),
        audit=transparency.audited(audit, found, ledger) if audit else None, least=least,
    )  # fmt: skip
    if out is not None:
        replace_file(out, transparency.page(told).encode())
        replace_file(out.with_suffix(".json"), json.dumps(told, indent=1, sort_keys=True).encode() + b"\n")
    tell(told, "\n".join([*transparency.words(told), *([str(out)] if out else [])]), as_json)
