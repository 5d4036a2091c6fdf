"""Pages in headless Chromium, by playwright. Screenshots are kept in build/screenshots/."""

import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from tm2tf.cli import group

SCREENSHOTS = Path(__file__).resolve().parent.parent / "build" / "screenshots"

QUIET = ["--disable-gpu", "--disable-background-networking", "--disable-component-update"]
QUIET += ["--disable-sync", "--no-first-run", "--disable-quic"]
"""A page needs no network, and nor should the browser."""


@contextmanager
def launched():
    """Yield a headless Chromium; skips the test where it or playwright is not installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*QUIET, *root])
        yield browser
        browser.close()


class Seen:
    """A page with what went wrong on it, and what it asked a network for."""

    def __init__(self, browser, path, **options):
        options = {"viewport": {"width": 1400, "height": 900}, **options}
        self.page = browser.new_page(**options)
        self.errors = []
        self.requests = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        if "index" not in path.name:
            self.wait_for("app.computed")

    def wait_for(self, condition, seconds=30):
        """Wait for a condition (playwright's own way evaluates strings, which pages forbid)."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(50)

    def _note(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def text(self, selector):
        return self.page.inner_text(selector)

    def tape(self, number=0):
        """Return the cells of a tape that are not blank, from left to right, as they are shown."""
        cells = self.page.locator("#tapes .tape").nth(number).locator(".cell:not(.blank)")
        found = cells.evaluate_all(
            "cells => cells.map(c => [Number(c.lastChild.textContent), c.firstChild.textContent])"
        )
        return "".join(symbol for _, symbol in sorted(found))

    def keep(self, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def close(self):
        """Close the page; nothing may have gone wrong on it."""
        assert self.errors == []
        assert all(url.startswith(("file:", "data:")) for url in self.requests)
        self.page.close()


def written(folder, *arguments):
    """Return the page that `tm2tf view` writes into a folder."""
    path = folder / f"{arguments[0]}.html"
    done = CliRunner().invoke(group, ["view", *arguments, "-o", str(path)])
    assert done.exit_code == 0, done.output
    return path
