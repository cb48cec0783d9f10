"""The verbs of ``spiritsafe marks`` and ``spiritsafe prove``: commit first, ask afterwards, let anybody re-compute it."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

FOUND = 3
LEAST_CONTROLS = 5

marks = typer.Typer(help="Plan, commit and look after keys, canaries and ghosts.", no_args_is_help=True)
prove = typer.Typer(help="Test whether a model is a copy: plan, query, run, report.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Folder of the marks.", show_default=False)]
LedgerFile = Annotated[Path, typer.Option("--ledger", help="The ledger that holds the commitments.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
ExitCode = Annotated[
    bool, typer.Option("--exit-code", help="Exit with 3 when the result supports derivation.")
]
Campaigns = Annotated[list[str] | None, typer.Option("--campaign", help="A campaign; again for more.")]


@marks.command("plan")
def plan_marks(
    folder: Folder,
    campaign: Campaigns = None,
    suspected: Annotated[
        list[str] | None, typer.Option(help="A campaign all of whose exchanges go to the escrow.")
    ] = None,
    scheme: Annotated[str, typer.Option(help="How answers are marked: green or gumbel.")] = "green",
    epochs: Annotated[int, typer.Option(min=1, help="Keys of each campaign, which take turns.")] = 12,
    lasts: Annotated[str, typer.Option(help="How long each key is in use.")] = "30d",
    canaries: Annotated[int, typer.Option(min=0, help="Canaries of each campaign.")] = 8,
    variants: Annotated[int, typer.Option(help="Variants of each canary.")] = 64,
    decoys: Annotated[int, typer.Option(min=0, help="Keys that are committed and never used.")] = 99,
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of all traffic for escrow.")] = 0.005,
    as_json: Json = False,
) -> None:
    """Write a plan of marks and, once, its root key. Nothing is committed or in use by that."""
    from spiritsafe.provenance import _marks  # noqa: PLC0415 - a fast --help

    made = _marks.write(
        folder, campaign or [], now=_now(), epochs=epochs, lasts=lasts, scheme=scheme, canaries=canaries,
        variants=variants, decoys=decoys, share=share, suspected=suspected or [],
    )  # fmt: skip
    told = {"plan": str(folder / "plan.toml"), "campaigns": [one.campaign_id for one in made.campaigns]}
    _tell(
        told,
        f"{told['plan']}: look at it, then `spiritsafe marks commit`.\n"
        f"{folder / 'root.key'} is the one secret: copy it to a safe place. Without it nothing can be proven.",
        as_json,
    )


@marks.command("commit")
def commit_marks(
    folder: Folder,
    ledger: LedgerFile,
    timestamp: Annotated[
        Path | None, typer.Option(help="An RFC 3161 time-stamp of a committed root, to attach.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Hash keys, decoys and canaries into the ledger, before they are used."""
    from spiritsafe.ledger import Ledger  # noqa: PLC0415
    from spiritsafe.provenance import _marks  # noqa: PLC0415

    made = _marks.read(folder)
    with Ledger(ledger) as book:
        told = _marks.commit(made, book, now=_now())
        if timestamp is not None:
            told = {**told, "timestamp": _marks.stamp(made, book, timestamp, now=_now())}
        told["head"] = book.head
    text = (
        f"root {told['root']}\n{told['leaves']} commitments under it; the ledger's head is {told['head']}\n"
        "For a time-stamp: openssl ts -query -sha256 -cert -digest ROOT, then commit again with --timestamp."
    )
    _tell(told, text, as_json)


