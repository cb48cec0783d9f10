"""Who may ask what: every route for every role, sessions, tokens, hosts, headers, people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest
from consoles import CAMPAIGN, PASSWORD, ROLES, House

from spiritsafe.console import app, guard
from spiritsafe.console.people import RIGHTS
from spiritsafe.console.people import ROLES as ORDER

if TYPE_CHECKING:
    from starlette.routing import Route

ROUTES = [(route, method) for route in app.routes() for method in sorted((route.methods or set()) - {"HEAD"})]


def address(route: Route) -> str:
    """The route with something real in it, and the query that its page wants."""
    path = route.path
    for name, value in {"run": "out", "campaign": CAMPAIGN, "proposal": "p-0", "case": "none"}.items():
        path = re.sub(rf"{{{name}(:\w+)?}}", value, path)
    return re.sub(r"{\w+(:\w+)?}", "0", path)


@pytest.mark.parametrize(("route", "method"), ROUTES, ids=[f"{m} {r.path}" for r, m in ROUTES])
def test_every_route_is_refused_to_who_may_not_ask_and_open_to_who_may(
    route: Route, method: str, house: House
):
    right = guard.right_of(route)
    assert right == "" or right in RIGHTS
    path = address(route)
    stranger = house.new()
    answer = stranger.get(path) if method == "GET" else stranger.post(path, {})
    if right == "":
        assert answer.status_code in ({200, 303, 404} if method == "GET" else {403, 415})
    else:
        assert answer.status_code == (303 if method == "GET" else 401)
        assert method == "POST" or answer.headers["location"].startswith("/login")
        assert stranger.get(f"{path}.json").status_code in {401, 404, 405}
    if right == "" or path == "/logout":
        return
    for name, role in ROLES.items():
        who = house.someone(name)
        answer = who.get(path) if method == "GET" else who.post(path, {"csrf": "wrong"})
        if ORDER.index(role) < ORDER.index(RIGHTS[right or ""]):
            assert (answer.status_code, "your role" in answer.text.lower()) == (403, True), (name, path)
        elif method == "GET":
            assert answer.status_code in {200, 404, 422}, (name, path, answer.text[:500])
        else:
            # Allowed, but the form is not of this session.
            assert (answer.status_code, "another session" in answer.text) == (403, True), (name, path)


def test_a_route_that_does_not_say_who_may_ask_is_never_served():
    async def bare(request: object) -> object:
        return request

    with pytest.raises(Exception, match="does not say who may ask"):
        guard.guarded(app.Route("/bare", bare))


def test_a_write_needs_the_token_of_its_session_and_comes_from_here(house: House):
    dee, form = (
        house.someone("dee"),
        {"name": "zoe", "role": "viewer", "password": PASSWORD, "reason": "new here"},
    )
    good = dee.forms("/people")["/people/add"]
    other = house.someone("bo").forms("/orders")["/logout"]["csrf"]
    for wrong in ("", "x", other):
        assert dee.post("/people/add", {**good, **form, "csrf": wrong}).status_code == 403
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        answer = dee.line.post("/people/add", data={**good, **form}, headers=headers)
        assert answer.status_code == 403
    as_json = dee.line.post("/people/add", json={**good, **form})
    assert as_json.status_code == 415
    assert "zoe" not in {one["name"] for one in dee.json("/people.json")["rows"]}
    assert dee.post("/people/add", {**good, **form}).status_code == 303
    assert "zoe" in {one["name"] for one in dee.json("/people.json")["rows"]}


def test_sessions_end_when_idle_after_half_a_day_and_with_the_person(house: House):
    begun = house.clock[0]
    try:
        idle, busy = house.new(), house.new()
        assert {one.enter("vi").status_code for one in (idle, busy)} == {303}
        for _ in range(2):
            house.later(20 * 60)
            assert busy.get("/").status_code == 200
        assert idle.get("/").headers["location"] == "/login?next=%2F"
        for _ in range(40):
            house.later(20 * 60)
            busy.get("/account?account=x")
        last = busy.get("/campaigns?label=all")
        assert last.headers["location"] == "/login?next=%2Fcampaigns%3Flabel%3Dall"
        # Signing in again goes where one wanted to go, and never elsewhere.
        answer = busy.send("/login?next=/orders", "/login", name="vi", password=PASSWORD)
        assert answer.headers["location"] == "/orders"
        for evil in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
            one = house.new()
            found = one.send("/login", "/login", name="vi", password=PASSWORD, next=evil)
            assert found.headers["location"] == "/"
        form = busy.forms("/")["/logout"]
        thief = house.new()
        thief.line.cookies.update(busy.line.cookies)
        assert thief.get("/").status_code == 200
        assert busy.post("/logout", form).status_code == 303
        assert thief.get("/").status_code == 303
    finally:
        house.clock[0] = begun
        house.leave()


def test_a_session_lost_in_the_middle_of_a_write_loses_no_word_and_writes_nothing(house: House):
    ana = house.new()
    ana.enter("ana")
    form = {"csrf": ana.forms("/")["/logout"]["csrf"], "version": "0", "state": "looking"}
    ana.line.cookies.clear()
    answer = ana.post(f"/campaigns/out/{CAMPAIGN}/opinion", {**form, "reason": "a long <b>thought</b>"})
    assert (answer.status_code, "a long &lt;b&gt;thought" in answer.text) == (401, True)
    assert not [one for one in house.ledger() if "thought" in one["body"]["why"]]


def test_cookies_headers_and_sizes(house: House):
    one = house.new()
    one.get("/login")
    answer = one.enter("vi")
    cookie = next(value for value in answer.headers.get_list("set-cookie") if value.startswith("spiritsafe="))
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    for path in ("/", "/login", "/nothing", "/static/console.css", "/index.json"):
        headers = one.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in policy
        assert ("no-store" in headers["cache-control"]) is not path.startswith("/static/")
    assert one.line.get("/", headers={"host": "evil.example"}).status_code == 421
    assert one.line.request("PUT", "/").status_code == 405
    assert one.line.post("/logout", content=b"x" * 300_000).status_code == 413
    parts = (b"x" * 100_000 for _ in range(4))
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert one.line.post("/logout", content=parts, headers=kind).status_code == 413
    assert one.line.post("/logout", content=b"&".join([b"a=1"] * 3_000), headers=kind).status_code == 400
    assert one.line.post("/logout", content=b"a=%ff", headers=kind).status_code == 400
    assert one.get("/static/../app.py").status_code == 404
    assert (
        one.line.get(httpx.URL(str(one.line.base_url), raw_path=b"/static/%2e%2e/app.py")).status_code == 404
    )


def test_who_guesses_waits_and_nobody_else_does(house: House):
    begun = house.clock[0]
    guesser = house.new()
    form = guesser.forms("/login")["/login"]
    answers = [
        guesser.post("/login", {**form, "name": "vi", "password": "wrong horse battery"}).status_code
        for _ in range(6)
    ]
    assert answers == [401] * 5 + [429]
    assert guesser.post("/login", {**form, "name": "vi", "password": PASSWORD}).status_code == 429
    assert guesser.post("/login", {**form, "name": "ana", "password": PASSWORD}).status_code == 303
    house.later(20 * 60)
    assert house.new().enter("vi").status_code == 303
    unknown = house.new()
    assert unknown.enter("nobody").status_code == 401
    house.clock[0] = begun


def test_people_change_at_once_and_the_last_admin_stays(house: House):
    dee = house.someone("dee")
    first = {"name": "kim", "role": "analyst", "password": PASSWORD, "reason": "joins the desk"}
    assert dee.send("/people", "/people/add", **first).status_code == 303
    kim = house.new()
    assert kim.enter("kim").status_code == 303

    def change(name: str, **fields: str) -> httpx.Response:
        row = next(one for one in dee.json("/people.json")["rows"] if one["name"] == name)
        form = {**dee.forms("/people")["/people/change"], "name": name, "version": str(row["version"])}
        return dee.post("/people/change", {**form, "reason": "as agreed", **fields})

    assert change("kim", what="role", role="viewer").status_code == 303
    assert kim.get("/").status_code == 303  # a session of another role ended
    assert kim.enter("kim").status_code == 303
    assert kim.get(f"/orders/new?run=out&campaign={CAMPAIGN}").status_code == 403
    assert change("kim", what="role", role="admin", version="1").status_code == 409
    assert change("kim", what="password", password="short").status_code == 422
    assert change("kim", what="disable").status_code == 303
    assert kim.get("/").status_code == 303
    assert kim.enter("kim").status_code == 401
    assert change("dee", what="disable").status_code == 422
    assert change("dee", what="role", role="viewer").status_code == 422
    kinds = [one["kind"] for one in house.ledger() if one["body"]["subject"] == "person kim"]
    assert kinds == ["person-added", "role-given", "person-disabled"]


def test_a_new_password_needs_the_old_one_and_ends_other_sessions(house: House):
    dee = house.someone("dee")
    assert dee.send(
        "/people", "/people/add", name="lou", role="viewer", password=PASSWORD, reason="for a test"
    ).status_code == 303  # fmt: skip
    one, two = house.new(), house.new()
    assert {each.enter("lou").status_code for each in (one, two)} == {303}
    new = {"new": "another horse 77", "again": "another horse 77"}
    assert one.send("/me", "/me/password", password="wrong horse 1", **new).status_code == 403
    assert one.send("/me", "/me/password", password=PASSWORD, **{**new, "again": "x"}).status_code == 422
    assert one.follow(one.send("/me", "/me/password", password=PASSWORD, **new)).status_code == 200
    assert two.get("/").status_code == 303
    assert two.enter("lou").status_code == 401
    assert two.enter("lou", "another horse 77").status_code == 303
    ledger = (house.data / "ledger.jsonl").read_text()
    assert PASSWORD not in ledger
    assert "another horse" not in ledger


def test_errors_are_pages_for_people_and_json_for_programs(house: House):
    vi = house.someone("vi")
    page, told = vi.get("/orders/p-none"), vi.get("/orders/p-none.json")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert (told.status_code, told.json()["error"]) == (404, "there is no such order")
    assert house.new().get("/index.json").json()["hint"] == "sign in; nothing was done"


def test_a_browser_of_another_house_is_nobody(house: House):
    stranger = house.new()
    stranger.line.cookies.set("spiritsafe", "x" * 40)
    assert stranger.get("/").status_code == 303
