"""Debian's Chromium for tests, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from playwright.sync_api import Browser, Page


@contextmanager
def chromium() -> Generator[Browser]:
    """A browser; skips with a reason where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as driver:
        # Root in a container has no sandbox; the pages are ours.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


def grave(page: Page, **options: Any) -> list[tuple[str, list[str]]]:
    """What axe finds in a page that is serious or critical; skips where axe is not installed."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    # The page's policy allows no script but its own; the rules come from outside of it. They are half a megabyte and
    # stay until the page is left, so they are sent once.
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe.Axe().axe_script)
    found = page.evaluate(
        "options => axe.run(options).then((told) => told.violations)",
        {"resultTypes": ["violations"], **options},
    )
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"][:3]])
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]
