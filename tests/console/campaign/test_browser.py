"""The campaign's page in Chromium: keys, brush, nodes that open, and no script of strangers that runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from chromium import grave
from consoles import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Generator

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = "/usr/bin/chromium"
pytestmark = pytest.mark.skipif(not os.path.exists(CHROMIUM), reason="there is no Chromium")  # noqa: PTH110


@pytest.fixture(scope="module")
def tab(shown: Any) -> Generator[Any]:
    """One tab of somebody who is signed in; ``tab.told`` has what the browser complained of."""
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.told = []
        page.on("console", lambda one: page.told.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda one: page.told.append(str(one)))
        page.on("dialog", lambda one: (page.told.append("a dialog"), one.dismiss()))
        page.goto(f"{shown.house.base}/login")
        page.fill("input[name=name]", "ana")
        page.fill("input[type=password]", PASSWORD)
        page.click("main form.stack button")
        page.wait_for_url("**/")
        yield page
        assert page.told == []
        browser.close()


def swapped(tab: Any, part: str, act: Any) -> None:
    """Do something that changes a part of the page, and wait until it stands there."""
    tab.evaluate(f"document.getElementById('{part}').dataset.old = '1'")
    act()
    tab.wait_for_selector(f"#{part}:not([data-old])", state="attached")


def test_time_is_zoomed_and_moved_with_keys_alone(shown: Any, tab: Any):
    tab.goto(shown.house.base + shown.page)
    before = tab.locator("#timeline .broad svg").get_attribute("data-to")
    tab.focus("#timeline .brush")
    swapped(tab, "timeline", lambda: tab.keyboard.press("+"))
    assert tab.evaluate("document.activeElement.className") == "brush"
    closer = tab.locator("#timeline .broad svg").get_attribute("data-from")
    swapped(tab, "timeline", lambda: tab.keyboard.press("ArrowRight"))
    assert int(tab.locator("#timeline .broad svg").get_attribute("data-from")) > int(closer)
    swapped(tab, "timeline", lambda: tab.keyboard.press("0"))
    assert tab.locator("#timeline .broad svg").get_attribute("data-to") == before


def test_a_span_is_chosen_with_a_brush(shown: Any, tab: Any):
    tab.goto(shown.house.base + shown.page)
    svg = tab.locator("#timeline .broad svg")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    low, high = int(svg.get_attribute("data-from")), int(svg.get_attribute("data-to"))
    tab.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=4)
    swapped(tab, "timeline", tab.mouse.up)
    fresh = tab.locator("#timeline .broad svg")
    assert low < int(fresh.get_attribute("data-from")) < int(fresh.get_attribute("data-to")) < high


def test_a_node_opens_and_closes_and_keeps_the_focus(shown: Any, tab: Any):
    tab.goto(shown.house.base + shown.page)
    node = tab.locator("#network a.node-link[aria-label^='open payment']")
    name = node.get_attribute("id")
    node.focus()
    swapped(tab, "network", lambda: tab.keyboard.press("Enter"))
    assert tab.evaluate("document.activeElement.id") == name
    assert tab.locator("#network .node.value").count() > 0
    swapped(tab, "network", lambda: tab.keyboard.press("Enter"))
    assert tab.locator("#network .node.value").count() == 0
    assert tab.url.endswith(shown.page)


def test_what_if_is_answered_at_once(shown: Any, tab: Any):
    tab.goto(shown.house.base + shown.page)
    assert "With everything" in tab.inner_text("#whatif .outcome")
    for box in range(tab.locator("#whatif input[type=checkbox]").count()):
        swapped(tab, "whatif", tab.locator("#whatif input[type=checkbox]").nth(box).check)
    assert "no longer" in tab.inner_text("#whatif .outcome")
    swapped(tab, "whatif", lambda: tab.click("#whatif >> text=Put all back"))
    assert "With everything" in tab.inner_text("#whatif .outcome")


def test_members_are_sorted_filtered_and_paged_in_place(shown: Any, tab: Any):
    tab.goto(f"{shown.house.base}{shown.page}/members")
    swapped(tab, "members", lambda: tab.click("#members th >> text=Exchanges"))
    counts = [
        int(one.replace(",", "")) for one in tab.locator("#members td[data-th=Exchanges]").all_inner_texts()
    ]
    assert counts == sorted(counts, reverse=True)
    name = shown.scanned.entry["accounts"][0]["account_id"]
    tab.fill("#member-name", name)
    swapped(tab, "members", lambda: tab.keyboard.press("Enter"))
    assert tab.locator("#members tbody tr").count() == 1


def test_nothing_that_strangers_wrote_runs(shown: Any, tab: Any):
    opened = f"{shown.bad}/network?by=role&open=a%3Anone&open=l%3Apayment"
    for path in (shown.bad, opened, f"{shown.bad}/exchanges", "/sharing"):
        tab.goto(shown.house.base + path)
        assert tab.evaluate("window.ran") is None, path
    swapped_out = tab.goto(shown.house.base + shown.bad)
    assert swapped_out.ok
    swapped(tab, "members", tab.locator("#members th a").first.click)
    assert tab.evaluate("window.ran") is None


def test_no_serious_fault_of_accessibility_and_nothing_wider_than_the_screen(shown: Any, tab: Any):
    name = shown.scanned.entry["campaign_id"]
    for path in (
        shown.page,
        "/signals",
        "/proofs/proof",
        "/sharing",
        f"/sharing/preview?run=out&campaign={name}",
    ):
        tab.goto(shown.house.base + path)
        for width, scheme in ((1280, "light"), (390, "dark")):
            tab.set_viewport_size({"width": width, "height": 900})
            tab.emulate_media(color_scheme=scheme)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, (path, scheme)
            assert grave(tab) == [], (path, scheme)
    tab.set_viewport_size({"width": 1280, "height": 900})
