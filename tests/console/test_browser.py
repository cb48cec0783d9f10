"""The pages in a real browser: the whole way to a measure that the gateway applies, with keys only, and without barriers."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from chromium import chromium, grave
from consoles import CAMPAIGN, NOW, PAGE, PASSWORD, PHRASE, House, furnish, key_for, served
from test_kill import free

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

LISTED = "acct_000ff0abb72f7517"
GATEWAY = (sys.executable, "-c", "from spiritsafe.cli import main; main()", "gateway")
STEP = """
[[ladder.steps]]
response = "refuse"
scope = "accounts"
bits = 20
lifetime = "30d"
"""


class Model(BaseHTTPRequestHandler):
    """A model server that answers everything alike."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(
            {"id": "x", "object": "chat.completion", "model": "m", "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}
            ]}
        ).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, password_hash: str, browser: Browser) -> Generator[House]:
    """A console on the wall's clock, whose policy the gateway reads, too."""
    data = tmp_path_factory.mktemp("live") / "data"
    house = House(data, clock=[0])
    known = furnish(data, password_hash)
    with served(data, known, house.clock) as (base, _):
        house.base = base
        house.clock[0] = time.time_ns() // 1_000
        key = key_for(house, "bo")
        house.policy({"bo": key})
        policy = data / "policy.toml"
        policy.write_text(policy.read_text() + STEP)
        yield house
        house.leave()


def someone(browser: Browser, house: House, name: str, **options: Any) -> Page:
    """A tab in which somebody signed in."""
    page = browser.new_context(base_url=house.base, **options).new_page()
    page.set_default_timeout(40_000)
    page.goto("/login")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/")
    return page


