"""What a case takes from other rooms: campaigns with the records of the log that they rest on, finished tests of a suspect.

A sealed exchange is two records: its facts (all canonical columns but the texts, and the packed sketch in place of those), and
its texts. So texts can be withheld and every statistic of a campaign can still be computed; where they are shown, the
sketches are computed from them and compared, too.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe import __version__, pipeline, sources
from spiritsafe.campaigns import intent
from spiritsafe.cases import folder, measures, seal
from spiritsafe.cases.taken import Usage
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import UsageError
from spiritsafe.features import packed, sketch
from spiritsafe.provenance import _prereg
from spiritsafe.schema import BY_NAME, NAMES
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spiritsafe.cases.folder import Item
    from spiritsafe.pipeline import Progress

TEXTS = ("system", "prompt", "response")
FACTS = tuple(name for name in NAMES if name not in TEXTS)
CAMPAIGNS, CALIBRATION, USAGE = "campaigns.json", "calibration.json", "usage.json"
FACTS_FILE, TEXTS_FILE, EXCHANGES_FILE = "facts.jsonl", "texts.jsonl", "exchanges.jsonl"
_TIME = "strftime(make_timestamp({0}), '%Y-%m-%dT%H:%M:%S.%fZ')"


def code() -> dict[str, str]:
    """Which program this is: its version, and the SHA-256 over the names and contents of its files."""
    digest = hashlib.sha256()
    root = Path(str(files("spiritsafe")))
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return {"spiritsafe": __version__, "source": digest.hexdigest()}


def add_campaign(
    case: Path,
    results: Path,
    campaigns: Sequence[str],
    *,
    by: str,
    why: str,
    now: int,
    inputs: Sequence[str | Path] = (),
    format: str | None = None,
    since: int | None = None,
    until: int | None = None,
    calibration: Path | None = None,
    settings: Settings | None = None,
    progress: Progress = pipeline.silent,
) -> Item:
    """Add campaigns of a scan's ``results``, and the records of ``inputs`` (the log that was scanned) that they rest on.

    Without ``inputs`` nothing can be computed anew from the sealed case. ``format``, ``since``, ``until`` and ``calibration``
    are those of the scan. Raises UsageError when a campaign is not there or the log is not the one that was scanned.
    """
    path = results / CAMPAIGNS
    data = _bytes(path)
    result = result_of(data, path)
    told = [_named(result, name, path) for name in campaigns]
    chosen = _exchanges(results, [one["campaign_id"] for one in told])
    parts: dict[str, Path | bytes] = {CAMPAIGNS: data}
    if calibration is not None:
        intent.load(calibration)
        parts[CALIBRATION] = calibration
    listed = {EXCHANGES_FILE: (json.dumps(row, sort_keys=True).encode() for row in chosen.to_pylist())}
    about: dict[str, Any] = {
        "campaigns": [
            {"id": one["campaign_id"], "label": one["label"], "exchanges": one["exchanges"]} for one in told
        ],
        "evidence": f"sha256:{hashlib.sha256(data).hexdigest()}",
        "settings": result["settings"],
        "spiritsafe": result["spiritsafe"],
        "records": 0,
    }
    if not inputs:
        return folder.add(case, "campaign", by=by, why=why, now=now, about=about, files=parts, lines=listed)
    limits = settings or Settings()
    with TemporaryDirectory(prefix="spiritsafe-") as scratch, DuckDB(
        Path(scratch), memory=limits.memory, threads=limits.threads
    ) as engine:  # fmt: skip
        reading = sources.read(
            inputs, format=format, engine=engine, rejects=Path(scratch) / "rejected.jsonl", since=since, until=until,
            batch_rows=limits.batch_rows, progress=lambda _, done, total: progress("reading the log", done, total),
        )  # fmt: skip
        usage = Usage(engine, chosen)
        facts, texts = Path(scratch) / FACTS_FILE, Path(scratch) / TEXTS_FILE
        rows = 0
        with facts.open("wb") as narrow, texts.open("wb") as wide:
            for batch in reading:
                made, row = facts_of(batch, threads=limits.threads)
                usage.add(made)
                narrow.writelines(_json(engine, row))
                wide.writelines(_json(engine, batch.select(TEXTS)))
                rows += batch.num_rows
        if rows != result["scanned"]["accepted"]:
            raise UsageError(
                f"the log has {rows:,} exchanges, and {result['scanned']['accepted']:,} were scanned",
                where=str(path),
                hint="name the same files, --since and --until as for the scan",
            )
        about["records"] = rows
        parts[USAGE] = json.dumps(usage.record(told), sort_keys=True).encode()
        with facts.open("rb") as narrow, texts.open("rb") as wide:
            listed |= {FACTS_FILE: (line[:-1] for line in narrow), TEXTS_FILE: (line[:-1] for line in wide)}
            return folder.add(
                case, "campaign", by=by, why=why, now=now, about=about, files=parts, lines=listed
            )


def add_finding(case: Path, proof: Path, *, by: str, why: str, now: int, book: Path | None = None) -> Item:
    """Add a finished test of a suspect: all files of the folder that ``spiritsafe prove run`` left, secrets excepted.

    The keys and coins that the test rests on are among them: whoever is given the bundle learns them. ``book``: the ledger of
    the commitments; the entries kept in the folder are then proven to stand in it. Raises UsageError, LedgerError.
    """
    path = proof / "result.json"
    data = _bytes(path)
    try:
        result = json.loads(data)
        about = {
            "suspect": result["suspect"],
            "verdict": result["verdict"],
            "tests": [one["test"] for one in result["findings"]],
            "result": f"sha256:{hashlib.sha256(data).hexdigest()}",
        }
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "this is no result of a test", where=str(path), hint="spiritsafe prove run"
        ) from error
    found: dict[str, Path | bytes] = {
        file.relative_to(proof).as_posix(): file
        for file in sorted(proof.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(proof).parts)
    }
    if book is not None:
        kept = {one.hash for one in _prereg.kept_entries(proof)}
        told = measures.excerpt(book, lambda one: one.hash in kept)
        if len(told["entries"]) != len(kept):
            raise UsageError(
                "the ledger lacks entries that the test rests on",
                where=str(book),
                hint="name the one it was run with",
            )
        found[measures.HOUSE] = json.dumps(told).encode()
    return folder.add(case, "finding", by=by, why=why, now=now, about=about, files=found)


def members_only(bundle: Path) -> seal.Shows:
    """For ``seal.hand_on``: shows texts only of exchanges that belong to a campaign of the case, and all the rest.

    Raises AttestError, and UsageError where the facts that tell which are withheld already.
    """
    keep: dict[str, set[int]] = {}
    with seal.opened(bundle) as (_, places):
        found = [name.removeprefix("parts/").partition("/") for name in places]
    for item in (item for item, _, name in found if name == TEXTS_FILE):
        with TemporaryDirectory(prefix="spiritsafe-") as scratch:
            seal.unpack(bundle, Path(scratch), item)
            chosen = {json.loads(line)["exchange_id"] for line in _lines(Path(scratch) / EXCHANGES_FILE)}
            keep[f"{item}/{TEXTS_FILE}"] = {
                number
                for number, line in enumerate(_lines(Path(scratch) / FACTS_FILE))
                if json.loads(line)["exchange_id"] in chosen
            }

    def shows(part: str, number: int, _content: bytes) -> bool:
        return part not in keep or number in keep[part]

    return shows


def facts_of(batch: pa.RecordBatch, *, threads: int) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """The sketch of a batch, and its facts: canonical columns without texts, the sketch packed."""
    made = sketch(batch, threads=threads)
    columns = {name: made.column(name) for name in FACTS if name != "sketch"}
    return made, pa.RecordBatch.from_pydict({**columns, "sketch": packed(made).cast(pa.string())})


def _json(engine: DuckDB, batch: pa.RecordBatch) -> Iterator[bytes]:
    """Each row as one JSON object and a line end; columns without a value are left out."""
    names = [name for name in batch.schema.names if batch.column(name).null_count < batch.num_rows]
    kinds = {name: _TIME.format(name) if BY_NAME[name].kind == "time" else name for name in names}
    engine.register("batch", pa.table(batch))
    inner = ", ".join(f"'{name}': {value}" for name, value in kinds.items())
    text = f"to_json({{{inner}}})" if names else "'{}'"
    rows = engine.table(f"SELECT CAST({text} AS VARCHAR) AS line FROM batch")
    engine.unregister("batch")
    for line in rows.column(0).to_pylist():
        yield line.encode() + b"\n"


def _exchanges(results: Path, campaigns: Sequence[str]) -> pa.Table:
    path = results / "exchanges.parquet"
    try:
        return pq.read_table(path, filters=[("campaign_id", "in", list(campaigns))])
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(
            "the table of exchanges cannot be read", where=str(path), hint="scan again"
        ) from error


def _lines(path: Path) -> Iterator[bytes]:
    if not path.exists():
        raise UsageError("this part is withheld already", where=path.name)
    with path.open("rb") as file:
        yield from file


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}", where=str(path), hint="name the folder of the results"
        ) from error


def result_of(data: bytes, path: Path) -> dict[str, Any]:
    """The object of a ``campaigns.json``. Raises UsageError."""
    try:
        found: Any = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"campaigns", "scanned", "settings", "seed"} <= found.keys():
        raise UsageError("this is not a scan's result", where=str(path), hint="scan again")
    return cast("dict[str, Any]", found)


def _named(result: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    fits = [one for one in result["campaigns"] if one["campaign_id"].startswith(name)]
    if len(fits) != 1:
        known = ", ".join(one["campaign_id"] for one in result["campaigns"]) or "none"
        raise UsageError(
            f"{'no' if not fits else 'more than one'} campaign begins with {name!r}",
            where=str(path),
            hint=f"campaigns here: {known}",
        )
    return fits[0]
