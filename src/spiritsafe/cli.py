"""The command ``spiritsafe``: one function a verb.

Exit status: 0 the command ran; 2 bad usage or unreadable input (with file and line); 3 with ``--exit-code``, when a
campaign was found or a result supports derivation.
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from spiritsafe import (
    __version__,
    _cases_cli,
    _console_cli,
    _gateway_cli,
    _hub_cli,
    _joint_cli,
    _match_cli,
    _orders_cli,
    _provenance_cli,
    _share_cli,
)
from spiritsafe._cases_cli.shared import moment
from spiritsafe.errors import SpiritsafeError, UsageError
from spiritsafe.orders.policy import span
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

app = typer.Typer(
    name="spiritsafe",
    help="Find, limit, prove and share adversarial distillation of language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(_orders_cli.app, name="orders")
app.add_typer(_console_cli.app, name="console")
app.command("up")(_console_cli.team)
app.add_typer(_gateway_cli.app, name="gateway")
app.add_typer(_cases_cli.app, name="case")
app.add_typer(_cases_cli.transparency, name="transparency")
app.add_typer(_provenance_cli.marks, name="marks")
app.add_typer(_provenance_cli.prove, name="prove")
app.add_typer(_hub_cli.app, name="hub")
_share_cli.app.add_typer(_match_cli.app, name="match")
_share_cli.app.add_typer(_joint_cli.app, name="joint")
_share_cli.app.command()(_joint_cli.transparency)
app.add_typer(_share_cli.app, name="share")

FOUND = 3

Inputs = Annotated[list[str], typer.Argument(help="Log files, folders or globs.", show_default=False)]
Format = Annotated[str | None, typer.Option(help="Log format; told from the content when absent.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Memory = Annotated[str, typer.Option(help="Memory the engine may use before it spills to disk.")]
Threads = Annotated[int, typer.Option(min=1, help="Processors to use.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.command()
def scan(
    inputs: Inputs,
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    format: Format = None,
    engine: Annotated[str, typer.Option(help="Where it runs: duckdb (here) or spark.")] = "duckdb",
    master: Annotated[
        str, typer.Option(help="Spark's master: local[2], spark://host:7077, yarn, …")
    ] = "local[2]",
    spark_conf: Annotated[
        list[str] | None, typer.Option(help="A setting of Spark, name=value; may be given often.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A folder that keeps what was read: the next scan reads only what is new."),
    ] = None,
    history: Annotated[
        bool,
        typer.Option("--history", help="With --checkpoint: files that are gone but were read count, too."),
    ] = False,
    fdr: Annotated[
        float, typer.Option(min=1e-9, max=0.5, help="False discovery rate among accusations.")
    ] = 0.01,
    seed: Seed = 0,
    since: Annotated[str | None, typer.Option(help="Only exchanges from this time on (RFC 3339).")] = None,
    until: Annotated[str | None, typer.Option(help="Only exchanges before this time (RFC 3339).")] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="A calibration made with `spiritsafe calibrate`.")
    ] = None,
    memory: Memory = "3GB",
    threads: Threads = 2,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first malformed record.")] = False,
    show_text: Annotated[bool, typer.Option("--show-text", help="Show prompt text in exhibits.")] = False,
    joint: Annotated[
        bool, typer.Option("--joint", help="Also test groups that only other providers' logs could complete.")
    ] = False,
    jointly: Annotated[
        Path | None, typer.Option(help="What was decided together, from `spiritsafe share joint adopt`.")
    ] = None,
    as_json: Json = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 3 when a campaign was found.")
    ] = False,
) -> None:
    """Find distillation campaigns in exchange logs."""
    from spiritsafe import spread  # noqa: PLC0415 - a fast --help
    from spiritsafe.campaigns import intent, screen  # noqa: PLC0415

    note = Console(stderr=True, highlight=False).print
    run = spread.on(engine, master, spark_conf or [], checkpoint, history=history, note=note)
    known = Settings(fdr=fdr, seed=seed, memory=memory, threads=threads, show_text=show_text, joint=joint)
    if jointly is not None:
        from spiritsafe.sharing.joint import files  # noqa: PLC0415 - needs the extra `sharing`

        known = replace(known, jointly=files.jointly(jointly))
    with _progress(quiet=as_json) as progress:
        result = run(
            inputs,
            out,
            settings=known,
            format=format,
            since=moment(since, "--since"),
            until=moment(until, "--until"),
            strict=strict,
            reference=intent.load(calibration) if calibration else None,
            **({"progress": progress} if progress else {}),
        )
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False, sort_keys=True) + "\n")
    else:
        Console().print(screen.summary(result, out))
    if exit_code and any(entry["label"] == "campaign" for entry in result["campaigns"]):
        raise typer.Exit(FOUND)


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="Folder of finished log segments.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    state: Annotated[
        Path | None,
        typer.Option(help="Folder for what is kept between steps; beside the results when absent."),
    ] = None,
    window: Annotated[str, typer.Option(help="How far back a campaign step looks.")] = "7d",
    links_every: Annotated[str, typer.Option(help="How often links are told.")] = "5m",
    campaigns_every: Annotated[str, typer.Option(help="How often campaigns are looked for.")] = "1h",
    half_life: Annotated[str, typer.Option(help="Time in which a decayed count halves.")] = "6h",
    poll: Annotated[str, typer.Option(help="Time between two looks at the folder.")] = "2s",
    once: Annotated[
        bool, typer.Option("--once", help="Take what is there, do one campaign step, end.")
    ] = False,
    clock: Annotated[
        str | None, typer.Option(help="`wall`, or `log` for replays; `log` with --once.", show_default=False)
    ] = None,
    format: Format = None,
    fdr: Annotated[
        float, typer.Option(min=1e-9, max=0.5, help="False discovery rate among accusations of one step.")
    ] = 0.01,
    seed: Seed = 0,
    calibration: Annotated[
        Path | None, typer.Option(help="A calibration made with `spiritsafe calibrate`.")
    ] = None,
    memory: Memory = "3GB",
    threads: Threads = 2,
    show_text: Annotated[bool, typer.Option("--show-text", help="Show prompt text in exhibits.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line for each event.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="With --once: exit with 3 when a campaign was found.")
    ] = False,
) -> None:
    """Follow a folder of log segments: features once, links every few minutes, campaigns hourly."""
    from spiritsafe.campaigns import intent  # noqa: PLC0415 - a fast --help
    from spiritsafe.watch import serve, telling  # noqa: PLC0415
    from spiritsafe.watch import state as state_folder  # noqa: PLC0415
    from spiritsafe.watch.follow import Rhythm, Watch  # noqa: PLC0415

    if clock not in {None, "wall", "log"}:
        raise UsageError(f"there is no clock {clock!r}", hint="clocks: wall, log")
    if exit_code and not once:
        raise UsageError(
            "--exit-code needs --once", hint="a watch that goes on tells campaigns as events: --json"
        )
    rhythm = Rhythm(
        span(window, "--window"),
        span(links_every, "--links-every"),
        span(campaigns_every, "--campaigns-every"),
        span(half_life, "--half-life"),
    )
    shown, stop = telling.Screen(), serve.Stop()

    def progress(stage: str, done: int, total: int, /) -> None:
        stop.check()
        if not as_json:
            shown.progress(stage, done, total)

    tell = telling.as_json if as_json else shown.tell
    seconds = span(poll, "--poll") / 1e6
    record: dict[str, Any] | None = None
    with (
        stop.on_signals(),
        Watch(
            folder,
            out,
            state or state_folder.beside(out),
            settings=Settings(fdr=fdr, seed=seed, memory=memory, threads=threads, show_text=show_text),
            rhythm=rhythm,
            tell=tell,
            format=format,
            reference=intent.load(calibration) if calibration else None,
            progress=progress,
            stopped=stop,
        ) as followed,
    ):
        tell(
            "started",
            folder=str(folder),
            state=str(followed.state),
            segments=len(followed.partitions.segments),
        )
        try:
            if once:
                record = serve.once(followed, stop, clock="wall" if clock == "wall" else "log", poll=seconds)
            else:
                serve.serve(followed, stop, clock="log" if clock == "log" else "wall", poll=seconds)
        except serve.Stopped:
            tell("dropped", step="campaigns")
        finally:
            shown.close()
        tell("stopped" if stop.asked else "ended")
    if exit_code and record and any(entry["label"] == "campaign" for entry in record["campaigns"]):
        raise typer.Exit(FOUND)


@app.command()
def explain(
    campaign: Annotated[str, typer.Argument(help="A campaign id, or the beginning of one.")],
    results: Annotated[Path, typer.Option("--results", help="Folder that a scan wrote.")] = Path("out"),
    as_json: Json = False,
) -> None:
    """Tell one campaign's evidence in words."""
    from spiritsafe.campaigns.words import words  # noqa: PLC0415

    entry = _one(_result(results), campaign, results)
    if as_json:
        sys.stdout.write(json.dumps(entry, ensure_ascii=False, sort_keys=True) + "\n")
    else:
        Console(highlight=False).print(words(entry), markup=False)


