"""What people see, in the report, the explorer and the analyses, is what plain Python counts.

The warehouse has gaps, months without marts, and files with hardly a trip.
"""

import datetime as dt
import html
import re
import shutil
from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.calendar import days_of, parse_month
from loader.errors import WarehouseError
from loader.report import page
from loader.report.history import history_sections, read_history
from loader.report.numbers import AIRPORTS, PARTS, Numbers, read_numbers
from loader.report.section import Section
from loader.report.sections import WEEKDAYS, sections
from loader.report.window import Window
from loader.settings import load_settings
from loader.warehouse.connect import connect_warehouse
from tests.conftest import DATA_DIR, Workspace, publish, succeeded
from tests.months import run
from tests.pictures import read_panels, tips
from tests.postgres.test_report import TODAY, Tables
from tests.trips import (
    UNKNOWN,
    Trip,
    assert_counted,
    count,
    files_of,
    groups_of,
    number_of,
    percentile_of,
    ratio,
    rows_by_name,
    seed,
    sum_of,
    total,
    trips_of,
)

#: Real files where they are there. Green 2022-02 is missing.
REAL = [
    *(("green", month) for month in ("2022-01", "2022-03", "2023-01")),
    *(("yellow", "2009-01"), ("yellow", "2020-04"), ("fhv", "2020-04"), ("fhvhv", "2020-04")),
]
#: A file without rows, of one trip, of a reversal alone, of trips of another month alone.
ODD = {"2019-01": 0, "2019-02": 1, "2019-03": 1, "2019-05": 3}
#: Of green 2021-12 there is no month before; yellow's files have trips of each other's month.
SMALL = [("yellow", "2021-11", 600), ("yellow", "2021-12", 700), ("green", "2021-12", 500)]
SMALL += [("green", "2023-02", 300), ("green", "2025-01", 400)]
#: Merged, and their marts left for later: of the first there are none, of the other old ones.
LATER = [("green", "2022-04", 200), ("green", "2023-02", 400)]

COUNTING = {
    "green": [*ODD, "2021-12", "2022-01", "2022-03", "2023-01", "2025-01"],
    "yellow": ["2009-01", "2020-04", "2021-11", "2021-12"],
    "fhv": ["2020-04"],
    "fhvhv": ["2020-04"],
}
SPANS = ["2009-01", "2019-01:2019-05", "2020-04", "2021-11:2021-12", "2021-12", "2022-01:2022-04"]
SPANS += ["2023-01", "2023-01:2023-03"]
NAMES = {
    "green": "green taxis",
    "yellow": "yellow taxis",
    "fhv": "car services (fhv)",
    "fhvhv": "Uber, Lyft and other apps (fhvhv)",
}


def edit(path: Path, **columns) -> None:
    """Replace the first values of columns."""
    table = pq.read_table(path)
    for name, values in columns.items():
        place = table.column_names.index(name)
        kept = table.column(name).to_pylist()[len(values) :]
        array = pa.array([*values, *kept], table.schema.field(name).type)
        table = table.set_column(place, table.schema.field(name), array)
    pq.write_table(table, path)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = files_of(REAL, tmp_path_factory.mktemp("files"))

    for dataset, month, rows in [*SMALL, *(("green", *odd) for odd in ODD.items())]:
        publish(folder, dataset, month, rows)
    noon = dt.datetime(2021, 11, 24, 12)
    edit(folder / "yellow_tripdata_2021-12.parquet", tpep_pickup_datetime=[noon] * 40)
    edit(folder / "green_tripdata_2019-02.parquet", fare_amount=[9.5], total_amount=[12.5])
    edit(folder / "green_tripdata_2019-03.parquet", fare_amount=[-9.5], total_amount=[-12.5])
    strays = {"lpep_pickup_datetime": [noon] * 3, "lpep_dropoff_datetime": [noon] * 3}
    edit(folder / "green_tripdata_2019-05.parquet", **strays)
    return folder


@pytest.fixture(scope="module")
def warehouse(new_workspace, files) -> Workspace:
    workspace = new_workspace(marts=True)
    succeeded(workspace.loader("run", "--all", "--source", files, "--allow-empty"))
    shutil.copytree(files, workspace.source, dirs_exist_ok=True)
    for dataset, month, rows in LATER:
        publish(workspace.source, dataset, month, rows)
        run(workspace, dataset, month, "--marts", "later")
    return workspace


@pytest.fixture(scope="module")
def read(warehouse):
    """Reads the numbers of a span, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in warehouse.env.items():
            patch.setenv(name, value)
        connected = connect_warehouse(load_settings("postgres"))

        @cache
        def numbers(span: str) -> Numbers:
            first, _, last = span.partition(":")
            return read_numbers(connected, parse_month(first), parse_month(last or first))

        yield numbers
        connected.close()


@pytest.fixture(scope="module")
def shown(read):
    """Makes the sections of a span, by name."""
    return lambda span: {one.name: one for one in sections(read(span), None, [["run"], ["one"]])}


@pytest.fixture(scope="module")
def rides(files):
    """Reads the trips of a span, by dataset, that aren't reversals: with their file months."""

    @cache
    def of_month(dataset: str, month: str) -> list[Trip]:
        return trips_of(files, dataset, month)

    def of_span(span: str, with_reversals: bool = False) -> dict[str, list[Trip]]:
        found = {}
        for dataset in sorted(COUNTING):
            months = months_of(dataset, span)
            if months:
                trips = [trip for month in months for trip in of_month(dataset, month)]
                found[dataset] = [t for t in trips if with_reversals or not t.is_reversal]
        return found

    return of_span


def months_of(dataset: str, span: str) -> list[str]:
    first, _, last = span.partition(":")
    return [month for month in COUNTING[dataset] if first <= month <= (last or first)]


