"""Reports of TLC's own counts: all formats are read, and what can't be right is refused."""

import csv
from calendar import monthrange
from pathlib import Path

import pytest

from loader.errors import FileRefusedError, NotPublishedError
from loader.landing.tlc_trips import tlc_figures
from loader.source import figures
from loader.source.retries import TransientError
from tests.cdn import Behaviour, close_early, status
from tests.conftest import DATA_DIR

LIST = "license_number,entity_name,telephone_number,type_of_base"
PADDED = "Month/Year,License Class,       Trips Per Day       ,      Farebox Per Day      "
PLAIN = "Month/Year,License Class,Trips Per Day,Farebox Per Day"
BASES = "base_license_number,year,month,total_dispatched_trips,total_dispatched_shared_trips"
PORTAL = '"Base License Number","Base Name","DBA","Year","Month","Month Name"'
PORTAL += ',"Total Dispatched Trips"'

READABLE = {
    "padded header, commas, none as blanks": (
        f'{PADDED}\n2022-02,Green,"2,477","40,475"\n2022-02,Yellow,"1,106,036",    \n',
        {("green", "2022-02"): (2_477, 69_356), ("yellow", "2022-02"): (1_106_036, 30_969_008)},
    ),
    "none as a dash, a class that comes late": (
        f"{PLAIN}\n2022-03,FHV - Livery,    -   ,-\n2022-03,FHV - Lux Limo,,\n2022-03,Green,5,-\n"
        f"2022-02,FHV - Livery,7,-\n",
        {("green", "2022-03"): (5, 155), ("fhv", "2022-02"): (7, 196)},
    ),
    "as a spreadsheet saves it": (
        f"\ufeff{PLAIN}\r\nFeb-24,FHV - High Volume,634317.0,-\r\n\r\n",
        {("fhvhv", "2024-02"): (634_317, 18_395_193)},
    ),
    "names of columns as R writes them, one in front": (
        ',month_year,license_class,trips_per_day\n1,2022-02-01,green,"2,477"\n',
        {("green", "2022-02"): (2_477, 69_356)},
    ),
    "trips by base, as Socrata answers": (
        f'{BASES}\n"LYFT","2024","1","5231175","0"\n"B00001","2024","1","12","0"\n',
        {("fhvhv", "2024-01"): (None, 5_231_175)},
    ),
    "trips by base, as the portal exports": (
        f'{PORTAL}\nUBER,Uber,UBER,2024,2,February,"14,409,466"\n',
        {("fhvhv", "2024-02"): (None, 14_409_466)},
    ),
}

REFUSED = {
    "a month twice": (
        f"{PLAIN}\n2022-02,Green,5,-\n2022-02,Green,6,-\n",
        "Green has 2022-02 twice",
    ),
    "a negative number": (
        f"{PLAIN}\n2022-02,Green,-5,-\n",
        "line 2, Trips Per Day: -5 is negative",
    ),
    "no number": (f"{PLAIN}\n2022-02,Green,1.5,-\n", "'1.5' is not a whole number"),
    "no month": (f"{PLAIN}\n2022-13,Green,5,-\n", "line 2: '2022-13' is not a month"),
    "a column gone": ("Month/Year,License Class\n2022-02,Green\n", "'Trips Per Day' is missing"),
    "a row cut off": (f"{PLAIN}\n2022-02,Green\n", "line 2: 2 columns, and the header has 4"),
    "a web page": ("<!DOCTYPE html><html><body>log in</body></html>", "it begins with '<!DOCTYPE"),
    "no bytes": ("", "none of TLC's reports"),
    "a list without a base": (f"{LIST}\n", "it has no base"),
    "no license": (f"{LIST}\n,LEON,,LIVERY BASE\n", "line 2: License Number is missing"),
    "a base cut off": (f"{LIST}\nB02667,LEON\n", "line 2: 2 columns, and the header has 4"),
    "half a list": ("license_number,entity_name\nB02667,LEON\n", "none of TLC's reports"),
    "classes that nobody knows": (f"{PLAIN}\n2022-02,Red,5,-\n", "no figure of any of Yellow"),
}


