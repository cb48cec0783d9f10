"""From a campaign to a measure in force, and back: people, keys, the signed file."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from consoles import CAMPAIGN, PAGE, PHRASE, House, key_for, proposed

from spiritsafe.orders import policy, snapshot

if TYPE_CHECKING:
    import httpx

    from spiritsafe.model import Order


def obeyed(house: House) -> dict[str, Order]:
    """What the gateway obeys, by id."""
    wanted = policy.read(house.data / "policy.toml")
    if not wanted.file.exists():
        return {}
    found = snapshot.read(wanted.file, wanted.signer, now=house.clock[0], rules=wanted.rules)
    assert not found.withheld
    return {one.order_id: one for one in found.orders if one.expires > house.clock[0]}


def approve(house: House, name: str, proposal: str, **fields: object) -> httpx.Response:
    who = house.someone(name)
    return who.send(
        f"/orders/{proposal}", f"/orders/{proposal}/approve",
        **{"reason": "I looked at it", "passphrase": PHRASE, **fields},
    )  # fmt: skip


@pytest.fixture(scope="module")
def ready(house: House) -> House:
    house.policy({name: key_for(house, name) for name in ("bo", "cy", "dee")})
    return house


def test_an_order_is_proposed_approved_by_another_obeyed_and_rolled_back(ready: House):
    house, ana, bo = ready, ready.someone("ana"), ready.someone("bo")
    name = proposed(house)
    shown = ana.json(f"/orders/{name}.json")
    # Six accounts of three organizations; one holds a licence and is spared.
    assert shown["touched"]["accounts"] == 5
    assert (shown["touched"]["organizations"], shown["touched"]["spared"]) == (3, 1)
    assert (shown["state"], shown["persons"], obeyed(house)) == ("proposed", 1, {})
    answer = approve(house, "bo", name)
    assert bo.follow(answer).status_code == 200
    shown = ana.json(f"/orders/{name}.json")
    order = obeyed(house)[shown["order"]["order_id"]]
    assert (shown["state"], order.response, len(order.accounts)) == ("in force", "withhold_reasoning", 6)
    assert [one.by for one in order.approvals] == ["bo"]
    told = [(one["kind"], one["body"]["by"], one["body"]["why"]) for one in house.ledger()]
    assert told[-3:] == [
        ("order-proposed", "ana", "it takes the reasoning"),
        ("order-approved", "bo", "I looked at it"),
        ("order", "bo", "it takes the reasoning"),
    ]
    answer = house.someone("cy").send(
        f"/orders/{name}", f"/orders/{name}/roll-back", reason="they hold a licence"
    )
    assert bo.follow(answer).status_code == 200
    assert (ana.json(f"/orders/{name}.json")["state"], obeyed(house)) == ("rolled back", {})
    assert [one["kind"] for one in house.ledger()[-2:]] == ["order-rolled-back", "lift"]


def test_suspension_needs_two_others_and_the_proposer_is_neither(ready: House):
    name = proposed(ready, by="bo", response="suspend")
    bo = ready.someone("bo")
    page = bo.get(f"/orders/{name}").text
    assert f"/orders/{name}/approve" not in page
    form = bo.forms(f"/orders/{name}")[f"/orders/{name}/reject"]
    own = bo.post(f"/orders/{name}/approve", {**form, "reason": "mine", "passphrase": PHRASE})
    assert (own.status_code, "another person must" in own.text.lower()) == (403, True)
    assert approve(ready, "cy", name).status_code == 303
    assert (bo.json(f"/orders/{name}.json")["state"], obeyed(ready)) == ("proposed", {})
    assert approve(ready, "dee", name).status_code == 303
    assert bo.json(f"/orders/{name}.json")["state"] == "in force"
    assert [one.response for one in obeyed(ready).values()] == ["suspend"]
    bo.send(f"/orders/{name}", f"/orders/{name}/roll-back", reason="end of the test")
    assert obeyed(ready) == {}


def test_of_two_approvers_at_the_same_time_exactly_one_wins(ready: House):
    name = proposed(ready)
    who = {one: ready.someone(one) for one in ("bo", "cy", "dee")}
    forms = {one: browser.forms(f"/orders/{name}")[f"/orders/{name}/approve"] for one, browser in who.items()}
    answers: dict[str, httpx.Response] = {}
    gate = threading.Barrier(3)

    def run(one: str) -> None:
        gate.wait()
        answers[one] = who[one].post(
            f"/orders/{name}/approve", {**forms[one], "reason": f"{one} was here", "passphrase": PHRASE}
        )

    threads = [threading.Thread(target=run, args=(one,)) for one in who]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers.values()) == [303, 409, 409]
    winner = next(one for one, answer in answers.items() if answer.status_code == 303)
    lost = next(answer for answer in answers.values() if answer.status_code == 409)
    # Who lost sees who won and why, and keeps what they wrote.
    assert f"{winner} was here" in lost.text
    assert lost.text.count("was here") >= 2
    (order,) = obeyed(ready).values()
    assert [one.by for one in order.approvals] == [winner]
    assert (
        len([one for one in ready.ledger() if one["kind"] == "order" and one["body"]["proposal"] == name])
        == 1
    )
    who["bo"].send(f"/orders/{name}", f"/orders/{name}/roll-back", reason="end of the test")


def test_a_form_sent_twice_is_done_once(ready: House):
    ana = ready.someone("ana")
    page = f"/orders/new?run=out&campaign={CAMPAIGN}"
    form = {**ana.forms(page)["/orders/new"], "reason": "sent twice"}
    form["order_id"] = ana.json(page.replace("?", ".json?"))["rows"][0]["order_id"]
    first, second = ana.post("/orders/new", form), ana.post("/orders/new", form)
    assert (first.status_code, second.status_code) == (303, 409)
    name = first.headers["location"].split("/")[2].partition("?")[0]
    assert len([one for one in ready.ledger() if one["body"]["why"] == "sent twice"]) == 1
    bo = ready.someone("bo")
    assert bo.send(f"/orders/{name}", f"/orders/{name}/reject", reason="no").status_code == 422
    answer = bo.send(f"/orders/{name}", f"/orders/{name}/reject", reason="it is too much")
    assert answer.status_code == 303
    assert ana.json(f"/orders/{name}.json")["state"] == "rejected"


def test_a_wrong_passphrase_an_unknown_key_and_a_stale_page_approve_nothing(ready: House):
    name = proposed(ready)
    assert approve(ready, "bo", name, passphrase="staple of another 3").status_code == 403
    known = policy.read(ready.data / "policy.toml").rules.approvers
    ready.policy({one: key for one, key in known.items() if one != "bo"})
    bo = ready.someone("bo")
    form = bo.forms(f"/orders/{name}")[f"/orders/{name}/reject"]
    answer = bo.post(f"/orders/{name}/approve", {**form, "reason": "I looked", "passphrase": PHRASE})
    assert (answer.status_code, "[approvers]" in answer.text) == (422, True)
    ready.policy(known)
    assert approve(ready, "bo", name, version="7").status_code == 409
    assert (bo.json(f"/orders/{name}.json")["state"], obeyed(ready)) == ("proposed", {})
    bo.send(f"/orders/{name}", f"/orders/{name}/reject", reason="end of the test")


def test_what_waits_too_long_and_what_is_over_expires(ready: House):
    waits, runs = proposed(ready), proposed(ready, response="budget")
    assert approve(ready, "bo", runs).status_code == 303
    begun = ready.clock[0]
    try:
        ready.later(8 * 86_400)
        ready.leave()  # sessions ended meanwhile
        _wait(ready, waits, "expired")
        assert ready.someone("ana").json(f"/orders/{runs}.json")["state"] == "in force"
        ready.later(8 * 86_400)
        ready.leave()
        _wait(ready, runs, "expired")
        assert obeyed(ready) == {}
    finally:
        ready.clock[0] = begun
        ready.leave()


def test_opinions_are_kept_and_a_stale_one_is_refused_with_what_changed(house: House):
    ana, bo = house.someone("ana"), house.someone("bo")
    form = {"csrf": ana.forms("/orders")["/logout"]["csrf"]}
    first = {**form, "version": "0", "state": "looking", "reason": "I take it", "write": "w-1"}
    assert ana.post(f"{PAGE}/opinion", first).status_code == 303
    late = {
        "csrf": bo.forms("/orders")["/logout"]["csrf"],
        "version": "0",
        "state": "dismissed",
        "reason": "mine",
    }
    answer = bo.post(f"{PAGE}/opinion", late)
    assert (answer.status_code, "I take it" in answer.text, "ana" in answer.text) == (409, True, True)
    rows = {one["campaign_id"]: one for one in ana.json("/campaigns.json?state=all&label=all")["rows"]}
    assert (rows[CAMPAIGN]["state"], rows[CAMPAIGN]["by"]) == ("looking", "ana")
    assert ana.json("/index.json")["states"]["looking"] == 1


def _wait(house: House, name: str, state: str) -> None:
    for _ in range(600):
        if house.someone("ana").json(f"/orders/{name}.json")["state"] == state:
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} is never {state}")
