from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from spiritsafe.console.campaign import drawing, weighing
from spiritsafe.console.campaign import timeline as tl

DAY = 86_400_000_000
START = 1_789_000_000_000_000


def svg(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own drawing


@pytest.mark.parametrize("width", [drawing.BROAD, drawing.NARROW])
def test_a_timeline_is_one_picture_with_a_description_and_escaped_marks(width: float):
    marks = [tl.Mark(START + DAY, "order", '<script>x</script>" onload="x')]
    times = np.sort(np.random.default_rng(0).integers(START, START + 3 * DAY, 500))
    shown = tl.timeline(times, (START, START + 3 * DAY), marks=marks)
    told = str(drawing.timeline(shown, width=width, key="t"))
    parsed = svg(told)
    assert parsed.attrib["role"] == "img"
    assert "500 exchanges" in told
    assert "<script" not in told
    bars = [one for one in parsed.iter() if one.attrib.get("class") == "main-bar"]
    assert len(bars) == sum(count > 0 for count in shown.counts)
    assert all(0 <= float(one.attrib["x"]) <= width and float(one.attrib["height"]) >= 0 for one in bars)
    assert 0 < float(parsed.attrib["data-left"]) < float(parsed.attrib["data-right"]) <= width


@pytest.mark.parametrize("width", [drawing.HALF, drawing.NARROW])
def test_the_bar_of_e_bh_stands_where_its_bits_are(scanned: Any, width: float):
    bar = weighing.bar_of(scanned.entry, {})
    assert bar is not None
    steps = [one for one in weighing.steps(weighing.tests(scanned.entry), bar, {}) if one.adds is not None]
    total = sum(one.adds or 0.0 for one in steps)
    told = svg(str(drawing.weighing(steps, total, bar / weighing.BIT, width=width, key="w", words=str)))
    line = next(one for one in told.iter() if one.attrib.get("class") == "bar-line")
    x = float(line.attrib["x1"])
    bars = [one for one in told.iter() if one.attrib.get("class", "").startswith(("main-bar", "total-bar"))]
    ends = [float(one.attrib["x"]) + float(one.attrib["width"]) for one in bars]
    for one, end in zip([*(step.bits for step in steps if step.bits >= 0), total], ends, strict=True):
        assert (end >= x - 0.2) == (one >= bar / weighing.BIT - 1e-9), one


def test_evidence_against_goes_to_the_left():
    step = weighing.Step("even_load", "", "load", "marginal", -80.0, 1.0, 5, "", -80.0, False, "")
    told = svg(str(drawing.weighing([step], -80.0, 12.0, width=700, key="w", words=str)))
    bar = next(one for one in told.iter() if one.attrib.get("class") == "against-bar")
    axis = next(one for one in told.iter() if one.attrib.get("class") == "axis")
    assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= float(axis.attrib["x1"]) + 0.2