@pytest.mark.parametrize(("text", "expected"), READABLE.values(), ids=READABLE)
def test_formats(text, expected):
    vintage = figures.parse(text.encode(), "/some/data_reports_monthly.csv")
    found = {
        (one.dataset, f"{one.month:%Y-%m}"): (one.trips_per_day, one.trips)
        for one in vintage.figures
    }
    assert found == expected
    assert vintage.vintage == max(month for _, month in expected)


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(text, reason):
    with pytest.raises(FileRefusedError) as refused:
        figures.parse(text.encode(), "https://host/data_reports_monthly.csv?token=secret")
    assert str(refused.value).startswith("data_reports_monthly.csv: ")
    assert reason in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_the_list_of_bases():
    text = f"""{LIST}
B02667,LEON LUXURY LIMO INC,7186265300,LUXURY/LIMOUSINE
b00225 ,"DELANCEY  CAR SERVICE, INC.",,LIVERY BASE
B00225,DELANCEY,,

B80028,,8886468666,COMMUTER VAN AUTHORITY BASE
"""
    found = figures.parse(text.encode(), "https://host/resource/eccv-9dzr.csv?$order=a")
    assert found.bases == {
        "B02667": ("LEON LUXURY LIMO INC", "LUXURY/LIMOUSINE"),
        "B00225": ("DELANCEY", None),
        "B80028": (None, "COMMUTER VAN AUTHORITY BASE"),
    }
    assert found.content == "3 bases, 1 of them twice: the last counts"
    assert found.file_bytes == len(text)


def test_a_report_at_a_web_address_is_asked_for_once_a_version(cdn):
    path = cdn.folder / "data_reports_monthly.csv"
    path.write_text(f"{PLAIN}\n2022-02,Green,5,-\n")
    monthly, by_base, _ = figures.addresses(cdn.url)
    found = figures.read(monthly)
    assert (found.etag, found.file_bytes, found.url) == (found.etag, path.stat().st_size, monthly)
    cdn.script(path.name, [status(304)])
    assert figures.read(monthly, found.etag) is None
    assert cdn.requests[-1].headers["If-None-Match"] == found.etag
    with pytest.raises(NotPublishedError):
        figures.read(by_base)


def test_an_answer_that_breaks_off_is_no_report(cdn, no_waiting):
    path = cdn.folder / "data_reports_monthly.csv"
    path.write_text(f"{PLAIN}\n2022-02,Green,5,-\n2022-01,Green,5,-\n")
    cdn.script(path.name, [close_early(70)] * 9)
    with pytest.raises(TransientError, match=r"broke off|came where"):
        figures.read(f"{cdn.url}/{path.name}")


def test_pages_of_open_data_are_put_together(cdn, monkeypatch):
    monkeypatch.setattr(figures, "PAGE_ROWS", 2)
    lines = [f'"LYFT","2024","{month}","{month}","0"' for month in range(1, 6)]
    pages = ["\n".join([BASES, *lines[first : first + 2], ""]) for first in (0, 2, 4)]
    served = [Behaviour(200, {"ETag": '"page"'}, page.encode()) for page in pages]
    cdn.script("2v9c-2k7f.csv", served)
    address = f"http://{cdn.host}/resource/2v9c-2k7f.csv?$order=year"
    found = figures.read(address)
    assert [one.trips for one in found.figures] == [1, 2, 3, 4, 5]
    assert found.etag is None  # that of a page
    assert [r.path.partition("$offset=")[2] for r in cdn.requests] == ["0", "2", "4"]


@pytest.mark.skipif(DATA_DIR is None, reason="no real reports at hand")
def test_real_reports():
    """Each figure of TLC's files, read here by itself."""
    folder = DATA_DIR / "official"
    addresses = figures.addresses(str(folder))
    assert len(addresses) == 5
    for address in addresses:
        with Path(address).open(newline="", encoding="utf-8") as file:
            rows = [[cell.replace(",", "") for cell in row] for row in csv.reader(file)][1:]
        found = figures.read(address)
        daily = {row[0]: row for row in rows if len(row[0]) == 7}
        for one in found.figures:
            year, month = one.month.year, one.month.month
            (row,) = (
                row
                for row in rows
                if row[:2] == [f"{one.month:%Y-%m}", one.licence]
                or row[:3] == [one.licence, str(year), str(month)]
            )
            days = monthrange(year, month)[1] if daily else 1
            assert one.trips == int(row[2 if daily else 3]) * days
        assert len(found.figures) == len(rows)
        assert found.unknown == ()


def test_the_dlt_source_has_a_resource_for_each_report(tmp_path):
    (tmp_path / "data_reports_monthly.csv").write_text(f"{PLAIN}\n2022-02,Green,5,-\n")
    (tmp_path / "fhv_base_aggregate.csv").write_text(f'{BASES}\n"LYFT","2024","1","7","0"\n')
    (tmp_path / "current_bases.csv").write_text(f"{LIST}\nB02667,LEON,,LIVERY BASE\n")
    found = {
        name: [row for table in resource for row in table.to_pylist()]
        for name, resource in tlc_figures(str(tmp_path)).resources.items()
    }
    assert [row["base_num"] for row in found.pop("base_list")] == ["B02667"]
    assert {name: [row["trips"] for row in rows] for name, rows in found.items()} == {
        "monthly_report": [140],
        "base_report": [7],
    }
