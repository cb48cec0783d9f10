"""The verbs of ``spiritsafe hub``: make, run, check and keep the forum's hub, and become a member of one."""

from __future__ import annotations

from importlib.util import find_spec

import typer

from spiritsafe._hub_cli import people, running
from spiritsafe.errors import UsageError

app = typer.Typer(help="Run the forum's hub: members, objects, log, audit.", no_args_is_help=True)
for verb in (*running.VERBS, *people.VERBS):
    app.command(verb.__name__.rstrip("_"))(verb)


@app.callback()
def needs() -> None:
    """Run the forum's hub: members, objects, log, audit."""
    missing = [
        name for name in ("httptools", "httpx", "nacl", "orjson", "uvicorn") if find_spec(name) is None
    ]
    if missing:
        raise UsageError(f"this needs {', '.join(missing)}", hint="pip install 'spiritsafe[sharing]'")
