"""The page of all history: every dataset since its first month, from the marts of months."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

from loader.calendar import Month, days_of, format_month, month_number, name_runs
from loader.datasets import Kind, datasets, get_dataset
from loader.errors import WarehouseError
from loader.report.coverage import read_coverage
from loader.report.numbers import AIRPORTS, Rows, is_app, read_rows
from loader.report.pictures import Line, Panel, Picture, Scale, heat, panels
from loader.report.section import Card, Section
from loader.report.words import dollars, few, listed, name, sentences, share, whole
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
#: A month or an hour is drawn from so many trips on: below, an average is chance.
_LEAST_TRIPS = 100
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
            f"{dataset} {name_runs([m for d, m in self.unbuilt if d == dataset])}"
            for dataset in sorted({dataset for dataset, _ in self.unbuilt})
        ]
        verb = "lacks" if len(self.unbuilt) == 1 else "lack"
        months = words.count(len(self.unbuilt), "month")
        said = f"{months} {verb} the marts of this version"
        return [f"{said}: {nyc_tlc('marts')} ({'; '.join(by_dataset)})"]

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
    sums = ", ".join(f"sum({column}) as {column}" for column in _COLUMNS)
    months = read(f"select dataset, file_month, company, {sums} {monthly} group by 1, 2, 3")
    if not months:
        raise WarehouseError(f"no month has marts of this version; build them: {nyc_tlc('marts')}")
    counted = {Month(row["dataset"], row["file_month"]) for row in months}
    places = ", ".join(map(str, AIRPORTS))
    apps = ", ".join(f"'{dataset}'" for dataset in datasets() if is_app(dataset))
    return History(
        months=months,
        tips=read(
            "select dataset, file_month, hour_of_day, sum(trips) as trips,"
            f" sum(fare_amount) as fare_amount, sum(tip_amount) as tip_amount {monthly}"
            f" and (payment_type = 1 or dataset in ({apps})) and tip_amount is not null"
            " group by 1, 2, 3"
        ),
        boroughs=read(
            f"select dataset, file_month, pickup_borough, sum(trips) as trips {monthly}"
            " and pickup_borough not in ('Unknown', 'N/A') group by 1, 2, 3"
        ),
        hours=read(
            "select dataset, extract(year from file_month) as year_number, hour_of_day,"
            " sum(timed_trips) as timed_trips, sum(timed_miles) as timed_miles,"
            f" sum(timed_minutes) as timed_minutes {monthly}"
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
    trips = {
        dataset: {month: count / len(days_of(month)) for month, count in own.items()}
        for dataset, own in history.sums("trips").items()
    }
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
    if everything:
        yield everything
    parts = [_apps, _recovery, _prices, _mile, _tips, _speed, _manhattan, _boroughs, _nights]
    parts += [_airports, _fee, _waits, _lacking]
    yield from filter(None, (part(history) for part in parts))


def _headline(history: History) -> Section:
    trips, paid = history.sums("trips"), history.sums("total_amount")
    total = sum(sum(own.values()) for own in trips.values())
    months = sorted({row["file_month"] for row in history.months})
    cards, rows = [], []
    for dataset, own in trips.items():
        days = {month: count / len(days_of(month)) for month, count in own.items()}
        last, best = max(own), max(days, key=lambda month: days[month])
        numbers = [
            ("trips", _short(sum(own.values())), [_span(min(own), last)]),
            (f"a day in {last:%B %Y}", whole(days[last]), []),
            (f"most a day: {best:%B %Y}", whole(days[best]), []),
        ]
        charged = sum(paid[dataset].values())
        if charged:
            numbers.append(("paid by passengers", f"${_short(charged)}", []))
        cards.append(Card(dataset, name(dataset), numbers))
        rows.append(
            [
                *(dataset, str(len(own)), format_month(min(own)), format_month(last)),
                *(whole(sum(own.values())), whole(days[last])),
                *(format_month(best), whole(days[best])),
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
    best = max(days, key=lambda month: days[month])
    return f"{name(dataset)} had most in {best:%B %Y}: {whole(days[best])} a day"


def _apps(history: History) -> Section | None:
    """Show who has which share of all trips, by month."""
    total: dict[dt.date, float] = defaultdict(float)
    sums: Series = defaultdict(lambda: defaultdict(float))
    colours: dict[str, str] = {}  # of a company that was in several datasets, the newest one's
    for row in sorted(history.months, key=itemgetter("file_month")):
        is_taxi = get_dataset(row["dataset"]).kind == Kind.TAXI
        who = row["company"] or ("taxis" if is_taxi else "others")
        colours[who] = "all" if is_taxi else row["dataset"]
        sums[who][row["file_month"]] += row["trips"]
        total[row["file_month"]] += row["trips"]
    shares = {
        who: {month: trips / total[month] * 100 for month, trips in own.items() if total[month]}
        for who, own in sorted(sums.items(), key=lambda item: -sum(item[1].values()))
    }
    if len(shares) < 2:
        return None
    last = max(total)
    now = {who: own[last] for who, own in shares.items() if last in own}
    return _lines(
        "apps",
        "Taxis and apps",
        sentences(
            f"in {last:%B %Y}, {listed([f'{w} had {share(part, 100)}' for w, part in now.items()])}"
            " of the trips in this warehouse",
            "apps are told by licence and base; others are car services of no known company",
        ),
        [
            (f"{who}, % of all trips", {colours[who]: own})
            for who, own in shares.items()
            if max(own.values()) >= 1
        ],
        _percent,
        is_compared=True,
    )


def _recovery(history: History) -> Section | None:
    """Compare each month since 2020 with the same month of 2019."""
    found: Series = {}
    for dataset, own in history.sums("trips").items():
        found[dataset] = {
            month: trips / before * 100
            for month, trips in own.items()
            if month.year > _YEAR_BEFORE
            if (before := own.get(month.replace(year=_YEAR_BEFORE)))
        }
    found = {dataset: own for dataset, own in found.items() if own}
    if not found:
        return None
    said = []
    for dataset, own in found.items():
        worst, last = min(own, key=lambda month: own[month]), max(own)
        said.append(
            f"{name(dataset)} fell to {share(own[worst], 100)} in {worst:%B %Y}, and had"
            f" {share(own[last], 100)} in {last:%B %Y}"
        )
    return _lines(
        "recovery",
        "Recovery after 2020",
        sentences(*said, "of the trips of the same month of 2019"),
        [(f"{name(dataset)}, % of 2019", {dataset: own}) for dataset, own in found.items()],
        _percent,
        is_compared=True,
    )


def _prices(history: History) -> Section | None:
    paid = _ratios(history, "total_amount", "trips")
    medians: Series = defaultdict(dict)
    for row in history.medians:
        if row["fare"] is not None:
            medians[row["dataset"]][row["file_month"]] = row["fare"]
    return _lines(
        "prices",
        "What a passenger pays",
        sentences(*_now(paid, dollars), "the mean of all that is paid, and the median fare"),
        [("mean of a trip, with all fees and tips", paid), ("median fare", dict(medians))],
        _dollars,
        dollars,
        is_compared=True,
    )


def _mile(history: History) -> Section | None:
    miles = _ratios(history, "total_amount", "miles")
    return _lines(
        "mile",
        "What a mile costs",
        sentences(*_now(miles, dollars)),
        [("dollars a mile, with all fees and tips", miles)],
        _dollars,
        dollars,
    )


def _tips(history: History) -> Section | None:
    """Show tips by month, and by hour of all months."""
    by_month, by_hour = (_tips_by(history.tips, place) for place in ("file_month", "hour_of_day"))
    hours = Panel(
        "tip in % of the fare, by hour of all months",
        [Line(dataset, own, dataset) for dataset, own in sorted(by_hour.items())],
        (0, 23),
        {hour: f"{hour}:00" for hour in (0, 6, 12, 18)},
        lambda hour: f"{hour}:00",
        _percent,
        max((tip for own in by_hour.values() for tip in own.values()), default=0.0),
        _a_percent,
    )
    return _lines(
        "tips",
        "Tips",
        sentences(
            *_now(by_month, _a_percent),
            "tips are of taxi trips by card and all trips of apps: tips in cash are in no file",
        ),
        [("tip in % of the fare, by month", by_month)],
        _percent,
        _a_percent,
        more=[hours] if by_hour else [],
    )


def _tips_by(rows: Rows, place: str) -> dict[str, dict[Any, float]]:
    """Return tips in percent of the fares, by dataset and a column of places."""
    columns = ("tip_amount", "fare_amount", "trips")
    sums: dict[tuple[str, Any], Counter[str]] = defaultdict(Counter)
    for row in rows:
        for column in columns if row[place] is not None else ():
            sums[row["dataset"], row[place]][column] += row[column] or 0
    found: dict[str, dict[Any, float]] = defaultdict(dict)
    for (dataset, at), own in sums.items():
        if own["fare_amount"] > 0 and own["trips"] >= _LEAST_TRIPS:
            found[dataset][at] = own["tip_amount"] / own["fare_amount"] * 100
    return dict(found)


def _speed(history: History) -> Section | None:
    speeds: Series = {
        dataset: {month: value * 60 for month, value in own.items()}
        for dataset, own in _ratios(
            history, "timed_miles", "timed_minutes", least="timed_trips"
        ).items()
    }
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
        if row["hour_of_day"] is not None and (row["timed_trips"] or 0) >= _LEAST_TRIPS:
            value = row["timed_miles"] / row["timed_minutes"] * 60
            speeds[row["dataset"]][int(row["year_number"]), row["hour_of_day"]] = value
    if not speeds:
        return None
    scale = Scale.of(value for own in speeds.values() for value in own.values())

    def draw_one(dataset: str, width: int) -> Picture:
        own = speeds[dataset]
        years = sorted({year for year, _ in own})
        cells = {
            (years.index(year), hour): (scale.colour(value), f"{year}, {hour}:00: {_mph(value)}")
            for (year, hour), value in own.items()
        }
        hours = [f"{hour}:00" if hour % 6 == 0 else "" for hour in range(24)]
        title, legend = f"{name(dataset)}, miles an hour", scale.legend(_decimal)
        return heat(title, hours, list(map(str, years)), cells, width, legend)

    return Section(
        "manhattan",
        "Speed in Manhattan, by hour and year",
        sentences(
            "trips that begin in Manhattan",
            *(
                f"{name(dataset)} are slowest at {hour}:00 ({own[year, hour]:.1f} miles an hour in"
                f" {year})"
                for dataset, own in sorted(speeds.items())
                for year, hour in [min(own, key=lambda place: own[place])]
            ),
        ),
        ["dataset", "year", *(f"{hour}:00" for hour in range(24))],
        [
            [
                dataset,
                str(year),
                *(f"{own[year, h]:.1f}" if (year, h) in own else "" for h in range(24)),
            ]
            for dataset, own in sorted(speeds.items())
            for year in sorted({year for year, _ in own})
        ],
        partial(panels, [partial(draw_one, dataset) for dataset in sorted(speeds)], columns=2),
    )


def _boroughs(history: History) -> Section | None:
    total: dict[tuple[str, dt.date], float] = defaultdict(float)
    for row in history.boroughs:
        total[row["dataset"], row["file_month"]] += row["trips"]
    shares: dict[str, Series] = {borough: {} for borough in _BOROUGHS}
    for row in history.boroughs:
        if row["pickup_borough"] in shares and total[row["dataset"], row["file_month"]]:
            own = shares[row["pickup_borough"]].setdefault(row["dataset"], {})
            of = total[row["dataset"], row["file_month"]]
            own[row["file_month"]] = row["trips"] / of * 100
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
        [(f"{borough}, % of the trips", own) for borough, own in shares.items() if own],
        _percent,
        is_compared=True,
    )


def _nights(history: History) -> Section | None:
    trips = history.sums("trips")
    nights: Series = defaultdict(dict)
    for row in history.nights:
        of = trips[row["dataset"]].get(row["file_month"], 0)
        if of >= _LEAST_TRIPS:
            nights[row["dataset"]][row["file_month"]] = row["trips"] / of * 100
    return _lines(
        "nights",
        "Night and day",
        sentences(*_now(nights, _a_percent), "trips that begin from 20:00 to 6:00"),
        [("% of the trips that begin at night", dict(nights))],
        _percent,
        _a_percent,
    )


def _airports(history: History) -> Section | None:
    airports: dict[int, Series] = {zone: {} for zone in AIRPORTS}
    for row in history.airports:
        own = airports[row["dropoff_location_id"]].setdefault(row["dataset"], {})
        own[row["file_month"]] = row["trips"] / len(days_of(row["file_month"]))
    return _lines(
        "airports",
        "To the airports",
        "Trips a day that end there.",
        [(f"{AIRPORTS[zone]}, trips a day", own) for zone, own in airports.items() if own],
        whole,
        few,
        is_compared=True,
    )


def _fee(history: History) -> Section | None:
    paid = {
        dataset: {month: value * 100 for month, value in own.items() if value > 0}
        for dataset, own in _ratios(history, "fee_trips", "trips").items()
    }
    return _lines(
        "fee",
        "The congestion fee of 2025",
        sentences(*_now(paid, _a_percent), "trips that paid the fee of the congestion zone"),
        [("% of the trips that paid the fee", paid)],
        _percent,
        _a_percent,
    )


def _waits(history: History) -> Section | None:
    waits: dict[str, Series] = defaultdict(lambda: defaultdict(dict))
    for row in history.months:
        if row["company"] and (row["waited_trips"] or 0) >= _LEAST_TRIPS:
            waits[row["company"]][row["dataset"]][row["file_month"]] = (
                row["waiting_minutes"] / row["waited_trips"]
            )
    return _lines(
        "waits",
        "Waiting for an app's car",
        sentences("from request to pickup, mean minutes"),
        [(f"{company}, minutes", own) for company, own in sorted(waits.items())],
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
    shown = [(what, {n: own for n, own in lines.items() if own}) for what, lines in shown]
    shown = [(what, lines) for what, lines in shown if lines]
    if not shown:
        return None
    months = sorted({m for _, lines in shown for own in lines.values() for m in own})
    said = tell or write
    tops = [max(max(own.values()) for own in lines.values()) for _, lines in shown]
    first, last = month_number(months[0]), month_number(months[-1])
    years = {12 * year: str(year) for year in range(months[0].year, months[-1].year + 1)}
    ticks = {p: text for p, text in years.items() if p >= first} or {first: format_month(months[0])}

    def draw(width: int) -> Picture:
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
                said,
                shades=[
                    month_number(month) for month in shades if first <= month_number(month) <= last
                ],
                notes={
                    month_number(month): event
                    for month, event in EVENTS.items()
                    if len(shown) == 1 and first < month_number(month) <= last
                },
                height=height,
            )
            for (what, lines), top in zip(shown, tops, strict=True)
        ]
        drawn += more
        return panels([one.draw for one in drawn], width, columns=1 if len(drawn) == 1 else 2)

    columns = [(what, one) for what, lines in shown for one in lines]
    named = [
        f"{what.partition(',')[0]} ({one})"
        if len(shown) > 1 and len(lines) > 1
        else what.partition(",")[0]
        if len(shown) > 1
        else one
        for what, lines in shown
        for one in lines
    ]
    by_panel = dict(shown)
    return Section(
        section,
        title,
        sentence,
        ["month", *named],
        [
            [
                format_month(month),
                *(
                    said(by_panel[what][one][month]) if month in by_panel[what][one] else ""
                    for what, one in columns
                ),
            ]
            for month in months
        ],
        draw,
    )


def _ratios(history: History, part: str, of: str, least: str = "trips") -> Series:
    """Divide sums by dataset and month, where there are enough trips."""
    parts, wholes, counts = history.sums(part), history.sums(of), history.sums(least)
    return {
        dataset: {
            month: value / wholes[dataset][month]
            for month, value in own.items()
            if wholes[dataset].get(month, 0) > 0 and counts[dataset][month] >= _LEAST_TRIPS
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


def _percent(value: float) -> str:
    return f"{value:g}%"


def _a_percent(value: float) -> str:
    return f"{value:.1f}%"


def _dollars(value: float) -> str:
    return f"${value:g}"


def _decimal(value: float) -> str:
    return f"{value:.1f}"


def _mph(value: float) -> str:
    return f"{value:.1f} miles an hour"
