"""The verbs of ``spiritsafe case`` that write and check bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spiritsafe._cases_cli.shared import (
    Bundle,
    By,
    Folder,
    Json,
    Keys,
    Memory,
    Out,
    Threads,
    Why,
    given,
    now,
    tell,
)
from spiritsafe._cases_cli.shared import progress as shown
from spiritsafe.errors import UsageError
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509 import Certificate

app = typer.Typer()


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
        case, out, [keys.load(one) for one in key], by=by, why=why, now=now(), code=code(),
        stamper=stamps.authority(tsa) if tsa else None,
    )  # fmt: skip
    signers = list(made.checked.signers)
    text = f"{out}: {len(made.checked.parts)} parts, statement sha256:{made.statement}\n"
    text += "check it with: spiritsafe case verify " + " ".join(
        [str(out), *(f"--key {one}" for one in signers)]
    )
    tell({"bundle": str(out), "statement": made.statement, "signers": signers}, text, as_json)


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
    from spiritsafe.orders.snapshot import replace_file  # noqa: PLC0415

    statement = room.statement_of(bundle)
    if query is not None:
        replace_file(query, stamps.query(statement))
        tell({"query": str(query)}, f"{query}: send it to an authority, then --token", as_json)
        return
    if (token is None) == (tsa is None):
        raise UsageError("one of --tsa and --token is needed")
    answer = given(token) if token else stamps.authority(str(tsa))(statement)
    room.stamped(bundle, out, answer)
    tell({"bundle": str(out)}, f"{out}: check it with `spiritsafe case verify --tsa`", as_json)


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
    tell({"bundle": str(out), "withheld": told}, "\n".join(rows), as_json)


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

    from spiritsafe.cases import seal as room  # noqa: PLC0415
    from spiritsafe.cases.verify import words  # noqa: PLC0415

    found = room.check(bundle, key, now=now(), threshold=threshold, tsa=_roots(tsa))
    table, text = asdict(found), words(found)
    if recompute:
        from spiritsafe.casework import recompute as again  # noqa: PLC0415

        with shown(quiet=as_json) as progress:
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
    tell(table, text.rstrip("\n"), as_json)


@app.command()
def report(
    case: Annotated[Path, typer.Argument(help="Folder of a case, or a bundle.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write: .html or .pdf.")],
    key: Annotated[list[str] | None, typer.Option(help="Public key that may have sealed the bundle.")] = None,
    threshold: Annotated[int, typer.Option(min=1, help="How many of the keys must have signed.")] = 1,
    tsa: Annotated[Path | None, typer.Option(help="PEM of authorities whose time stamps you trust.")] = None,
    as_json: Json = False,
) -> None:
    """Write the dossier of a case, or of a bundle once it was checked."""
    from spiritsafe.cases import folder  # noqa: PLC0415
    from spiritsafe.cases import report as room  # noqa: PLC0415
    from spiritsafe.cases import seal as sealing  # noqa: PLC0415
    from spiritsafe.orders.snapshot import replace_file  # noqa: PLC0415

    if out.suffix not in {".html", ".pdf"}:
        raise UsageError("a dossier is .html or .pdf", where=str(out))
    if case.is_dir():
        made = room.of_case(folder.open_case(case))
    elif key:
        checked = sealing.check(case, key, now=now(), threshold=threshold, tsa=_roots(tsa))
        made = room.of_bundle(case, checked)
    else:
        raise UsageError(
            "a bundle is checked before it is told of", hint="--key, the public key of who sealed it"
        )
    replace_file(out, room.pdf(made) if out.suffix == ".pdf" else room.html(made).encode())
    tell({"report": str(out)}, str(out), as_json)


def _roots(path: Path | None) -> Sequence[Certificate]:
    """The authorities in a PEM file. Raises UsageError."""
    from cryptography import x509  # noqa: PLC0415

    if path is None:
        return []
    try:
        return x509.load_pem_x509_certificates(given(path))
    except ValueError as error:
        raise UsageError("this is no PEM of certificates", where=str(path)) from error