@app.command()
def calibrate(
    inputs: Inputs,
    out: Annotated[Path, typer.Option(help="The calibration file to write.")],
    format: Format = None,
    seed: Seed = 0,
    memory: Memory = "3GB",
    threads: Threads = 2,
    as_json: Json = False,
) -> None:
    """Learn what innocent clusters look like from a log that holds no campaign."""
    from spiritsafe import pipeline  # noqa: PLC0415

    with _progress(quiet=as_json) as progress:
        made = pipeline.calibrate(
            inputs,
            out,
            settings=Settings(seed=seed, memory=memory, threads=threads),
            format=format,
            progress=progress or pipeline.silent,
        )
    if as_json:
        sys.stdout.write(json.dumps(made, sort_keys=True) + "\n")
    else:
        Console().print(f"{len(made['scores'])} innocent clusters from {len(made['sources'])} inputs → {out}")


@app.command()
def simulate(
    plan: Annotated[Path, typer.Option(help="What to simulate: a TOML file (docs/simulate.md).")],
    out: Annotated[Path, typer.Option(help="Folder for the log and its truth; must not exist.")],
    seed: Seed = 0,
    corpus: Annotated[
        Path | None,
        typer.Option(help="Folder of <source>/data.jsonl to take text from; shipped texts if absent."),
    ] = None,
    orders: Annotated[
        Path | None, typer.Option(help="JSON list of measures that accounts meet on the way.")
    ] = None,
    memory: Annotated[
        str, typer.Option(help="Memory the plan may need, about; more is refused at the start.")
    ] = "3GB",
    as_json: Json = False,
) -> None:
    """Compose a log of innocent customers and campaigns, with the truth beside it."""
    from spiritsafe import simulate as room  # noqa: PLC0415 - a fast --help

    texts = room.load_corpus(corpus)
    wanted = room.read_plan(plan, texts, room.read_orders(orders) if orders else ())
    with _progress(quiet=as_json) as progress:
        made = room.simulate(wanted, out, seed=seed, memory=memory, progress=progress or room.silent)
    if as_json:
        told = {**asdict(made), "log": str(made.log), "truth": str(made.truth)}
        sys.stdout.write(json.dumps(told, ensure_ascii=False, sort_keys=True) + "\n")
    else:
        Console(highlight=False).print(room.summary(made), markup=False, soft_wrap=True)


