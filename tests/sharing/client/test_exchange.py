"""One lab warns, another hears: what arrives, what its rules make of it, and what never happens by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from spiritsafe.errors import SharingError, StorageError, UsageError
from spiritsafe.features.lookup import Index
from spiritsafe.gateway.rules import indicators
from spiritsafe.model import RUNGS, Order
from spiritsafe.orders import approvals
from spiritsafe.orders.content import to_order
from spiritsafe.sharing.client import redress, settings, sightings
from spiritsafe.sharing.stix import mirror
from spiritsafe.sharing.stix.export import to_stix
from spiritsafe.sharing.stix.ids import DISTILLATION

if TYPE_CHECKING:
    from pathlib import Path

HOUR, DAY = 3_600_000_000, 86_400_000_000


def shared(someone: Any, sample: Any, **changed: Any) -> list[dict[str, Any]]:
    """What ``someone`` shares of the sample's campaign; pushed."""
    told, found = sample.results()
    entry = {**told["campaigns"][0], **changed}
    for one in found["indicators"]:
        one["campaign_id"] = entry["campaign_id"]
    with someone.session() as one:
        made = to_stix(entry, found, one.maker, release=sample.FULL, earlier=one.own()).objects
    pushed = someone.push(made)
    assert (pushed.sent, pushed.failed) == (len(made), [])
    return made


def rule(**fields: Any) -> str:
    listed = {"members": ["*"], "use": "lookup", "newer_than": "60d", **fields}
    return "[[receive.use]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in listed.items())


