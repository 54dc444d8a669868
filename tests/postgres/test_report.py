"""The report: its numbers are the files', it needs nothing else, and everybody can read it."""

import datetime as dt
import hashlib
import json
import math
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pytest

from tests.browser import look_at, open_browser
from tests.conftest import DATA_TESTS, Workspace, publish, succeeded
from tests.months import of, run
from tests.shapes import ZONES, write_shapes
from tests.trips import files_of, trips_of

TODAY = dt.date(2026, 11, 30)
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
        run(workspace, dataset, month, source=files, **DATA_TESTS)
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
        if self._tag in ("td", "th", "b"):
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
    sections = ["headline", "map", "days", "zones", "weekdays", "boroughs", "companies", "paid"]
    sections += ["payments", "tips", "airports", "quality", "oddities", "calendar", "versions"]
    assert [name for name in page.rows if name != "runs"] == sections
    for name in sections:
        assert page.sentences[name].endswith("."), name
        assert len({len(row) for row in page.rows[name]}) == 1 < len(page.rows[name]), name
    assert len(page.rows["runs"]) == 1 + len(MONTHS)


def test_the_file_needs_nothing_else(report):
    text = report.read_text()
    assert "<script" not in text
    addresses = set(re.findall(r"""(?:src|href)=["']([^"']*)|url\(([^)]*)\)""", text))
    for address in {one or other for one, other in addresses}:
        assert address.startswith(("#", "data:")), address
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_a_republished_month_shows_in_the_next_report(workspace):
    hashes = []
    for rows in (400, 500):
        path = publish(workspace.source, "green", "2023-02", rows)
        hashes.append(hashlib.sha256(path.read_bytes()).hexdigest()[:12])
        run(workspace, "green", "2023-02")
        out = workspace.local_dir / "report.html"
        succeeded(workspace.loader("report", "--out", out))
        page = Tables(out.read_text())
        assert number(page.rows["quality"][1][2]) == rows
    assert page.sentences["calendar"] == (
        "1 month is merged. 1 was republished since the first load, and has a frame."
    )
    versions = [
        (row[4], int(row[5]), int(row[6]) - int(row[7])) for row in page.rows["versions"][1:]
    ]
    assert versions == [(hashes[0], 400, 400), (hashes[1], 500, 100)]


def square(west: float, south: float, side: float = 0.1) -> list[list[list[float]]]:
    east, north = west + side, south + side
    return [[[west, south], [west, north], [east, north], [east, south], [west, south]]]


def geojson(zones: dict[int, list]) -> str:
    return json.dumps(
        {
            "type": "FeatureCollection",
            "features": [
                {
                    "type": "Feature",
                    "properties": {"LocationID": zone},
                    "geometry": {"type": "Polygon", "coordinates": coordinates},
                }
                for zone, coordinates in zones.items()
            ],
        }
    )


def test_a_map_is_drawn_from_shapes(warehouse, files, tmp_path):
    shapes = tmp_path / "zones.geojson"
    shapes.write_text(geojson({74: square(-74, 40.7), 75: square(-73.9, 40.7)}))
    out = tmp_path / "report.html"
    command = ("report", "--month", "2023-02", "--out", out, "--shapes")
    succeeded(warehouse.loader(*command, shapes))
    (drawn,) = re.findall(
        r'<figure class="map"><svg role="img" aria-label="Zone by zone.*?</svg>',
        out.read_text(),
        re.S,
    )
    months = [trips_of(files, *month) for month in MONTHS if month[1] == "2023-02"]
    trips = Counter(
        trip.row["pickup_location_id"] for month in months for trip in month if not trip.is_reversal
    )
    found = re.findall(
        r'class="zone (q\d)" d="([^"]+)"><title>(.*?) \((\d+)\): ([\d,]+) trip', drawn
    )
    assert [(zone[2], int(zone[3])) for zone in found] == [
        ("East Harlem North", 74),
        ("East Harlem South", 75),
    ]
    assert [number(zone[4]) for zone in found] == [trips[74], trips[75]]
    # a square of degrees is narrower than high, by the cosine of the latitude
    corners = [re.findall(r"([\d.]+) ([\d.]+)", zone[1]) for zone in found]
    left, right = ([(float(x), float(y)) for x, y in one] for one in corners)
    assert len(left) == len(right) == 4
    width = max(x for x, _ in left) - min(x for x, _ in left)
    height = max(y for _, y in left) - min(y for _, y in left)
    assert width / height == pytest.approx(math.cos(math.radians(40.75)), abs=0.001)
    assert max(x for x, _ in left) == min(x for x, _ in right)  # they touch


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "not a GeoJSON file of zones: each feature needs a LocationID"),
        (
            geojson({74: square(1_000_000, 220_000, 1_000)}),  # the feet of TLC's shapefile
            "coordinates aren't longitude and latitude in New York: write it again with ogr2ogr"
            " -f GeoJSON -t_srs EPSG:4326",
        ),
    ],
)
def test_a_file_without_shapes_of_new_york_is_refused(warehouse, tmp_path, content, said):
    shapes = tmp_path / "zones.geojson"
    shapes.write_text(content)
    told = warehouse.loader("report", "--month", "2023-02", "--shapes", shapes)
    assert (told.returncode, told.stderr) == (2, f"error: --shapes {shapes}: {said}\n")


