"""The page of all history: every dataset since its first month, from the marts of months."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import itemgetter
from typing import Any

from loader.calendar import Month, days_of, format_month, month_number, name_months
from loader.datasets import Kind, datasets, get_dataset
from loader.errors import WarehouseError
from loader.report.coverage import read_coverage
from loader.report.numbers import AIRPORTS, LEAST_TRIPS, Rows, is_app, read_rows, sums_of, tips_by
from loader.report.pictures import HOURS, Line, Panel, Picture, Scale, heat, over_hours, panels
from loader.report.section import Card, Section, table_of
from loader.report.words import (
    axis_percentage,
    dollars,
    few,
    listed,
    name,
    percentage,
    sentences,
    share,
    whole,
)
from loader.terminal import words
from loader.terminal.commands import nyc_tlc
from loader.warehouse.base import Warehouse

#: What changed the trips, by the month in which it began.
EVENTS = {
    dt.date(2019, 2, 1): "surcharge of 2019",
    dt.date(2020, 3, 1): "pandemic",
    dt.date(2025, 1, 1): "fee of 2025",
}
_BOROUGHS = ("Manhattan", "Brooklyn", "Queens", "Bronx", "Staten Island")
#: The recovery is told against this year.
_YEAR_BEFORE = 2019
_mph = "{:.1f} miles an hour".format
_COLUMNS = (
    *("trips", "fee_trips", "miles", "timed_trips", "timed_miles", "timed_minutes"),
    *("waited_trips", "waiting_minutes", "fare_amount", "tip_amount", "total_amount"),
)

#: Values by month, for each line.
Series = dict[str, dict[dt.date, float]]


@dataclass(frozen=True)
class History:
    """All numbers of the page.

    Attributes:
        months: sums by dataset, file month and company.
        tips: fares, tips and trips whose tip is recorded, by dataset and month, and by hour.
        boroughs: trips by dataset, month and known borough of pickup.
        hours: speeds in Manhattan by dataset, year and hour of the day.
        nights: trips by dataset and month, from 20:00 to 6:00.
        medians: median fare of all payments, by dataset and month.
        airports: trips that end at the airports, by dataset, month and zone.
        lacking: months whose file has fewer trips than TLC counted, with the difference.
        unbuilt: merged months with rows that this version's marts don't count.
    """

    months: Rows
    tips: Rows
    boroughs: Rows
    hours: Rows
    nights: Rows
    medians: Rows
    airports: Rows
    lacking: Rows
    unbuilt: list[Month]

    @property
    def datasets(self) -> list[str]:
        """The datasets that have a month."""
        return sorted({row["dataset"] for row in self.months})

    @property
    def months_there(self) -> list[Month]:
        """The months that are shown."""
        return sorted({Month(row["dataset"], row["file_month"]) for row in self.months})

    @property
    def notes(self) -> list[str]:
        """What the page lacks, with the command for it."""
        if not self.unbuilt:
            return []
        by_dataset = [
            name_months(month for month in self.unbuilt if month.dataset == dataset)
            for dataset in sorted({month.dataset for month in self.unbuilt})
        ]
        verb = "lacks" if len(self.unbuilt) == 1 else "lack"
        months = words.count(len(self.unbuilt), "month")
        said = f"{months} {verb} the marts of this version"
        return [f"{said}: {nyc_tlc('marts')} ({'; '.join(by_dataset)})"]

    @cached_property
    def trips_a_day(self) -> Series:
        """Mean trips a day, by dataset and month."""
        return {
            dataset: {month: trips / len(days_of(month)) for month, trips in own.items()}
            for dataset, own in self.sums("trips").items()
        }

    def sums(self, column: str) -> Series:
        """Return sums by dataset and month, without the months that have none."""
        found: Series = {dataset: {} for dataset in self.datasets}
        for row in self.months:
            if row[column] is not None:
                own = found[row["dataset"]]
                own[row["file_month"]] = own.get(row["file_month"], 0) + row[column]
        return found


def read_history(warehouse: Warehouse) -> History:
    """Read the numbers of all months.

    Raises:
        WarehouseError: when no month has marts of this version.
    """
    read = partial(read_rows, warehouse)
    covered = read_coverage(warehouse, dt.date.min, dt.date.max)
    here = covered.condition({month for _, month in covered.counting}, datasets())
    monthly = f"from {{marts}}.monthly_trips where {here}"
    sums = sums_of(*_COLUMNS)
    months = read(f"select dataset, file_month, company, {sums} {monthly} group by 1, 2, 3")
    if not months:
        raise WarehouseError(f"no month has marts of this version; build them: {nyc_tlc('marts')}")
    counted = {Month(row["dataset"], row["file_month"]) for row in months}
    places = ", ".join(map(str, AIRPORTS))
    apps = ", ".join(f"'{dataset}'" for dataset in datasets() if is_app(dataset))
    return History(
        months=months,
        tips=read(
            "select dataset, file_month, hour_of_day,"
            f" {sums_of('trips', 'fare_amount', 'tip_amount')} {monthly}"
            f" and (payment_type = 1 or dataset in ({apps})) and tip_amount is not null"
            " group by 1, 2, 3"
        ),
        boroughs=read(
            f"select dataset, file_month, pickup_borough, sum(trips) as trips {monthly}"
            " and pickup_borough not in ('Unknown', 'N/A') group by 1, 2, 3"
        ),
        hours=read(
            "select dataset, extract(year from file_month) as year_number, hour_of_day,"
            f" {sums_of('timed_trips', 'timed_miles', 'timed_minutes')} {monthly}"
            " and pickup_borough = 'Manhattan' group by 1, 2, 3"
        ),
        nights=read(
            f"select dataset, file_month, sum(trips) as trips {monthly}"
            " and (hour_of_day < 6 or hour_of_day >= 20) group by 1, 2"
        ),
        medians=read(
            "select dataset, file_month, max(month_p50_fare) as fare"
            f" from {{marts}}.monthly_fares where {here} group by 1, 2"
        ),
        airports=read(
            "select dataset, file_month, dropoff_location_id, sum(trips) as trips"
            f" from {{marts}}.dropoff_hours where {here} and dropoff_location_id in ({places})"
            " group by 1, 2, 3"
        ),
        lacking=read(
            "select dataset, file_month, official_trips, official_difference"
            f" from {{marts}}.month_quality where {here} and official_verdict = 'file lacks'"
            " order by file_month, dataset"
        ),
        unbuilt=[
            one.month
            for one in covered.states
            if one.merged and one.merged.table_rows and one.month not in counted
        ],
    )


def history_sections(history: History) -> Iterator[Section]:
    """Make the parts of the page, in their order."""
    yield _headline(history)
    trips = history.trips_a_day
    lacking = sorted({row["file_month"] for row in history.lacking})
    everything = _lines(
        "trips",
        "Trips a day",
        sentences(
            *(_peak(dataset, own) for dataset, own in trips.items()),
            "months whose files lack trips, by TLC's own count, are shaded" if lacking else "",
        ),
        [("all services, trips a day, by month", trips)],
        whole,
        shades=lacking,
        height=240,
    )
    parts = [_apps, _recovery, _prices, _mile, _tips, _speed, _manhattan, _boroughs, _nights]
    parts += [_airports, _fee, _waits, _lacking]
    yield from filter(None, [everything, *(part(history) for part in parts)])


def _headline(history: History) -> Section:
    trips, paid = history.sums("trips"), history.sums("total_amount")
    months = sorted({row["file_month"] for row in history.months})
    cards, rows = [], []
    total = 0.0
    for dataset, days in history.trips_a_day.items():
        first, last, best = min(days), max(days), max(days, key=days.__getitem__)
        in_all, charged = (sum(sums[dataset].values()) for sums in (trips, paid))
        total += in_all
        numbers = [
            ("trips", _short(in_all), [_span(first, last)]),
            (f"a day in {last:%B %Y}", whole(days[last]), []),
            (f"most a day: {best:%B %Y}", whole(days[best]), []),
        ]
        if charged:
            numbers.append(("paid by passengers", f"${_short(charged)}", []))
        cards.append(Card(dataset, name(dataset), numbers))
        rows.append(
            [
                *(dataset, str(len(days)), format_month(first), format_month(last)),
                *(whole(in_all), whole(days[last]), format_month(best), whole(days[best])),
                dollars(charged, cents=False) if charged else "",
            ]
        )
    return Section(
        "headline",
        "At a glance",
        sentences(
            f"{whole(total)} trips, {_span(months[0], months[-1])}: how New York"
            " moved from street hails to apps, stood still in 2020, and began to pay for its"
            " congestion",
            "each number is of the months that are in this warehouse",
        ),
        [
            *("dataset", "months", "first", "last", "trips", "a day in the last"),
            *("most in", "a day then", "paid"),
        ],
        rows,
        cards=cards,
    )


def _peak(dataset: str, days: dict[dt.date, float]) -> str:
    best = max(days, key=days.__getitem__)
    return f"{name(dataset)} had most in {best:%B %Y}: {whole(days[best])} a day"


def _apps(history: History) -> Section | None:
    """Show who has which share of all trips, by month."""
    total: Counter[dt.date] = Counter()
    sums: dict[str, Counter[dt.date]] = defaultdict(Counter)
    colours: dict[str, str] = {}  # of a company that was in several datasets, the newest one's
    for row in sorted(history.months, key=itemgetter("file_month")):
        is_taxi = get_dataset(row["dataset"]).kind == Kind.TAXI
        who = row["company"] or ("taxis" if is_taxi else "others")
        colours[who] = "all" if is_taxi else row["dataset"]
        sums[who][row["file_month"]] += row["trips"]
        total[row["file_month"]] += row["trips"]
    shares = {
        who: {month: trips / total[month] * 100 for month, trips in own.items() if total[month]}
        for who, own in sorted(sums.items(), key=lambda item: -item[1].total())
    }
    if len(shares) < 2:
        return None
    last = max(total)
    now = [f"{who} had {share(own[last], 100)}" for who, own in shares.items() if last in own]
    return _lines(
        "apps",
        "Taxis and apps",
        sentences(
            f"in {last:%B %Y}, {listed(now)} of the trips in this warehouse",
            "apps are told by licence and base; others are car services of no known company",
        ),
        [
            (f"{who}, % of all trips", {colours[who]: own})
            for who, own in shares.items()
            if max(own.values()) >= 1
        ],
        axis_percentage,
        is_compared=True,
    )


def _recovery(history: History) -> Section | None:
    """Compare each month since 2020 with the same month of 2019."""
    found: Series = {}
    said = []
    for dataset, trips in history.sums("trips").items():
        own = found[dataset] = {
            month: count / before * 100
            for month, count in trips.items()
            if month.year > _YEAR_BEFORE
            if (before := trips.get(month.replace(year=_YEAR_BEFORE)))
        }
        if own:
            worst, last = min(own, key=own.__getitem__), max(own)
            said.append(
                f"{name(dataset)} fell to {share(own[worst], 100)} in {worst:%B %Y}, and had"
                f" {share(own[last], 100)} in {last:%B %Y}"
            )
    return _lines(
        "recovery",
        "Recovery after 2020",
        sentences(*said, "of the trips of the same month of 2019"),
        [(f"{name(dataset)}, % of 2019", {dataset: own}) for dataset, own in found.items()],
        axis_percentage,
        is_compared=True,
    )


def _prices(history: History) -> Section | None:
    paid = _ratios(history, "total_amount", "trips")
    medians = _series(history.medians, itemgetter("fare"))
    return _lines(
        "prices",
        "What a passenger pays",
        sentences(*_now(paid, dollars), "the mean of all that is paid, and the median fare"),
        [("mean of a trip, with all fees and tips", paid), ("median fare", medians)],
        "${:g}".format,
        dollars,
        is_compared=True,
    )


def _mile(history: History) -> Section | None:
    miles = _ratios(history, "total_amount", "miles")
    what = "dollars a mile, with all fees and tips"
    return _measure("mile", "What a mile costs", what, miles, "${:g}".format, dollars)


def _tips(history: History) -> Section | None:
    """Show tips by month, and by hour of all months."""
    by_month, by_hour = (
        tips_by(history.tips, itemgetter(place), least=LEAST_TRIPS)
        for place in ("file_month", "hour_of_day")
    )
    hours = over_hours(
        "tip in % of the fare, by hour of all months",
        [Line(dataset, own, dataset) for dataset, own in by_hour.items()],
        axis_percentage,
        max((tip for own in by_hour.values() for tip in own.values()), default=0.0),
        percentage,
    )
    return _lines(
        "tips",
        "Tips",
        sentences(
            *_now(by_month, percentage),
            "tips are of taxi trips by card and all trips of apps: tips in cash are in no file",
        ),
        [("tip in % of the fare, by month", by_month)],
        axis_percentage,
        percentage,
        more=[hours] if by_hour else [],
    )


def _speed(history: History) -> Section | None:
    speeds = _ratios(history, "timed_miles", "timed_minutes", least="timed_trips", times=60)
    return _lines(
        "speed",
        "Speed",
        sentences(*_now(speeds, _mph), "of plausible rides: 1 minute to 3 hours"),
        [("miles an hour", speeds)],
        whole,
        few,
    )


def _manhattan(history: History) -> Section | None:
    """Show speeds in Manhattan by hour of the day and year."""
    speeds: dict[str, dict[tuple[int, int], float]] = defaultdict(dict)
    for row in history.hours:
        if row["hour_of_day"] is not None and (row["timed_trips"] or 0) >= LEAST_TRIPS:
            value = row["timed_miles"] / row["timed_minutes"] * 60
            speeds[row["dataset"]][int(row["year_number"]), row["hour_of_day"]] = value
    if not speeds:
        return None
    speeds = dict(sorted(speeds.items()))
    years = {dataset: sorted({year for year, _ in own}) for dataset, own in speeds.items()}
    scale = Scale.of(value for own in speeds.values() for value in own.values())

    def draw_one(dataset: str, width: int) -> Picture:
        cells = {
            (years[dataset].index(year), hour): (
                scale.colour(value),
                f"{year}, {hour}:00: {_mph(value)}",
            )
            for (year, hour), value in speeds[dataset].items()
        }
        title, legend = f"{name(dataset)}, miles an hour", scale.legend("{:.1f}".format)
        return heat(title, HOURS, list(map(str, years[dataset])), cells, width, legend)

    return Section(
        "manhattan",
        "Speed in Manhattan, by hour and year",
        sentences(
            "trips that begin in Manhattan",
            *(
                f"{name(dataset)} are slowest at {hour}:00 ({_mph(own[year, hour])} in {year})"
                for dataset, own in speeds.items()
                for year, hour in [min(own, key=own.__getitem__)]
            ),
        ),
        ["dataset", "year", *map("{}:00".format, range(24))],
        [
            [
                *(dataset, str(year)),
                *(f"{own[year, h]:.1f}" if (year, h) in own else "" for h in range(24)),
            ]
            for dataset, own in speeds.items()
            for year in years[dataset]
        ],
        partial(panels, [partial(draw_one, dataset) for dataset in speeds], columns=2),
    )


def _boroughs(history: History) -> Section | None:
    total: Counter[tuple[str, dt.date]] = Counter()
    for row in history.boroughs:
        total[row["dataset"], row["file_month"]] += row["trips"]

    def percent_of(row: dict[str, Any]) -> float | None:
        of = total[row["dataset"], row["file_month"]]
        return row["trips"] / of * 100 if of else None

    shares = {
        borough: _series(history.boroughs, percent_of, pickup_borough=borough)
        for borough in _BOROUGHS
    }
    return _lines(
        "boroughs",
        "Shifts between boroughs",
        sentences(
            "where trips begin, of those with a known borough",
            *(
                f"of {name(dataset)}, {share(own[first], 100)} began in Manhattan in"
                f" {first:%B %Y}, and {share(own[last], 100)} in {last:%B %Y}"
                for dataset, own in shares["Manhattan"].items()
                if (first := min(own)) != (last := max(own))
            ),
        ),
        [(f"{borough}, % of the trips", own) for borough, own in shares.items()],
        axis_percentage,
        is_compared=True,
    )


def _nights(history: History) -> Section | None:
    trips = history.sums("trips")

    def percent_of(row: dict[str, Any]) -> float | None:
        of = trips[row["dataset"]].get(row["file_month"], 0)
        return row["trips"] / of * 100 if of >= LEAST_TRIPS else None

    nights = _series(history.nights, percent_of)
    what, note = "% of the trips that begin at night", "trips that begin from 20:00 to 6:00"
    return _measure("nights", "Night and day", what, nights, axis_percentage, percentage, note)


def _airports(history: History) -> Section | None:
    def a_day(row: dict[str, Any]) -> float:
        return row["trips"] / len(days_of(row["file_month"]))

    return _lines(
        "airports",
        "To the airports",
        "Trips a day that end there.",
        [
            (f"{airport}, trips a day", _series(history.airports, a_day, dropoff_location_id=zone))
            for zone, airport in AIRPORTS.items()
        ],
        whole,
        few,
        is_compared=True,
    )


def _fee(history: History) -> Section | None:
    paid = {
        dataset: {month: value for month, value in own.items() if value > 0}
        for dataset, own in _ratios(history, "fee_trips", "trips", times=100).items()
    }
    title, what = "The congestion fee of 2025", "% of the trips that paid the fee"
    note = "trips that paid the fee of the congestion zone"
    return _measure("fee", title, what, paid, axis_percentage, percentage, note)


def _waits(history: History) -> Section | None:
    def minutes(row: dict[str, Any]) -> float | None:
        is_shown = (row["waited_trips"] or 0) >= LEAST_TRIPS
        return row["waiting_minutes"] / row["waited_trips"] if is_shown else None

    return _lines(
        "waits",
        "Waiting for an app's car",
        sentences("from request to pickup, mean minutes"),
        [
            (f"{company}, minutes", _series(history.months, minutes, company=company))
            for company in sorted({row["company"] for row in history.months if row["company"]})
        ],
        whole,
        few,
        is_compared=True,
    )


def _lacking(history: History) -> Section | None:
    if not history.lacking:
        return None
    return Section(
        "lacking",
        "Months whose files lack trips",
        sentences(
            f"by TLC's own count, {words.count(len(history.lacking), 'file')} lack"
            f"{'s' if len(history.lacking) == 1 else ''} trips: what is shown of these months is"
            " too low"
        ),
        ["dataset", "month", "TLC counted", "the file has fewer"],
        [
            [
                row["dataset"],
                format_month(row["file_month"]),
                whole(row["official_trips"]),
                whole(-row["official_difference"]),
            ]
            for row in history.lacking
        ],
        is_folded=len(history.lacking) > 12,
    )


def _measure(
    section: str,
    title: str,
    what: str,
    shown: Series,
    write: Callable[[float], str],
    tell: Callable[[float], str],
    note: str = "",
) -> Section | None:
    """Make a section of one panel, whose sentences say its first and its last values."""
    said = sentences(*_now(shown, tell), note)
    return _lines(section, title, said, [(what, shown)], write, tell)


def _lines(
    section: str,
    title: str,
    sentence: str,
    shown: Sequence[tuple[str, Series]],
    write: Callable[[float], str],
    tell: Callable[[float], str] | None = None,
    *,
    is_compared: bool = False,
    shades: Sequence[dt.date] = (),
    height: int = 120,
    more: Sequence[Panel] = (),
) -> Section | None:
    """Make a section of panels over months; None without a value.

    Args:
        shown: titles of panels, with values by the class of their line, and month.
        write: writes a value on the axis.
        tell: writes a value in the table and in tooltips; None: as `write`.
        is_compared: the panels have the same scale.
        shades: months with a grey ground.
        more: further panels.
    """
    shown = [(what, {one: own for one, own in lines.items() if own}) for what, lines in shown]
    shown = [(what, lines) for what, lines in shown if lines]
    if not shown:
        return None
    columns: Series = {}
    for what, lines in shown:
        panel = what.partition(",")[0]
        for one, own in lines.items():
            heading = panel if len(lines) == 1 else f"{panel} ({one})"
            columns[heading if len(shown) > 1 else one] = own
    months = sorted({month for own in columns.values() for month in own})
    first, last = month_number(months[0]), month_number(months[-1])
    years = {12 * year: str(year) for year in range(months[0].year, months[-1].year + 1)}
    ticks = {p: text for p, text in years.items() if p >= first} or {first: format_month(months[0])}
    tops = [max(max(own.values()) for own in lines.values()) for _, lines in shown]
    drawn = [
        Panel(
            what,
            [
                Line(one, {month_number(month): value for month, value in own.items()}, one)
                for one, own in lines.items()
            ],
            (first, last),
            ticks,
            lambda place: f"{dt.date(place // 12, place % 12 + 1, 1):%B %Y}",
            write,
            max(tops) if is_compared else top,
            tell,
            shades=[month_number(one) for one in shades if months[0] <= one <= months[-1]],
            notes={
                month_number(month): event
                for month, event in EVENTS.items()
                if len(shown) == 1 and months[0] < month <= months[-1]
            },
            height=height,
        )
        for (what, lines), top in zip(shown, tops, strict=True)
    ]
    drawn += more
    return Section(
        section,
        title,
        sentence,
        *table_of("month", columns, months, format_month, tell or write),
        partial(panels, [one.draw for one in drawn], columns=min(len(drawn), 2)),
    )


def _series(rows: Rows, value: Callable[[dict[str, Any]], float | None], **where: object) -> Series:
    """Return a value by dataset and month, where there is one, of rows with such columns."""
    found: Series = {}
    for row in rows:
        if where.items() <= row.items() and (own := value(row)) is not None:
            found.setdefault(row["dataset"], {})[row["file_month"]] = own
    return dict(sorted(found.items()))


def _ratios(history: History, part: str, of: str, least: str = "trips", times: int = 1) -> Series:
    """Divide sums by dataset and month, where there are enough trips."""
    parts, wholes, counts = history.sums(part), history.sums(of), history.sums(least)
    return {
        dataset: {
            month: value / wholes[dataset][month] * times
            for month, value in own.items()
            if wholes[dataset].get(month, 0) > 0 and counts[dataset][month] >= LEAST_TRIPS
        }
        for dataset, own in parts.items()
    }


def _now(series: Series, write: Callable[[float], str]) -> list[str]:
    """Say what the first and the last month of each line have."""
    said = []
    for dataset, own in sorted(series.items()):
        if own:
            first, last = min(own), max(own)
            began = f"{write(own[first])} in {first:%B %Y}, " if first != last else ""
            said.append(f"{name(dataset)}: {began}{write(own[last])} in {last:%B %Y}")
    return said


def _span(first: dt.date, last: dt.date) -> str:
    return f"{first:%B %Y}" if first == last else f"{first:%B %Y} to {last:%B %Y}"


def _short(value: float) -> str:
    """Write a large number in a few characters."""
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.3g} {word}"
    return whole(value)
