"""Computing a sealed case anew: every statistic from what the bundle shows, compared with what was sealed."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe import pipeline, sources
from spiritsafe.campaigns import intent
from spiritsafe.cases import loss, measures, prices, seal
from spiritsafe.casework.gather import CALIBRATION, CAMPAIGNS, FACTS_FILE, TEXTS_FILE, facts_of, result_of
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import AttestError, SpiritsafeError
from spiritsafe.provenance import _run
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.cases.verify import Checked, Part
    from spiritsafe.pipeline import Progress

SAME = 1e-6
"""Relative difference that another processor's sums may make."""
_SCANNED = ("accepted", "duplicates")


@dataclass(frozen=True, slots=True)
class Again:
    """One thing computed anew: ``same`` (then ``numbers`` were compared), or why it cannot be."""

    item: str
    what: str
    same: bool
    numbers: int = 0
    why: str = ""


def recompute(
    bundle: Path, checked: Checked, *, settings: Settings | None = None, progress: Progress = pipeline.silent
) -> list[Again]:
    """Compute every statistic of a bundle anew from what it shows, and compare: numbers within ``SAME``, the rest exactly.

    ``checked``: what ``seal.check`` returned. What was withheld and what that prevents is told, never passed over. Raises
    AttestError at the first difference.
    """
    limits = settings or Settings()
    told: list[Again] = []
    for entry in checked.entries:
        body = entry["body"]
        own = {one.name: one for one in checked.parts if one.name.startswith(f"{body.get('item')}/")}
        try:
            if body.get("kind") == "campaign":
                told += _campaign(bundle, body, own, limits, progress)
            elif body.get("kind") == "finding":
                told.append(_finding(bundle, body, own, progress))
            elif body.get("kind") == "loss":
                told.append(_loss(bundle, body, own))
            elif body.get("kind") == "orders":
                told.append(_orders(bundle, body, own))
        except (KeyError, TypeError, ValueError) as error:
            raise AttestError(
                f"what was sealed lacks or confuses {error}", where=str(body["item"])
            ) from error
    return told


def _campaign(
    bundle: Path, body: Mapping[str, Any], own: Mapping[str, Part], limits: Settings, progress: Progress
) -> list[Again]:
    item, names = body["item"], [one["id"] for one in body["about"]["campaigns"]]
    if not body["about"]["records"]:
        return [Again(item, name, same=False, why="no records were sealed with it") for name in names]
    more = [CALIBRATION] if f"{item}/{CALIBRATION}" in own else []
    why = _prevents(item, own, CAMPAIGNS, FACTS_FILE, *more)
    if why:
        return [Again(item, name, same=False, why=why) for name in names]
    with TemporaryDirectory(prefix="spiritsafe-") as scratch:
        work = Path(scratch)
        seal.unpack(bundle, work, item)
        stored = result_of((work / CAMPAIGNS).read_bytes(), work / CAMPAIGNS)
        whole = not own[f"{item}/{TEXTS_FILE}"].withheld
        log = work / "records.jsonl"
        if whole:
            _join(work / FACTS_FILE, work / TEXTS_FILE, log)
            _same_sketches(log, limits, item)
        else:
            log = work / FACTS_FILE
        used = Settings(
            fdr=stored["scanned"]["fdr"], seed=stored["seed"], memory=limits.memory, threads=limits.threads
        )
        if used.fingerprint() != stored["settings"]:
            raise AttestError("its settings are not those of its hash", where=f"{item}/{CAMPAIGNS}")
        own_reference = work / CALIBRATION
        reference = intent.load(own_reference) if own_reference.exists() else None
        again = pipeline.scan(
            [log],
            work / "again",
            settings=used,
            format="canonical_jsonl",
            reference=reference,
            progress=progress,
        )
        for name in _SCANNED:
            if again["scanned"][name] != stored["scanned"][name]:
                raise AttestError(f"the sealed records are others: {name} differs", where=item)
        return [_compared(item, name, stored, again) for name in names]


def _compared(item: str, name: str, stored: Mapping[str, Any], again: Mapping[str, Any]) -> Again:
    ours = next(one for one in stored["campaigns"] if one["campaign_id"] == name)
    theirs = next((one for one in again["campaigns"] if one["campaign_id"] == name), None)
    if theirs is None:
        raise AttestError("computed anew, there is no such campaign", where=f"{item}, {name}")
    # Exhibits quote texts, which may be withheld; they are drawings of what is compared here.
    numbers = sum(
        _differ(ours[key], theirs.get(key), f"{item}, {name}, {key}") for key in ours if key != "exhibits"
    )
    return Again(item, name, same=True, numbers=numbers)


