"""The report: its numbers are the files', it needs nothing else, and everybody can read it."""

import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.browser import open_browser
from tests.conftest import Workspace, publish, succeeded
from tests.postgres.test_marts import files_of, run, trips_of

#: Months, and those that the report compares them with.
MONTHS = [("green", "2023-01"), ("green", "2023-02"), ("yellow", "2023-02"), ("fhvhv", "2023-02")]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    return files_of(MONTHS, tmp_path_factory.mktemp("files"))


@pytest.fixture
def workspace(new_workspace) -> Workspace:
    return new_workspace(marts=True)


@pytest.fixture(scope="module")
def warehouse(new_workspace, files) -> Workspace:
    workspace = new_workspace(marts=True)
    for dataset, month in MONTHS:
        succeeded(run(workspace, dataset, month, files))
    return workspace


@pytest.fixture(scope="module")
def report(warehouse, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    told = succeeded(warehouse.loader("report", "--month", "2023-02", "--out", path))
    assert told.stdout == f"{path}: February 2023, fhvhv, green, yellow\n"
    return path


class Tables(HTMLParser):
    """The tables of the page: rows of cells, by the section's id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.sentences: dict[str, str] = {}
        self._section, self._tag = "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._tag = tag
        if tag == "section":
            self._section = dict(attrs)["id"]
            self.rows[self._section] = []
            self.sentences[self._section] = ""
        elif tag == "tr":
            self.rows[self._section].append([])
        elif tag in ("td", "th"):
            self.rows[self._section][-1].append("")

    def handle_data(self, data):
        if self._tag in ("td", "th"):
            self.rows[self._section][-1][-1] += data.strip()
        elif self._tag == "p" and self._section:
            self.sentences[self._section] += data.strip()

    def handle_endtag(self, tag):
        self._tag = ""


@pytest.fixture(scope="module")
def page(report) -> Tables:
    return Tables(report.read_text())


def number(text: str) -> float:
    return float(re.sub("[$,%]", "", text))


def test_how_good_the_data_is(page, files):
    trips = trips_of(files, "green", "2023-02")
    (quality,) = [r for r in page.rows["quality"][1:] if r[:2] == ["green", "2023-02"]]
    assert number(quality[2]) == len(trips)
    in_block = sum(trip.is_in_null_block for trip in trips)
    assert number(quality[3]) == pytest.approx(in_block / len(trips) * 100, abs=0.006)
    odd = [row for row in page.rows["oddities"] if "flag all NULL" in row[0] and row[1] == "green"]
    assert [row[2] for row in odd] == [f"{in_block:,}"]


def test_every_section_has_a_sentence_and_a_table(page):
    sections = ["headline", "days", "weekdays", "zones", "map", "boroughs", "paid", "payments"]
    sections += ["tips", "airports", "quality", "oddities", "calendar", "versions"]
    assert [name for name in page.rows if name != "runs"] == sections
    for name in sections:
        assert page.sentences[name].endswith("."), name
        assert len({len(row) for row in page.rows[name]}) == 1 < len(page.rows[name]), name
    assert len(page.rows["runs"]) == 1 + len(MONTHS)


def test_no_label_of_a_picture_is_left_out(report, page):
    text = report.read_text()
    labels = {
        "weekdays": page.rows["weekdays"][0][2:],
        "boroughs": page.rows["boroughs"][0][1:],
        "quality": sorted({row[1] for row in page.rows["quality"][1:]}),
        "zones": [row[0][:12] for row in page.rows["zones"][1:]],
    }
    for name, wanted in labels.items():
        figure = text[text.index(f'<section id="{name}"') :].split("</figure>")[0]
        shown = [html.unescape(label) for label in re.findall(r"<text[^>]*>([^<]+)</text>", figure)]
        for label in wanted:
            assert any(label in one for one in shown), (name, label)


def test_the_file_needs_nothing_else(report):
    text = report.read_text()
    assert "<script" not in text
    addresses = set(re.findall(r"""(?:src|href)=["']([^"']*)|url\(([^)]*)\)""", text))
    for address in {one or other for one, other in addresses}:
        assert address.startswith(("#", "data:")), address
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_a_republished_month_shows_in_the_next_report(workspace):
    source = workspace.source
    hashes = []
    for rows in (400, 500):
        path = publish(source, "green", "2023-02", rows)
        hashes.append(hashlib.sha256(path.read_bytes()).hexdigest()[:12])
        command = ("run", "--dataset", "green", "--month", "2023-02", "--source", source)
        succeeded(workspace.loader(*command))
        out = workspace.local_dir / "report.html"
        succeeded(workspace.loader("report", "--out", out))
        page = Tables(out.read_text())
        assert number(page.rows["quality"][1][2]) == rows
    assert page.sentences["calendar"] == (
        "1 month is merged. 1 was republished since the first load, and has a dot."
    )
    versions = [
        (row[4], int(row[5]), int(row[6]) - int(row[7])) for row in page.rows["versions"][1:]
    ]
    assert versions == [(hashes[0], 400, 400), (hashes[1], 500, 100)]


def test_a_map_is_drawn_from_shapes(warehouse, tmp_path):
    square = [[[-74, 40.7], [-74, 40.8], [-73.9, 40.8], [-73.9, 40.7], [-74, 40.7]]]
    features = [
        {
            "type": "Feature",
            "properties": {"LocationID": zone},
            "geometry": {"type": "Polygon", "coordinates": square},
        }
        for zone in (74, 75)
    ]
    shapes = tmp_path / "zones.geojson"
    shapes.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    out = tmp_path / "report.html"
    command = ("report", "--month", "2023-02", "--out", out, "--shapes")
    succeeded(warehouse.loader(*command, shapes))
    (drawn,) = re.findall(
        r'<figure class="wide"><svg role="img" aria-label="Zone by zone.*?</svg>',
        out.read_text(),
        re.S,
    )
    assert drawn.count("<path") >= 2
    shapes.write_text("[]")
    told = warehouse.loader(*command, shapes)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert f"--shapes {shapes}: not a GeoJSON file of zones" in told.stderr


def test_a_month_without_marts_is_told(warehouse):
    told = warehouse.loader("report", "--month", "2020-01")
    assert told.returncode == 6
    assert told.stderr == (
        "error: 2020-01: no dataset has marts of it; load the month, or build its marts:"
        " nyc-tlc marts\n"
    )


def test_runs_are_listed_with_their_seconds(warehouse, files):
    told = json.loads(succeeded(warehouse.loader("runs", "--json")).stdout)
    assert [(one["dataset"], one["month"]) for one in told] == MONTHS[::-1]
    for one in told:
        assert one["state"] == "merged"
        assert one["rows"] == len(trips_of(files, one["dataset"], one["month"]))
        assert one["land_seconds"] >= 0 < one["build_seconds"]
    shown = succeeded(warehouse.loader("runs", "--last", "1")).stdout.splitlines()
    assert len(shown) == 2
    assert shown[1].split()[2:5] == ["fhvhv", "2023-02", "merged"]


def test_a_failed_build_is_in_the_record(workspace):
    source = workspace.source
    publish(source, "green", "2023-02", 300)
    command = ("run", "--dataset", "green", "--month", "2023-02", "--source", source)
    succeeded(workspace.loader(*command))
    workspace.query(
        f"alter table {workspace.tlc}.green_tripdata"
        " add constraint mine check (file_row <= 300) not valid"
    )
    publish(source, "green", "2023-02", 400)
    assert workspace.loader(*command).returncode == 6
    failed, merged = json.loads(succeeded(workspace.loader("runs", "--json")).stdout)
    assert (failed["state"], merged["state"]) == ("failed", "merged")
    assert 'violates check constraint "mine"' in failed["error"]
    assert merged["build_seconds"] is None  # dbt keeps the results of a month's last build


# ---- In a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_report_is_readable_for_everybody(report, browser, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for details in page.query_selector_all("summary"):
        details.click()  # a table is under each picture
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    visible = page.eval_on_selector_all(
        "figure svg", "all => all.map(one => one.getBoundingClientRect()).filter(r => r.width > 0)"
    )
    assert len(visible) == 11
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    assert said == []
    context.close()
