"""The site: every page, no broken link, and readable for everybody without a network."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.settings import PROJECT_DIR
from scripts.build_site import VERSIONS
from tests.browser import open_browser
from tests.copies import copy_project
from tests.processes import ran


def build(folder: Path, *published: Path) -> subprocess.CompletedProcess[str]:
    page = folder / "page.html"
    page.write_text("<!doctype html><title>A page</title>")
    return ran(sys.executable, "scripts/build_site.py", page, page, *published, cwd=folder)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    folder = copy_project(tmp_path_factory.mktemp("site"))
    told = build(folder)
    assert told.returncode == 0, told.stderr
    return folder


def test_every_page_is_there_and_every_link_leads_somewhere(checkout):
    site = checkout / "site"
    pages = sorted(site.rglob("*.html"))
    sources = [*(PROJECT_DIR / "docs").rglob("*.md"), PROJECT_DIR / "README.md"]
    assert len(pages) == len(sources) + 3  # a report, dbt's docs, the search
    for page in pages:
        text = page.read_text()
        for link in re.findall(r'(?:href|src)="([^"]+)"', text):
            if not re.match("[a-z]+:", link):
                name, _, part = link.partition("#")
                target = (page.parent / name).resolve() if name else page
                assert target.is_file(), (page.name, link)
                assert not part or f'id="{part}"' in target.read_text(), (page.name, link)


def test_llms_txt_names_every_page_of_the_index(checkout):
    site = checkout / "site"
    named = re.findall(r"^- \[[\w-]+\]\((\S+)\): \S", (site / "llms.txt").read_text(), re.MULTILINE)
    assert len(named) > 20
    assert [name for name in named if not (site / name).is_file()] == []


def test_what_was_published_has_a_page(checkout):
    published = checkout / "published"
    for name in (
        *("reports/2023-01.html", "reports/history.html"),
        "file_ledger/green/2023-01.parquet",
    ):
        path = published / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    version = {name: ["x"] for name in VERSIONS}
    pq.write_table(pa.table(version), published / "file_ledger/green/2023-01.parquet")
    resource = {"path": "file_ledger/green/2023-01.parquet", "table_rows": 1, "bytes": 2_000_000}
    package = {"created": "2026-01-02T03:04:05Z", "version": "1.2.3", "resources": [resource]}
    resource["description"] = "One row per version. Written by the merge."
    (published / "datapackage.json").write_text(json.dumps(package))

    told = build(checkout, published)
    assert told.returncode == 0, told.stderr
    page = (checkout / "site/data/index.html").read_text()
    assert '<a href="2023-01.html">2023-01</a>' in page
    assert "<td><code>file_ledger</code></td><td>1</td><td>1</td><td>2.0</td>" in page
    assert 'href="data/index.html">Data' in (checkout / "site/index.html").read_text()
    for link in re.findall(r'href="([^":]+)"', page):
        assert (checkout / "site/data" / link).is_file(), link
    versions = (checkout / "site/data/versions.csv").read_text().splitlines()
    assert versions == [",".join(VERSIONS), ",".join("x" for _ in VERSIONS)]
    shutil.rmtree(published)
    assert build(checkout).returncode == 0


def test_a_broken_link_stops_the_build(checkout):
    page = checkout / "docs" / "marts.md"
    page.write_text(page.read_text() + "\n[gone](no-such-page.md)\n")
    told = build(checkout)
    assert told.returncode == 1
    assert told.stderr == "error: docs/marts.md: no-such-page.md: no such file\n"
    shutil.copy(PROJECT_DIR / "docs" / "marts.md", page)
    assert build(checkout).returncode == 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_pages_are_readable_for_everybody(checkout, width, scheme):
    with open_browser() as browser:
        from axe_playwright_python.sync_playwright import Axe

        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        for name in ("index.html", "docs/index.html", "docs/settings.html", "search.html"):
            page.goto((checkout / "site" / name).as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            found = Axe().run(page).response["violations"]
            assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
        page.get_by_label("Words").fill("pgbouncer  SESSION")
        links = page.locator("#found a")
        assert "docs/postgres.html" in links.evaluate_all(
            "all => all.map(a => a.getAttribute('href'))"
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        links.first.click()
        assert page.url.endswith(".html")
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == said == []