def _finding(bundle: Path, body: Mapping[str, Any], own: Mapping[str, Part], progress: Progress) -> Again:
    item, suspect = body["item"], str(body["about"]["suspect"])
    why = _prevents(item, own, *(name.partition("/")[2] for name in own))
    if why:
        return Again(item, suspect, same=False, why=why)
    with TemporaryDirectory(prefix="spiritsafe-") as scratch:
        seal.unpack(bundle, Path(scratch), item)
        try:
            told = _run.check(Path(scratch), None, progress=progress)
        except SpiritsafeError as error:
            raise AttestError(f"computed anew, it differs: {error.message}", where=item) from error
    return Again(item, suspect, same=True, numbers=told["files"] + told["commitments"])


def _loss(bundle: Path, body: Mapping[str, Any], own: Mapping[str, Part]) -> Again:
    item = body["item"]
    why = _prevents(item, own, *(name.partition("/")[2] for name in own))
    if why:
        return Again(item, "loss", same=False, why=why)
    with TemporaryDirectory(prefix="spiritsafe-") as scratch:
        work = Path(scratch)
        seal.unpack(bundle, work, item)
        stored = json.loads((work / loss.FILE).read_bytes())
        book = prices.read(work / loss.BOOK)
        again = loss.estimate(json.loads((work / loss.TAKEN).read_bytes()), book, seed=stored["seed"])
    return Again(
        item, "loss", same=True, numbers=_differ(stored, json.loads(json.dumps(again)), f"{item}, loss")
    )


def _orders(bundle: Path, body: Mapping[str, Any], own: Mapping[str, Part]) -> Again:
    item = body["item"]
    why = _prevents(item, own, measures.ORDERS)
    if why:
        return Again(item, "orders", same=False, why=why)
    with TemporaryDirectory(prefix="spiritsafe-") as scratch:
        seal.unpack(bundle, Path(scratch), item)
        table = json.loads((Path(scratch) / measures.ORDERS).read_bytes())
        return Again(
            item, "approvals of orders", same=True, numbers=measures.check(table, f"{item}/{measures.ORDERS}")
        )


def _prevents(item: str, own: Mapping[str, Part], *names: str) -> str:
    """Why something cannot be computed: what of it is withheld. Empty when all is there."""
    for name in names:
        part = own[f"{item}/{name}"]
        if part.withheld:
            return f"{part.withheld:,} of {part.leaves:,} of {name} withheld"
    return ""


def _differ(ours: Any, theirs: Any, where: str) -> int:
    """How many numbers were compared. Raises AttestError where something is another."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        one, other = cast("dict[str, Any]", ours), cast("dict[str, Any]", theirs)
        if one.keys() == other.keys():
            return sum(_differ(one[key], other[key], f"{where}, {key}") for key in one)
    elif isinstance(ours, list) and isinstance(theirs, list):
        rows, others = cast("list[Any]", ours), cast("list[Any]", theirs)
        if len(rows) == len(others):
            pairs = enumerate(zip(rows, others, strict=True))
            return sum(_differ(one, other, f"{where}, {at}") for at, (one, other) in pairs)
    elif _same(cast("Any", ours), theirs):
        return int(_number(cast("Any", ours)))
    raise AttestError(
        f"computed anew, it is another: {str(cast('Any', theirs))[:60]} and not {str(cast('Any', ours))[:60]}",
        where=where,
        hint="with the version and calibration of the seal it should be the same",
    )


def _same(ours: Any, theirs: Any) -> bool:
    if _number(ours) and _number(theirs):
        return math.isclose(ours, theirs, rel_tol=SAME, abs_tol=SAME)
    return ours == theirs


def _join(facts: Path, texts: Path, out: Path) -> None:
    """Records with their texts; the packed sketch stands beside them, and a reader takes the text."""
    with facts.open("rb") as narrow, texts.open("rb") as wide, out.open("wb") as file:
        for fact, text in zip(narrow, wide, strict=True):
            file.write(fact if text == b"{}\n" else fact[:-2] + b"," + text[1:])


def _number(value: object) -> bool:
    return type(value) in {int, float}


def _same_sketches(log: Path, limits: Settings, item: str) -> None:
    """Whether the sealed sketches are those of the sealed texts. Raises AttestError with the number of the record."""
    with TemporaryDirectory(prefix="spiritsafe-") as scratch, DuckDB(
        Path(scratch), memory=limits.memory, threads=limits.threads
    ) as engine:  # fmt: skip
        reading = sources.read(
            [log], format="canonical_jsonl", engine=engine, rejects=Path(scratch) / "rejected.jsonl",
            batch_rows=limits.batch_rows,
        )  # fmt: skip
        for batch in reading:
            told = batch.column("sketch")
            made = facts_of(batch, threads=limits.threads)[1].column("sketch")
            others = pc.or_(pc.is_null(told), pc.not_equal(made, pc.coalesce(told, pa.scalar(""))))
            if pc.any(others).as_py():
                line = batch.column("source_line").filter(others)[0].as_py()
                raise AttestError(
                    "the sealed sketch is not that of the sealed text", where=f"{item}/{FACTS_FILE}:{line}"
                )
