"""A real browser: Debian's Chromium, or the one that a runner of GitHub has."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def open_browser() -> Iterator:
    """Start it without a window, for playwright's commands; skip the test when there is none."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        reason = "no page is looked at in a browser: install chromium"
        required = os.environ.get("TLC_REQUIRE_BROWSER") == "true"
        pytest.fail(reason) if required else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
