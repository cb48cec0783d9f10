"""Cases: opened from a campaign, contested, answered; every step also in the case's own ledger."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from consoles import CAMPAIGN, PHRASE, House, key_for, proposed

from spiritsafe.cases import folder
from spiritsafe.orders import policy, snapshot

if TYPE_CHECKING:
    import httpx

ACCOUNT = "acct_000ff0abb72f7517"


def done(house: House, case: str) -> dict[str, Any]:
    """The case, once nothing is under way."""
    for _ in range(1_200):
        told = house.someone("vi").json(f"/cases/{case}.json")
        if not told["working"]:
            return told
        time.sleep(0.05)
    raise AssertionError("the work does not end")


def opened(house: House, name: str, by: str = "ana", **fields: str) -> httpx.Response:
    page = f"/cases/new?run=out&campaign={CAMPAIGN}"
    form = {
        "case": name,
        "title": "Harvest",
        "claim": "six accounts under one hand",
        "reason": "found by the scan",
    }
    return house.someone(by).send(page, "/cases/new", **{**form, **fields})


def exempt(house: House) -> list[tuple[str | None, str | None, str]]:
    wanted = policy.read(house.data / "policy.toml")
    found = snapshot.read(wanted.file, wanted.signer, now=house.clock[0], rules=wanted.rules)
    return [(one.account_id, one.above, one.reason) for one in found.exempt]


@pytest.fixture(scope="module")
def measured(house: House) -> House:
    """A suspension is in force, approved by two."""
    house.policy({name: key_for(house, name) for name in ("cy", "dee")})
    name = proposed(house, response="suspend")
    for who in ("cy", "dee"):
        answer = house.someone(who).send(
            f"/orders/{name}", f"/orders/{name}/approve", reason="I looked", passphrase=PHRASE
        )
        assert answer.status_code == 303
    return house


def test_a_case_is_opened_appealed_and_answered_by_somebody_else(measured: House):
    house, bo = measured, measured.someone("bo")
    assert opened(house, "case-1").status_code == 303
    told = done(house, "case-1")
    assert (told["case"]["title"], told["case"]["status"], told["jobs"]) == ("Harvest", "open", [])
    assert [one["kind"] for one in told["case"]["items"]] == ["campaign"]
    notice = bo.get(f"/cases/case-1/notice?account={ACCOUNT}")
    assert notice.status_code == 200
    assert "acct_0119" not in notice.text
    words = {
        "account": ACCOUNT,
        "grounds": "relation",
        "statement": "we hold a licence",
        "reason": "their mail",
    }
    answer = bo.send("/cases/case-1", "/cases/case-1/appeal", **words)
    assert answer.status_code == 303
    told = done(house, "case-1")
    (appeal,) = told["case"]["appeals"]
    assert (appeal["statement"], appeal["outcome"], told["case"]["status"]) == (
        "we hold a licence",
        "",
        "appealed",
    )
    assert appeal["frozen"] > house.clock[0]
    assert [(who, above) for who, above, _ in exempt(house)] == [(ACCOUNT, "withhold_reasoning")]
    assert bo.send("/cases/case-1", "/cases/case-1/appeal", **words).status_code == 422
    # Who opened the case took part in the first decision.
    ana = house.someone("ana")
    assert "/cases/case-1/review" not in ana.forms("/cases/case-1")
    form = {**bo.forms("/cases/case-1")["/cases/case-1/review"], "reason": "I was not in it"}
    own = ana.post("/cases/case-1/review", {**form, "csrf": ana.forms("/")["/logout"]["csrf"], "write": "w"})
    assert (own.status_code, "second reviewer" in own.text) == (403, True)
    assert bo.post("/cases/case-1/review", form).status_code == 303
    assert done(house, "case-1")["case"]["appeals"][0]["reviewer"] == "bo"
    late = {**form, "outcome": "confirmed", "csrf": ana.forms("/")["/logout"]["csrf"]}
    assert ana.post("/cases/case-1/decide", late).status_code == 403
    answer = bo.send(
        "/cases/case-1", "/cases/case-1/decide", outcome="overturned", reason="the licence is real"
    )
    assert answer.status_code == 303
    told = done(house, "case-1")
    assert (told["case"]["status"], told["case"]["appeals"][0]["outcome"]) == ("overturned", "overturned")
    (spared,) = exempt(house)
    assert spared[:2] == (ACCOUNT, None)
    assert spared[2].startswith("cleared by appeal")
    kinds = [one["kind"] for one in house.ledger() if one["body"]["subject"] == "case case-1"]
    assert kinds == [
        "case-opened",
        "appeal-filed",
        "exemption",
        "appeal-review",
        "appeal-decided",
        "exemption",
    ]
    case = folder.open_case(house.data / "cases" / "case-1")
    assert [(one.kind, one.by) for one in case.items] == [("campaign", "ana"), ("appeal", "bo")]
    assert house.someone("vi").json("/cases.json")["rows"][0]["status"] == "overturned"


def test_what_cannot_be_opened_says_why(house: House):
    assert opened(house, "case-2").status_code == 303
    done(house, "case-2")
    assert opened(house, "case-2").status_code == 422
    for name in ("../up", "a/b", ".hidden", "x" * 200, ""):
        assert opened(house, name).status_code == 422
    assert not (house.data / "up").exists()
    # A log that is not the one that was scanned: the case is there, and tells what failed.
    assert opened(house, "case-3", records="yes").status_code == 303
    told = done(house, "case-3")
    assert "were scanned" in told["jobs"][0]["note"]
    assert house.ledger()[-1]["kind"] == "case-opened-failed"
    assert house.someone("vi").get("/cases/case-none").status_code == 404
