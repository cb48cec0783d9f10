from __future__ import annotations

import copy
import math
from typing import Any

import pytest

from spiritsafe.campaigns import grounds
from spiritsafe.console.campaign import weighing


def test_the_steps_sum_to_what_the_decision_rests_on(scanned: Any):
    for entry, verdict in zip(scanned.record["campaigns"], scanned.verdicts, strict=True):
        steps = weighing.steps(weighing.tests(entry), weighing.bar_of(entry, {}), weighing.windows(entry))
        counted = [one for one in steps if one.adds is not None]
        assert [one.name for one in counted] == [
            one.name for one in sorted(grounds.decisive(verdict.tests), key=lambda one: -one.log_e)
        ]
        if not counted:
            continue
        assert sum(one.adds or 0.0 for one in counted) == pytest.approx(
            entry["coordination"]["bits"], abs=0.02
        )
        parts = weighing.summed(counted)
        assert parts is not None
        assert parts["bits"] + parts["share_bits"] + parts["others_bits"] == pytest.approx(
            entry["coordination"]["bits"], abs=0.02
        )
        assert all(one.why for one in steps if one.adds is None)


def test_alone_is_who_reaches_the_bar(scanned: Any):
    steps = weighing.steps(weighing.tests(scanned.entry), scanned.verdict.bar, {})
    alone = {one.kind for one in steps if one.alone}
    assert alone == set(scanned.entry["independent_layers"])


def test_an_e_value_that_was_cut_is_read_from_its_bits(scanned: Any):
    entry = copy.deepcopy(scanned.entry)
    row = entry["coordination"]["tests"][0]
    row |= {"e_value": 4.6e299, "bits": 5000.0}
    assert weighing.tests(entry)[0].log_e == pytest.approx(5000 * math.log(2))
    row |= {"e_value": 0.0, "bits": -2000.0}
    assert weighing.tests(entry)[0].log_e == pytest.approx(-2000 * math.log(2))
    row |= {"e_value": 8.0, "bits": 3.0}
    assert weighing.tests(entry)[0].log_e == pytest.approx(math.log(8))


@pytest.mark.parametrize(
    "broken", [None, [], {"tests": [{}]}, {"tests": [{"name": "x", "value": "much"}]}, {"tests": [[]]}]
)
def test_what_is_broken_is_left_out(broken: Any):
    assert weighing.tests({"coordination": broken}) == []
