"""The transparency report counts what the ledgers say, hides small numbers, and its bounds are exact."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from spiritsafe.cases import appeals, folder, transparency
from spiritsafe.cli import app
from spiritsafe.errors import InputError, UsageError
from spiritsafe.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000_000_000
DAY = 86_400_000_000


@given(total=st.integers(1, 300), share=st.floats(0, 1))
def test_bounds_are_those_of_clopper_and_pearson(total: int, share: float):
    wrong = round(total * share)
    exact = stats.binomtest(wrong, total).proportion_ci(0.95, "exact")
    assert transparency.bounds(wrong, total) == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize("truth", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_bounds_cover_the_truth_as_often_as_they_say(truth: float):
    rng = np.random.default_rng(7)
    hits = rng.binomial(60, truth, 400)
    inside = [low <= truth <= high for low, high in (transparency.bounds(int(k), 60) for k in hits)]
    # Exact bounds are conservative: they miss at most one time in twenty, up to chance.
    assert stats.binomtest(len(inside) - sum(inside), 400, 0.05, "greater").pvalue > 1e-3


@given(wrong=st.integers(0, 20), right=st.integers(0, 20), unclear=st.integers(0, 20))
def test_who_could_not_be_judged_makes_the_bounds_wider(wrong: int, right: int, unclear: int):
    judged, drawn = wrong + right, wrong + right + unclear
    low, high = transparency.bounds(wrong, judged, drawn)
    assert 0 <= low <= high <= 1
    if drawn:
        # As wide as the worst that the unclear ones could be, on both sides.
        assert low <= transparency.bounds(wrong, drawn)[0] + 1e-12
        assert high >= transparency.bounds(wrong + unclear, drawn)[1] - 1e-12
    else:
        assert (low, high) == (0.0, 1.0)


def case_of(where: Path, number: int, accounts: int = 8) -> Path:
    path = where / f"case-{number}"
    folder.create(path, case_id=f"case-{number}", title="T", claim="C", by="anna", why="w", now=NOW)
    names = [f"acct-{number}-{at}" for at in range(accounts)]
    entry = {"campaign_id": "c-1", "accounts": [{"account_id": name, "membership": 0.9} for name in names]}
    folder.add(
        path, "campaign", by="anna", why="w", now=NOW, about={"campaigns": [{"id": "c-1"}], "records": 0},
        files={"campaigns.json": json.dumps({"campaigns": [entry]}).encode()},
    )  # fmt: skip
    return path


def appeal(path: Path, account: str) -> str:
    item = appeals.file(
        path, account=account, statement=b"no", grounds=["purpose"], by="desk", why="w", now=NOW + DAY
    )
    return item.about["reference"]


def decide(path: Path, name: str, outcome: str, days: int) -> None:
    appeals.review(path, name, by="fay", why="w", now=NOW + DAY)
    appeals.decide(path, name, outcome, by="fay", why="w", now=NOW + (1 + days) * DAY)


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Two cases with nine appeals, and a house's ledger with orders."""
    root = tmp_path / "cases"
    root.mkdir()
    one, two = case_of(root, 1), case_of(root, 2)
    first = [appeal(one, f"acct-1-{at}") for at in range(6)]
    second = [appeal(two, f"acct-2-{at}") for at in range(3)]  # the last one stays open
    for at, name in enumerate(first):
        decide(one, name, "confirmed", at + 1)
    for name in second[:2]:
        decide(two, name, "overturned", 3)
    with Ledger(tmp_path / "house.jsonl") as book:
        for number, response in enumerate(["budget", "budget", "suspend"]):
            book.append("order", {"order_id": f"o-{number}", "response": response}, time=NOW + number)
        book.append("order", {"order_id": "o-2", "response": "suspend"}, time=NOW + 5)  # signed anew
        book.append("lift", {"order_id": "o-1"}, time=NOW + 6)
        book.append("exemption", {}, time=NOW + 7)
        book.append("order", {"order_id": "o-9", "response": "refuse"}, time=NOW + 400 * DAY)
    return root


def opened(root: Path) -> list[folder.Case]:
    return [folder.open_case(one.folder) for one in folder.listed(root)]


