"""Losses: closed forms where there are any, intervals that cover what they say, scaling, and licensed use left out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from spiritsafe.cases import loss, prices, taken
from spiritsafe.cases.prices import Figure
from spiritsafe.errors import UsageError

BOOK = Path(__file__).parents[2] / "docs" / "examples" / "prices.toml"
HEAD = '[book]\nname = "B"\ncurrency = "EUR"\nas_of = "2026-01-01"\n'
LIST = """
[[model]]
name = "m"
input = { value = 2.0, source = "s" }
cached = { value = 0.5, source = "s" }
output = { value = 10.0, source = "s" }
"""
RANGES = """
[licence]
per_million_output = { low = 10, mode = 20, high = 60, source = "s" }
[replacement]
usable = { low = 0.2, mode = 0.5, high = 0.9, source = "s" }
per_example = { low = 0.1, mode = 1.0, high = 5.0, source = "s" }
[compute]
student_parameters = { value = 1e9, source = "s" }
ordinary_tokens = { low = 10, mode = 100, high = 1000, shape = "log", source = "s" }
flop_per_hour = { value = 6e17, source = "s" }
hour = { value = 2.0, source = "s" }
"""


def book(tmp_path: Path, text: str = LIST + RANGES) -> prices.Book:
    path = tmp_path / "prices.toml"
    path.write_text(HEAD + text)
    return prices.read(path)


def row(account: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "campaign_id": "c", "account_id": account, "model": "m", "relation": None, "exchanges": 100, "input": 1_000_000,
        "cached": 400_000, "output": 2_000_000, "unknown_input_chars": 0, "unknown_output_chars": 0, "membership": 1.0,
    } | more  # fmt: skip


def usage(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"schema": 1, "rows": list(rows)}


def method(result: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in result["methods"] if one["method"] == name)


def test_what_is_exact_is_told_exactly(tmp_path: Path):
    result = loss.estimate(usage(row(), row("b")), book(tmp_path), seed=1)
    found = method(result, "list_price")
    # 2 accounts: 600k plain input, 400k cached, 2M output each.
    expected = 2 * (0.6 * 2.0 + 0.4 * 0.5 + 2.0 * 10.0)
    assert found["low"] == found["median"] == found["high"] == pytest.approx(expected)
    assert found["sensitivity"] == []
    assert result["taken"]["output"] == {"low": 4e6, "median": 4e6, "high": 4e6}


def test_products_have_the_mean_of_their_closed_form(tmp_path: Path):
    own = book(tmp_path)
    draws = 200_000
    rng = np.random.default_rng(3)
    draw = {name: one.quantile(rng.random(draws)) for name, one in own.figures.items()}
    given_rows = np.zeros((1, 1, 6))
    given_rows[0, 0] = [100, 1e6, 0, 2e6, 0, 0]
    values = loss._replacement(loss._inputs(given_rows, [None], draw))
    # Independent triangular figures: the mean of the product is the product of the means (low + mode + high) / 3.
    expected = 100 * (0.2 + 0.5 + 0.9) / 3 * (0.1 + 1.0 + 5.0) / 3
    assert values.mean() == pytest.approx(expected, abs=4 * values.std() / math.sqrt(draws))


@given(
    ends=st.tuples(*[st.floats(0.01, 1e6)] * 3).map(sorted).filter(lambda e: e[2] > e[0] * 1.001),
    log=st.booleans(),
)
def test_quantiles_are_those_of_the_triangular_distribution(ends: list[float], log: bool):
    low, mode, high = ends
    figure = Figure("f", low, mode, high, log, "s")
    u = np.linspace(0, 1, 21)
    a, m, b = (math.log(x) if log else x for x in (low, mode, high))
    expected = stats.triang.ppf(u, (m - a) / (b - a), a, b - a)
    assert np.allclose(figure.quantile(u), np.exp(expected) if log else expected, rtol=1e-6)
    assert figure.quantile(0.0) == pytest.approx(low)
    assert figure.quantile(1.0) == pytest.approx(high)


def test_an_exact_figure_has_one_value():
    assert (Figure("f", 3.0, 3.0, 3.0, False, "s").quantile(np.array([0, 0.5, 1])) == 3.0).all()
    assert Figure("f", 3.0, 3.0, 3.0, True, "s").quantile(0.2) == 3.0


def test_intervals_cover_what_they_say(tmp_path: Path):
    own = book(tmp_path)
    truth = np.random.default_rng(99)
    figure, output = own.figures["licence.per_million_output"], 2.0
    inside = 0
    for seed in range(200):
        found = method(loss.estimate(usage(row()), own, seed=seed, draws=1_000), "licence")
        real = output * float(figure.quantile(truth.random()))
        inside += found["low"] <= real <= found["high"]
        exact = [output * float(figure.quantile(q)) for q in (0.05, 0.5, 0.95)]
        assert [found[key] for key in ("low", "median", "high")] == pytest.approx(exact, rel=0.12)
    assert stats.binomtest(inside, 200, loss.LEVEL).pvalue > 1e-3


@given(factor=st.floats(0.01, 1000), seed=st.integers(0, 5))
def test_prices_scale_the_result_uniformly(
    factor: float, seed: int, tmp_path_factory: pytest.TempPathFactory
):
    text = (
        (
            "[replacement]\nusable = { low = 0.2, mode = 0.5, high = 0.9, source = 's' }\n"
            "per_example = {{ low = {}, mode = {}, high = {}, source = 's' }}\n"
        )
        .replace("0.9, source = 's' }", "0.9, source = 's' }}")
        .replace("usable = {", "usable = {{")
    )
    where = tmp_path_factory.getbasetemp()
    rows = usage(row(membership=0.7), row("b"))
    books = [book(where, text.format(*(k * x for x in (0.1, 1.0, 5.0)))) for k in (1.0, factor)]
    one, other = (method(loss.estimate(rows, own, seed=seed, draws=200), "replacement") for own in books)
    for key in ("low", "median", "high"):
        assert other[key] == pytest.approx(factor * one[key], rel=1e-9)
    for first, second in zip(one["sensitivity"], other["sensitivity"], strict=True):
        assert second["high"] == pytest.approx(factor * first["high"], rel=1e-9)


@given(times=st.integers(1, 50))
def test_amounts_scale_the_result_uniformly(times: int, tmp_path_factory: pytest.TempPathFactory):
    own = book(tmp_path_factory.getbasetemp())
    names = ("exchanges", "input", "cached", "output")
    small = row(membership=0.6)
    large = small | {name: small[name] * times for name in names}
    nothing = row("b") | dict.fromkeys(names, 0)
    one, other = (loss.estimate(usage(each, nothing), own, seed=2, draws=300) for each in (small, large))
    for first, second in zip(one["methods"], other["methods"], strict=True):
        assert second["high"] == pytest.approx(times * first["high"], rel=1e-9), first["method"]


def test_an_account_belongs_with_all_its_rows_or_with_none(tmp_path: Path):
    rows = [row("a", membership=0.5), row("a", model="m", membership=0.5, output=1_000_000)]
    amount, _ = taken.split(usage(*rows), ())
    total = taken.sampled(amount, np.array([0, 0]), draws=4_000, rng=np.random.default_rng(0))[:, 0, 3]
    assert set(np.unique(total)) == {0.0, 3_000_000.0}
    assert stats.binomtest(int((total > 0).sum()), 4_000, 0.5).pvalue > 1e-3
    many = usage(*[row(f"a{n}", membership=0.9, output=1) for n in range(400)])
    amount, _ = taken.split(many, ())
    total = taken.sampled(amount, np.zeros(400, int), draws=4_000, rng=np.random.default_rng(1))[:, 0, 3]
    assert total.mean() == pytest.approx(360, abs=4 * 6 / math.sqrt(4_000))
    assert total.std() == pytest.approx(6.0, rel=0.1)  # sqrt(400 · 0.9 · 0.1)


def test_licensed_use_is_left_out_and_shown(tmp_path: Path):
    rows = [
        row("a"), row("b", relation="distillation-licence", output=5_000_000), row("c", relation="research:grant-7"),
        row("d", relation="aggregator"),
    ]  # fmt: skip
    result = loss.estimate(usage(*rows), book(tmp_path), seed=0)
    assert (
        result["taken"]["exchanges"]["median"] == 200
    )  # the aggregator's customers count: it has no licence
    assert [(one["relation"], one["output"]) for one in result["licensed"]] == [
        ("distillation-licence", 5_000_000), ("research:grant-7", 2_000_000),
    ]  # fmt: skip
    assert any("licensed use, not counted" in line for line in loss.words(result))
    nothing = loss.estimate(usage(rows[1]), book(tmp_path), seed=0)
    assert all(one["high"] == 0 for one in nothing["methods"])


def test_what_the_book_lacks_is_not_estimated(tmp_path: Path):
    result = loss.estimate(usage(row(), row("b", model="other")), book(tmp_path, LIST), seed=0)
    assert result["unpriced"] == ["other"]
    assert method(result, "list_price")["why"] == "the book has no price of other"
    assert method(result, "compute")["why"] == "the price book has no [compute]"
    assert not any(one["estimated"] for one in result["methods"])
    dark = row(input=0, cached=0, output=0, unknown_input_chars=4_000_000, unknown_output_chars=8_000_000)
    without = loss.estimate(usage(dark), book(tmp_path), seed=0)
    assert "does not tell the tokens" in method(without, "list_price")["why"]
    chars = '[tokens]\ncharacters = { value = 4.0, source = "s" }\n'
    found = method(loss.estimate(usage(dark), book(tmp_path, LIST + RANGES + chars), seed=0), "list_price")
    assert found["high"] == pytest.approx(1.0 * 2.0 + 2.0 * 10.0)
    assert any("follow from characters" in text for text in found["assumptions"])


def test_sensitivity_names_what_matters_most_first(tmp_path: Path):
    own = book(tmp_path)
    result = loss.estimate(usage(row()), own, seed=0)
    bars = method(result, "replacement")["sensitivity"]
    assert [one["figure"] for one in bars] == ["replacement.per_example", "replacement.usable"]
    usable = float(own.figures["replacement.usable"].quantile(0.5))
    ends = [100 * usable * float(own.figures["replacement.per_example"].quantile(q)) for q in (0.05, 0.95)]
    assert [bars[0]["low"], bars[0]["high"]] == pytest.approx(ends)
    doubtful = loss.estimate(
        usage(*[row(f"a{n}", membership=0.5) for n in range(30)]), book(tmp_path, LIST), seed=0
    )
    assert method(doubtful, "list_price")["sensitivity"][0]["figure"] == "membership of accounts"


def test_the_same_seed_gives_the_same_result_and_another_a_like_one(tmp_path: Path):
    own, rows = book(tmp_path), usage(row(membership=0.8), row("b"))
    one, again, other = (loss.estimate(rows, own, seed=seed) for seed in (1, 1, 2))
    assert json.dumps(one) == json.dumps(again)
    assert method(one, "licence")["high"] != method(other, "licence")["high"]
    assert method(one, "licence")["high"] == pytest.approx(method(other, "licence")["high"], rel=0.05)


def test_the_example_says_that_it_is_one_and_no_number_stands_alone():
    own = prices.read(BOOK)
    assert own.example
    assert all("fictional" in one.source for one in own.figures.values())
    assert all("fictional" in one.source for _, kinds in own.models for one in kinds.values())
    result = loss.estimate(usage(row(model="teacher-small", membership=0.9)), own, seed=0)
    assert "The price book is an example with fictional figures." in result["notes"]
    lines = loss.words(result)
    assert sum(" to " in line and "USD" in line and "?" in line for line in lines) == 4
    assert any("must not be added" in line for line in lines)
    assert {one["name"] for one in result["figures"]} >= {"compute.hour", "licence.least"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[licence]\nper_million_output = { low = 1, mode = 2, high = 3 }\n", "needs source"),
        ('[licence]\nper_million_output = { low = 3, mode = 2, high = 3, source = "s" }\n', "low, mode, high in this order"),
        ('[licence]\nper_million_output = { low = 0, mode = 2, high = 3, shape = "log", source = "s" }\n', "above 0"),
        ('[licence]\nper_million_output = { value = 1, low = 2, source = "s" }\n', "both a value and a range"),
        ('[replacement]\nusable = { value = 1.5, source = "s" }\nper_example = { value = 1, source = "s" }\n', "from 0 to 1"),
        ("[licence]\n", "needs per_million_output"),
        ('[[model]]\nname = "m"\ninput = { value = 1, source = "s" }\n', "prices of input and output"),
        ("[damages]\n", "no key 'damages'"),
        ('[compute]\nhours = { value = 1, source = "s" }\n', "did you mean 'hour'"),
    ],
)  # fmt: skip
def test_a_book_that_makes_no_sense_is_refused_with_its_line(tmp_path: Path, text: str, says: str):
    with pytest.raises(UsageError, match=says) as caught:
        book(tmp_path, text)
    assert str(tmp_path / "prices.toml:") in str(caught.value)


@given(value=st.floats(1e-3, 1e12))
def test_rounding_goes_outwards(value: float):
    low, high = loss.outward(value, up=False), loss.outward(value, up=True)
    assert low <= value * (1 + 1e-8)
    assert high >= value * (1 - 1e-8)
    assert high - low <= 0.11 * value