@marks.command("status")
def status_of_marks(
    folder: Folder,
    ledger: LedgerFile,
    as_json: Json = False,
) -> None:
    """Tell what is committed, in use and expired, and how the escrow stands. No secret is shown."""
    from spiritsafe.provenance import _escrowed, _marks  # noqa: PLC0415

    plan, now = _marks.read(folder), _now()
    told = _marks.status(plan, ledger, now=now)
    _, told["escrow"], _ = _escrowed.pairs(folder / "escrow", ledger, _marks.root_key(folder))
    # Plain lines: a table would lose a column in a narrow terminal.
    rows = [
        f"{one['campaign_id']}  epoch {one['epoch']}  {one['key_id']}  {_day(one['begins'])} to {_day(one['ends'])}  "
        f"committed {_day(one['committed'])}  {one['state']}"
        for one in told["keys"]
    ]
    rows += [
        f"{name}: {told[name]['committed']} of {told[name]['all']} committed"
        for name in ("canaries", "decoys")
    ]
    rows.append(f"time-stamps: {len(told['timestamps'])}")
    rows.append("escrow: " + ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in told["escrow"].items()))
    _tell(told, "\n".join(rows), as_json)


@marks.command()
def ghosts(
    folder: Folder,
    ledger: LedgerFile,
    url: Annotated[str, typer.Option(help="Address of an OpenAI-compatible endpoint of the teacher.")],
    model: Annotated[str, typer.Option(help="The teacher's name there.")],
    key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the key.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only this campaign's pairs.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    as_json: Json = False,
) -> None:
    """Draw the ghosts that are missing, once each, from the same snapshot; a changed one voids the pair."""
    from spiritsafe.provenance import _escrow, _marks  # noqa: PLC0415
    from spiritsafe.provenance._endpoint import Budget, Endpoint  # noqa: PLC0415
    from spiritsafe.provenance._ghosts import draw_ghosts  # noqa: PLC0415

    _marks.read(folder)
    root, where = _marks.root_key(folder), folder / "escrow"
    sealed = _escrow.seal(where, ledger, now=_now())
    with (
        Endpoint("openai", url, model, key_env=key_env, budget=Budget()) as endpoint,
        _progress(quiet=as_json) as progress,
    ):
        told: dict[str, Any] = draw_ghosts(
            where, root, endpoint, campaign_id=campaign, limit=limit, progress=progress or _silent
        )
    text = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in told.items())
    if told["changed_snapshot"]:
        text += "\nThe model or its sampler changed since these answers were served: such pairs are void."
    _tell({**told, "sealed": sealed}, text, as_json)


Case = Annotated[Path, typer.Argument(help="Folder of the case.", show_default=False)]
OtherLedger = Annotated[
    Path | None, typer.Option("--ledger", help="The ledger; the entries kept in the folder when absent.")
]


@prove.command("plan")
def plan_case(
    case: Annotated[Path, typer.Argument(help="The case file (docs/provenance.md).", show_default=False)],
    ledger: LedgerFile,
    out: Annotated[Path, typer.Option(help="Folder of the case to make.")],
    as_json: Json = False,
) -> None:
    """Register what will be asked and tested: hashed into the ledger before the suspect is asked."""
    from spiritsafe.ledger import Ledger  # noqa: PLC0415
    from spiritsafe.provenance import _casefile, _prereg  # noqa: PLC0415

    wanted = _casefile.read(case)
    with Ledger(ledger) as book:
        made = _prereg.register(wanted, out, book, now=_now())
        head = book.head
    rows = [
        f"{made['case']}: registered in {ledger} (head {head})",
        f"{made['suspect']['name']} and {len(made['controls'])} controls will be asked",
        f"answers of each: {made['asked']['answers']:,}; log-probabilities, where told: {made['asked']['texts']:,}",
    ]
    if any(one["read"] for one in (made["suspect"], *made["controls"])):
        rows.append(f"marked texts that open models read: {2 * made['asked']['pairs']:,}")
    if made["teacher"]["scorer"]:
        rows.append("the teacher is asked for its own log-probabilities of the pairs")
    if made["doubled_prompts"]:
        rows.append(f"{made['doubled_prompts']} prompts were there twice and are asked once")
    groups = {one["group"] for one in made["controls"]}
    if len(groups) < LEAST_CONTROLS:
        rows.append(f"only {len(groups)} unrelated controls: a case should have {LEAST_CONTROLS}")
    rows += [f"power of {name}: {one['said']}" for name, one in made["power"]["tests"].items()]
    _tell({"case": made["case"], "head": head, "asked": made["asked"], "power": made["power"],
           "doubled_prompts": made["doubled_prompts"], "escrow": made["escrow"]}, "\n".join(rows), as_json)  # fmt: skip


