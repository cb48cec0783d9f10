"""One small log with a campaign, scanned for real, with what the scan had in memory beside its files."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from consoles import NOW, House, furnish, served

from spiritsafe import pipeline
from spiritsafe.console import settings
from spiritsafe.console.campaign.group import Group, read
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.settings import Settings
from spiritsafe.sharing.stix.export import to_stix
from spiritsafe.simulate import Plan, Population, load_corpus, shipped, simulate

if TYPE_CHECKING:
    from collections.abc import Generator

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
    how = Settings(seed=5, show_text=True)
    work = where / "work"
    work.mkdir()
    with DuckDB(work, memory=how.memory, threads=how.threads) as engine:
        taken = pipeline.ingest(engine, [made.log], work, settings=how)
        done = pipeline.conclude(engine, taken, settings=how)
    folder = (work / "final").rename(where / "out")
    record = json.loads((folder / "campaigns.json").read_text("utf-8"))
    tested = json.loads((folder / "candidates.json").read_text("utf-8"))
    return Scanned(folder, record, done.verdicts, done.log, done.layers, tested)


@pytest.fixture(scope="session")
def group(scanned: Scanned) -> Group:
    return read(scanned.folder, scanned.entry)


#: What strangers write where pages show it: none of it may run, leave its place or turn the reading direction.
PAYLOADS = (
    "<script>window.ran = 1</script>",
    '"><img src=x onerror="window.ran = 1">',
    "'-alert(1)-'",
    "</title></svg><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\u2066\x00\x1b[31m",
    "a/b/../..?x=1&y=<b>#f",
)


def hostile(scanned: Scanned, folder: Path) -> Path:
    """The same result, in which strangers chose accounts, texts, values and the names of roles and layers."""
    folder.mkdir(parents=True)
    names = {
        one["account_id"]: f"{PAYLOADS[n % len(PAYLOADS)]} {n}"
        for entry in scanned.record["campaigns"]
        for n, one in enumerate(entry["accounts"])
    }
    record = json.loads(json.dumps(scanned.record))
    record["campaigns"] = record["campaigns"][:2]
    for entry in record["campaigns"]:
        for one in entry["accounts"]:
            one["account_id"] = names[one["account_id"]]
        entry["headline"] = f"{PAYLOADS[0]} {PAYLOADS[1]}"
        entry["clears"] = list(PAYLOADS)
        entry["hypotheses"] = [{"hypothesis": one, "fits": one, "because": one} for one in PAYLOADS]
        for one in entry["layers"]:
            one["top"] = [{"value": text, "accounts": 2, "elsewhere": 0} for text in PAYLOADS]
        for one in entry["coordination"]["tests"]:
            one |= {"question": PAYLOADS[0], "null": PAYLOADS[1], "note": PAYLOADS[3], "window": PAYLOADS[4]}
        for one in entry["exhibits"]:
            if one["kind"] == "skeleton":
                one |= {
                    "text": f"{PAYLOADS[0]} ⟨…⟩ {PAYLOADS[3]}",
                    "specimens": [f"{PAYLOADS[0]} {PAYLOADS[1]} {PAYLOADS[3]}"],
                }
        entry["proposed_order"]["reason"] = PAYLOADS[1]
    (folder / "campaigns.json").write_text(json.dumps(record), "utf-8")
    (folder / "candidates.json").write_bytes((scanned.folder / "candidates.json").read_bytes())
    told = {
        "time": scanned.entry["last_seen"],
        "change": list(PAYLOADS),
        "case": "c",
        "campaign_id": scanned.entry["campaign_id"],
    }
    (folder / "changes.jsonl").write_text(json.dumps(told) + "\n", "utf-8")
    for name in ("exchanges", "holdings"):
        table = pq.read_table(scanned.folder / f"{name}.parquet")
        known = [names.get(one, one) for one in table["account_id"].to_pylist()]
        table = table.set_column(table.schema.get_field_index("account_id"), "account_id", pa.array(known))
        column = "value" if name == "holdings" else "exchange_id"
        texts = pa.array([f"{PAYLOADS[n % len(PAYLOADS)]} {n}" for n in range(table.num_rows)])
        table = table.set_column(table.schema.get_field_index(column), column, texts)
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


@dataclass(frozen=True)
class Open:
    """A console over the scan, its hostile twin, a real proof and a real forum."""

    house: House
    scanned: Scanned
    page: str
    bad: str
    forum: Any
    other: Any


def _loaded(name: str, *path: str) -> Any:
    """A module of other tests, by its path: the tests mirror src and are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2].joinpath(*path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shown(scanned: Scanned, tmp_path_factory: pytest.TempPathFactory, password_hash: str) -> Generator[Open]:
    where = tmp_path_factory.mktemp("shown")
    _loaded("spiritsafe_casework_tests", "cases", "test_casework.py").proof(_made(where / "proofs"))
    client = _loaded("spiritsafe_client_tests", "sharing", "client", "conftest.py")
    sample = _loaded("spiritsafe_forum_sample", "sharing", "sample.py")
    clock = client.Clock()
    with client.serving(_made(where / "forum"), str(where / "hub.db"), clock=clock) as forum:
        author, reader = forum.member("author"), forum.member("reader")
        told, found = sample.results()
        for one in (author, reader):
            with one.session() as sitting:
                text = (
                    replace(sample.FULL, text=f"{PAYLOADS[0]} {PAYLOADS[1]}")
                    if one is author
                    else sample.FULL
                )
                made = to_stix(told["campaigns"][0], found, sitting.maker, release=text).objects
            assert one.push(made).failed == []
        with author.session() as sitting:
            key = next(kept.stix["id"] for kept in sitting.state.here() if kept.stix["type"] == "indicator")
        reader.pull()
        with reader.session() as sitting, sitting.state.change():
            sitting.state.match(key, first=NOW, last=NOW + 1, accounts=3, exchanges=40, now=NOW)
        reader.pull()
        data = where / "data"
        known = furnish(data, password_hash, extra="")
        bad = hostile(scanned, where / "bad")
        text = (data / "console.toml").read_text("utf-8")
        lines = f'share = "{reader.config}"\nproofs = ["{where / "proofs"}"]\n'
        (data / "console.toml").write_text(
            lines + text.replace('results = ["out"]', f'results = ["{scanned.folder}", "{bad}"]'), "utf-8"
        )
        known = settings.read(data)
        house = House(data, clock=[client.NOW + 60_000_000])
        with served(data, known, house.clock) as (base, application):
            house.base, house.application = base, application
            name = scanned.entry["campaign_id"]
            yield Open(house, scanned, f"/campaigns/out/{name}", f"/campaigns/bad/{name}", reader, author)
            house.leave()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
