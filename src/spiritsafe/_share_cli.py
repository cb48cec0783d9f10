"""The verbs of ``spiritsafe share``: what this member tells others, and what it takes from them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from spiritsafe.sharing.client.outgoing import Outgoing
    from spiritsafe.sharing.client.settings import Member

app = typer.Typer(help="Warn other providers, and hear their warnings.", no_args_is_help=True)

Campaign = Annotated[str, typer.Argument(help="Id of the campaign, or its beginning.", show_default=False)]
Results = Annotated[Path, typer.Option("--results", help="Folder that a scan or a watch wrote.")]
Config = Annotated[Path, typer.Option("--config", help="This member's settings.")]
ReleaseFile = Annotated[Path | None, typer.Option("--release", help="What a person lets out in clear.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.command()
def preview(
    campaign: Campaign,
    results: Results = Path("out"),
    config: Config = Path("share.toml"),
    release: ReleaseFile = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep the message, byte for byte, to push it later.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show byte for byte what would leave, and what is withheld and why. Sends nothing."""
    member, usual = _member(config)
    found = _about(campaign, results, member, release)
    if out is not None:
        from spiritsafe.orders.snapshot import replace_file  # noqa: PLC0415

        replace_file(out, found.body)
    if as_json:
        sys.stdout.write(
            json.dumps(
                {
                    "bytes": len(found.body),
                    "message": found.body.decode(),
                    "sha256": found.digest,
                    "signed": found.signed,
                    "withheld": [
                        {"what": one.what, "many": one.many, "why": one.why, "instead": one.instead}
                        for one in found.withheld
                    ],
                },
                ensure_ascii=False,
                sort_keys=True,
            )
            + "\n"
        )
        return
    _screen(found, member, usual=usual)


def _about(campaign: str, results: Path, member: Member, release: Path | None) -> Outgoing:
    from spiritsafe.attest import keys  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.client import outgoing  # noqa: PLC0415
    from spiritsafe.sharing.stix import release as releases  # noqa: PLC0415

    result = outgoing.results(results)
    entry = result.entry(campaign, str(results))
    given = releases.read(release) if release else {}
    return outgoing.about(
        result,
        entry["campaign_id"],
        member,
        keys.load(member.key) if member.key else None,
        now=_now(),
        release=given.get(entry["campaign_id"], releases.NOTHING),
        where=str(results),
    )


def _member(config: Path) -> tuple[Member, bool]:
    """The member's settings, and whether they are the usual ones for lack of a file."""
    from spiritsafe.sharing.client import settings  # noqa: PLC0415 - a fast --help

    if config == Path("share.toml") and not config.exists():
        return settings.Member(config), True
    return settings.read(config), False


def _screen(found: Outgoing, member: Member, *, usual: bool) -> None:
    console = Console(highlight=False, markup=False)
    if usual:
        console.print(
            "There is no share.toml: shown under the usual terms, without a member's name and signature."
        )
    terms = member.terms
    console.print(
        f"{len(found.objects)} objects, {len(found.body):,} bytes, sha256 {found.digest[:16]}…, TLP:{terms.tlp.upper()}, "
        f"PAP:{terms.pap.upper()}, purpose {terms.purpose}, legal basis {terms.legal_basis}."
    )
    leaves = Table("Leaves", "What it says", "Bytes", box=None, pad_edge=False)
    for one in found.objects:
        said = one.get("description") or one.get("content") or one.get("explanation") or _ends(one)
        leaves.add_row(one["type"], said, f"{len(json.dumps(one, separators=(',', ':'))):,}")
        if "pattern" in one:
            leaves.add_row("", one["pattern"], "")
    console.print(leaves)
    stays = Table("Withheld", "Many", "Why", "Instead", box=None, pad_edge=False)
    for one in found.withheld:
        stays.add_row(one.what, f"{one.many:,}", one.why, one.instead or "–")
    console.print(stays)
    console.print("The message itself: --json, or --out FILE for its bytes.")


def _ends(stix: dict[str, Any]) -> str:
    if stix["type"] == "relationship":
        return f"{stix['source_ref'][:18]}… {stix['relationship_type']} {stix['target_ref'][:18]}…"
    return stix.get("name", "")


def _now() -> int:
    return time.time_ns() // 1_000