def days_in(dataset: str, span: str) -> list[dt.date]:
    return [day for month in months_of(dataset, span) for day in days_of(parse_month(month))]


def number(text: str) -> float:
    return float(re.sub("[$,%]| min$", "", text))


def columns(section: Section) -> dict[str, list[str]]:
    """Return a table as columns, by heading."""
    return dict(zip(section.columns, map(list, zip(*section.rows, strict=True)), strict=True))


def is_average(cell: str, average: float) -> bool:
    """Tell whether a cell shows an average: small ones have a decimal."""
    return number(cell) == pytest.approx(average, abs=0.51 if average >= 10 else 0.051)


def a_trip(trips: list[Trip]) -> float | None:
    return ratio(total(trips), count(trips))


def a_day(trips: list[Trip]) -> float:
    return count(trips) / len(days_of(trips[0].file_month))


def a_mile(trips: list[Trip]) -> float | None:
    return ratio(total(trips), sum_of("miles")(trips))


def tip_share(trips: list[Trip]) -> float | None:
    return ratio(total(trips, "tip_amount"), total(trips, "fare_amount"), 100)


def speed(trips: list[Trip]) -> float | None:
    return ratio(sum_of("timed_miles")(trips), sum_of("timed_minutes")(trips), 60)


# ---- Which months count --------------------------------------------------------------------------


def test_gaps_are_told_on_the_page_and_in_the_terminal(warehouse, tmp_path):
    out = tmp_path / "report.html"
    command = ("report", "--out", out, "--month")
    told = succeeded(warehouse.loader(*command, "2022-01", "--to", "2022-04")).stdout
    note = (
        "2 of 4 months of green: 2022-04 lacks its marts: nyc-tlc marts; 2022-02 isn't loaded:"
        " nyc-tlc run --dataset green --month 2022-02"
    )
    assert told == f"{out}: January 2022 to April 2022, green\n{note}\n"
    text = html.unescape(out.read_text())
    assert f'<p class="note">{note}</p>' in text.partition("<main>")[0]
    told = warehouse.loader(*command, "2022-04")
    assert told.returncode == 6
    assert told.stderr == (
        "error: 2022-04: no dataset has marts of it; load the month, or build its marts:"
        " nyc-tlc marts\n"
    )


def test_a_note_has_the_command_for_what_is_missing(read):
    assert read("2023-01").notes == []
    assert read("2023-01:2023-02").notes == [  # its marts are of the version before
        "1 of 2 months of green: 2023-02 lacks its marts: nyc-tlc marts"
    ]
    assert read("2019-02:2019-07").notes == [
        "3 of 6 months of green: 2019-04, 2019-06 and 2019-07 aren't loaded: nyc-tlc run"
        " --dataset green --month 2019-04 --to 2019-07"
    ]
    assert read("2008-12:2009-01").notes == []  # yellow begins with 2009-01
    assert read("2019-01").notes == ["The file has no rows: green 2019-01"]
    with pytest.raises(WarehouseError, match="2023-02 to 2023-04: no dataset has marts"):
        read("2023-02:2023-04")


@pytest.mark.parametrize("span", ["2019-01", "2019-02", "2019-03", "2019-05", *SPANS])
def test_the_page_has_each_section_s_sentence_and_table(read, shown, span):
    page_shown = Tables(page.render(read(span), None, [["run"], ["one"]], TODAY))
    for name, section in shown(span).items():
        assert page_shown.sentences[name].startswith(section.sentence), name
        table = [section.columns, *section.rows] if section.rows else []
        assert page_shown.rows[name] == table, name


@pytest.mark.parametrize("span", SPANS)
def test_sentences_call_things_by_their_names(shown, rides, span):
    trips = rides(span)
    said = {name: section.sentence for name, section in shown(span).items()}
    for name, sentence in said.items():
        assert sentence.endswith("."), name
        assert not re.search(
            r"Fhv|a fhv|\+0\.0%|(?<![\d.,])1 (trip|month|day|zone)s\b|nan", sentence
        )
    for dataset, own in trips.items():
        noun = "trip" if len(own) == 1 else "trips"
        assert f"{len(own):,} {noun} of {NAMES[dataset]}" in said["headline"]


# ---- At a glance ---------------------------------------------------------------------------------


@pytest.mark.parametrize("span", SPANS)
def test_the_headline(shown, rides, span):
    rows = {row[0]: row for row in shown(span)["headline"].rows}
    everything = rides(span, with_reversals=True)
    assert rows.keys() == everything.keys()
    names = shown(span)["headline"].columns
    cards = {card.name: card for card in shown(span)["headline"].cards}
    assert cards.keys() == rows.keys()
    for dataset, trips in rides(span).items():
        row = dict(zip(names[::-1], rows[dataset][::-1], strict=True))  # the last of a name
        assert number(row["trips"]) == len(trips)
        charged = total(everything[dataset]) or 0
        assert number(row["charged"] or "0") == pytest.approx(charged, abs=0.51)
        if charged and trips:
            assert number(row["a trip"]) == pytest.approx(charged / len(trips), abs=0.0051)
        percent = tip_share([trip for trip in everything[dataset] if trip.is_tip_known])
        assert number(row["tip"] or "0") == pytest.approx(max(percent or 0, 0), abs=0.051)
        written = row["miles an hour"].removesuffix(" mph")
        assert number(written or "0") == pytest.approx(speed(trips) or 0, abs=0.051)
        card = {what: big for what, big, _ in cards[dataset].numbers}
        assert number(card["trips a day"]) == pytest.approx(
            len(trips) / len(days_in(dataset, span)), abs=0.51
        )
        assert card.get("a passenger pays", "") == row["a trip"]
        assert card.get("speed", "") == row["miles an hour"]
        assert card.get("tip", "") == row["tip"]
    first, _, last = span.partition(":")
    length = (parse_month(last or first).month - parse_month(first).month) + 1
    is_whole = all(len(months_of(dataset, span)) == length for dataset in rows)
    assert ("months" in names) == (not is_whole)


