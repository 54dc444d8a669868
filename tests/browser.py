"""A real browser: Debian's Chromium, or the one that a runner of GitHub has."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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


#: What is wrong with the boxes of a page: it is wider than the screen; a label of a picture is cut
#: off, or on another; a text sticks out, other than in a table, which scrolls.
_BOXES = """() => {
    const wrong = [], wide = document.documentElement.clientWidth;
    const is_seen = box => box.width > 0 && box.height > 0;
    if (document.documentElement.scrollWidth > wide) wrong.push('wider than the screen');
    for (const svg of document.querySelectorAll('svg')) {
        const whole = svg.getBoundingClientRect();
        const labels = [...svg.querySelectorAll('text')]
            .map(one => [one.textContent, one.getBoundingClientRect()])
            .filter(one => is_seen(one[1]));
        labels.forEach(([said, box], n) => {
            if (box.left < whole.left - 1 || box.right > whole.right + 1
                || box.top < whole.top - 2 || box.bottom > whole.bottom + 2)
                wrong.push(`cut off: ${said}`);
            for (const [other, its] of labels.slice(0, n))
                if (box.left < its.right - 1 && its.left < box.right - 1
                    && box.top < its.bottom - 4 && its.top < box.bottom - 4)
                    wrong.push(`${said} is on ${other}`);
        });
    }
    for (const one of document.querySelectorAll('body *:not(svg, svg *)')) {
        const box = one.getBoundingClientRect();
        if (is_seen(box) && !one.closest('.table') && (box.left < 0 || box.right > wide + 0.5))
            wrong.push(`sticks out: ${one.tagName} ${one.textContent.slice(0, 40)}`);
    }
    for (const one of document.querySelectorAll('.table'))
        if (one.scrollWidth > one.clientWidth
            && getComputedStyle(one).backgroundImage.split('gradient').length < 5)
            wrong.push(`nothing says that it scrolls: ${one.textContent.slice(0, 40)}`);
    return wrong;
}"""


@dataclass
class Seen:
    """What there is on a page.

    Attributes:
        pictures: how many are visible.
        wrong: what is not as it should be.
    """

    pictures: int
    wrong: list[str]


def look_at(browser: "Browser", path: Path, width: int, scheme: str) -> Seen:
    """Open a file as a person would, unfold all of it, and say what is wrong.

    Args:
        width: of the screen, in pixels.
        scheme: light or dark.
    """
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    wrong += page.evaluate(_BOXES)
    for details in page.query_selector_all("summary"):
        details.click()
    wrong += page.evaluate(_BOXES)
    wrong += [f"asks for {url}" for url in asked if not url.startswith(("file:", "data:"))]
    pictures = page.eval_on_selector_all(
        "figure svg", "all => all.filter(one => one.getBoundingClientRect().width > 0).length"
    )
    found = Axe().run(page).response["violations"]
    wrong += [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]
    context.close()
    return Seen(pictures, wrong)
