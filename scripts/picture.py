#!/usr/bin/env python3
"""Take README's picture of a report: `scripts/picture.py report-2023-02.html`.

The report is of real trips, and the picture shows figures only. It needs Chromium, as the tests do.
"""

import sys
from pathlib import Path

from loader.settings import PROJECT_DIR
from tests.browser import open_browser

with open_browser() as browser:
    page = browser.new_page(viewport={"width": 880, "height": 1010}, color_scheme="light")
    page.goto(Path(sys.argv[1]).resolve().as_uri())
    page.screenshot(path=PROJECT_DIR / "docs" / "images" / "report.png")