def test_changes_are_by_day_and_only_where_all_months_are_there(shown, rides):
    glance = shown("2021-12")["headline"]
    rows = {row[0]: row for row in glance.rows}
    before, now = (len(rides(month)["yellow"]) for month in ("2021-11", "2021-12"))
    assert rows["yellow"][2] == f"{((now / 31) / (before / 30) - 1) * 100:+.1f}%"
    assert rows["green"][2:4] == ["", ""]
    assert "Changes are by day, to the month before." in glance.sentence
    (card,) = [card for card in glance.cards if card.name == "yellow"]
    assert card.numbers[0][2] == [f"{rows['yellow'][2]} to the month before"]
    glance = shown("2023-01")["headline"]
    before, now = (len(rides(month)["green"]) for month in ("2022-01", "2023-01"))
    change = f"{(now / before - 1) * 100:+.1f}%" if now != before else "0.0%"
    assert glance.rows[0][2:4] == ["", change]
    assert "Changes are by day, to the same month a year before." in glance.sentence
    for span in ("2022-01:2022-04", "2023-01:2023-03", "2020-04"):
        glance = shown(span)["headline"]
        assert "hange" not in glance.sentence
        assert not any(changes for card in glance.cards for _, _, changes in card.numbers)
        for heading, cells in zip(glance.columns, zip(*glance.rows, strict=True), strict=True):
            assert set(cells) == {""} or not re.search("change|before", heading)
    assert f"{len(rides('2022-01:2022-04')['green']):,} trips of green taxis in 2 of 4 months" in (
        shown("2022-01:2022-04")["headline"].sentence
    )


# ---- Days and hours ------------------------------------------------------------------------------


@pytest.mark.parametrize("span", SPANS)
def test_days_of_missing_months_are_gaps_and_days_without_a_trip_are_zero(shown, rides, span):
    section = shown(span)["days"]
    table = columns(section)
    trips = {
        dataset: Counter(trip.pickup.date() for trip in own if not trip.is_outside)
        for dataset, own in rides(span).items()
    }
    drawn = {NAMES[one]: one for one in trips}
    panels = {
        drawn[one.title.removesuffix(", trips a day")]: one
        for one in read_panels(section.draw(928))
    }
    assert panels.keys() == trips.keys()
    for dataset, own in trips.items():
        days = days_in(dataset, span)
        cells = dict(zip([day[4:] for day in table["day"]], table[dataset], strict=True))
        for day, cell in cells.items():
            is_there = dt.date.fromisoformat(day) in days
            assert cell == (f"{own[dt.date.fromisoformat(day)]:,}" if is_there else "")
        panel = panels[dataset]
        assert panel.axis[0] == 0
        near = panel.axis[-1] / 500  # a tenth of a pixel, in trips
        assert panel.values(dataset) == pytest.approx([own[day] for day in days], abs=near)
        gaps = sum(later - day > dt.timedelta(1) for day, later in pairwise(days))
        assert len(panel.lines[dataset]) == 1 + gaps
        assert [number(said.rpartition(": ")[2]) for said in panel.tips] == [own[d] for d in days]
        if not own:
            told = f"no trip of {NAMES[dataset]} began in its file's month"
            assert told in section.sentence[0].lower() + section.sentence[1:]
            continue
        counts = [own[day] for day in days]
        assert f"({max(counts):,})" in section.sentence
        idle = counts.count(0)
        least = f"none on {idle:,} day{'' if idle == 1 else 's'}" if idle else f"({min(counts):,})"
        assert least in section.sentence


@pytest.mark.parametrize("span", SPANS)
def test_hours_of_weekdays_are_averages_of_the_days_that_are_there(shown, rides, span):
    trips = {
        dataset: Counter((t.pickup.weekday(), t.pickup.hour) for t in own if not t.is_outside)
        for dataset, own in rides(span).items()
    }
    trips = {dataset: own for dataset, own in trips.items() if own}
    section = shown(span).get("weekdays")
    assert (section is None) == (not trips)
    if section is None:
        return
    assert {row[0] for row in section.rows} == trips.keys()

    def average(dataset: str, weekday: int, hour: int) -> float:
        days = sum(day.weekday() == weekday for day in days_in(dataset, span))
        return trips[dataset][weekday, hour] / days

    for dataset, hour, *cells in section.rows:
        for weekday, cell in enumerate(cells):
            assert is_average(cell, average(dataset, weekday, int(hour[:-3])))
    said = iter(tips(section.draw(928)))
    for dataset, weekday, hour in product(sorted(trips), range(7), range(24)):
        name, shown_trips = re.match(r"(\w+ \d+:00): ([\d,.]+) trips", next(said)).groups()
        assert name == f"{WEEKDAYS[weekday]} {hour}:00"
        assert is_average(shown_trips, average(dataset, weekday, hour))
    assert list(said) == []


@pytest.mark.parametrize("span", ["2022-01:2022-04", "2023-01", "2020-04"])
def test_airports_and_hours_without_a_trip(shown, rides, span):
    section = shown(span)["airports"]
    trips = defaultdict(Counter)
    for own in rides(span).values():
        for trip in own:
            zone = trip.pickup_location_id
            if zone in AIRPORTS and not trip.is_outside:
                trips[AIRPORTS[zone]][trip.pickup.hour] += 1
    table = columns(section)
    assert set(section.columns[1:]) == trips.keys()
    for airport, own in trips.items():
        assert [number(cell) for cell in table[airport]] == [own[hour] for hour in range(24)]
        verb = "trip begins" if own.total() == 1 else "trips begin"
        assert f"{airport}: {own.total():,} {verb} there" in section.sentence
    busy = {airport for airport, own in trips.items() if own.total() >= 100}
    assert bool(busy) == (section.draw is not None)
    panels = read_panels(section.draw(928)) if busy else []
    assert {panel.title.partition(",")[0] for panel in panels} == busy
    for panel in panels:
        own = trips[panel.title.partition(",")[0]]
        wanted = [own[hour] for hour in range(24)]
        assert panel.values("places") == pytest.approx(wanted, abs=panel.axis[-1] / 500)
        assert panel.axis == panels[0].axis  # so that they can be compared


