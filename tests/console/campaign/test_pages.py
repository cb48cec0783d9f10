"""The pages over HTTP: every link leads somewhere, the JSON twin has the numbers, what strangers wrote stays in its place."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import pytest

import console_signals
from spiritsafe.registry import extensions
from spiritsafe.sharing.client.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable

_PARTS = ("timeline", "network", "whatif", "members", "exchanges")


class Read(HTMLParser):
    """The elements of a page, its links, ids, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def links(self) -> list[str]:
        return [told["href"] for tag, told in self.tags if tag == "a" and "href" in told]


def got(shown: Any, path: str, name: str = "ana") -> Read:
    answer = shown.house.someone(name).get(path)
    assert answer.status_code == 200, (path, answer.status_code, answer.text[-1500:])
    return Read(answer.text)


def test_the_page_says_the_claim_the_evidence_and_what_would_clear(shown: Any):
    page, entry = got(shown, shown.page), shown.scanned.entry
    for text in (
        entry["headline"],
        *(one["hypothesis"][1:] for one in entry["hypotheses"]),
        *(one[1:] for one in entry["clears"]),
    ):
        assert text in page.text
    ids = {told.get("id") for _, told in page.tags}
    assert {
        "claim",
        "timeline",
        "evidence",
        "whatif",
        "network",
        "texts",
        "fair",
        "members",
        "opinion",
    } <= ids
    assert f"{entry['decision']['bar_bits']:.2f}" in page.text
    named = [told["id"] for _, told in page.tags if "id" in told]
    assert len(named) == len(set(named))


def test_every_link_of_the_page_and_its_parts_leads_somewhere(shown: Any):
    seen: dict[str, int] = {}
    waiting = [shown.page, *(f"{shown.page}/{part}" for part in _PARTS)]
    who, fetched = shown.house.someone("ana"), 0
    for path in waiting:
        for link in got(shown, path).links:
            whole = urljoin(path, link).partition("#")[0]
            if not urlsplit(link).netloc and whole not in seen:
                seen[whole] = 0
    # Of links that differ by a number only (bars of the timeline, accounts) a few stand for all.
    alike: dict[str, int] = {}
    for link in seen:
        shape = re.sub(r"(account|from|to|kind|number)=[^&]*", r"\1", link)
        alike[shape] = alike.get(shape, 0) + 1
        if alike[shape] <= 2:
            seen[link] = who.get(link).status_code
            fetched += 1
    assert {link: code for link, code in seen.items() if code not in {0, 200}} == {}
    assert fetched > 30


def test_numbers_lead_to_the_rows_behind_them(shown: Any):
    who, entry = shown.house.someone("ana"), shown.scanned.entry
    told = who.json(f"{shown.page}.json")
    assert told["claim"]["exchanges"] == who.json(f"{shown.page}/exchanges.json")["exchanges"]["total"]
    assert told["claim"]["accounts"] == who.json(f"{shown.page}/members.json")["members"]["total"]
    for layer in told["evidence"]["layers"]:
        rows = who.json(f"{shown.page}/members.json?layer={layer['layer']}")["members"]
        assert rows["total"] == layer["accounts"]
    shown_bars = told["timeline"]
    at = max(range(len(shown_bars["counts"])), key=lambda n: shown_bars["counts"][n])
    low = shown_bars["start"] + at * shown_bars["step"]
    rows = who.json(f"{shown.page}/exchanges.json?from={low}&to={low + shown_bars['step']}")["exchanges"]
    assert rows["total"] == shown_bars["counts"][at]
    for node in told["network"]["nodes"]:
        if node["column"] == "stream" and node["about"]:
            assert (
                who.json(f"{shown.page}/exchanges.json?kind={node['about']['kind']}")["exchanges"]["total"]
                == node["size"]
            )
    assert told["whatif"]["outcome"]["decision"] == "campaign"
    gone = "&".join(f"without={one['name']}" for one in entry["coordination"]["tests"])
    assert who.json(f"{shown.page}/whatif.json?{gone}")["whatif"]["outcome"]["decision"] == "insufficient"


