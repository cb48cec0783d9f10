"""Disputes, upheld appeals, revocations: who must look again, by when, and that each lab decides for itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe import ledger
from spiritsafe.errors import UsageError
from spiritsafe.sharing.client import redress
from spiritsafe.sharing.stix.export import to_stix
from spiritsafe.sharing.stix.ids import DISTILLATION

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400_000_000
WITHIN = 14 * DAY


def shared(someone: Any, sample: Any) -> list[dict[str, Any]]:
    told, found = sample.results()
    with someone.session() as one:
        made = to_stix(told["campaigns"][0], found, one.maker, release=sample.FULL).objects
    assert someone.push(made).failed == []
    return made


def listed(someone: Any) -> list[redress.Review]:
    with someone.session() as one:
        return redress.reviews(one.state, one.maker.author)


def decided(someone: Any, key: str, decision: str, **more: Any) -> list[dict[str, Any]]:
    with someone.session() as one:
        one.decide(key, decision, by="anna", reason="looked at it", **more)
        ((_, body),) = one.state.waiting()
        assert one.send().failed == []
        return json.loads(body)["objects"]


def entries(someone: Any, kind: str) -> list[Any]:
    path: Path = someone.config.parent / "ledger.jsonl"
    return [one.body for one in ledger.entries(path) if one.kind == kind]


def test_an_upheld_appeal_reaches_every_lab_that_pulled(forum: Any, sample: Any):
    anna, ben, cleo = (forum.member(name) for name in ("anna", "ben", "cleo"))
    made = shared(anna, sample)
    campaign = made[0]["id"]
    key = next(one["id"] for one in made if one["type"] == "indicator")
    for one in (ben, cleo):
        one.pull()
    with cleo.session() as one, one.state.change():
        one.state.match(key, first=1, last=2, accounts=3, exchanges=4, now=forum.clock())
    # A customer appeals at ben's, who disputes; the author must answer.
    with ben.session() as one:
        dispute = one.maker.opinion(
            [campaign], "strongly-disagree", redress={"step": "dispute", "ground": "evaluation"}
        )
    ben.push([dispute])
    assert anna.pull().opened == 1
    assert cleo.pull().opened == 0
    (open_one,) = listed(anna)
    assert (open_one.mine, open_one.why, open_one.due) == (True, "disputed: evaluation", sample.NOW + WITHIN)
    # She upholds it: the campaign and all that hangs on it is revoked, and an opinion says why.
    told = decided(anna, campaign, "upheld")
    assert told[0]["extensions"][DISTILLATION]["redress"]["step"] == "appeal-upheld"
    assert {one["id"] for one in told if one.get("revoked")} == {one["id"] for one in made}
    assert entries(anna, "forum-review")[0]["decision"] == "upheld"
    # Every lab that pulled stops at once, and must look again; the one whose log matched sooner.
    for someone, days in ((ben, 14), (cleo, 3)):
        outcome = someone.pull()
        assert outcome.used == []
        assert outcome.opened
        due = {one.object: one for one in listed(someone)}
        assert due[campaign].due == sample.NOW + days * DAY
        assert due[campaign].matched == (days == 3)
        assert someone.read("indicators.json")["indicators"] == []
    # Each decides for itself, in its own ledger; the others hear of it.
    cause = next(
        one.cause for one in listed(cleo) if one.object == campaign and one.why.startswith("revoked")
    )
    decided(cleo, campaign, "measure-lifted", cause=cause)
    assert [one["decision"] for one in entries(cleo, "forum-review")] == ["measure-lifted"]
    assert entries(ben, "forum-review") == []
    anna.pull()
    with anna.session() as one:
        steps = [
            kept.stix["extensions"][DISTILLATION]["redress"].get("decision")
            for kept in one.state.here()
            if kept.stix["type"] == "opinion" and kept.author != one.maker.author
        ]
    assert "measure-lifted" in steps
    assert [one.decision for one in listed(cleo) if one.cause == cause] == ["measure-lifted"]


def test_an_appeal_upheld_at_one_lab_makes_author_and_others_look_again(forum: Any, sample: Any):
    anna, ben, cleo = (forum.member(name) for name in ("anna", "ben", "cleo"))
    made = shared(anna, sample)
    key = next(one["id"] for one in made if one["type"] == "indicator")
    ben.pull()
    cleo.pull()
    with ben.session() as one:
        upheld = one.maker.opinion(
            [key], "strongly-disagree", redress={"step": "appeal-upheld", "ground": "stolen-key"}
        )
    ben.push([upheld])
    assert (anna.pull().opened, cleo.pull().opened, ben.pull().opened) == (1, 1, 0)
    assert [(one.mine, one.why) for one in listed(anna)] == [(True, "an appeal was upheld")]
    # Until the author answered, a rule that does not ask for disputed ones uses it no more.
    assert {one.indicator.indicator_id for one in cleo.pull().used if not one.use} == {key}
    with pytest.raises(UsageError, match="no decision here"):
        decided(cleo, key, "upheld")
    decided(cleo, key, "kept-on-own-evidence")
    decided(anna, key, "rejected")
    assert {one.indicator.indicator_id for one in cleo.pull().used if not one.use} == set()
    with pytest.raises(UsageError, match="no open review"):
        decided(cleo, key, "never-used")


def test_the_first_date_stands_and_reviews_outlive_the_object(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    made = shared(anna, sample)
    ben.pull()
    with anna.session() as one:
        gone = redress.revoke(one.state, one.maker, [made[0]["id"]], "false-positive")
    anna.push(gone)
    assert ben.pull().opened
    first = {(one.object, one.cause): one.due for one in listed(ben)}
    forum.clock.now += 100 * DAY  # far beyond the end of everything
    assert ben.pull().opened == 0
    assert {(one.object, one.cause): one.due for one in listed(ben)} == first
    assert all(one.due < forum.clock() for one in listed(ben))


def test_only_own_objects_are_revoked_and_an_indicator_alone_leaves_the_case(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    made = shared(anna, sample)
    ben.pull()
    with ben.session() as one, pytest.raises(UsageError, match="own object"):
        redress.revoke(one.state, one.maker, [made[0]["id"]], "error")
    key = next(one["id"] for one in made if one["type"] == "indicator")
    with anna.session() as one:
        gone = redress.revoke(one.state, one.maker, [key], "error")
    assert sorted(one["type"] for one in gone) == ["indicator", "relationship"]


def test_a_false_positive_asks_its_author(forum: Any, sample: Any):
    anna, ben, cleo = (forum.member(name) for name in ("anna", "ben", "cleo"))
    made = shared(anna, sample)
    key = next(one["id"] for one in made if one["type"] == "indicator")
    ben.pull()
    cleo.pull()
    with ben.session() as one:
        wrong = one.maker.sighting(key, "false-positive", first=forum.clock(), last=forum.clock())
    ben.push([wrong])
    assert (anna.pull().opened, cleo.pull().opened) == (1, 0)
    told = decided(anna, key, "upheld")
    assert {one["type"] for one in told} == {"opinion", "indicator", "relationship"}


def test_what_a_person_decided_is_in_the_ledger_before_it_is_told(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    made = shared(anna, sample)
    ben.pull()
    with anna.session() as one:
        gone = redress.revoke(one.state, one.maker, [made[0]["id"]], "error")
    anna.push(gone)
    ben.pull()
    (body,) = [decided(ben, made[0]["id"], "never-used")]
    kept = entries(ben, "forum-review")[0]
    assert {"by": "anna", "reason": "looked at it", "decision": "never-used"}.items() <= kept.items()
    assert "anna" not in json.dumps(body)
    assert "looked" not in json.dumps(body)


def test_what_ended_is_forgotten_but_what_a_review_needs(forum: Any, sample: Any):
    anna, ben = forum.member("anna"), forum.member("ben")
    made = shared(anna, sample)
    key = next(one["id"] for one in made if one["type"] == "indicator")
    ben.pull()
    with ben.session() as one, one.state.change():
        one.state.match(key, first=1, last=2, accounts=3, exchanges=4, now=forum.clock())
    forum.clock.now += (90 + 31) * DAY
    ben.pull()
    with ben.session() as one:
        assert [stix["id"] for stix in made if one.state.object(stix["id"])] == [key]
    anna.pull()
    with anna.session() as one:
        assert one.state.object(made[0]["id"])  # her own she keeps


def test_a_decision_and_its_message_are_one_step(forum: Any, sample: Any, monkeypatch: pytest.MonkeyPatch):
    anna, ben = forum.member("anna"), forum.member("ben")
    made = shared(anna, sample)
    ben.pull()
    with anna.session() as one:
        gone = redress.revoke(one.state, one.maker, [made[0]["id"]], "error")
    anna.push(gone)
    ben.pull()
    with ben.session() as one:
        monkeypatch.setattr(one.state, "put", lambda *_: 1 / 0)  # the process ends here
        with pytest.raises(ZeroDivisionError):
            one.decide(made[0]["id"], "never-used", by="ben", reason="x")
    assert {one.decided for one in listed(ben)} == {None}
    decided(ben, made[0]["id"], "never-used")