# ---- Zones ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("span", SPANS)
def test_zones_and_their_shares(shown, rides, span):
    trips = [trip for own in rides(span).values() for trip in own]
    zones = Counter(trip.pickup_location_id for trip in trips)
    known = Counter({zone: count for zone, count in zones.items() if zone not in UNKNOWN})
    section = shown(span)["zones"]
    assert [number(row[2]) for row in section.rows] == sorted(known.values(), reverse=True)[:15]
    for row in section.rows:
        assert number(row[2]) == known[int(row[1])]
    if not known:
        assert "map" not in shown(span)
        assert not section.rows
        return
    tiles = shown(span)["map"]
    assert Counter({int(row[1]): int(number(row[3])) for row in tiles.rows}) == known
    said = [re.search(r"\((\d+)\): ([\d,]+) trip", one).groups() for one in tips(tiles.draw(928))]
    assert {int(zone): number(shown) for zone, shown in said} == known
    most = max(known.values())
    for n, row in enumerate(section.rows):
        assert section.marks[n, 2].share == pytest.approx(number(row[2]) / most)
    manhattan = sum(int(number(row[3])) for row in tiles.rows if row[2] == "Manhattan")
    said = re.search(r"from a known zone, (.*?)% begin in Manhattan", tiles.sentence)[1]
    assert number(said) == pytest.approx(manhattan / known.total() * 100, abs=0.51)
    if len(known) > 10:
        said = re.search(r"and (.*?)% in the ten busiest of (\d+) zones", tiles.sentence)
        busiest = sum(count for _, count in known.most_common(10))
        assert number(said[1]) == pytest.approx(busiest / known.total() * 100, abs=0.51)
        assert int(said[2]) == len(known)
    unknown = len(trips) - known.total()
    said = re.search(r"([\d.]+)% of the trips have no known zone", section.sentence)
    assert (said is None) == (not unknown)
    assert not said or number(said[1]) == pytest.approx(unknown / len(trips) * 100, abs=0.51)


def test_files_without_zones_say_so(shown):
    assert shown("2009-01")["zones"].sentence == (
        "The files of yellow taxis don't say in which zone a trip begins."
    )
    assert "boroughs" not in shown("2009-01")
    (row,) = shown("2009-01")["quality"].rows
    assert "zone" not in shown("2009-01")["quality"].sentence
    assert row[:2] == ["yellow", "2009-01"]


def test_zones_change_only_for_datasets_that_have_all_months(shown, rides):
    for span in ("2020-04", "2022-01:2022-04", "2023-01", "2021-11:2021-12"):
        section = shown(span)["zones"]
        assert section.columns == ["zone", "number", "trips"]
        assert "hange" not in section.sentence
    section = shown("2021-12")["zones"]
    assert section.columns == ["zone", "number", "trips", "of yellow", "before", "change a day"]
    assert "Changes are by day, to the month before, of yellow taxis." in section.sentence
    assert "Trips of green taxis and yellow taxis are counted together." in section.sentence
    now, before = (
        Counter(trip.pickup_location_id for trip in rides(month)["yellow"])
        for month in ("2021-12", "2021-11")
    )
    for _, zone, _, of_yellow, then, changed in section.rows:
        assert (number(of_yellow), number(then)) == (now[int(zone)], before[int(zone)])
        if before[int(zone)]:
            change = ((now[int(zone)] / 31) / (before[int(zone)] / 30) - 1) * 100
            assert number(changed or "0") == pytest.approx(change, abs=0.051)


@pytest.mark.parametrize("span", ["2020-04", "2022-01:2022-04", "2023-01"])
def test_boroughs(shown, rides, span):
    boroughs = {zone: row["borough"] for zone, row in seed("taxi_zones").items()}
    boroughs |= {"None": "Unknown", "265": "Outside of NYC"}
    trips = Counter(
        (boroughs[str(t.pickup_location_id)], boroughs[str(t.dropoff_location_id)])
        for own in rides(span).values()
        for t in own
    )
    section = shown(span)["boroughs"]
    found = {
        (row[0], end): int(number(cell))
        for row in section.rows
        for end, cell in zip(section.columns[1:], row[1:], strict=True)
    }
    assert Counter(found) == trips
    known = {p: n for p, n in trips.items() if not {"Unknown", "Outside of NYC"} & {*p}}
    (start, end), most = max(known.items(), key=lambda item: item[1])
    said = re.search(
        r"(.*?)% of the trips with a known zone at both ends go from (.*)", section.sentence
    )
    assert number(said[1]) == pytest.approx(most / sum(known.values()) * 100, abs=0.51)
    assert said[2].startswith(f"{start} to {end}.")