@pytest.fixture
def gateway(live: House, tmp_path: Path) -> Generator[int]:
    """A real gateway that obeys the house's orders; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as model:
        threading.Thread(target=model.serve_forever, daemon=True).start()
        port, admin = free(), free()
        policy = live.data / "policy.toml"
        policy.write_text(
            policy.read_text() + f'[gateway]\nupstream = "http://127.0.0.1:{model.server_address[1]}"\n'
            f'listen = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{admin}"\n[identity]\ntrusted = ["127.0.0.1/32"]\n'
            f'account = "x-account"\n[log]\nfolder = "{tmp_path / "log"}"\non_failure = "open"\n'
        )
        errors = (tmp_path / "errors").open("wb")
        process = subprocess.Popen([*GATEWAY, "--policy", str(policy)], stderr=errors)
        end = time.monotonic() + 90
        while '"start"' not in (tmp_path / "errors").read_text():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        yield port
        process.terminate()
        process.wait(40)
        errors.close()
        model.shutdown()


def asked(port: int, account: str) -> int:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as line:
        line.request(
            "POST", "/v1/chat/completions", body, {"x-account": account, "content-type": "application/json"}
        )
        return line.getresponse().status


def until(port: int, account: str, status: int) -> None:
    end = time.monotonic() + 30
    while asked(port, account) != status:
        assert time.monotonic() < end, f"never {status}"
        time.sleep(0.2)


def test_from_the_queue_to_a_measure_that_the_gateway_applies(browser: Browser, live: House, gateway: int):
    assert {asked(gateway, who) for who in (LISTED, "somebody")} == {200}
    ana = someone(browser, live, "ana")
    ana.goto("/campaigns")
    ana.click(f"text={CAMPAIGN}")
    ana.wait_for_url(f"**{PAGE}")
    ana.check("#opinion input[value=confirmed]")
    ana.fill("#opinion-reason", "one template, one payment, one hand")
    ana.click("#opinion button")
    ana.wait_for_selector("#opinion .state-confirmed")
    ana.click("text=Propose an order")
    ana.locator("label.pick", has_text="refuse").click()
    ana.fill("#reason", "they go on after two notices")
    ana.click("main button:has-text('Propose')")
    ana.wait_for_selector(".done")
    assert "6 account" in ana.inner_text("#reach") or "5 account" in ana.inner_text("#reach")
    address = ana.url.partition("?")[0]
    assert ana.locator("#why-approve").count() == 0
    bo = someone(browser, live, "bo")
    bo.locator(".card", has_text="Waits for a second person").get_by_role("link").first.click()
    bo.wait_for_url(address)
    bo.fill("#why-approve", "the evidence carries it")
    bo.fill("#passphrase", PHRASE)
    bo.click("button:has-text('Approve')")
    bo.wait_for_selector(".state-in-force")
    until(gateway, LISTED, 403)
    assert asked(gateway, "somebody") == 200
    bo.fill("#why-back", "the customer showed a licence")
    bo.click("#decide button")
    bo.wait_for_selector(".state-rolled-back")
    until(gateway, LISTED, 200)
    bo.goto("/ledger")
    assert bo.locator("text=chain holds").count() == 1
    assert bo.locator("text=they go on after two notices").count() >= 1
    for one in (ana, bo):
        one.context.close()


def test_an_appeal_is_filed_and_decided_by_somebody_else(browser: Browser, live: House):
    ana = someone(browser, live, "ana")
    ana.goto(f"/cases/new?run=out&campaign={CAMPAIGN}")
    ana.fill("#case", "harvest")
    ana.fill("#claim", "six accounts under one hand")
    for box in ana.locator("input[name=records]").all():
        box.uncheck()
    ana.fill("#reason", "found by the scan")
    ana.click("main button:has-text('Open the case')")
    ana.wait_for_selector("text=Nobody has appealed.")
    ana.click("text=File an appeal that came in")
    ana.fill("#account", LISTED)
    ana.check("input[name=grounds][value=relation]")
    ana.fill("#statement", "<img src=x onerror=alert(1)> we hold a licence")
    ana.click("button:has-text('File it')")
    ana.wait_for_selector("text=The appeal is recorded.")
    assert ana.locator("text=You took part in the first decision").count() == 1
    assert ana.locator("button:has-text('I review it')").count() == 0
    bo = someone(browser, live, "bo")
    bo.goto("/cases/harvest")
    bo.locator("[id^=review-]").fill("I was not in it")
    bo.click("button:has-text('I review it')")
    bo.wait_for_selector("text=You review this appeal.")
    bo.check("input[name=outcome][value=overturned]")
    bo.locator("[id^=decide-]").fill("the licence is real")
    bo.click("button:has-text('Decide')")
    bo.wait_for_selector("text=The appeal is decided.")
    ana.goto("/cases/harvest")
    assert "Overturned by bo" in ana.inner_text("article")
    assert "<img src=x onerror=alert(1)> we hold a licence" in ana.inner_text("blockquote")
    for one in (ana, bo):
        one.context.close()


def test_with_keys_only(browser: Browser, live: House):
    page = browser.new_context(base_url=live.base).new_page()
    page.goto("/login?next=/campaigns%3Fstate%3Dall")
    # A browser focuses the field when it first draws the page, which may be after the page was loaded.
    page.wait_for_selector("#name:focus")
    page.keyboard.type("ana")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/campaigns?state=all")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for key in "jjk":
        page.keyboard.press(key)
    assert page.evaluate("document.querySelectorAll('tr.current').length") == 1
    here = page.locator("tr.current a").first.inner_text()
    page.keyboard.press("/")
    page.keyboard.type(here)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**q={here}**")
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.wait_for_url(f"**/campaigns/out/{here}")
    # Every control is reached by Tab, and shows that it is.
    seen: list[str] = []
    for _ in range(400):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")
        seen.append(name)
        if name == "Keep it":
            break
    assert seen[-1] == "Keep it"
    assert "opinion-reason" in seen
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("kept by keys alone")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=kept by keys alone")
    page.context.close()


def test_a_lost_session_loses_no_word(browser: Browser, live: House):
    page = someone(browser, live, "ana")
    page.goto(PAGE)
    page.fill("#opinion-reason", "a long thought")
    page.context.clear_cookies()
    page.click("#opinion button")
    page.wait_for_selector("text=You are not signed in")
    assert page.input_value("textarea.typed") == "a long thought"
    page.goto("/login")
    page.fill("#name", "ana")
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/")
    page.goto(PAGE)
    assert page.input_value("#opinion-reason") == "a long thought"
    page.context.close()


def test_refusals_are_told_in_the_browser(browser: Browser, live: House):
    page = browser.new_context(base_url=live.base).new_page()
    page.goto("/orders")
    page.fill("#name", "vi")
    page.fill("#password", "wrong horse battery")
    page.click("main button")
    assert "do not fit" in page.inner_text("[role=alert]")
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/orders")
    assert page.locator("nav >> text=People").count() == 0
    page.goto("/people")
    assert "your role, viewer, may not do this" in page.inner_text("main").lower()
    page.goto(PAGE)
    assert page.locator("#opinion button").count() == 0
    page.context.close()


ROOMS = [
    "/",
    "/campaigns?state=all",
    "/orders",
    "/cases",
    "/cases/harvest",
    "/ledger",
    "/people",
    "/me",
    f"/account?account={LISTED}",
]


LOOKS: list[tuple[Any, int]] = [("light", 1280), ("dark", 390), ("dark", 1280), ("light", 390)]
# What depends on the look; everything else that axe knows is asked of the first look only, and nothing of the last two,
# whose light and width were seen.
BY_LOOK = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block", "target-size"]}}


def test_no_page_has_barriers_or_scrolls_sideways(browser: Browser, live: House):
    page = someone(browser, live, "dee")
    rooms = [*ROOMS, f"/orders/new?run=out&campaign={CAMPAIGN}", f"/cases/new?run=out&campaign={CAMPAIGN}"]
    rooms += [
        f"/orders/{one['id']}" for one in live.someone("dee").json("/orders.json?show=closed")["rows"][:1]
    ]
    for path in rooms:
        page.goto(path)
        for look in LOOKS:
            scheme, width = look
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, look)
            if look in LOOKS[2:]:
                continue
            assert grave(page, **(BY_LOOK if look != LOOKS[0] else {})) == [], (path, look)
    page.context.close()


def test_the_clock_of_tests_is_not_that_of_people():
    assert time.time_ns() // 1_000 > NOW