@prove.command()
def query(
    folder: Case,
    ledger: LedgerFile,
    model: Annotated[list[str] | None, typer.Option(help="Ask only this model; again for more.")] = None,
    requests: Annotated[int | None, typer.Option(min=1, help="Another budget of requests.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Another budget of tokens.")] = None,
    per_minute: Annotated[float | None, typer.Option(min=0.01, help="Another rate of requests.")] = None,
    give_up: Annotated[
        str | None, typer.Option(help="End asking as it is, for this reason; what is missing has failed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask the suspect and the controls, and the teacher for scores; goes on where it was stopped or killed."""
    from spiritsafe.ledger import Ledger  # noqa: PLC0415
    from spiritsafe.provenance import _gather, _prereg  # noqa: PLC0415

    plan, found = _prereg.open_plan(folder, ledger)
    if _prereg.ended(folder, found):
        raise UsageError("asking has ended", where=str(folder), hint="`spiritsafe prove run` is next")
    settings = json.loads((folder / _prereg.SETTINGS).read_bytes())
    for name, value in (("requests", requests), ("tokens", tokens), ("per_minute", per_minute)):
        settings[name] = value if value is not None else settings[name]
    models = {one["name"]: one for one in _gather.models(plan)}
    for name in model or ():
        if name not in models:
            raise UsageError(f"there is no model {name!r}", hint=f"there are: {', '.join(models)}")
    counts: dict[str, dict[str, int]] = {}
    if give_up is None:
        with _progress(quiet=as_json) as progress:
            for name in model or models:
                counts[name] = _gather.gather(
                    folder, plan, models[name], settings, progress=progress or _silent
                )
    with Ledger(ledger) as book:
        ended = _gather.close(folder, plan, book, now=_now(), gave_up=give_up)
    rows = [
        f"{name}: " + ", ".join(f"{count:,} {status}" for status, count in one.items() if count)
        for name, one in counts.items()
    ]
    rows.append(
        "asking has ended; `spiritsafe prove run` is next" if ended else "other models are still to be asked"
    )
    _tell({"counts": counts, "ended": ended}, "\n".join(rows), as_json)


@prove.command()
def run(folder: Case, ledger: LedgerFile, as_json: Json = False, exit_code: ExitCode = False) -> None:
    """Run the registered tests over the suspect, the controls and false labels."""
    from spiritsafe.ledger import Ledger  # noqa: PLC0415
    from spiritsafe.provenance import _prereg, _run  # noqa: PLC0415

    plan, found = _prereg.open_plan(folder, ledger)
    with _progress(quiet=as_json) as progress:
        result = _run.compute(folder, plan, found, progress=progress or _silent)
    with Ledger(ledger) as book:
        _run.keep(folder, result, book, now=_now())
    if as_json:
        _tell(result, "", as_json)
    else:
        _show(result)
    if exit_code and result["verdict"] == "supports derivation":
        raise typer.Exit(FOUND)


@prove.command()
def report(
    folder: Case,
    out: Annotated[Path | None, typer.Option(help="The page to write; in the folder when absent.")] = None,
    as_json: Json = False,
) -> None:
    """Write the result as one self-contained page for people."""
    from spiritsafe.cases.proof import page  # noqa: PLC0415
    from spiritsafe.orders.snapshot import replace_file  # noqa: PLC0415
    from spiritsafe.provenance import _prereg, _run  # noqa: PLC0415

    plan, found = _prereg.open_plan(folder, None)
    try:
        result = json.loads((folder / "result.json").read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError("there is no result here", where=str(folder), hint="spiritsafe prove run") from error
    path = out or folder / "report.html"
    told = [{"kind": e.kind, "time": e.time, "hash": e.hash, "body": dict(e.body)} for e in found]
    replace_file(path, page(result, plan, told).encode())
    _run.manifest(folder)
    _tell({"report": str(path)}, str(path), as_json)


@prove.command()
def check(folder: Case, ledger: OtherLedger = None, as_json: Json = False) -> None:
    """Compute a case anew from its folder alone, and compare: digests, commitments, findings."""
    from spiritsafe.provenance import _run  # noqa: PLC0415

    with _progress(quiet=as_json) as progress:
        told = _run.check(folder, ledger, progress=progress or _silent)
    _tell(
        told,
        f"the same: {told['verdict']}; {told['files']} files, {told['commitments']} commitments and "
        f"{told['entries']} entries of the ledger fit",
        as_json,
    )


@prove.command()
def power(
    test: Annotated[str | None, typer.Option(help="Only this test.")] = None,
    exposure: Annotated[
        float, typer.Option(min=1e-6, max=1.0, help="Share of the copy's training text that was ours.")
    ] = 0.25,
    target: Annotated[float, typer.Option(min=0.01, max=0.999, help="Power that is wanted.")] = 0.9,
    n: Annotated[int | None, typer.Option(min=1, help="Tell the power with so many units.")] = None,
    as_json: Json = False,
) -> None:
    """Tell how many prompts, pairs or canaries a test needs, from copies planted in the bench."""
    from spiritsafe.provenance import _power  # noqa: PLC0415
    from spiritsafe.registry import extensions  # noqa: PLC0415

    curves, known = _power.load(), extensions("provenance")
    names = sorted({*known, *(name for name, _ in curves)})
    if test is not None and test not in names:
        raise UsageError(f"there is no test {test!r}", hint=f"there are: {', '.join(names)}")
    counts: dict[str, int] = dict.fromkeys(_power.UNITS, n) if n is not None else {}
    told = [
        {
            "test": name,
            **_power.outlook(curves, name, access, exposure=exposure, target=target, counts=counts),
        }
        for name in names
        for access in ("text", "logprobs")
        if test in {None, name}
    ]
    rows = [f"{one['test']} ({one['access']}): {one['said']}{_known(one.get('power'))}" for one in told]
    _tell({"tests": told}, "\n".join(rows) or "no test is installed", as_json)


def _known(power: Any) -> str:
    if power is None:
        return ""
    value = "not measured" if power["value"] is None else f"{power['value']:.0%}"
    return f"; power with that many: {value} (between {power['low']:.0%} and {power['high']:.0%})"


def _show(result: dict[str, Any]) -> None:
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("Test", "Tier", "p", "p (Holm)", "Effect", "n", "Power", "Verdict"):
        table.add_column(name)
    for one in result["findings"]:
        interval = "–".join("?" if end is None else f"{end:.3g}" for end in one["interval"])
        table.add_row(
            one["test"], one["tier"], f"{one['p_value']:.3g}", f"{one['holm_p']:.3g}",
            f"{one['effect']:.3g} ({interval}) {one['effect_unit']}", f"{one['n']:,}",
            "not known" if one["power"] is None else f"{one['power']:.0%}", one["verdict"],
        )  # fmt: skip
    console.print(table)
    for one in result["findings"]:
        for why in one["reasons"]:
            console.print(f"{one['test']}: {why}", markup=False)
    console.print(f"\n{result['suspect']}: {result['verdict']}", markup=False, style="bold")
    if result["verdict"] == "inconclusive":
        console.print("Neither derivation nor its absence was shown.")


def _now() -> int:
    return time.time_ns() // 1_000


def _day(moment: int | None) -> str:
    return "–" if moment is None else f"{datetime.fromtimestamp(moment / 1e6, UTC):%Y-%m-%d %H:%M}"


def _silent(_stage: str, _done: int, _total: int) -> None:
    return


def _progress(*, quiet: bool) -> AbstractContextManager[Any]:
    from spiritsafe.campaigns import screen  # noqa: PLC0415

    return nullcontext() if quiet else screen.stages()


def _tell(table: dict[str, Any], text: str, as_json: bool) -> None:
    sys.stdout.write((json.dumps(table, sort_keys=True) if as_json else text) + "\n")