@pytest.mark.parametrize("span", SPANS)
def test_companies_of_apps(shown, rides, span):
    section = shown(span).get("companies")
    if span != "2020-04":
        assert section is None
        return
    trips = {dataset: own for dataset, own in rides(span).items() if "fhv" in dataset}
    wanted = Counter((trip.company or "others", d) for d, own in trips.items() for trip in own)
    assert {tuple(row[:2]) for row in section.rows} == wanted.keys()
    most = max(wanted.values())
    for n, (company, dataset, a_day, part, price, tip, wait) in enumerate(section.rows):
        own = [trip for trip in trips[dataset] if (trip.company or "others") == company]
        assert is_average(a_day, len(own) / 30)
        assert number(part) == pytest.approx(len(own) / len(trips[dataset]) * 100, abs=0.051)
        assert section.marks[n, 2].share == len(own) / most
        waits = [trip.waited for trip in own if trip.waited is not None]
        assert bool(wait) == bool(waits)
        if waits:
            assert number(wait) == pytest.approx(sum(waits) / len(waits), abs=0.051)
        if dataset == "fhvhv":
            assert number(price) == pytest.approx(total(own) / len(own), abs=0.0051)
            assert number(tip) == pytest.approx(tip_share(own), abs=0.051)


# ---- Money ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("span", SPANS)
def test_the_parts_of_a_price_add_up(shown, rides, span):
    section = shown(span).get("paid")
    everything = rides(span, with_reversals=True)
    paying = {
        dataset: (total(everything[dataset]) or 0) / len(own)
        for dataset, own in rides(span).items()
        if own and dataset != "fhv"
    }
    assert (section is None) == (not paying)
    if section is None:
        return
    table = columns(section)
    assert section.columns == ["dollars a trip", *(NAMES[dataset] for dataset in paying)]
    longest = max(number(cell) for row in section.rows[:-1] for cell in row[1:] if cell)
    for (n, m), mark in section.marks.items():
        length = max(number(section.rows[n][m]), 0) / longest
        assert mark.share == pytest.approx(length, abs=0.01 / longest)
    for dataset, price in paying.items():
        parts = dict(zip(table["dollars a trip"], table[NAMES[dataset]], strict=True))
        assert number(parts.pop("in all")) == pytest.approx(price, abs=0.0051)
        cells = [number(cell) for cell in parts.values() if cell]
        assert sum(cells) == pytest.approx(price, abs=0.0051 * len(cells) + 0.005)
        rest = price
        for part, label in PARTS.items():
            each = (total(everything[dataset], part) or 0) / len(rides(span)[dataset])
            assert number(parts.get(label) or "0") == pytest.approx(each, abs=0.0051)
            rest -= each
        assert number(parts.get("difference") or "0") == pytest.approx(rest, abs=0.0051)
        word = "more" if rest < 0 else "less"
        assert (f"add up to ${abs(rest):.2f} {word}" in section.sentence) == (abs(rest) >= 0.005)
        assert f"rips of {NAMES[dataset]} cost ${price:.2f} on average" in section.sentence


@pytest.mark.parametrize("span", SPANS)
def test_payments_are_shares_of_all_trips(shown, rides, span):
    section = shown(span).get("payments")
    trips = {dataset: own for dataset, own in rides(span).items() if own and "fhv" not in dataset}
    assert (section is None) == (not trips)
    if section is None:
        return
    assert section.columns == ["share of all trips", *(NAMES[dataset] for dataset in trips)]
    table = columns(section)
    for (n, m), mark in section.marks.items():
        assert mark.share == pytest.approx(number(section.rows[n][m]) / 100, abs=0.0006)
    for dataset, own in trips.items():
        kinds = Counter(trip.payment_type_name or "not recorded" for trip in own)
        cells = dict(zip(table["share of all trips"], table[NAMES[dataset]], strict=True))
        for kind, cell in cells.items():
            assert number(cell) == pytest.approx(kinds[kind] / len(own) * 100, abs=0.051)
        recorded = Counter({kind: n for kind, n in kinds.items() if kind != "not recorded"})
        if recorded:
            most, count = recorded.most_common(1)[0]
            how = {"Credit card": "by credit card", "Cash": "in cash"}[most]
            said = f"{count / len(own) * 100:.0f}% of the trips of {NAMES[dataset]} are paid {how}"
            assert said in section.sentence
        if kinds["not recorded"]:
            missing = kinds["not recorded"] / len(own)
            assert f"{missing:.0%}" in section.sentence
            assert "no payment" in section.sentence.lower()
    assert ("don't say how a trip is paid" in section.sentence) == (span == "2020-04")


@pytest.mark.parametrize("span", ["2020-04", "2022-01:2022-04", "2023-01"])
def test_tips_by_hour(shown, rides, span):
    section = shown(span)["tips"]
    table = columns(section)
    panels = {
        one.title.partition(", tip in")[0]: one
        for one in (read_panels(section.draw(928)) if section.draw else [])
    }
    assert all(panel.axis[0] == 0 for panel in panels.values())
    for dataset, own in rides(span, with_reversals=True).items():
        if dataset == "fhv":
            continue
        fares, tips, trips = Counter(), Counter(), Counter()
        for trip in own:
            if not trip.is_outside and trip.is_tip_known:
                fares[trip.pickup.hour] += trip.amounts["fare_amount"] or 0
                tips[trip.pickup.hour] += trip.amounts["tip_amount"] or 0
                trips[trip.pickup.hour] += not trip.is_reversal
        for hour, cell in enumerate(table[dataset]):
            assert (cell == "") == (fares[hour] <= 0)
            wanted = tips[hour] / fares[hour] * 100 if cell else 0
            assert number(cell or "0") == pytest.approx(wanted, abs=0.051)
        large = sorted(hour for hour in fares if trips[hour] >= 100)
        assert (NAMES[dataset] in panels) == bool(large)
        if large:
            drawn = panels[NAMES[dataset]]
            wanted = [tips[hour] / fares[hour] * 100 for hour in large]
            assert drawn.values(dataset) == pytest.approx(wanted, abs=drawn.axis[-1] / 500)
            best = max(large, key=lambda hour: tips[hour] / fares[hour])
            assert f"{NAMES[dataset]} tip most at {best}:00" in section.sentence
        else:
            assert f"o hour has 100 such trips of {NAMES[dataset]}" in section.sentence


