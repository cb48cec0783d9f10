"""The verbs of ``spiritsafe share``: what this member tells others, what it takes from them, and what it owes them."""

from __future__ import annotations

import typer

from spiritsafe._share_cli import exchange, redress

app = typer.Typer(help="Warn other providers, and hear their warnings.", no_args_is_help=True)
for verb in (*exchange.VERBS, *redress.VERBS):
    app.command()(verb)
