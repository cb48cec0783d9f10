"""What if: the same answer as the code that decided, from the files alone; and never an invented one."""

from __future__ import annotations

import copy
import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.campaigns import grounds
from spiritsafe.campaigns.decide import bar, e_bh
from spiritsafe.campaigns.verdicts import stands
from spiritsafe.console.campaign import weighing
from spiritsafe.console.campaign.whatif import what_if

if TYPE_CHECKING:
    from collections.abc import Sequence


def ask(scanned: Any, without: Sequence[str], entry: dict[str, Any] | None = None) -> Any:
    return what_if(
        entry or scanned.entry,
        without,
        tested=scanned.tested,
        campaigns=scanned.summaries,
        fdr=scanned.record["scanned"]["fdr"],
    )


def test_any_two_tests_taken_away_give_what_the_code_that_decided_gives(scanned: Any):
    verdict = scanned.verdict
    names = [test.name for test in grounds.decisive(verdict.tests)]
    assert len(names) > 4
    seen = set[str]()
    for size in (0, 1, 2, len(names) - 1, len(names)):
        for gone in combinations(names, size):
            left = verdict.tests
            for name in gone:
                left = grounds.without(left, name)
            told = ask(scanned, gone)
            assert told.without == tuple(test.name for test in verdict.tests if test.name in gone)
            assert told.bits == pytest.approx(grounds.combined(left) / math.log(2), abs=0.02)
            assert told.decision == ("campaign" if stands(verdict, left) else "insufficient"), gone
            seen.add(told.decision)
    assert seen == {"campaign", "insufficient"}


def test_one_at_a_time_is_what_the_scan_told(scanned: Any):
    for entry in scanned.record["campaigns"]:
        if entry["label"] != "campaign":
            continue
        for row in entry["leave_one_out"]:
            if row["without"].startswith("the "):
                continue  # holders of a value: the log is needed
            told = ask(scanned, [row["without"]], entry)
            assert told.decision == row["decision"]
            assert told.bits == pytest.approx(row["bits"], abs=0.02)


def test_the_bar_is_that_of_the_scan_and_others_meet_a_higher_one(scanned: Any):
    accused = sum(one["label"] == "campaign" for one in scanned.record["campaigns"])
    told = ask(scanned, [])
    expected = bar(scanned.tested["screened"], accused, fdr=0.01) / math.log(2)
    assert told.bar_bits == pytest.approx(expected, abs=0.01)
    # Beside two more campaigns, one of them just above the bar: that one falls with ours, as e-BH itself says.
    rivals = [
        {"campaign_id": "c-far", "label": "campaign", "bits": 900.0},
        {"campaign_id": "c-near", "label": "campaign", "bits": 0.0},
    ]
    tested = {"screened": 200, "bar_bits": bar(200, 3, fdr=0.01) / math.log(2)}
    rivals[1]["bits"] = tested["bar_bits"] + 0.05
    entry = copy.deepcopy(scanned.entry)
    entry["decision"]["bar_bits"] = tested["bar_bits"]
    names = [test.name for test in weighing.tests(entry)]
    told = what_if(entry, names, tested=tested, campaigns=[scanned.summaries[scanned.at], *rivals], fdr=0.01)
    assert told is not None
    assert told.decision == "insufficient"
    assert told.others == ("c-near",)
    bits = np.array([900.0, float(rivals[1]["bits"])]) * math.log(2)
    assert e_bh(bits, fdr=0.01, candidates=200).tolist() == [True, False]


def test_pools_and_resellers_rest_on_cards_and_devices(scanned: Any):
    entry = next(one for one in scanned.record["campaigns"] if one["label"] in {"pool", "reseller"})
    whole = ask(scanned, [], entry)
    assert whole.decision == entry["label"]
    assert ask(scanned, ["shared_payment", "shared_device"], entry).decision == "not told"


def test_what_was_decided_together_stays_so(scanned: Any):
    entry = copy.deepcopy(scanned.entry)
    entry["coordination"]["jointly"] = {"group_id": "g-1", "bits": 40.0, "labs": 3}
    told = ask(scanned, [test.name for test in weighing.tests(entry)], entry)
    assert told.decision == "campaign"
    assert "decided together" in told.why


@pytest.mark.parametrize("missing", ["decision", "coordination", "both"])
def test_a_result_that_does_not_tell_how_it_decided_gives_no_answer(scanned: Any, missing: str):
    entry = copy.deepcopy(scanned.entry)
    if missing != "coordination":
        del entry["decision"]
    if missing != "decision":
        entry["coordination"] = {"bits": 12.0}
    assert ask(scanned, [], entry) is None


def test_what_was_written_before_there_was_a_decision_takes_its_bar_from_the_candidates(scanned: Any):
    entry = {key: value for key, value in scanned.entry.items() if key != "decision"}
    assert weighing.bar_of(entry, {"bar_bits": 8.0}) == pytest.approx(8 * math.log(2))
    assert weighing.bar_of(entry, {}) is None
    assert weighing.bar_of(entry, {"bar_bits": True}) is None
