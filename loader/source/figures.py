"""TLC's own counts: finds, reads and checks the reports that month files are compared with.

The list of bases is published beside them, and read in the same way.
"""

import csv
import datetime as dt
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

from loader.calendar import format_month, next_month
from loader.errors import FileRefusedError, SourceError
from loader.settings import TLC_CDN
from loader.source import bases, object_store
from loader.source.bases import BaseList
from loader.source.folder import path_of
from loader.source.http import is_http
from loader.source.published import redact
from loader.source.whole import Version, WholeFile, read_whole, version_fields
from loader.terminal.words import count


@dataclass(frozen=True)
class Layout:
    """A report: how its columns are called, and whose figures it has.

    Names are compared by their letters and digits in lower case: TLC pads and quotes them.

    Attributes:
        source: its name, in the warehouse.
        names: how its files are called, as a regular expression.
        month: the column of the month, or those of year and month.
        licence: the column that says whose trips are counted.
        trips: the column with their number.
        is_daily: it is the number of trips a day, rounded.
        datasets: the dataset that each licence's trips are in.
    """

    source: str
    names: str
    month: tuple[str, ...]
    licence: str
    trips: str
    is_daily: bool
    datasets: Mapping[str, str]


LAYOUTS = (
    Layout(
        source="monthly report",
        names=r"(data_reports_monthly|fhvhv_trips_per_day).*\.csv",
        month=("Month/Year",),
        licence="License Class",
        trips="Trips Per Day",
        is_daily=True,
        datasets={
            "Yellow": "yellow",
            "Green": "green",
            "FHV - High Volume": "fhvhv",
            "FHV - Black Car": "fhv",
            "FHV - Livery": "fhv",
            "FHV - Lux Limo": "fhv",
        },
    ),
    Layout(
        source="base report",
        names=r"(fhv_base_aggregate|2v9c-2k7f).*\.csv",
        month=("Year", "Month"),
        licence="Base License Number",
        trips="Total Dispatched Trips",
        is_daily=False,
        datasets={"UBER": "fhvhv", "LYFT": "fhvhv"},
    ),
)
#: Where TLC publishes them: the monthly report on its own site, the others on NYC Open Data.
ADDRESSES = (
    "https://www.nyc.gov/assets/tlc/downloads/csv/data_reports_monthly.csv",
    "https://data.cityofnewyork.us/resource/2v9c-2k7f.csv"
    "?$select=base_license_number,year,month,total_dispatched_trips"
    "&$where=base_license_number in('UBER','LYFT')&$order=year,month,base_license_number",
    bases.ADDRESS,
)
#: Where copies have them, below a web address.
_NAMES = ("data_reports_monthly.csv", "fhv_base_aggregate.csv", "current_bases.csv")
#: NYC Open Data answers with at most so many rows at once.
PAGE_ROWS = 50_000
_SOCRATA = "/resource/"

_MONTH_FORMATS = ("%Y-%m", "%Y-%m-%d", "%m/%Y", "%b-%y", "%b %Y")
#: A whole number with commas or without, perhaps as a spreadsheet saved it.
_NUMBER = re.compile(r"-?(\d{1,3}(,\d{3})+|\d+)(\.0+)?")
_NONE = frozenset({"", "-", "NA", "N/A"})


@dataclass(frozen=True)
class Figure:
    """What TLC counted of a licence in a month.

    Attributes:
        dataset: dataset whose month file has the trips.
        licence: whose trips: a class or a company, in the words of `LAYOUTS`.
        trips_per_day: as published; None where the report has the number of the month.
        trips: the number of the month.
    """

    dataset: str
    licence: str
    month: dt.date
    trips_per_day: int | None
    trips: int


@dataclass(frozen=True)
class Vintage(Version):
    """A report as it was published at a time: TLC revises old figures, too.

    Attributes:
        source: which report.
        vintage: its newest month, YYYY-MM.
        figures: what it says.
        unknown: licences in it that belong to no dataset here.
    """

    table: ClassVar[str] = "official_figures"
    source: str
    vintage: str
    figures: tuple[Figure, ...]
    unknown: tuple[str, ...]

    @property
    def resource(self) -> str:
        """The name of its resource in dlt."""
        return self.source.replace(" ", "_")

    def rows(self) -> list[dict[str, object]]:
        """Return a row for each figure."""
        report = {"source": self.source, "vintage": self.vintage, **self.about()}
        return [{**asdict(figure), **report} for figure in self.figures]

    def __str__(self) -> str:
        return f"TLC's {self.source}"

    @property
    def content(self) -> str:
        """What is in it, for messages."""
        return f"to {self.vintage}, {count(len(self.figures), 'figure')}"


def addresses(source: str) -> list[str]:
    """List where reports may be.

    Args:
        source: TLC's own address of month files, for TLC's own addresses of the reports; or a
            report, or the base URL, folder or bucket of copies.

    Raises:
        SourceError: when a folder or bucket can't be read.
    """
    if source == TLC_CDN:
        return list(ADDRESSES)
    if source.partition("?")[0].lower().endswith(".csv"):
        return [source]
    if is_http(source):
        base, mark, query = source.partition("?")
        return [f"{base.rstrip('/')}/{name}{mark}{query}" for name in _NAMES]
    if object_store.is_bucket(source):
        names = object_store.names(source)
        return [f"{source.rstrip('/')}/{name}" for name in sorted(names) if _is_report(name)]
    try:
        return [str(path) for path in sorted(path_of(source).iterdir()) if _is_report(path.name)]
    except OSError as error:
        raise SourceError(
            f"can't read {error.filename or source}: {error.strerror or error}; check --source"
        ) from error