def test_the_json_twin_has_no_drawing(shown: Any):
    for part in ("", *(f"/{one}" for one in _PARTS)):
        answer = shown.house.someone("vi").get(f"{shown.page}{part}.json")
        assert answer.status_code == 200
        assert "<svg" not in answer.text
        json.loads(answer.text)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/timeline?from=x", 400),
        ("/timeline?from=99999999999999999999", 400),
        ("/timeline?from=5&to=3&step=-1", 200),
        ("/network?by=nothing", 400),
        ("/network?open=" + "x" * 3_000, 400),
        ("/network?open=a%3Ano-such-node&open=l%3Anone", 200),
        ("/members?sort=drop", 400),
        ("/members?page=999999", 200),
        ("/members?page=-1", 200),
        ("/members?name=%25%27%22%3Cb%3E", 200),
        ("/exchanges?slots=none", 400),
        ("/exchanges?account=%00", 200),
        ("/whatif?without=no_such_test", 200),
    ],
)
def test_what_makes_no_sense_is_refused_or_finds_nothing(shown: Any, path: str, status: int):
    assert shown.house.someone("vi").get(shown.page + path).status_code == status


def test_what_is_not_there_is_not_found(shown: Any):
    who = shown.house.someone("vi")
    assert who.get("/campaigns/out/c-0000000000").status_code == 404
    assert who.get(shown.page.replace("/out/", "/other/")).status_code == 404
    assert who.get("/proofs/none").status_code == 404
    assert who.get("/sharing/object?id=indicator--none").status_code == 404
    assert who.get("/sharing/preview?run=out&campaign=").status_code == 404


def unsafe(page: Read) -> Iterable[str]:
    """Whatever a page of ours never has."""
    for tag, told in page.tags:
        if tag == "script" and not told.get("src", "").startswith("/static/"):
            yield f"script {told}"
        if tag in {"img", "iframe", "object", "embed", "base"}:
            yield tag
        for key, value in told.items():
            if key.startswith("on") or key == "style":
                yield f"{tag} {key}"
            if key in {"href", "src", "action"} and value.strip().lower().startswith(
                ("javascript:", "data:")
            ):
                yield f"{tag} {value}"


def test_what_strangers_wrote_stays_text(shown: Any):
    paths = [
        shown.bad,
        *(f"{shown.bad}/{one}" for one in _PARTS),
        f"{shown.bad}/network?by=role&open=a%3Anone&open=a%3Areasoning_elicitation&open=l%3Apayment&open=l%3Anetwork",
        "/sharing",
        "/proofs",
        "/signals",
        "/proofs/proof",
    ]
    paths += [link for link in got(shown, "/sharing").links if link.startswith("/sharing/object")][:6]
    for path in paths:
        page = got(shown, path)
        assert list(unsafe(page)) == [], path
        assert not re.search("[\u202e\u2066\x00\x1b]", page.text), path
        assert "49" not in re.findall(r"\b49\b(?= \d)", page.text), path
    assert "window.ran" in got(shown, shown.bad).text  # it is shown, as text
    for one in (*(got(shown, f"{shown.bad}/members").links), *(got(shown, f"{shown.bad}/exchanges").links)):
        if "account=" in one:
            assert shown.house.someone("ana").get(one).status_code == 200, one


def test_a_watch_s_changes_stand_on_the_timeline_as_text(shown: Any):
    (mark,) = shown.house.someone("vi").json(f"{shown.bad}/timeline.json")["timeline"]["marks"]
    assert mark["kind"] == "change"
    assert "<script>" in mark["text"]
    assert "case <script>window.ran = 1</script>" in got(shown, f"{shown.bad}/timeline").text


def test_signals_are_all_that_are_installed_with_what_was_measured(shown: Any):
    told = shown.house.someone("vi").json("/signals.json")
    rows = {one["id"]: one for group in told["signals"] for one in group["rows"]}
    assert set(rows) == set(extensions("signals"))
    assert rows["reasoning_elicitation"]["technique"].startswith("AML.T")
    for one in rows.values():
        assert one["measured"]["ordinary"]["n"] > 10_000
        assert 0 <= one["measured"]["ordinary"]["low"] <= one["measured"]["ordinary"]["high"] < 1
    assert {one["id"] for one in told["tests"]} >= {"even_load", "taken_in_turn", "retried_by_another"}
    assert all(one["asks"] for one in told["tests"])
    assert {one["id"] for one in told["layers"] if one["decides"]} == {"payment", "device"}
    assert all(one["what"] for one in told["layers"])
    page = got(shown, "/signals")
    assert {f"layer-{one['id']}" for one in told["layers"]} <= {told_.get("id") for _, told_ in page.tags}


