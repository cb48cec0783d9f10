"""``spiritsafe console init``: a folder to begin with."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from spiritsafe.errors import UsageError

_CONSOLE = """\
# What the operator of this console decides: docs/console.md. Paths start at this file.
title = "Spiritsafe"

[orders]
policy = "policy.toml"      # better the gateway's own policy file
signer = "signer.key"

[cases]
folder = "cases"
records = {records}   # the log that was scanned: who is behind an account, and what a case rests on
"""
_POLICY = """\
# Who signs, who approves, which measures a campaign's evidence carries: docs/orders.md.
[orders]
file = "orders.json"
signer = "{signer}"

[approvers]                 # name = "ed25519:…", as each person's own page of the console shows it

[ladder]
approvals = {{ refuse = 1, suspend = 2 }}

[[ladder.steps]]
response = "budget"
scope = "streams"
bits = 10
lifetime = "14d"
parameters = {{ exchanges = 60, seconds = 3600 }}

[[ladder.steps]]
response = "withhold_reasoning"
scope = "streams"
bits = 20
lifetime = "30d"

[[ladder.steps]]
response = "suspend"
scope = "accounts"
bits = 20
lifetime = "30d"
"""


def init(
    data: Annotated[Path, typer.Option("--data", help="Folder to make.")] = Path("console-data"),
    records: Annotated[
        list[Path] | None, typer.Option(help="The log that was scanned; again for more.", show_default=False)
    ] = None,
) -> None:
    """Make a console's folder: console.toml, a policy to begin with, a key that signs orders."""
    from spiritsafe._console_cli.running import folder_of  # noqa: PLC0415
    from spiritsafe.attest import keys  # noqa: PLC0415
    from spiritsafe.console.settings import FILE  # noqa: PLC0415 - an extra
    from spiritsafe.orders.snapshot import replace_file  # noqa: PLC0415

    if (data / FILE).exists():
        raise UsageError("there is a console already", where=str(data / FILE))
    folder_of(data)
    signer = data / "signer.key"
    public = keys.public(keys.load(signer)) if signer.exists() else keys.make(signer)
    if not (data / "policy.toml").exists():
        replace_file(data / "policy.toml", _POLICY.format(signer=public).encode())
    named = json.dumps([os.path.relpath(one, data) for one in records or ()])
    replace_file(data / FILE, _CONSOLE.format(records=named).encode())
    sys.stdout.write(
        f"{data / FILE}, policy.toml and signer.key are there\nspiritsafe console RESULTS --data {data}\n"
    )
