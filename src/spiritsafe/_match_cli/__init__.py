"""The verbs of ``spiritsafe share match``: find with other laboratories what enough of you hold already."""

from __future__ import annotations

import typer

from spiritsafe._match_cli import holding, running

app = typer.Typer(
    help="Match identifiers with other providers; each learns only what at least k of you hold.",
    no_args_is_help=True,
)
for verb in (*holding.VERBS, *running.VERBS):
    app.command()(verb)
