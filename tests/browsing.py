"""A browser for tests of the page: the machine's Chromium, driven by Playwright. Without one they are skipped."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager

import pytest

from tests.waiting import LONG_S

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


@contextmanager
def chromium():
    """A headless browser."""
    api = pytest.importorskip("playwright.sync_api", reason="tests of the page need Playwright: pip install playwright")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"tests of the page need Chromium (apt-get install chromium): none of {', '.join(NAMES)} is there")
    # Root, as in containers, has no sandbox; nothing but this repository's page is opened.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=found, args=[*arguments, "--disable-gpu"], timeout=LONG_S * 1e3
        )
        try:
            yield browser
        finally:
            browser.close()


class Seen:
    """What a page did that it must not do: errors of scripts and of its policy, and requests that leave the service."""

    def __init__(self, page, base):
        self.errors, self.foreign = [], []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self._said(said))
        page.on("request", lambda request: request.url.startswith((base, "blob:")) or self.foreign.append(request.url))

    def _said(self, said):
        # Answers that are problems are noted by the browser too, whatever the page does about them.
        if said.type == "error" and "Failed to load resource" not in said.text:
            self.errors.append(said.text)
