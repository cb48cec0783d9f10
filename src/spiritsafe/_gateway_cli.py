"""The verbs of ``spiritsafe gateway``: run it, keep its keys, try its orders on a recorded log."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from spiritsafe.errors import UsageError
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from spiritsafe.gateway.policy import Policy

app = typer.Typer(help="Stand before a model server: run, keys, check.", invoke_without_command=True)
keys = typer.Typer(help="The keys that bind reasoning artefacts to their owner.", no_args_is_help=True)
app.add_typer(keys, name="keys")

PolicyFile = Annotated[Path | None, typer.Option("--policy", help="The policy file.", show_default=False)]
Upstream = Annotated[
    str | None,
    typer.Option(help="Address of the model server, in place of the policy's.", show_default=False),
]
Listen = Annotated[
    str | None, typer.Option(help="host:port or unix:/path, in place of the policy's.", show_default=False)
]
Workers = Annotated[int, typer.Option(min=1, max=1_024, help="Processes that share the address.")]
Shadow = Annotated[bool, typer.Option("--shadow", help="Decide and record, enforce nothing.")]
KeyFile = Annotated[Path, typer.Argument(help="The key file.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.callback()
def gateway(
    context: typer.Context,
    policy: PolicyFile = None,
    upstream: Upstream = None,
    listen: Listen = None,
    workers: Workers = 1,
    shadow: Shadow = False,
) -> None:
    """Stand before a model server: name each caller, apply the orders, bind artefacts, write the exchange log."""
    if context.invoked_subcommand is None:
        _run(policy, upstream, listen, workers, shadow)


@app.command()
def run(
    policy: PolicyFile = None,
    upstream: Upstream = None,
    listen: Listen = None,
    workers: Workers = 1,
    shadow: Shadow = False,
) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reloads the policy. The same as without ``run``."""
    _run(policy, upstream, listen, workers, shadow)


@keys.command()
def make(path: KeyFile, as_json: Json = False) -> None:
    """Make a key file with one key."""
    from spiritsafe.gateway import keys as files  # noqa: PLC0415 - a fast --help

    files.make(path, now=_now())
    _show_keys(path, as_json)


@keys.command()
def rotate(
    path: KeyFile,
    lifetime: Annotated[str, typer.Option(help="How long the older keys still redeem.")] = "30d",
    delay: Annotated[
        str, typer.Option(help="When the new key begins: all gateways must have read it.")
    ] = "5m",
    as_json: Json = False,
) -> None:
    """Add a key; the older ones redeem what they issued for a while."""
    from spiritsafe.gateway import keys as files  # noqa: PLC0415
    from spiritsafe.orders.policy import span  # noqa: PLC0415

    files.rotate(path, now=_now(), lifetime=span(lifetime, "--lifetime"), delay=span(delay, "--delay"))
    _show_keys(path, as_json)


@keys.command()
def show(path: KeyFile, as_json: Json = False) -> None:
    """Tell each key's id and window. No secret is shown."""
    _show_keys(path, as_json)


