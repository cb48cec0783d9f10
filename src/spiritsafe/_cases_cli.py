"""The verbs of ``spiritsafe case``: what an investigator assembles, seals, hands on and answers for."""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe.errors import UsageError
from spiritsafe.orders.content import rfc3339
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from spiritsafe.cases.folder import Case, Item

app = typer.Typer(help="Assemble, seal, check and answer for a case.", no_args_is_help=True)
adding = typer.Typer(help="Add something to a case.", no_args_is_help=True)
app.add_typer(adding, name="add")

Folder = Annotated[Path, typer.Argument(help="Folder of the case.", show_default=False)]
Bundle = Annotated[Path, typer.Argument(help="A sealed bundle.", show_default=False)]
By = Annotated[str, typer.Option(help="Who does this, for the case's ledger.")]
Why = Annotated[str, typer.Option(help="Why, for the case's ledger.")]
Keys = Annotated[list[Path], typer.Option("--key", help="File of a private key; again for more.")]
Out = Annotated[Path, typer.Option(help="File to write.")]
Memory = Annotated[str, typer.Option(help="Memory the engine may use before it spills to disk.")]
Threads = Annotated[int, typer.Option(min=1, help="Processors to use.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.command()
def new(
    case: Folder,
    title: Annotated[str, typer.Option(help="What the case is called.")],
    claim: Annotated[str, typer.Option(help="What is claimed, in plain words.")],
    by: By,
    why: Why,
    name: Annotated[str | None, typer.Option("--id", help="Its number; drawn when absent.")] = None,
    as_json: Json = False,
) -> None:
    """Open a case in a new folder."""
    from spiritsafe.cases import folder  # noqa: PLC0415 - a fast --help

    number = name or f"case-{secrets.token_hex(5)}"
    made = folder.create(case, case_id=number, title=title, claim=claim, by=by, why=why, now=_now())
    _tell(_told(made), f"{made.case_id} is open in {case}", as_json)


@app.command()
def show(case: Folder, as_json: Json = False) -> None:
    """Tell what is in a case, who added it, when and why."""
    from spiritsafe.cases import folder  # noqa: PLC0415

    found = folder.open_case(case)
    rows = [f"{found.case_id}  {found.title}  ({found.status})"]
    rows += [f"{rfc3339(one.time)}  {one.name:20} {one.by}: {one.why}" for one in found.items]
    _tell(_told(found), "\n".join(rows), as_json)


@app.command("list")
def listing(
    root: Annotated[Path, typer.Argument(help="Folder that holds folders of cases.")],
    as_json: Json = False,
) -> None:
    """List the cases below a folder, the one changed last first."""
    from spiritsafe.cases import folder  # noqa: PLC0415

    found = folder.listed(root)
    rows = [f"{one.case_id}  {one.status:10} {one.items:4} items  {one.title}{one.fault}" for one in found]
    table = [
        {"case": one.case_id, "title": one.title, "status": one.status, "folder": str(one.folder), "items": one.items,
         "fault": one.fault} for one in found
    ]  # fmt: skip
    _tell({"cases": table}, "\n".join(rows) or "no case here", as_json)


@adding.command("campaign")
def add_campaign(
    case: Folder,
    by: By,
    why: Why,
    campaign: Annotated[
        list[str], typer.Option(help="A campaign id, or the beginning of one; again for more.")
    ],
    results: Annotated[Path, typer.Option(help="Folder that a scan wrote.")] = Path("out"),
    records: Annotated[
        list[str] | None,
        typer.Option(help="The log that was scanned: files, folders, globs; again for more."),
    ] = None,
    format: Annotated[str | None, typer.Option(help="Log format; told from the content when absent.")] = None,
    since: Annotated[str | None, typer.Option(help="As for the scan (RFC 3339).")] = None,
    until: Annotated[str | None, typer.Option(help="As for the scan (RFC 3339).")] = None,
    calibration: Annotated[Path | None, typer.Option(help="As for the scan.")] = None,
    memory: Memory = "3GB",
    threads: Threads = 2,
    as_json: Json = False,
) -> None:
    """Add campaigns of a scan, and the records that they rest on."""
    from spiritsafe.casework import gather  # noqa: PLC0415

    with _progress(quiet=as_json) as progress:
        made = gather.add_campaign(
            case, results, campaign, by=by, why=why, now=_now(), inputs=records or [], format=format,
            since=_moment(since, "--since"), until=_moment(until, "--until"), calibration=calibration,
            settings=Settings(memory=memory, threads=threads), **({"progress": progress} if progress else {}),
        )  # fmt: skip
    _added(made, as_json, "" if records else "without --records nothing can be computed anew from the bundle")


@adding.command("finding")
def add_finding(
    case: Folder,
    proof: Annotated[Path, typer.Argument(help="Folder of a finished test (spiritsafe prove run).")],
    by: By,
    why: Why,
    as_json: Json = False,
) -> None:
    """Add a finished test of a suspect model, with all that it rests on: keys and coins become known to readers."""
    from spiritsafe.casework import gather  # noqa: PLC0415

    _added(gather.add_finding(case, proof, by=by, why=why, now=_now()), as_json)


@adding.command("opinion")
def add_opinion(
    case: Folder,
    about: Annotated[str, typer.Option(help="What it is about: an item, a campaign, an order.")],
    judgement: Annotated[
        str, typer.Option(help="strongly-disagree, disagree, neutral, agree, strongly-agree.")
    ],
    text: Annotated[str, typer.Option(help="Your words.")],
    by: By,
    why: Why = "opinion",
    key: Annotated[Path | None, typer.Option(help="Your private key, to sign it.")] = None,
    as_json: Json = False,
) -> None:
    """Add what a person thinks. Only here may anybody be named."""
    from spiritsafe.attest import keys  # noqa: PLC0415
    from spiritsafe.cases import opinion  # noqa: PLC0415

    own = keys.load(key) if key else None
    made = opinion.add(case, about=about, judgement=judgement, text=text, by=by, why=why, now=_now(), key=own)
    _added(made, as_json)


@adding.command("orders")
def add_orders(
    case: Folder,
    policy: Annotated[Path, typer.Option(help="The policy file.")],
    by: By,
    why: Why,
    ledger: Annotated[Path | None, typer.Option(help="The ledger that records orders.")] = None,
    as_json: Json = False,
) -> None:
    """Add the orders that stand against the case's campaigns, with approvals and proofs of the ledger."""
    from spiritsafe.cases import measures  # noqa: PLC0415
    from spiritsafe.orders.policy import read  # noqa: PLC0415

    _added(measures.add(case, read(policy), ledger, by=by, why=why, now=_now()), as_json)


@adding.command("sighting")
def add_sighting(
    case: Folder,
    file: Annotated[Path, typer.Argument(help="A STIX 2.1 object or bundle, as JSON.")],
    by: By,
    why: Why,
    as_json: Json = False,
) -> None:
    """Add what a peer has seen, as it came with its signature."""
    _added(_file(case, "sighting", file, by, why), as_json)


@adding.command("note")
def add_note(
    case: Folder,
    file: Annotated[Path, typer.Argument(help="Any file.")],
    by: By,
    why: Why,
    as_json: Json = False,
) -> None:
    """Add any other file: a letter, a contract, a protocol."""
    _added(_file(case, "note", file, by, why), as_json)


@app.command()
def seal(
    case: Folder,
    out: Out,
    key: Keys,
    by: By,
    why: Why,
    tsa: Annotated[
        str | None, typer.Option(help="Address of an RFC 3161 authority that stamps the time.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the case as one bundle that anybody can check."""
    from spiritsafe.attest import keys  # noqa: PLC0415
    from spiritsafe.cases import seal as room  # noqa: PLC0415
    from spiritsafe.cases import stamps  # noqa: PLC0415
    from spiritsafe.casework.gather import code  # noqa: PLC0415

    made = room.seal(
        case, out, [keys.load(one) for one in key], by=by, why=why, now=_now(), code=code(),
        stamper=stamps.authority(tsa) if tsa else None,
    )  # fmt: skip
    signers = list(made.checked.signers)
    text = f"{out}: {len(made.checked.parts)} parts, statement sha256:{made.statement}\n"
    text += "check it with: spiritsafe case verify " + " ".join(
        [str(out), *(f"--key {one}" for one in signers)]
    )
    _tell({"bundle": str(out), "statement": made.statement, "signers": signers}, text, as_json)


@app.command()
def stamp(
    bundle: Bundle,
    out: Out,
    tsa: Annotated[str | None, typer.Option(help="Address of an RFC 3161 authority.")] = None,
    token: Annotated[Path | None, typer.Option(help="A response that was fetched otherwise.")] = None,
    query: Annotated[Path | None, typer.Option(help="Only write the request to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Add a time stamp to a bundle, within a day of its seal."""
    from spiritsafe.cases import seal as room  # noqa: PLC0415
    from spiritsafe.cases import stamps  # noqa: PLC0415

    statement = room.statement_of(bundle)
    if query is not None:
        query.write_bytes(stamps.query(statement))
        _tell({"query": str(query)}, f"{query}: send it to an authority, then --token", as_json)
        return
    if (token is None) == (tsa is None):
        raise UsageError("one of --tsa and --token is needed")
    answer = token.read_bytes() if token else stamps.authority(str(tsa))(statement)
    room.stamped(bundle, out, answer)
    _tell({"bundle": str(out)}, f"{out}: check it with `spiritsafe case verify --tsa`", as_json)


@app.command("hand-on")
def hand_on(
    bundle: Bundle,
    out: Out,
    withhold: Annotated[
        list[str] | None, typer.Option(help="Part, or pattern with *, that is not shown; again for more.")
    ] = None,
    members_only: Annotated[
        bool, typer.Option("--members-only", help="Show texts only of exchanges of the case's campaigns.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a bundle in which parts or records are withheld; their hashes stay, so it can still be checked."""
    from spiritsafe.cases import seal as room  # noqa: PLC0415
    from spiritsafe.casework import gather  # noqa: PLC0415

    shows = gather.members_only(bundle) if members_only else None
    told = room.hand_on(bundle, out, withhold=withhold or [], shows=shows)
    rows = [f"withheld: {count:,} of {name}" for name, count in told.items()] or ["nothing was withheld"]
    _tell({"bundle": str(out), "withheld": told}, "\n".join(rows), as_json)


@app.command()
def verify(
    bundle: Bundle,
    key: Annotated[list[str], typer.Option(help="Public key that may have sealed it; again for more.")],
    threshold: Annotated[int, typer.Option(min=1, help="How many of the keys must have signed.")] = 1,
    tsa: Annotated[Path | None, typer.Option(help="PEM of authorities whose time stamps you trust.")] = None,
    recompute: Annotated[
        bool,
        typer.Option("--recompute", help="Compute every statistic anew from what is sealed, and compare."),
    ] = False,
    memory: Memory = "3GB",
    threads: Threads = 2,
    as_json: Json = False,
) -> None:
    """Check a bundle: every hash, signature, proof and time; with --recompute, every statistic."""
    from dataclasses import asdict  # noqa: PLC0415

    from cryptography import x509  # noqa: PLC0415

    from spiritsafe.cases import seal as room  # noqa: PLC0415
    from spiritsafe.cases.verify import words  # noqa: PLC0415

    roots = x509.load_pem_x509_certificates(tsa.read_bytes()) if tsa else []
    found = room.check(bundle, key, now=_now(), threshold=threshold, tsa=roots)
    table, text = asdict(found), words(found)
    if recompute:
        from spiritsafe.casework import recompute as again  # noqa: PLC0415

        with _progress(quiet=as_json) as progress:
            told = again.recompute(
                bundle, found, settings=Settings(memory=memory, threads=threads),
                **({"progress": progress} if progress else {}),
            )  # fmt: skip
        table["recomputed"] = [asdict(one) for one in told]
        text += "".join(
            f"computed anew, the same: {one.item}, {one.what}: {one.numbers:,} numbers\n"
            if one.same
            else f"not computed anew: {one.item}, {one.what}: {one.why}\n"
            for one in told
        )
    _tell(table, text.rstrip("\n"), as_json)


@app.command("loss")
def estimate_loss(
    case: Folder,
    prices: Annotated[Path, typer.Option(help="Your price book (docs/loss.md).")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    by: Annotated[str | None, typer.Option(help="Who does this; with --why the estimate is added.")] = None,
    why: Annotated[str | None, typer.Option(help="Why, for the case's ledger.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what was taken, by four methods, as ranges. With --by and --why it becomes part of the case."""
    from spiritsafe.cases import folder, loss  # noqa: PLC0415
    from spiritsafe.cases import prices as room  # noqa: PLC0415

    if (by is None) != (why is None):
        raise UsageError(
            "--by and --why go together", hint="both add the estimate to the case, neither shows it"
        )
    found, book = folder.open_case(case), room.read(prices)
    usage = loss.usage_of(found)
    result = loss.estimate(usage, book, seed=seed)
    text = "\n".join(loss.words(result))
    if by and why:
        made = loss.add(case, usage, result, prices, by=by, why=why, now=_now())
        text += f"\nadded as {made.name}"
    _tell(result, text, as_json)


def _file(case: Path, kind: str, file: Path, by: str, why: str) -> Item:
    from spiritsafe.cases import folder  # noqa: PLC0415

    if not file.is_file():
        raise UsageError("there is no such file", where=str(file))
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", file.name).lstrip("._-") or "file"
    return folder.add(case, kind, by=by, why=why, now=_now(), about={"file": name}, files={name[-60:]: file})


def _added(made: Item, as_json: bool, more: str = "") -> None:
    text = f"{made.name}: " + ", ".join(f"{n} ({one['leaves']:,})" for n, one in made.parts.items())
    table = {"item": made.name, "parts": dict(made.parts), "about": dict(made.about)}
    _tell(table, text + (f"\n{more}" if more else ""), as_json)


def _told(case: Case) -> dict[str, Any]:
    return {
        "case": case.case_id, "title": case.title, "claim": case.claim, "status": case.status, "head": case.head,
        "items": [
            {"item": one.name, "kind": one.kind, "time": rfc3339(one.time), "by": one.by, "why": one.why,
             "about": dict(one.about)} for one in case.items
        ],
    }  # fmt: skip


def _moment(text: str | None, option: str) -> int | None:
    from datetime import UTC, datetime  # noqa: PLC0415

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a time", where=option, hint="write it as 2026-09-30T12:00:00Z"
        ) from error
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1_000_000)


def _now() -> int:
    return time.time_ns() // 1_000


def _progress(*, quiet: bool) -> AbstractContextManager[Any]:
    from spiritsafe.campaigns import screen  # noqa: PLC0415

    return nullcontext() if quiet else screen.stages()


def _tell(table: dict[str, Any], text: str, as_json: bool) -> None:
    sys.stdout.write((json.dumps(table, sort_keys=True) if as_json else text) + "\n")
