"""One small log with a campaign, scanned for real, with what the scan had in memory beside its files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe import pipeline
from spiritsafe.console.campaign.group import Group, read
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, load_corpus, shipped, simulate

if TYPE_CHECKING:
    from pathlib import Path

    from spiritsafe.campaigns.verdict import Verdict


@dataclass(frozen=True)
class Scanned:
    """A result's folder, its record, and the verdicts that it tells of."""

    folder: Path
    record: dict[str, Any]
    verdicts: list[Verdict]
    log: Any
    layers: Any
    tested: dict[str, Any]

    @property
    def at(self) -> int:
        """Where the campaign stands."""
        return next(n for n, one in enumerate(self.record["campaigns"]) if one["label"] == "campaign")

    @property
    def entry(self) -> dict[str, Any]:
        return self.record["campaigns"][self.at]

    @property
    def verdict(self) -> Verdict:
        return self.verdicts[self.at]

    @property
    def summaries(self) -> list[dict[str, Any]]:
        return [
            {"campaign_id": one["campaign_id"], "label": one["label"], "bits": one["coordination"]["bits"]}
            for one in self.record["campaigns"]
        ]


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    where = tmp_path_factory.mktemp("scanned")
    plan = Plan(
        (
            Population("reasoning_harvest", {"accounts": 40, "rate": 30.0, "payment": 0.5, "device": 0.5}),
            Population("reseller", {"accounts": 30, "rate": 10.0}),
            Population("chat_users", {"accounts": 80, "rate": 6.0}),
        ),
        load_corpus(shipped()),
    )
    made = simulate(plan, where / "made", seed=3)
    settings = Settings(seed=5, show_text=True)
    work = where / "work"
    work.mkdir()
    with DuckDB(work, memory=settings.memory, threads=settings.threads) as engine:
        taken = pipeline.ingest(engine, [made.log], work, settings=settings)
        done = pipeline.conclude(engine, taken, settings=settings)
    folder = (work / "final").rename(where / "out")
    record = json.loads((folder / "campaigns.json").read_text("utf-8"))
    tested = json.loads((folder / "candidates.json").read_text("utf-8"))
    return Scanned(folder, record, done.verdicts, done.log, done.layers, tested)


@pytest.fixture(scope="session")
def group(scanned: Scanned) -> Group:
    return read(scanned.folder, scanned.entry)
