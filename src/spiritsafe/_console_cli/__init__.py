"""The verbs of ``spiritsafe console``, and ``spiritsafe up``."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from spiritsafe._console_cli import running, setting, up
from spiritsafe._console_cli.people import app as people


class _Group(TyperGroup):
    """What is no verb is a folder of results: ``spiritsafe console out/`` is ``spiritsafe console serve out/``."""

    usual = "serve"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in {"--help", "-h"}):
            args = [self.usual, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Group,
    help="Serve the console: people look at campaigns, judge them, approve measures, hear appeals. "
    "`spiritsafe console RESULTS... --data DIR` is short for `spiritsafe console serve`.",
)
app.command("serve")(running.serve)
app.command("init")(setting.init)
app.add_typer(people, name="user")
team = up.up