def test_measured_rates_are_those_of_the_committed_results():
    packaged = json.loads(files("spiritsafe.console").joinpath("measured.json").read_text("utf-8"))
    results = Path(console_signals.__file__).with_name("results")
    assert packaged["signals"] == console_signals.signals(
        json.loads((results / "roles.json").read_text("utf-8"))
    )
    assert packaged["tests"] == json.loads((results / "signals.json").read_text("utf-8"))["tests"]
    assert console_signals.rate(0, 0) is None
    assert console_signals.rate(0, 100) == {"hits": 0, "n": 100, "rate": 0.0, "low": 0.0, "high": 0.0362}


def test_proofs_say_verdict_null_power_and_limits(shown: Any):
    (row,) = shown.house.someone("vi").json("/proofs.json")["rows"]
    assert row["verdict"] == "supports derivation"
    page = got(shown, "/proofs/proof")
    result = shown.house.someone("vi").json("/proofs/proof.json")["result"]
    assert result["findings"][0]["null_hypothesis"] in page.text
    for text in (
        "What else could explain it",
        "What would defeat this test",
        "prove check",
        *result["findings"][0]["defeaters"],
    ):
        assert text in page.text


def test_a_proof_that_was_changed_says_so_first(shown: Any):
    folder = shown.house.data.parent / "proofs" / "proof"
    plan = folder / "plan.json"
    before = plan.read_bytes()
    try:
        plan.write_bytes(before.replace(b'"reruns":3', b'"reruns":4'))
        assert plan.read_bytes() != before
        page = got(shown, "/proofs/proof")
        assert "The plan does not hold" in page.text
    finally:
        plan.write_bytes(before)
    result = folder / "result.json"
    kept = result.read_bytes()
    try:
        result.write_bytes(b"{")
        assert shown.house.someone("vi").get("/proofs/proof").status_code == 422
        assert "cannot be read" in got(shown, "/proofs").text
    finally:
        result.write_bytes(kept)


def test_the_preview_is_the_message_and_what_stays(shown: Any):
    name = shown.scanned.entry["campaign_id"]
    told = shown.house.someone("vi").json(f"/sharing/preview.json?run=out&campaign={name}")
    assert told["signed"]
    assert told["bytes"] == len(told["message"].encode())
    assert any(
        one["what"] == "accounts" and one["many"] == len(shown.scanned.entry["accounts"])
        for one in told["withheld"]
    )
    for one in shown.scanned.entry["accounts"]:
        assert one["account_id"] not in told["message"]
    page = got(shown, f"/sharing/preview?run=out&campaign={name}")
    assert told["sha256"] in page.text
    pool = next(one["campaign_id"] for one in shown.scanned.record["campaigns"] if one["label"] != "campaign")
    refused = shown.house.someone("vi").get(f"/sharing/preview?run=out&campaign={pool}")
    assert refused.status_code == 422
    assert "no accusation" in refused.text


def test_inbox_matches_and_members_are_the_client_s(shown: Any):
    told = shown.house.someone("vi").json("/sharing.json?type=all")
    with State(shown.forum.folder) as state:
        assert told["total"] == told["here"] == len(state.here())
        assert {one["id"] for one in told["matches"]} == set(state.matched())
        assert {one["identity"] for one in told["members"]} == set(state.members())
    assert {one["mine"] for one in told["objects"]} == {True, False}
    assert told["indicators"]
    few = shown.house.someone("vi").json("/sharing.json?type=indicator")
    assert {one["type"] for one in few["objects"]} == {"indicator"}
    with State(shown.forum.folder):
        busy = shown.house.someone("vi").json("/sharing.json?type=all")
    assert busy["busy"]
    assert busy["total"] == told["total"]


def others(shown: Any, mine: bool) -> str:
    told = shown.house.someone("vi").json("/sharing.json?type=indicator")
    return next(one["id"] for one in told["objects"] if one["mine"] is mine and not one["revoked"])


def test_a_dispute_is_in_both_ledgers_once_and_waits_to_be_sent(shown: Any):
    key, who = others(shown, mine=False), shown.house.someone("bo")
    page = f"/sharing/object?id={key}"
    assert "/sharing/dispute" not in shown.house.someone("ana").forms(page)
    fields = {
        **who.forms(page)["/sharing/dispute"],
        "ground": "evaluation",
        "reason": "it is our customer's evaluation",
    }
    assert who.post("/sharing/dispute", {**fields, "reason": "x"}).status_code == 422
    assert who.post("/sharing/dispute", {**fields, "ground": "because"}).status_code == 422
    assert who.post("/sharing/dispute", fields).status_code == 303
    assert who.post("/sharing/dispute", fields).status_code == 409
    with State(shown.forum.folder) as state:
        ((_, body),) = state.waiting()
    assert json.loads(body)["objects"][0]["object_refs"] == [key]
    own = [json.loads(line) for line in (shown.forum.config.parent / "ledger.jsonl").read_text().splitlines()]
    assert [one["body"]["by"] for one in own if one["kind"] == "forum-dispute"] == ["bo"]
    ours = [one for one in shown.house.ledger() if one["kind"] == "forum-dispute"]
    assert [(one["body"]["by"], one["body"]["object"]) for one in ours] == [("bo", key)]
    assert shown.house.someone("vi").json(f"/sharing/object.json?id={key}")["object"]["disputed"]