# ---- Quality, and months -------------------------------------------------------------------------


def test_the_newest_month_of_each_dataset_is_judged(shown):
    said = shown("2021-11:2021-12")["quality"].sentence
    assert "Green taxis in December 2021: " in said
    assert "Yellow taxis in December 2021: " in said
    assert "November" not in said
    rows = [row[:2] for row in shown("2023-01:2023-03")["quality"].rows]
    assert ["green", "2023-02"] not in rows  # whose marts are of the version before
    for panel in read_panels(shown("2022-01:2022-04")["quality"].draw(928)):
        # December 2021 and January 2022 are joined, and March is apart
        assert [len(part) for part in sorted(panel.lines["green"])][-2:] == [2, 1]


def test_months_in_the_warehouse_are_counted(shown):
    merged = sum(map(len, COUNTING.values())) + 2
    assert shown("2023-01")["calendar"].sentence == (
        f"{merged} months are merged. 1 was republished since the first load, and has a frame."
    )


# ---- All of history ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def history(read, warehouse):
    """The sections of all history, by name."""
    read("2023-01")  # connects
    found = read_history(connect_warehouse(load_settings("postgres")))
    assert found.notes == [
        "2 months lack the marts of this version: nyc-tlc marts (green 2022-04, 2023-02)"
    ]
    return {one.name: one for one in history_sections(found)}


@pytest.fixture(scope="module")
def everything(rides):
    """The trips that the page of all history counts, by dataset and month, reversals included."""
    return {
        (dataset, month): rides(month, with_reversals=True)[dataset]
        for dataset, months in COUNTING.items()
        for month in months
        if (dataset, month) != ("green", "2019-01")  # a file without rows
    }


def months_in(section: Section) -> dict[tuple[str, str], str]:
    """Return the cells of a table by heading and month."""
    return {
        (heading, row[0]): cell
        for row in section.rows
        for heading, cell in zip(section.columns[1:], row[1:], strict=True)
        if cell
    }


def test_history_trips_a_day(history, everything):
    section = history["trips"]
    wanted = {place: a_day(trips) for place, trips in everything.items()}
    shown = months_in(section)
    assert shown.keys() == wanted.keys()
    for place, cell in shown.items():
        assert number(cell) == pytest.approx(wanted[place], abs=0.51)
    (panel,) = read_panels(section.draw(928))
    for dataset, months in COUNTING.items():
        months = [month for month in months if (dataset, month) in everything]
        drawn = panel.values(dataset)
        near = panel.axis[-1] / 1000
        assert drawn == pytest.approx([wanted[dataset, month] for month in months], abs=near)
        places = [int(month[:4]) * 12 + int(month[5:]) for month in months]
        gaps = sum(later - place > 1 for place, later in pairwise(places))
        assert len(panel.lines[dataset]) == 1 + gaps


def test_history_headline(history, everything):
    for dataset, *cells in history["headline"].rows:
        months = {m: trips for (name, m), trips in everything.items() if name == dataset}
        first, last, trips, _, _, most = cells[1:7]
        assert cells[0] == str(len(months))
        assert (first, last) == (min(months), max(months))
        assert number(trips) == sum(map(count, months.values()))
        assert number(most) == pytest.approx(max(map(a_day, months.values())), abs=0.51)


def test_history_prices_tips_and_speeds(history, everything):
    means, medians, miles, tips_, speeds, nights = {}, {}, {}, {}, {}, {}
    for (dataset, month), trips in everything.items():
        fares = percentile_of("fare", 0.5)(trips)
        if fares is not None:
            medians[f"median fare ({dataset})", month] = fares
        if count(trips) < 100:
            continue
        by_night = count(trip for trip in trips if trip.is_night)
        nights[dataset, month] = 100 * by_night / count(trips)
        if number_of("is_timed")(trips) >= 100:
            speeds[dataset, month] = speed(trips)
        if dataset == "fhv":
            continue
        means[f"mean of a trip ({dataset})", month] = a_trip(trips)
        miles[dataset, month] = a_mile(trips)
        paid = [trip for trip in trips if trip.is_tip_known]
        if count(paid) >= 100:
            tips_[dataset, month] = tip_share(paid)
    for name, wanted, near in (
        ("prices", means | medians, 0.0051),
        ("mile", miles, 0.0051),
        ("tips", tips_, 0.051),
        ("speed", speeds, 0.51),
        ("nights", nights, 0.051),
    ):
        shown = months_in(history[name])
        assert shown.keys() == wanted.keys(), name
        for place, cell in shown.items():
            assert number(cell) == pytest.approx(wanted[place], abs=near), (name, place)


def test_history_boroughs_airports_and_apps(history, everything):
    for (heading, month), cell in months_in(history["boroughs"]).items():
        borough, dataset = re.fullmatch(r"(.*) \((.*)\)", heading).groups()
        trips = [trip for trip in everything[dataset, month] if trip.is_borough_known]
        own = count(trip for trip in trips if trip.pickup_borough == borough)
        assert number(cell) == pytest.approx(own / count(trips) * 100, rel=1e-4)
    zones = {name: zone for zone, name in AIRPORTS.items()}
    for (heading, month), cell in months_in(history["airports"]).items():
        airport, dataset = re.fullmatch(r"(.*) \((.*)\)", heading).groups()
        ends = count(
            trip
            for trip in everything[dataset, month]
            if trip.dropoff_location_id == zones[airport]
        )
        assert is_average(cell, ends / len(days_of(parse_month(month))))
    for (who, month), cell in months_in(history["apps"]).items():
        companies = Counter(
            trip.company or ("taxis" if dataset in ("yellow", "green") else "others")
            for (dataset, m), trips in everything.items()
            for trip in trips
            if m == month and not trip.is_reversal
        )
        assert number(cell) == pytest.approx(companies[who] / companies.total() * 100, rel=1e-4)


