"""What decided appeals teach: records of cleared customers as a log that ``spiritsafe calibrate`` takes, and labels beside them.

The log holds facts and sketches, no text: all sealed exchanges of accounts whose appeal ended in ``overturned``. What a program
took for a campaign and a person found innocent is what a calibration most needs to have seen.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spiritsafe.cases import appeals, folder
from spiritsafe.casework.gather import FACTS_FILE
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import SpiritsafeError
from spiritsafe.orders.snapshot import replace_file
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spiritsafe.cases.folder import Case

INNOCENT, LABELS = "innocent.jsonl", "labels.jsonl"
_ROWS = 65_536


def write(cases: Sequence[Path], out: Path, *, settings: Settings | None = None) -> dict[str, Any]:
    """Write ``innocent.jsonl`` and ``labels.jsonl`` of some cases to the folder ``out``. Returns what was counted.

    ``labels.jsonl`` has a line for each decided appeal: the outcome and the tests' bits of its campaigns; nobody is named.
    Raises StorageError, UsageError for what is no case.
    """
    out.mkdir(parents=True, exist_ok=True)
    lines: list[bytes] = []
    labels: list[dict[str, Any]] = []
    limits = settings or Settings()
    with TemporaryDirectory(prefix="spiritsafe-") as scratch, DuckDB(
        Path(scratch), memory=limits.memory, threads=limits.threads
    ) as engine:  # fmt: skip
        for path in cases:
            case = folder.open_case(path)
            labels += list(_labels(case))
            accounts, organizations = appeals.cleared(case)
            if accounts or organizations:
                lines += list(_facts(engine, case, accounts, organizations))
    lines = list(dict.fromkeys(lines))  # several cases may hold the same log
    replace_file(out / INNOCENT, b"".join(line + b"\n" for line in lines))
    replace_file(out / LABELS, b"".join(json.dumps(one, sort_keys=True).encode() + b"\n" for one in labels))
    outcomes = [one["outcome"] for one in labels]
    return {"exchanges": len(lines), **{name: outcomes.count(name) for name in folder.OUTCOMES}}


def _facts(engine: DuckDB, case: Case, accounts: set[str], organizations: set[str]) -> Iterator[bytes]:
    engine.register("cleared", pa.table({"name": pa.array(sorted(accounts), pa.string())}))
    engine.register("cleared_organizations", pa.table({"name": pa.array(sorted(organizations), pa.string())}))
    for item in case.of("campaign"):
        part = f"{item.name}/{FACTS_FILE}"
        if part not in item.parts:
            continue
        rows = case.lines(part)
        while chunk := list(islice(rows, _ROWS)):
            engine.register(
                "chunk", pa.table({"line": pa.array([line.decode() for line in chunk], pa.string())})
            )
            found = engine.table(
                "SELECT line FROM chunk WHERE json_extract_string(line, '$.account_id') IN (SELECT name FROM cleared) "
                "OR json_extract_string(line, '$.organization_id') IN (SELECT name FROM cleared_organizations)"
            )
            engine.unregister("chunk")
            for line in found.column(0).to_pylist():
                yield line.encode()


def _labels(case: Case) -> Iterator[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for item in case.of("campaign"):
        names = {one["id"] for one in item.about["campaigns"]}
        try:
            with folder.reading(case.path(f"{item.name}/campaigns.json")) as file:
                entries += [one for one in json.load(file)["campaigns"] if one["campaign_id"] in names]
        except SpiritsafeError:
            continue
    told = [
        {
            "tests": {test["name"]: test["bits"] for test in entry["coordination"]["tests"]},
            "intent": entry["intent"]["score"],
            "accounts": len(entry["accounts"]),
        }
        for entry in entries
    ]
    for one in case.appeals:
        if one.outcome:
            yield {"outcome": one.outcome, "grounds": list(one.item.about["grounds"]), "campaigns": told}