def test_an_own_object_is_taken_back_by_an_approver(shown: Any):
    key, who = others(shown, mine=True), shown.house.someone("cy")
    page = f"/sharing/object?id={key}"
    fields = {**who.forms(page)["/sharing/withdraw"], "why": "error", "reason": "we named the wrong template"}
    assert who.post("/sharing/withdraw", {**fields, "why": "no word"}).status_code == 422
    assert who.post("/sharing/withdraw", fields).status_code == 303
    assert shown.house.someone("vi").json(f"/sharing/object.json?id={key}")["object"]["revoked"]
    assert [
        one["body"]["told"]["why"] for one in shown.house.ledger() if one["kind"] == "forum-revocation"
    ] == ["error"]


def test_a_review_is_closed_with_a_decision(shown: Any):
    with shown.other.session() as one:
        key = next(
            kept.stix["id"]
            for kept in one.state.here()
            if kept.stix["type"] == "indicator" and kept.author == one.maker.author
        )
    with shown.other.session() as one:
        from spiritsafe.sharing.client import redress  # noqa: PLC0415

        one.put(one.sealed(redress.revoke(one.state, one.maker, [key], "error")), "revocation")
        assert one.send().failed == []
    shown.forum.pull()
    who = shown.house.someone("bo")
    (review,) = [
        one for one in who.json("/sharing.json")["reviews"] if one["object"] == key and one["decided"] is None
    ]
    page = f"/sharing/object?id={key}"
    fields = {**who.forms(page)["/sharing/decide"], "decision": "stopped-using", "reason": "it was revoked"}
    assert fields["cause"] == review["cause"]
    assert who.post("/sharing/decide", {**fields, "decision": "whatever"}).status_code == 422
    assert who.post("/sharing/decide", fields).status_code == 303
    (closed,) = [one for one in who.json("/sharing.json")["reviews"] if one["object"] == key]
    assert closed["decision"] == "stopped-using"


def test_groups_that_are_no_accusation_have_pages_that_say_so(shown: Any):
    who = shown.house.someone("vi")
    for entry in shown.scanned.record["campaigns"]:
        page = f"/campaigns/out/{entry['campaign_id']}"
        told = who.json(f"{page}.json")
        if entry["label"] != "campaign":
            assert told["about"]["means"].startswith("No accusation")
            assert "What would leave" not in got(shown, page, "vi").text
            assert who.json(f"{page}/exchanges.json")["exchanges"]["total"] == told["claim"]["rows"]
        for part in _PARTS:
            assert who.get(f"{page}/{part}").status_code == 200


def test_a_result_with_parts_that_are_broken_keeps_its_page(shown: Any, scanned: Any, tmp_path: Path):
    folder = tmp_path / "broken"
    folder.mkdir()
    record = json.loads(json.dumps(scanned.record))
    entry = next(one for one in record["campaigns"] if one["label"] == "campaign")
    for key in ("exhibits", "leave_one_out", "layers", "hypotheses", "clears", "evidence_bits"):
        entry[key] = [7, None, "x", {}, []]
    for key in ("intent", "decision"):
        entry[key] = "not what it should be"
    entry["coordination"] = {"tests": [7, {}, {"name": "x", "value": []}], "jointly": 3}
    (folder / "campaigns.json").write_text(json.dumps({**record, "campaigns": [entry]}), "utf-8")
    state = shown.house.application
    while hasattr(state, "app") and not hasattr(state, "state"):
        state = state.app
    results = state.state.results
    before = results.folders
    try:
        results.folders = (*before, folder)
        results._looked = -10.0
        page = f"/campaigns/broken/{entry['campaign_id']}"
        assert entry["headline"] in got(shown, page).text
        for part in _PARTS:
            assert shown.house.someone("vi").get(f"{page}/{part}.json").status_code == 200, part
    finally:
        results.folders = before
        results._looked = -10.0