def read(address: str, etag: str | None = None) -> Vintage | BaseList | None:
    """Read a report or the list of bases; None when the server still has the version of `etag`.

    Raises:
        NotPublishedError: when the server has none, or refuses us.
        SourceError: when it can't be had whole.
        FileRefusedError: when it can't be right.
    """
    is_paged = is_http(address) and _SOCRATA in address
    found = _read_pages(address, etag) if is_paged else read_whole(address, etag, "--source")
    return parse(*found) if found else None


def parse(
    content: bytes,
    address: str,
    etag: str | None = None,
    last_modified: dt.datetime | None = None,
) -> Vintage | BaseList:
    """Read a report's figures, or the list of bases.

    Raises:
        FileRefusedError: when it isn't one of the reports, a column is gone, a figure is no whole
            number or negative, or a month has two.
    """
    name = redact(address).rpartition("/")[2].partition("?")[0]
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileRefusedError(f"{name}: not a CSV file: {error}") from error
    header = [_plain(cell) for cell in rows[0]] if rows else []
    version = version_fields(content, address, etag, last_modified)
    if set(map(_plain, bases.COLUMNS)) <= set(header):
        places = [header.index(_plain(column)) for column in bases.COLUMNS]
        return bases.parse(name, _records(name, rows), places, version)
    layout, missing = min(
        ((one, [c for c in _columns(one) if _plain(c) not in header]) for one in LAYOUTS),
        key=lambda found: len(found[1]) / len(_columns(found[0])),
    )
    if len(missing) == len(_columns(layout)):
        begins = content[:40].decode("utf-8", "replace")
        raise FileRefusedError(f"{name}: none of TLC's reports; it begins with {begins!r}")
    if missing:
        raise FileRefusedError(f"{name}: column {missing[0]!r} is missing")
    *month_at, licence_at, trips_at = (header.index(_plain(c)) for c in _columns(layout))
    licences = {_plain(licence): licence for licence in layout.datasets}
    found: dict[tuple[str, dt.date], Figure] = {}
    unknown: dict[str, None] = {}
    for where, row in _records(name, rows):
        month = _month([row[place].strip() for place in month_at], where)
        licence = licences.get(_plain(row[licence_at]))
        if licence is None:
            unknown[row[licence_at].strip()] = None
            continue
        trips = _number(row[trips_at].strip(), f"{where}, {layout.trips}")
        if trips is None:  # not counted yet: classes come late
            continue
        if (licence, month) in found:
            raise FileRefusedError(f"{where}: {licence} has {format_month(month)} twice")
        days = (next_month(month) - month).days
        found[licence, month] = Figure(
            layout.datasets[licence],
            licence,
            month,
            trips if layout.is_daily else None,
            trips * days if layout.is_daily else trips,
        )
    if not found:
        raise FileRefusedError(f"{name}: it has no figure of any of {', '.join(layout.datasets)}")
    return Vintage(
        layout.source,
        format_month(max(month for _, month in found)),
        tuple(found.values()),
        tuple(unknown),
        **version,
    )


def _records(name: str, rows: list[list[str]]) -> Iterator[tuple[str, list[str]]]:
    """Give the rows below a header that aren't blank, each with its place, for messages."""
    for number, row in enumerate(rows[1:], 2):
        where = f"{name}: line {number}"
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(rows[0]):
            raise FileRefusedError(
                f"{where}: {len(row)} columns, and the header has {len(rows[0])}"
            )
        yield where, row


def _columns(layout: Layout) -> tuple[str, ...]:
    return *layout.month, layout.licence, layout.trips


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _month(texts: list[str], where: str) -> dt.date:
    if len(texts) > 1:  # year, month
        texts = [f"{texts[0]}-{texts[1]}"]
    for form in _MONTH_FORMATS:
        try:
            return dt.datetime.strptime(texts[0], form).date().replace(day=1)
        except ValueError:
            continue
    raise FileRefusedError(f"{where}: {texts[0]!r} is not a month")


def _number(text: str, where: str) -> int | None:
    if text.upper() in _NONE:
        return None
    if not _NUMBER.fullmatch(text):
        raise FileRefusedError(f"{where}: {text!r} is not a whole number")
    number = int(text.partition(".")[0].replace(",", ""))
    if number < 0:
        raise FileRefusedError(f"{where}: {text} is negative")
    return number


def _read_pages(address: str, etag: str | None) -> WholeFile | None:
    """Read a report that comes in pages, each with a header."""
    content = b""
    for number in range(1_000):
        url = f"{address}&$limit={PAGE_ROWS}&$offset={number * PAGE_ROWS}"
        if (page := read_whole(url, None if number else etag, "--source")) is None:
            return None
        is_last = page.content.count(b"\n") <= PAGE_ROWS
        if number == 0 and is_last:
            return page._replace(url=address)
        content += page.content.partition(b"\n")[2] if number else page.content
        if is_last:
            break
    return WholeFile(content, address)  # the version of a page isn't the report's


def _is_report(name: str) -> bool:
    return any(
        re.fullmatch(names, name) for names in (*(one.names for one in LAYOUTS), bases.NAMES)
    )
