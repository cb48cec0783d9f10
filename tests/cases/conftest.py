from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spiritsafe import pipeline
from spiritsafe.attest import keys
from spiritsafe.cases import folder, seal
from spiritsafe.casework import gather
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, load_corpus, shipped, simulate

NOW = 1_800_000_000_000_000


def _sample() -> dict[str, Any]:
    """The tests mirror src and are no package, so the sample is loaded by its path."""
    spec = importlib.util.spec_from_file_location("spiritsafe_sample", Path(__file__).with_name("sample.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.sample()


@pytest.fixture(scope="session")
def result() -> dict[str, Any]:
    """A realistic result: three campaigns, a reseller and an unclear group. Not to be changed: copy it first."""
    return _sample()


@dataclass
class World:
    """A log, the scan of it, and the campaign that it found."""

    folder: Path
    log: Path
    results: Path
    record: dict[str, Any]
    campaign: str

    @property
    def signer(self) -> Path:
        return self.folder / "signer.key"

    def open(self, where: Path) -> Path:
        case = where / "case"
        folder.create(case, case_id="case-1", title="T", claim="C", by="anna", why="scan", now=NOW)
        return case

    def add(self, case: Path, **how: Any) -> folder.Item:
        told: dict[str, Any] = {"by": "anna", "why": "found", "now": NOW + 1, "inputs": [self.log]}
        return gather.add_campaign(case, self.results, [self.campaign], **(told | how))

    def seal(self, case: Path, out: Path) -> tuple[Path, Any]:
        done = seal.seal(
            case, out, [keys.load(self.signer)], by="anna", why="x", now=NOW + 9, code=gather.code()
        )
        return done.path, done.checked


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    where = tmp_path_factory.mktemp("world")
    plan = Plan(
        (
            Population("reasoning_harvest", {"accounts": 30, "rate": 30.0}),
            Population("chat_users", {"accounts": 80, "rate": 6.0}),
        ),
        load_corpus(shipped()),
    )
    made = simulate(plan, where / "made", seed=3)
    record = pipeline.scan([made.log], where / "out", settings=Settings(seed=5))
    (found,) = [one["campaign_id"] for one in record["campaigns"] if one["label"] == "campaign"]
    keys.make(where / "signer.key")
    return World(where, made.log, where / "out", record, found)