@app.command()
def check(
    policy: Annotated[Path, typer.Argument(help="The policy file.", show_default=False)],
    logs: Annotated[list[str], typer.Argument(help="Log files, folders or globs.", show_default=False)],
    at: Annotated[
        str | None, typer.Option(help="As if it all came at this time (RFC 3339); now when absent.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="Log format; told from the content.")] = None,
    memory: Annotated[str, typer.Option(help="Memory the engine may use.")] = "3GB",
    threads: Annotated[int, typer.Option(min=1, help="Processors to use.")] = 2,
    as_json: Json = False,
) -> None:
    """Try the orders on a recorded log: what would be touched, and whose it is. Changes nothing."""
    from spiritsafe import pipeline  # noqa: PLC0415 - a fast --help
    from spiritsafe.gateway import policy as policies  # noqa: PLC0415
    from spiritsafe.gateway.dryrun import DryRun  # noqa: PLC0415

    dry = DryRun(policies.read(policy), now=_now() if at is None else _moment(at))
    dry.take(pipeline.replay(logs, settings=Settings(memory=memory, threads=threads), format=format))
    report = dry.report()
    if as_json:
        sys.stdout.write(json.dumps(report, sort_keys=True) + "\n")
    else:
        _screen(report)


def _run(policy: Path | None, upstream: str | None, listen: str | None, workers: int, shadow: bool) -> None:
    if policy is None:
        raise UsageError("a policy is needed", hint="spiritsafe gateway --policy POLICY.toml")
    from spiritsafe.gateway import addresses, serve  # noqa: PLC0415 - a fast --help
    from spiritsafe.gateway import policy as policies  # noqa: PLC0415

    path = policy.resolve()  # a reload finds it wherever it is called from

    def read() -> Policy:
        found = policies.read(path)
        return replace(
            found,
            upstream=addresses.checked_url(upstream, "--upstream") if upstream else found.upstream,
            listen=addresses.checked_address(listen, "--listen") if listen else found.listen,
            shadow=shadow or found.shadow,
        )

    code = serve.run(read, workers=workers)
    if code:
        raise typer.Exit(code)


def _show_keys(path: Path, as_json: bool) -> None:
    from spiritsafe.gateway import keys as files  # noqa: PLC0415

    found = files.show(path, now=_now())
    if as_json:
        sys.stdout.write(json.dumps({"keys": found}, sort_keys=True) + "\n")
        return
    for one in found:
        end = one["not_after"] or "a rotation"
        sys.stdout.write(f"{one['id']}  {one['state']:8} from {one['not_before']} until {end}\n")


def _screen(report: dict[str, Any]) -> None:
    console = Console(highlight=False)
    seen, touched = report["seen"], report["touched"]
    console.print(
        f"As if it came at {report['at']}, under version {report['version']} of the orders"
        f"{' (shadow: nothing would be enforced)' if report['shadow'] else ''}:"
    )
    console.print(
        f"{touched['requests']:,} of {seen['requests']:,} requests would be touched, of {touched['accounts']:,} "
        f"of {seen['accounts']:,} accounts and {touched['organizations']:,} of {seen['organizations']:,} organizations."
    )
    for why, words in (("exempt", "by exemptions"), ("relation", "by declared relations")):
        spared = report["spared"][why]
        if spared["requests"]:
            console.print(
                f"Spared {words}: {spared['requests']:,} requests of {spared['accounts']:,} accounts."
            )
    found = report["indicators"]
    console.print(f"{found['matched']:,} of {found['loaded']:,} indicators matched.")
    if found["not_tried"]:
        console.print(f"{found['not_tried']:,} MinHash indicators were not tried: they need the text.")
    table = Table("Order", "Campaign", "Response", "State", box=None, pad_edge=False)
    for name in ("Requests", "Over budget", "Accounts", "of them unlisted", "Organizations", "Spared"):
        table.add_column(name, justify="right")
    for one in report["orders"]:
        numbers = (one["requests"], one["over_budget"], one["accounts"], one["unlisted_accounts"])
        table.add_row(
            one["order_id"],
            one["campaign_id"],
            one["response"],
            one["state"].replace("_", " "),
            *("–" if number is None else f"{number:,}" for number in numbers),
            f"{one['organizations']:,}",
            f"{one['spared']['requests']:,}",
        )
    if report["orders"]:
        console.print(table)
    for one in report["withheld"]:
        console.print(f"Withheld: {one['order_id']} ({one['response']}): {one['why']}", markup=False)


def _now() -> int:
    return time.time_ns() // 1_000


def _moment(text: str) -> int:
    try:
        moment: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UsageError(f"{text!r} is not a time", where="--at", hint="write it as 2026-09-30T12:00:00Z")
    return round(moment.timestamp() * 1_000_000)
