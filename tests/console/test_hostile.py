"""What strangers wrote, on every page: none of it becomes markup, and none of it runs."""

from __future__ import annotations

import itertools
import json
import time
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from chromium import chromium
from consoles import CAMPAIGN, House, furnish, served
from test_access import ROUTES, address

from spiritsafe.console import guard

if TYPE_CHECKING:
    from collections.abc import Generator

CORPUS = (
    "<script>window.ran=1</script>",
    '"><img src=x onerror=window.ran=1>',
    "'><svg/onload=window.ran=1>",
    "</textarea></title></style></script><script>window.ran=1</script>",
    "javascript:window.ran=1//",
    '" autofocus onfocus=window.ran=1 x="',
    "{{ 7 * 7 }}{% raw %}${7*7}#{7*7}",
    "<a href='javascript:window.ran=1'>x</a>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    "<base href=//evil.example/><meta http-equiv=refresh content=0;//evil.example>",
    "\u202e<b>txet\u202c \u2028\u2029\x00\x08\ufeff",
    "&lt;script&gt;window.ran=1&lt;/script&gt;",
    "<!--]]><![CDATA[-->",
    "\ud83d<script>window.ran=1</script>",
)
KEEP = frozenset(
    [
        "campaign_id",
        "label",
        "first_seen",
        "last_seen",
        "response",
        "role",
        "layer",
        "name",
        "test",
        "kind",
        "without",
        "fits",
        "decision",
        "technique",
        "by",
        "window",
        "first",
        "last",
    ]
)


def poisoned(whole: Any) -> Any:
    """The result with something hostile in every text that a stranger could have had a hand in."""
    numbers = itertools.count()

    def hostile(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: hostile(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [hostile(one, key) for one in value]
        if isinstance(value, str) and key not in KEEP:
            n = next(numbers)
            return f"{CORPUS[n % len(CORPUS)]} {n}".encode("utf-8", "replace").decode()
        return value

    campaigns = [hostile({**one, "independent_layers": []}) for one in whole["campaigns"]]
    return {**whole, "campaigns": [{**one, "independent_layers": ["device"]} for one in campaigns]}


OURS = ("/", "#", "https://atlas.mitre.org/techniques/")


class Markup(HTMLParser):
    """Everything in a page that could run or send something."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self._script = tag == "script"
        if tag in {"iframe", "base", "object", "embed", "img", "style", "applet"}:
            self.wrong.append(f"<{tag}>")
        if tag == "script" and not str(told.get("src", "")).startswith("/static/"):
            self.wrong.append("<script> without a file of ours")
        for name, value in told.items():
            if name.startswith("on") or name in {"style", "srcdoc", "formaction"}:
                self.wrong.append(f"{name}=")
            if name in {"href", "src", "action", "data-href", "data-poll"} and not (value or "").startswith(
                OURS
            ):
                self.wrong.append(f"{name}={value}")

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.wrong.append("an inline script")


@pytest.fixture(scope="module")
def poison(tmp_path_factory: pytest.TempPathFactory, password_hash: str) -> Generator[House]:
    """A console over hostile results, in which people wrote hostile words."""
    data = tmp_path_factory.mktemp("poison") / "data"
    house = House(data)
    with served(data, furnish(data, password_hash, change=poisoned), house.clock) as (base, _):
        house.base = base
        ana, dee = house.someone("ana"), house.someone("dee")
        csrf = ana.forms("/orders")["/logout"]["csrf"]
        for n, words in enumerate(CORPUS):
            form = {
                "csrf": csrf,
                "version": str(n),
                "state": "looking",
                "reason": words.encode("utf-8", "replace").decode(),
            }
            assert ana.post(f"/campaigns/out/{CAMPAIGN}/opinion", form).status_code == 303
        page = f"/orders/new?run=out&campaign={CAMPAIGN}"
        for one in ana.json(page.replace("?", ".json?"))["rows"]:
            answer = ana.send(page, "/orders/new", order_id=one["order_id"], reason=f"reason {CORPUS[1]}")
            assert answer.status_code == 303
        form = {"case": "case-x", "title": CORPUS[0], "claim": CORPUS[3], "reason": CORPUS[2]}
        assert ana.send(f"/cases/new?run=out&campaign={CAMPAIGN}", "/cases/new", **form).status_code == 303
        while not (told := ana.json("/cases/case-x.json"))["case"] or told["working"]:
            time.sleep(0.05)
        dee.send(
            "/people", "/people/add", name="<script>", role="viewer", password="x" * 20, reason=CORPUS[0]
        )
        yield house
        house.leave()


def pages(house: House) -> list[str]:
    """Every page there is, with something in it; and what is refused with the words in it."""
    dee = house.someone("dee")
    whole = json.loads((house.data / "out" / "campaigns.json").read_text())["campaigns"]
    members = [one["account_id"] for entry in whole for one in entry["accounts"]]
    empty = {"/account", "/orders/new", "/cases/new", "/cases/none", "/cases/none/notice", "/orders/p-0"}
    found = [address(route) for route, method in ROUTES if method == "GET" and guard.right_of(route)]
    found = [one for one in found if one not in empty]
    found += [f"/campaigns/out/{one['campaign_id']}" for one in whole]
    found += [f"/orders/{one['id']}" for one in dee.json("/orders.json")["rows"]]
    found += ["/cases/case-x", "/campaigns?state=all&label=all"]
    found += [f"/campaigns?q={quote(CORPUS[1])}", f"/ledger?by={quote(CORPUS[1])}"]
    found += [f"{room}?run=out&campaign={CAMPAIGN}" for room in ("/orders/new", "/cases/new")]
    found += [f"/account?account={quote(one)}" for one in members[:3]]
    found += [f"/cases/case-x/notice?account={quote(members[0])}", f"/orders/{quote(CORPUS[1], safe='')}"]
    return list(dict.fromkeys(found))


def test_nothing_hostile_becomes_markup_on_any_page(poison: House):
    dee, seen = poison.someone("dee"), 0
    for path in pages(poison):
        answer = dee.get(path)
        assert answer.status_code in {200, 404, 422}, (path, answer.text[:500])
        found = Markup()
        found.feed(answer.text)
        assert found.wrong == [], (path, found.wrong)
        seen += "window.ran" in answer.text
        # Hidden, direction-turning and half characters are shown as what they are: not there.
        assert not {"\u202e", "\u2028", "\x00", "\x08"} & set(answer.text), path
        twin = dee.get(
            path.replace("?", ".json?", 1)
            if "?" in path
            else f"{path}.json"
            if path != "/"
            else "/index.json"
        )
        assert twin.headers["content-type"] == "application/json", path
        assert twin.json() is not None
    assert seen >= 12  # the words were there


def test_nothing_hostile_runs_in_a_browser(poison: House):
    paths = pages(poison)
    token = poison.someone("dee").line.cookies["spiritsafe"]
    with chromium() as browser:
        page = browser.new_context().new_page()
        told: list[str] = []
        page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("dialog", lambda dialog: told.append(dialog.message))
        page.context.add_cookies([{"name": "spiritsafe", "value": token, "url": poison.base}])
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for path in paths:
            answer = page.goto(f"{poison.base}{path}", wait_until="load")
            assert answer is not None
            assert answer.status in {200, 404, 422}, (path, answer.status)
            assert page.evaluate("window.ran") is None, path
        assert {one.partition("/")[0] + "//" + one.split("/")[2] for one in asked} == {poison.base}
        # Pages that are not there are answered with 404, which a browser tells as an error; nothing else is.
        assert [one for one in told if "404" not in one and "422" not in one] == []