def test_a_warning_arrives_and_the_gateway_can_match_it(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    made = shared(anna, sample)
    outcome = ben.pull()
    assert outcome.pulled.new == len(made)
    assert outcome.pulled.refused == []
    assert ben.ids() == {one["id"] for one in made}
    found = list(indicators(ben.folder / "indicators.json"))
    assert {one.kind for one in found} == {"template", "skeleton", "network"}
    index = Index(found)
    assert [index.campaigns[n] for n in index.match(None, network="198.51.100.7", now=sample.NOW)] == [
        made[0]["id"]
    ]
    # The gateway stops by itself at the end, even if nobody pulls any more.
    assert index.match(None, network="198.51.100.7", now=sample.NOW + 91 * DAY) == ()
    leads = ben.read("leads.json")["leads"]
    assert {one["use"] for one in leads} == {"observe"}
    assert leads[0]["atlas"] == ["AML.T0008.005", "AML.T0024.002", "AML.T0040"]
    # Nothing of anna's own comes back to her as a lead.
    assert anna.pull().used == []


def test_pulling_again_brings_nothing_new_and_writes_the_same(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    shared(anna, sample)
    ben.pull()
    before = (ben.folder / "indicators.json").read_bytes()
    again = ben.pull()
    assert (again.pulled.objects, again.pulled.new, again.pulled.whole) == (0, 0, False)
    assert (ben.folder / "indicators.json").read_bytes() == before


@pytest.mark.parametrize(
    ("rules", "use", "why"),
    [
        ("", None, "no rule"),
        (rule(use="lead"), "lead", ""),
        (rule(use="lead") + rule(use="observe"), "observe", ""),
        (rule(members=["member-000000"]), None, "no rule"),
        (rule(newer_than="1h"), None, "older"),
        (rule(sightings=1), None, "seen by 0 others"),
    ],
)
def test_the_receivers_rules_decide(forum: Any, sample: Any, rules: str, use: str | None, why: str):
    anna, ben = forum.member("anna"), forum.member("ben", rules)
    shared(anna, sample)
    forum.clock.now += 2 * HOUR
    used = ben.pull().used
    assert {one.use for one in used} == {use}
    assert all(one.why.startswith(why) for one in used)
    assert bool(ben.read("indicators.json")["indicators"]) == (use in ("lookup", "observe"))
    assert bool(ben.read("leads.json")["leads"]) == (use is not None)
    assert bool(ben.read("proposed.json")["orders"]) == (use == "observe")


def test_rules_by_kind_and_by_member(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    shared(anna, sample)
    with anna.session() as one:
        name = next(iter(one.own().values()))["created_by_ref"]
    ben.rules(rule(members=[name], kinds=["address"]))
    used = ben.pull().used
    assert {one.indicator.kind for one in used if one.use} == {"network"}


def test_sightings_by_others_count_once_each_and_not_the_authors(forum: Any, sample: Any):
    anna, ben, cleo = forum.member("anna"), forum.member("ben", rule(sightings=1)), forum.member("cleo")
    made = shared(anna, sample)
    key = next(one["id"] for one in made if one["type"] == "indicator")
    for who in (anna, cleo):
        with who.session() as one:
            seen = one.maker.sighting(
                key, first=forum.clock.now, last=forum.clock.now, volume={"exchanges": 2}
            )
        who.push([seen])
        forum.clock.now += 1_000
        uses = {one.indicator.indicator_id: one.use for one in ben.pull().used}
        assert uses[key] == ("lookup" if who is cleo else None)
    assert [use for one, use in uses.items() if one != key and use] == []


def test_disputes_and_false_positives_stop_use_until_the_author_has_answered(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben", rule() + rule(use="lead", disputed=True))
    made = shared(anna, sample)
    with ben.session() as one:
        dispute = one.maker.opinion(
            [made[0]["id"]], "disagree", redress={"step": "dispute", "ground": "research"}
        )
    ben.push([dispute])
    assert {one.use for one in ben.pull().used} == {"lead"}
    anna.pull()
    with anna.session() as one:
        answer = one.maker.opinion(
            [made[0]["id"]], "agree", redress={"step": "appeal-rejected", "answers_ref": dispute["id"]}
        )
    anna.push([answer])
    assert {one.use for one in ben.pull().used} == {"lookup"}
    key = next(one["id"] for one in made if one["type"] == "indicator")
    with ben.session() as one:
        wrong = one.maker.sighting(key, "false-positive", first=forum.clock.now, last=forum.clock.now)
    ben.push([wrong])
    uses = {one.indicator.indicator_id: one.use for one in ben.pull().used}
    assert (uses.pop(key), set(uses.values())) == ("lead", {"lookup"})


def test_revoked_and_expired_indicators_stop_within_one_pull(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    made = shared(anna, sample)
    ben.pull()
    assert ben.read("indicators.json")["indicators"]
    with anna.session() as one:
        gone = redress.revoke(one.state, one.maker, [made[0]["id"]], "error")
    assert {one["id"] for one in gone} == {one["id"] for one in made}  # with all that hangs on the campaign
    anna.push(gone)
    ben.pull()
    assert ben.read("indicators.json")["indicators"] == []
    assert ben.read("proposed.json")["orders"] == []
    with pytest.raises(SharingError, match="revoked is revoked for good"):
        shared(anna, sample)
    shared(anna, sample, campaign_id="c-another")
    assert ben.pull().used
    forum.clock.now += 91 * DAY
    assert ben.pull().used == []
    assert ben.read("indicators.json")["indicators"] == []


def test_more_than_observing_is_no_use_and_no_approval_makes_it_one(forum: Any, sample: Any, tmp_path: Path):
    ben = forum.member("ben")
    for response in RUNGS:
        if response != "observe":
            ben.rules(rule(use=response))
            with pytest.raises(UsageError, match="no use") as caught:
                settings.read(ben.config)
            assert caught.value.where == f"{ben.config}:{len(ben.config.read_text().splitlines()) - 1}"
    drafted = Order(
        "o-1",
        "campaign--967ad7ce-3a06-59de-a97c-2dc330ac3f22",
        "budget",
        "streams",
        frozenset(),
        "forum",
        "x@y",
        0,
        1,
    )
    told = approvals.missing(drafted, approvals.Rules(), signer="", issuer="desk")
    assert "needs a campaign of an own scan" in told
    watched = replace(drafted, response="observe")
    assert approvals.missing(watched, approvals.Rules(), signer="", issuer="desk") == ""


def test_drafted_orders_observe_and_end_with_their_indicators(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    made = shared(anna, sample)
    ben.pull()
    orders = [to_order(one, "drafts") for one in ben.read("proposed.json")["orders"]]
    assert [(one.response, one.scope, one.campaign_id, one.approvals) for one in orders] == [
        ("observe", "streams", made[0]["id"], ())
    ]
    assert orders[0].expires == sample.NOW + 90 * DAY


def test_what_left_is_what_was_previewed_and_the_ledger_knows_it(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    told, found = sample.results()
    with anna.session() as one:
        body = one.sealed(to_stix(told["campaigns"][0], found, one.maker, release=sample.FULL).objects)
        one.put(body, "c-1", {"c-1": sample.FULL})
        one.send()
    ben.pull()
    with ben.session() as one:
        here = {kept.stix["id"]: kept.stix for kept in one.state.here()}
    assert here == {stix["id"]: stix for stix in json.loads(body)["objects"]}
    line = json.loads((anna.config.parent / "ledger.jsonl").read_text().splitlines()[0])
    assert line["body"]["released"] == {"c-1": {"by": "anna", "reason": "two labs asked"}}
    assert line["body"]["bytes"] == len(body)


def test_what_the_hub_refuses_is_told_and_does_not_wait_for_ever(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben", enrol=False)
    with ben.session() as one:
        mine = one.maker.note(["campaign--967ad7ce-3a06-59de-a97c-2dc330ac3f22"], "Hello.")
        one.put(one.sealed([mine]), "x")
        with pytest.raises(SharingError, match="401"):
            one.send()  # it is not known whether this will be so for ever, so the message waits
        assert len(one.state.waiting()) == 1
    with anna.session() as one:
        stix = one.maker.note(["campaign--967ad7ce-3a06-59de-a97c-2dc330ac3f22"], "Hello.")
        other = {**stix, "object_marking_refs": [*one.maker.terms.markings]}
        one.put(one.sealed([stix]), "x")
        one.send()
        other["extensions"] = {DISTILLATION: {**stix["extensions"][DISTILLATION], "purpose": "redress"}}
        other["labels"] = mirror.labels(other)
        one.put(one.sealed([other]), "x")
        found = one.send()
        assert (found.sent, len(found.failed), one.state.waiting()) == (0, 1, [])


def test_two_processes_do_not_share_a_state(forum: Any):
    anna = forum.member("anna")
    with anna.session(), pytest.raises(StorageError, match="cannot be opened"):
        anna.session()


def test_a_lookup_in_own_logs_counts_and_tells_orders_of_magnitude(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    shared(anna, sample)
    listed = [one.indicator for one in ben.pull().used if one.indicator.kind == "network"]
    index = Index(listed)
    many, day = 150, sample.NOW - DAY
    batch = pa.record_batch(
        {
            "time": pa.array([day + n for n in range(many)], pa.timestamp("us", "UTC")),
            "account_id": [f"acct-{n % 25}" for n in range(many)],
            "client_ip": ["203.0.113.9" if n < 120 else "192.0.2.1" for n in range(many)],
            "device_id": pa.nulls(many, pa.string()),
            "skeleton": pa.array([0] * many, pa.uint64()),
            "anchors": pa.array([[]] * many, pa.list_(pa.uint64())),
            "system_anchors": pa.array([[]] * many, pa.list_(pa.uint64())),
        }
    )
    early = batch.set_column(
        0, "time", pa.array([0] * many, pa.timestamp("us", "UTC"))
    )  # before any was valid
    found = sightings.tally([early, batch, batch], lambda one: index.match_batch(one, now=day), listed)
    assert [(one.exchanges, len(one.accounts), one.first) for one in found.values()] == [(240, 25, day)]
    with ben.session() as one:
        sightings.keep(one.state, found, one.clock())
        told = sightings.told(one.maker, found)
        assert one.state.matched().keys() == found.keys()
    assert told[0]["extensions"][DISTILLATION]["volume"] == {"accounts": 1, "exchanges": 2}
    assert ben.push(told).failed == []
    assert anna.pull().pulled.new == 1