def test_it_counts_what_the_ledgers_say(cases: Path, tmp_path: Path):
    told = transparency.report(opened(cases), tmp_path / "house.jsonl", since=NOW, until=NOW + 100 * DAY)
    issued = {name: count for name, count in told["orders"]["issued"].items() if count}
    assert (issued, told["orders"]["lifted"], told["orders"]["exemptions"]) == (
        {"budget": 2, "suspend": 1},
        1,
        1,
    )
    assert told["cases"] == {"opened": 2, "sealed": 0}
    counts = {key: told["appeals"][key] for key in ("received", "confirmed", "overturned", "open", "frozen")}
    assert counts == {
        "received": 9, "confirmed": 6, "overturned": "fewer than 5", "open": "fewer than 5", "frozen": 0,
    }  # fmt: skip
    assert told["appeals"]["median_days"] == 3.0
    assert told["appeals"]["grounds"] == {"purpose": 9}
    exact = transparency.report(opened(cases), None, since=NOW, until=NOW + 100 * DAY, least=1)
    assert (exact["appeals"]["overturned"], exact["orders"]) == (2, None)
    later = transparency.report(opened(cases), None, since=NOW + 50 * DAY, until=NOW + 100 * DAY)
    assert later["appeals"]["received"] == 0
    assert "is not known" in " ".join(transparency.words(told))


def test_a_draw_is_fair_and_the_same_for_one_seed(cases: Path):
    found = opened(cases)
    assert transparency.draw(found, 5, seed=1) == transparency.draw(found, 5, seed=1)
    counts = dict.fromkeys(sorted({name for case in found for name in appeals.members(case)}), 0)
    for seed in range(300):
        for row in transparency.draw(found, 4, seed=seed):
            counts[row["account_id"]] += 1
    assert len(counts) == 16
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4
    with pytest.raises(UsageError, match="only 16"):
        transparency.draw(found, 17, seed=0)


def filled(path: Path, verdicts: list[str], by: str = "fay", **changed: str) -> None:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    for row, verdict in zip(rows, verdicts, strict=True):
        row |= {"verdict": verdict, "by": by if verdict else "", **changed}
    path.write_text(transparency.sheet(rows))


def command(*words: Any) -> Any:
    return CliRunner().invoke(app, [*map(str, words)])


def test_an_audit_from_the_draw_to_the_page(cases: Path, tmp_path: Path):
    sheet, house = tmp_path / "audit.csv", tmp_path / "house.jsonl"
    drawing = (
        "transparency",
        "draw",
        "--cases",
        cases,
        "--out",
        sheet,
        "--count",
        10,
        "--seed",
        4,
        "--by",
        "gil",
        "--ledger",
        house,
    )
    assert command(*drawing).exit_code == 0
    assert sheet.stat().st_mode & 0o077 == 0
    assert isinstance(command(*drawing).exception, UsageError)  # a sheet is not drawn over
    filled(sheet, ["right"] * 7 + ["wrong", "unclear", ""])
    asked = ("--cases", cases, "--ledger", house, "--since", "2027-01-01", "--until", "2027-12-31")
    ended = command(
        "transparency", "report", *asked, "--audit", sheet, "--out", tmp_path / "report.html", "--json"
    )
    assert ended.exit_code == 0, ended.output
    audit = json.loads(ended.stdout)["audit"]
    assert (audit["population"], audit["drawn"], audit["judged"], audit["wrong"]) == (16, 10, 8, 1)
    assert (audit["low"], audit["high"]) == pytest.approx(transparency.bounds(1, 8, 10), abs=1e-6)
    page = (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["audit"] == audit
    assert "<script" not in page
    assert "10 of 16 accused accounts drawn" in page
    for account in (f"acct-{case}-{at}" for case in (1, 2) for at in range(8)):
        assert account not in page
        assert account not in ended.stdout
    # A row that is left out is noticed: the ledger knows who was drawn.
    rows = sheet.read_text().splitlines(keepends=True)
    sheet.write_text("".join(rows[:-1]))
    with pytest.raises(InputError, match="not the accounts that were drawn"):
        transparency.audited(sheet, opened(cases), house)
    assert transparency.audited(sheet, opened(cases), None).drawn == 9


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"verdict": "perhaps"}, "no verdict 'perhaps'"),
        ({"by": "Anna"}, "took part in the first decision"),
        ({"by": ""}, "who judged is missing"),
        ({"case": "case-9"}, "no case 'case-9'"),
        ({"account_id": "acct-x"}, "the row was changed"),
    ],
)
def test_a_sheet_that_makes_no_sense_is_refused_with_its_line(
    cases: Path, tmp_path: Path, changed: dict[str, str], says: str
):
    sheet = tmp_path / "audit.csv"
    sheet.write_text(transparency.sheet(transparency.draw(opened(cases), 3, seed=0)))
    filled(sheet, ["right"] * 3, **changed)
    with pytest.raises(InputError, match=says) as caught:
        transparency.audited(sheet, opened(cases), None)
    assert caught.value.where == f"{sheet}:2"
    sheet.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no audit sheet"):
        transparency.audited(sheet, opened(cases), None)