# ---- The explorer --------------------------------------------------------------------------------


def test_the_explorer_joins_no_months_over_a_gap(read, rides):
    window = Window()
    found = window.days("green", "2022-01", "2022-03", [])
    trips = Counter(t.pickup.date() for t in rides("2022-01:2022-03")["green"] if not t.is_outside)
    days = days_in("green", "2022-01:2022-03")
    assert [(one["day"][:10], one["trips"]) for one in found] == [
        (str(day), trips[day]) for day in days
    ]
    runs = [
        [one["run"] for one in found if one["day"][:7] == month] for month in ("2022-01", "2022-03")
    ]
    assert len({*runs[0]}) == len({*runs[1]}) == 1
    assert runs[0][0] != runs[1][0]
    assert window.days("green", "2019-01", "2019-03", [1]) == []


WRITING = {
    "alone": "create table public.theirs (n int)",
    "after another": "select 1; create table public.theirs (n int)",
    "after a setting": "set transaction_read_only = off; create table public.theirs (n int)",
    "after the end": "rollback; create table public.theirs (n int)",
    "by a setting in a query": "select set_config('transaction_read_only', 'off', false)",
    "in a query": "with gone as (delete from {marts}.month_quality returning *) select * from gone",
}


@pytest.mark.parametrize("query", WRITING.values(), ids=WRITING)
def test_a_question_to_the_explorer_only_reads(read, warehouse, query):
    window = Window()
    count = f"select count(*) as n from {warehouse.tlc}_marts.month_quality;"
    before, _ = window.ask(count)
    assert before[0]["n"] > 0
    rows, problem = window.ask(query.format(marts=f"{warehouse.tlc}_marts"))
    assert (rows, bool(problem)) == ([], True)
    assert window.ask(count) == (before, "")
    assert warehouse.query("select to_regclass('public.theirs')") == [(None,)]
    rows, _ = window.ask(
        "select n, '{}' as braces, '100 %' as percent from generate_series(1, 5001) n"
    )
    assert (len(rows), rows[-1]) == (5000, {"n": 5000, "braces": "{}", "percent": "100 %"})


# ---- The analyses --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answers(warehouse) -> dict[str, list[dict]]:
    """What the analyses answer, by name."""
    succeeded(warehouse.dbt("run", "--select", "dates"))
    succeeded(warehouse.dbt("compile", "--select", "path:analyses"))
    folder = Path(warehouse.env["DBT_TARGET_PATH"]) / "compiled" / "nyc_tlc" / "analyses"
    return {path.stem: rows_by_name(warehouse, path.read_text()) for path in folder.glob("*.sql")}


@pytest.fixture(scope="module")
def marts(files, rides) -> list[Trip]:
    """The trips that the marts count; also those of old marts."""
    found = trips_of(files, "green", "2023-02")
    for dataset, months in COUNTING.items():
        for month in months:
            found += rides(month, with_reversals=True)[dataset]
    return found


@pytest.fixture
def compare(answers):
    """Compares an analysis with what is counted of trips, in groups of at least so many."""

    def compare_analysis(name, trips, place, least=0, /, near=1e-3, **counted) -> None:
        groups = groups_of(trips, place)
        large = {group: own for group, own in groups.items() if count(own) >= least}
        assert_counted(answers[name], place, large, counted, near)

    return compare_analysis


#: Of pairs with a hundred trips, and zones with a thousand: no generated month has them.
BUSY = ("longest_rides", "tips_by_zone")


def test_each_analysis_has_an_answer_after_the_readme_s_month(answers):
    assert len(answers) == 16
    for name, rows in answers.items():
        shown = {str(row.get("file_month") or row.get("year_number") or "2023") for row in rows}
        if name == "longest_waits" or (name in BUSY and not DATA_DIR):
            continue  # apps alone say when a car was requested
        assert any(row["dataset"] == "green" for row in rows), name
        assert any(one.startswith("2023") for one in shown), name


def test_airports(answers, marts):
    starts = groups_of(marts, "dataset file_month pickup_location_id hour_of_day")
    ends = groups_of(marts, "dataset file_month dropoff_location_id dropoff_hour")
    found = {
        tuple(row[name] for name in ("dataset", "file_month", "location_id", "hour_of_day")): row
        for row in answers["airports"]
    }
    assert found.keys() == {place for place in {*starts, *ends} if place[2] in AIRPORTS}
    for place, row in found.items():
        assert row["trips_from"] == count(starts.get(place, []))
        assert row["trips_to"] == count(ends.get(place, []))


def share_within(trips: list[Trip], *names: str):
    """Count the share of trips in all that have the same attributes."""
    everything = groups_of(trips, " ".join(names))
    return lambda own: ratio(
        count(own), count(everything[tuple(getattr(own[0], name) for name in names)]), 100
    )


def test_share_of_apps(compare, marts):
    share = share_within(marts, "file_month")
    place = "dataset file_month company"
    compare("share_of_apps", marts, place, trips_a_day=a_day, share_percent=share)


def test_recovery(compare, marts):
    months = groups_of(marts, "dataset file_month")

    def of_2019(trips: list[Trip]) -> float | None:
        before = trips[0].dataset, trips[0].file_month.replace(year=2019)
        return ratio(count(trips), count(months.get(before, [])), 100)

    since = [trip for trip in marts if trip.file_month.year >= 2020]
    counted = {"trips_a_day": a_day, "percent_of_2019": of_2019}
    compare("recovery", since, "dataset file_month", **counted)