@app.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(__version__ + "\n")


def _version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def options(
    _asked: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """What stands before any verb."""


def _progress(*, quiet: bool) -> AbstractContextManager[Any]:
    from spiritsafe.campaigns import screen  # noqa: PLC0415

    return nullcontext() if quiet else screen.stages()


def _result(folder: Path) -> dict[str, Any]:
    path = folder / "campaigns.json"
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(
            "no scan result here",
            where=str(folder),
            hint="run `spiritsafe scan LOGS --out DIR`, then --results DIR",
        ) from error
    except ValueError as error:
        raise UsageError("this is not a scan result", where=str(path), hint="scan again") from error


def _one(result: dict[str, Any], wanted: str, folder: Path) -> dict[str, Any]:
    fits = [entry for entry in result["campaigns"] if entry["campaign_id"].startswith(wanted)]
    if len(fits) != 1:
        known = ", ".join(entry["campaign_id"] for entry in result["campaigns"]) or "none"
        raise UsageError(
            f"{'no' if not fits else 'more than one'} campaign begins with {wanted!r}",
            where=str(folder),
            hint=f"campaigns here: {known}",
        )
    return fits[0]


def main() -> None:
    """Run the command; turn errors into one clear message and exit status 2."""
    try:
        app()
    except SpiritsafeError as error:
        Console(stderr=True, highlight=False).print(
            f"spiritsafe: {error}", markup=False, style="red", soft_wrap=True
        )
        raise SystemExit(error.exit_code) from error
    except KeyboardInterrupt:
        Console(stderr=True).print("spiritsafe: stopped; nothing was written")
        raise SystemExit(130) from None