def corners_of_zones(page: str) -> dict[int, set[str]]:
    """Return the corners of each zone of a map: rings begin anywhere, and go either way."""
    found = re.findall(r'<path class="zone q\d" d="([^"]+)"><title>[^<]*?\((\d+)\): ', page)
    return {int(zone): set(re.findall(r"[\d.]+ [\d.]+", path)) for path, zone in found}


def test_tlc_s_zip_and_the_warehouse_s_shapes_make_the_same_map(warehouse, tmp_path):
    zipped, out = write_shapes(tmp_path / "taxi_zones.zip", system=2263), tmp_path / "report.html"
    command = ("report", "--month", "2023-02", "--out", out)
    succeeded(warehouse.loader(*command, "--shapes", zipped))
    maps = [corners_of_zones(out.read_text())]
    succeeded(warehouse.loader("shapes", TLC_SHAPES=str(zipped)))
    succeeded(warehouse.loader(*command))
    maps.append(corners_of_zones(out.read_text()))
    assert maps[0].keys() == ZONES.keys()
    assert maps[0] == maps[1]
    broken = tmp_path / "broken.zip"
    broken.write_text("no zip")
    told = warehouse.loader(*command, "--shapes", broken)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "broken.zip: no zip with a shapefile of zones" in told.stderr


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
    publish(workspace.source, "green", "2023-02", 300)
    run(workspace, "green", "2023-02")
    workspace.query(
        f"alter table {workspace.tlc}.green_tripdata"
        " add constraint mine check (file_row <= 300) not valid"
    )
    publish(workspace.source, "green", "2023-02", 400)
    again = ("run", *of("green", "2023-02"), "--source", workspace.source)
    assert workspace.loader(*again).returncode == 6
    failed, merged = json.loads(succeeded(workspace.loader("runs", "--json")).stdout)
    assert (failed["state"], merged["state"]) == ("failed", "merged")
    assert 'violates check constraint "mine"' in failed["error"]
    assert merged["build_seconds"] is None  # dbt keeps the results of a month's last build


# ---- In a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.mark.parametrize(("width", "scheme"), [*product([1280, 390], ["light", "dark"])])
def test_the_report_is_readable_for_everybody(report, browser, width, scheme):
    said = look_at(browser, report, width, scheme)
    assert said.pictures >= 5
    assert said.wrong == []


@pytest.fixture(scope="module")
def history(warehouse, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("history") / "all.html"
    told = succeeded(warehouse.loader("report", "--all", "--out", path))
    assert told.stdout == f"{path}: 4 months, fhvhv, green, yellow\n"
    return path


@pytest.mark.parametrize(("width", "scheme"), [*product([1280, 390], ["light", "dark"])])
def test_all_of_history_is_readable_for_everybody(history, browser, width, scheme):
    said = look_at(browser, history, width, scheme)
    assert said.pictures >= 5
    assert said.wrong == []


def test_a_page_of_all_history_takes_no_month(warehouse):
    told = warehouse.loader("report", "--all", "--month", "2023-02")
    assert told.returncode == 2
    assert told.stderr == "error: --all is of all months: leave out --month, --to and --shapes\n"