def of_fares(trips: list[Trip]) -> list[Trip]:
    """Leave out the trips whose files have no fares."""
    return [trip for trip in trips if trip.dataset != "fhv"]


def test_tips_by_payment_and_hour(compare, marts):
    place = "dataset payment_type_name hour_of_day"
    compare("tips_by_hour", of_fares(marts), place, trips=count, tip_percent=tip_share)


def test_speed_in_manhattan(compare, marts):
    timed = [t for t in marts if t.is_timed and t.pickup_borough == "Manhattan"]
    place = "dataset year_number hour_of_day"
    compare("speed_in_manhattan", timed, place, trips=count, miles_an_hour=speed)


def test_borough_shifts(compare, marts):
    known = [trip for trip in marts if trip.is_borough_known]
    share = share_within(known, "dataset", "file_month")
    place = "dataset file_month pickup_borough"
    compare("borough_shifts", known, place, trips=count, share_percent=share)


def test_longest_waits(compare, marts):
    waited = [trip for trip in marts if trip.has_waited and trip.pickup_location_id < 264]
    compare(
        *("longest_waits", waited, "file_month company zone_name", 100),
        trips=count,
        minutes_waited=lambda trips: ratio(sum_of("waited")(trips), len(trips)),
    )


def test_price_of_a_mile(compare, marts):
    compare(
        *("price_of_a_mile", of_fares(marts), "dataset file_month company"),
        dollars_a_mile=a_mile,
        fare_a_mile=lambda trips: ratio(total(trips, "fare_amount"), sum_of("miles")(trips)),
        driver_percent_of_fare=lambda trips: ratio(
            total(trips, "driver_pay"), total(trips, "fare_amount"), 100
        ),
    )


def test_night_and_day(compare, marts):
    compare(
        *("night_and_day", marts, "dataset file_month is_night"),
        trips=count,
        dollars_a_trip=a_trip,
        miles_a_trip=lambda trips: ratio(sum_of("miles")(trips), count(trips)),
        miles_an_hour=speed,
    )


def test_busiest_zones(answers, marts):
    zones = groups_of(marts, "dataset pickup_location_id")
    for dataset in COUNTING:
        found = [row["trips"] for row in answers["busiest_zones"] if row["dataset"] == dataset]
        own = [
            count(trips)
            for (name, zone), trips in zones.items()
            if name == dataset and zone not in UNKNOWN
        ]
        assert found == sorted(own, reverse=True)


def test_cash_and_card(compare, marts):
    place = "dataset file_month payment_type_name"
    compare("cash_and_card", marts, place, trips=count, p50_fare=percentile_of("fare", 0.5))


def test_holidays(answers, marts):
    trips = Counter(
        (t.dataset, t.pickup.date()) for t in marts if not t.is_outside and not t.is_reversal
    )
    rows = {
        (row["dataset"], f"{row['file_month']:%Y-%m}", row["holiday_name"]): row["trips_a_day"]
        for row in answers["holidays"]
    }

    def a_weekday(dataset: str, month: str, *holidays: dt.date) -> float:
        days = [d for d in days_of(parse_month(month)) if d.weekday() < 5 and d not in holidays]
        return pytest.approx(sum(trips[dataset, day] for day in days) / len(days))

    king = dt.date(2023, 1, 16)
    assert ("green", "2023-01", "New Year's Day") not in rows  # a Sunday
    assert rows["green", "2023-01", "Martin Luther King Jr. Day"] == trips["green", king]
    assert float(rows["green", "2023-01", None]) == a_weekday("green", "2023-01", king)
    for dataset in ("yellow", "fhv", "fhvhv"):
        assert float(rows[dataset, "2020-04", None]) == a_weekday(dataset, "2020-04")
    veterans, thanks = dt.date(2021, 11, 11), dt.date(2021, 11, 25)
    without_decembers_strays = a_weekday("yellow", "2021-11", veterans, thanks)
    assert float(rows["yellow", "2021-11", None]) == without_decembers_strays
    assert rows["yellow", "2021-11", "Thanksgiving"] == trips["yellow", thanks]
    assert rows["green", "2019-05", None] == 0  # strays alone


def test_longest_rides(compare, marts):
    known = [trip for trip in marts if not trip.is_unknown_zone]
    compare(
        *("longest_rides", known, "dataset file_month pickup_location_id dropoff_location_id", 100),
        trips=count,
        median_minutes=percentile_of("minutes", 0.5),
        median_mph=percentile_of("mph", 0.5),
    )


def test_tips_by_zone(answers, marts):
    tipped = groups_of([t for t in marts if t.is_tip_known], "dataset pickup_location_id")
    large = {
        (dataset, trips[0].zone_name): trips
        for (dataset, _), trips in tipped.items()
        if count(trips) >= 1000
    }
    wanted = {"tip_percent": tip_share}
    assert_counted(answers["tips_by_zone"], "dataset zone_name", large, wanted, near=1e-3)


def test_trust(compare, marts):
    compare(
        *("trust", marts, "dataset file_month"),
        near=1e-9,
        reversal_share=lambda trips: number_of("is_reversal")(trips) / len(trips),
        null_block_share=lambda trips: number_of("is_in_null_block")(trips) / len(trips),
        rows_changed_since=lambda trips: 0,
    )


def test_congestion_pricing(compare, marts):
    def days(trips: list[Trip]) -> int:
        return len(days_of(trips[0].file_month)) - 4

    compare(
        *("congestion_pricing", [t for t in marts if t.pickup.day >= 5], "dataset file_month"),
        trips_a_day=lambda trips: count(trips) / days(trips),
        fees_a_day=lambda trips: ratio(total(trips, "cbd_congestion_fee"), days(trips)),
        percent_that_paid=lambda trips: ratio(number_of("has_paid_fee")(trips), count(trips), 100),
        miles_an_hour=speed,
    )
