"""The evaluation logs are composed as they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from spiritsafe.errors import UsageError
from spiritsafe.simulate import shipped, simulate

if TYPE_CHECKING:
    from spiritsafe.simulate import Corpus

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> Any:
    spec = importlib.util.spec_from_file_location("compose", ROOT / "bench" / "compose.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["compose"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_calibration_and_report_share_no_source(compose: Any):
    assert not set(compose.CALIBRATION) & set(compose.REPORT)


def test_an_attack_free_log_has_no_campaign_and_about_its_size(compose: Any, corpus: Corpus, tmp_path: Path):
    plan = compose.attack_free(compose.Case(corpus), size=6_000)
    made = simulate(plan, tmp_path / "out", seed=2)
    assert made.campaigns == {}
    assert 4_000 < made.exchanges < 9_000


def test_campaigns_have_the_accounts_and_rate_that_were_asked_for(
    compose: Any, corpus: Corpus, tmp_path: Path
):
    plan = compose.campaigns(compose.Case(corpus), ("A1", "A9"), background=3_000, accounts=60, rate=10.0)
    made = simulate(plan, tmp_path / "out", seed=2)
    assert made.campaigns == {"campaign-A1": 60, "campaign-A9": 60}
    truth = pq.read_table(made.truth)
    assert pc.sum(pc.equal(truth["campaign"], "campaign-A1")).as_py() == 600


def test_every_case_builds_a_plan(compose: Any, corpus: Corpus):
    for name, make in compose.cases().items():
        plan = make(compose.Case(corpus))
        assert plan.populations, name


def test_a_half_that_is_not_there_is_refused(compose: Any, corpus: Corpus):
    with pytest.raises(UsageError):
        compose.matched(corpus.only(["emails"]), "report")


def test_an_unknown_case_is_named(compose: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = [
        "--corpus",
        str(shipped()),
        "--case",
        "campain",
        "--out",
        str(tmp_path / "out"),
    ]
    assert compose.main(arguments) == 2
    assert "campain" in capsys.readouterr().err
