"""The parts of a report: for each a sentence from the numbers, a picture, and its table."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from loader.calendar import days_of
from loader.report.about import about
from loader.report.numbers import AIRPORTS, LEAST_TRIPS, PARTS, Numbers, is_app, tips_by
from loader.report.pictures import (
    HOURS,
    Line,
    Panel,
    Picture,
    Scale,
    beside,
    heat,
    over_hours,
    panels,
)
from loader.report.section import Card, Mark, Section, table_of
from loader.report.shapes import Shapes
from loader.report.words import (
    axis_percentage,
    change,
    dollars,
    few,
    listed,
    name,
    names_of,
    percent,
    percentage,
    sentences,
    share,
    whole,
)
from loader.report.zone_map import changes_of, zone_map
from loader.terminal import words

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
#: What is left of a price, and of payments.
NOT_RECORDED, DIFFERENCE = "not recorded", "difference"
_TOP_ZONES = 15
_HOURS = range(24)
#: Boroughs in TLC's table that are none.
_PLACES = {None: "Unknown", "Unknown": "Unknown", "N/A": "Outside of NYC"}
_PAID_BY = {1: "by credit card", 2: "in cash"}


def sections(numbers: Numbers, shapes: Shapes | None, runs: list[list[str]]) -> Iterator[Section]:
    """Make the parts, in the order of the page; arguments as of `page.render`."""
    yield _headline(numbers)
    parts = [zone_map(numbers, shapes), _days(numbers), _zones(numbers), _weekdays(numbers)]
    parts += [part(numbers) for part in (_boroughs, _companies, _paid, _payments)]
    parts += [part(numbers) for part in (_tips, _airports)]
    yield from filter(None, parts)
    yield from about(numbers, runs)


def _headline(numbers: Numbers) -> Section:
    is_whole = all(len(numbers.months(one)) == numbers.length for one in numbers.datasets)
    backs = {numbers.length: _before(numbers), 12: "a year before"}
    rows, said, compared, cards = [], [], set(), []
    for dataset in numbers.datasets:
        now, months = numbers.sums(dataset), numbers.months(dataset)
        changes = {
            (column, back): change(*(numbers.a_day(dataset, column, one) for one in (0, back)))
            for column in ("trips", "total_amount")
            for back in backs
            if numbers.is_comparable(dataset, back)
        }
        compared |= {back for (_, back), text in changes.items() if text}
        recent = changes.get(("trips", numbers.length), "")
        there = "" if is_whole else f" in {len(months)} of {numbers.length} months"
        said.append(
            f"{words.count(now['trips'], 'trip')} of {name(dataset)}{there}"
            + (f" ({recent} a day)" if recent else "")
        )
        measures = _measures(numbers, dataset, 0)
        before = {
            text: _measures(numbers, dataset, back)
            for back, text in backs.items()
            if numbers.is_comparable(dataset, back)
        }
        large = []
        for what, write in _WRITTEN.items():
            if (value := measures[what]) is not None:
                told = [(change(value, was[what] or 0), text) for text, was in before.items()]
                large.append((what, write(value), [f"{to} to {text}" for to, text in told if to]))
        cards.append(Card(dataset, name(dataset), large))
        written = {what: text for what, text, _ in large}
        rows.append(
            [
                dataset,
                *([] if is_whole else [f"{len(months)} of {numbers.length}"]),
                whole(now["trips"]),
                recent,
                changes.get(("trips", 12), ""),
                dollars(now["total_amount"], cents=False) if now["total_amount"] else "",
                changes.get(("total_amount", numbers.length), ""),
                *(written.get(what, "") for what in ("a passenger pays", "tip", "speed")),
            ]
        )
    same = "the same month" if numbers.length == 1 else "the same months"
    wording = {numbers.length: _before(numbers), 12: f"{same} a year before"}
    against = listed([f"to {text}" for back, text in wording.items() if back in compared])
    return Section(
        "headline",
        "At a glance",
        sentences(
            f"{numbers.title}: {listed(said)}",
            _why(numbers),
            f"changes are by day, {against}" if against else "",
            _which_tips(row[0] for row in rows if row[-2]),
        ),
        [
            *("dataset", *([] if is_whole else ["months"]), "trips", "change a day"),
            *("to the year before", "charged", "change a day", "a trip", "tip", "miles an hour"),
        ],
        rows,
        cards=cards,
    )


_WRITTEN: dict[str, Callable[[float], str]] = {
    "trips a day": whole,
    "a passenger pays": dollars,
    "speed": "{:.1f} mph".format,
    "tip": percentage,
}


def _measures(numbers: Numbers, dataset: str, months_back: int) -> dict[str, float | None]:
    """Return the large numbers of a dataset; None where there is nothing to divide."""
    sums = numbers.sums(dataset, months_back)

    def ratio(part: float, of: float) -> float | None:
        return part / of if part and of > 0 else None

    miles_a_minute = ratio(sums["timed_miles"], sums["timed_minutes"])
    tip = ratio(sums["recorded_tip_amount"], sums["recorded_fare_amount"])
    return {
        "trips a day": numbers.a_day(dataset, "trips", months_back),
        "a passenger pays": ratio(sums["total_amount"], sums["trips"]),
        "speed": miles_a_minute * 60 if miles_a_minute else None,
        "tip": tip * 100 if tip else None,
    }


def _why(numbers: Numbers) -> str:
    """Say in a sentence why one should care."""
    charged = sum(numbers.sums(dataset)["total_amount"] for dataset in numbers.datasets)
    if charged <= 0:
        return ""
    return (
        f"New York paid {dollars(charged, cents=False)} for them: where these trips begin, what"
        " they cost and how fast they are shows how the city moves"
    )


def _days(numbers: Numbers) -> Section:
    by_day = {one: dict.fromkeys(numbers.days(one), 0.0) for one in numbers.datasets}
    for row in numbers.hours:
        by_day[row["dataset"]][row["pickup_date"]] += row["trips"]
    dates = sorted({date for days in by_day.values() for date in days})

    def named(date: dt.date) -> str:
        year = "" if numbers.first.year == numbers.last.year else f", {date.year}"
        holiday = f", {numbers.holidays[date]}" if date in numbers.holidays else ""
        return f"{date:%A, %B} {date.day}{year}{holiday}"

    said = []
    for dataset, days in by_day.items():
        best, least = (choose(days, key=days.__getitem__) for choose in (max, min))
        if not days[best]:
            said.append(f"no trip of {name(dataset)} began in its file's month")
            continue
        fewest = f"fewest on {named(least)} ({whole(days[least])})"
        if without := sum(not trips for trips in days.values()):
            fewest = f"none on {words.count(without, 'day')}"
        said.append(
            f"{name(dataset)} have most trips on {named(best)} ({whole(days[best])}) and {fewest}"
        )
    if numbers.length <= 3:
        ticks = {d.toordinal(): f"{d:%b} {d.day}" for d in dates if d.day % 7 == 1}
    else:
        ticks = {d.toordinal(): f"{d:%b %Y}" for d in dates if d.day == 1}
    drawn = [
        Panel(
            f"{name(dataset)}, trips a day",
            [Line("", {d.toordinal(): trips for d, trips in days.items()}, dataset)],
            (numbers.first.toordinal(), days_of(numbers.last)[-1].toordinal()),
            ticks,
            lambda place: named(dt.date.fromordinal(place)),
            whole,
            max(days.values()),
            shades=[d.toordinal() for d in dates if d.weekday() >= 5],
            notes={d.toordinal(): text for d, text in numbers.holidays.items() if d in dates},
        ).draw
        for dataset, days in by_day.items()
    ]
    return Section(
        "days",
        "Trips by day",
        sentences(
            *said,
            "weekends are shaded",
            "each panel has its own scale" if len(by_day) > 1 else "",
        ),
        *table_of("day", by_day, dates, "{0:%a} {0}".format, whole),
        partial(panels, drawn, columns=2 if numbers.length == 1 else 1),
    )


def _weekdays(numbers: Numbers) -> Section | None:
    sums: dict[tuple[str, int, int], float] = defaultdict(float)
    for row in numbers.hours:
        sums[row["dataset"], row["pickup_date"].weekday(), int(row["hour_of_day"])] += row["trips"]
    averages, said = {}, []
    for dataset in numbers.datasets:
        days = Counter(day.weekday() for day in numbers.days(dataset))
        own = {(w, h): sums[dataset, w, h] / days[w] for w in range(7) for h in _HOURS}
        weekday, hour = max(own, key=own.__getitem__)
        if own[weekday, hour]:
            averages[dataset] = own
            said.append(
                f"{name(dataset)} are busiest on {WEEKDAYS[weekday]} at {hour}:00"
                f" ({few(own[weekday, hour])} trips an hour)"
            )
    if not averages:
        return None

    def draw(width: int) -> Picture:
        drawn = []
        for dataset, own in averages.items():
            scale = Scale.of(own.values())
            cells = {
                (w, h): (scale.colour(trips), f"{WEEKDAYS[w]} {h}:00: {few(trips)} trips")
                for (w, h), trips in own.items()
            }
            title, legend = f"{name(dataset)}, mean trips an hour", scale.legend(few)
            drawn.append(heat(title, HOURS, WEEKDAYS, cells, width, legend))
        return beside(drawn, width, 1)

    return Section(
        "weekdays",
        "Weekday by hour",
        sentences(*said),
        ["dataset", "hour", *WEEKDAYS],
        [
            [dataset, f"{hour}:00", *(few(own[weekday, hour]) for weekday in range(7))]
            for dataset, own in averages.items()
            for hour in _HOURS
        ],
        draw,
    )


def _zones(numbers: Numbers) -> Section:
    names = {row["pickup_location_id"]: row["zone_name"] for row in numbers.zones}
    now = numbers.zone_trips(numbers.datasets)
    compared, changes = numbers.comparable(numbers.length), changes_of(numbers, numbers.length)
    # trips of the datasets that can be compared: now, and before
    current = numbers.zone_trips(compared)
    before = numbers.zone_trips(compared, numbers.length)
    top = sorted(now, key=lambda zone: (-now[zone], zone))[:_TOP_ZONES]
    trips = {dataset: numbers.sums(dataset)["trips"] for dataset in numbers.datasets}
    known = {dataset: numbers.zone_trips([dataset]).total() for dataset in numbers.datasets}
    unknown = sum(trips.values()) - sum(known.values())
    without = [name(dataset) for dataset in trips if trips[dataset] and not known[dataset]]
    said = []
    if top:
        said.append(f"most trips begin in {names[top[0]]} ({whole(now[top[0]])})")
        said.append(_together(numbers))
        if unknown:
            said.append(f"{share(unknown, sum(trips.values()))} of the trips have no known zone")
    if without:
        said.append(f"the files of {listed(without)} don't say in which zone a trip begins")
    if not said:
        said.append("no trip is in these files")

    columns: dict[str, Callable[[int], str]] = {
        "zone": names.__getitem__,
        "number": str,
        "trips": lambda zone: whole(now[zone]),
    }
    if top and changes:
        if compared != numbers.datasets:
            columns[f"of {', '.join(compared)}"] = lambda zone: whole(current[zone])
        columns["before"] = lambda zone: whole(before[zone])
        columns["change a day"] = lambda zone: changes.get(zone, "")
        large = [zone for zone, count in before.items() if count >= LEAST_TRIPS]
        moved = [
            f"{names[zone]} {way} most ({changes[zone]})"
            for most, way, sign in ((max, "rose", "+"), (min, "fell", "-"))
            if large
            for zone in [most(large, key=lambda zone: current[zone] / before[zone])]
            if changes[zone].startswith(sign)
        ]
        if moved:
            said.append(
                f"of the zones with at least {LEAST_TRIPS} trips in {_before(numbers)},"
                f" {listed(moved)}"
            )
        said.append(f"changes are by day, to {_before(numbers)}, of {names_of(compared)}")
    return Section(
        "zones",
        "Where trips begin",
        sentences(*said),
        [*columns],
        [[write(zone) for write in columns.values()] for zone in top],
        marks={(n, 2): Mark("q4", now[zone] / now[top[0]]) for n, zone in enumerate(top)},
    )


def _boroughs(numbers: Numbers) -> Section | None:
    sums: Counter[tuple[str, str]] = Counter()
    for row in numbers.boroughs:
        places = row["pickup_borough"], row["dropoff_borough"]
        start, end = (_PLACES.get(place, str(place)) for place in places)
        sums[start, end] += row["trips"]
    known = {pair: trips for pair, trips in sums.items() if not {*pair} & {*_PLACES.values()}}
    order = sorted(
        {place for pair in sums for place in pair}, key=lambda one: (one in _PLACES.values(), one)
    )
    if not {*order} - {*_PLACES.values()}:
        return None
    said = ["no trip has a known zone at both ends"]
    if known:
        start, end = max(known, key=known.__getitem__)
        said = [
            f"{share(known[start, end], sum(known.values()))} of the trips with a known zone at"
            f" both ends go from {start} to {end}"
        ]
    scale = Scale.of(sums.values())
    return Section(
        "boroughs",
        "From borough to borough",
        sentences(*said, _together(numbers), "rows are where a trip begins, columns where it ends"),
        ["from", *order],
        [[a, *(whole(sums[a, b]) for b in order)] for a in order],
        marks={
            (n, m): Mark(scale.colour(sums[a, b]))
            for n, a in enumerate(order)
            for m, b in enumerate(order, 1)
        },
        legends=[("trips", scale.legend(whole))],
    )


def _companies(numbers: Numbers) -> Section | None:
    """Show the companies of apps, of the datasets whose trips the marts all know them of."""
    counted: Counter[str] = Counter()
    for row in numbers.companies:
        counted[row["dataset"]] += row["trips"]
    whole_ones = [one for one in counted if counted[one] == numbers.sums(one)["trips"]]
    rows = [
        row
        for row in sorted(numbers.companies, key=lambda row: (row["dataset"], -row["trips"]))
        if row["dataset"] in whole_ones
    ]
    largest = {row["dataset"]: row for row in reversed(rows) if row["company"]}
    if not largest:
        return None
    said = [
        f"of {name(dataset)}, {share(one['trips'], counted[dataset])} are trips of {one['company']}"
        for dataset in whole_ones
        if (one := largest.get(dataset))
    ]
    return Section(
        "companies",
        "Companies",
        sentences(*said, "a wait is from request to pickup"),
        ["company", "dataset", "trips a day", "share", "a trip", "tip", "mean wait"],
        [
            [
                row["company"] or "others",
                row["dataset"],
                few(row["trips"] / len(numbers.days(row["dataset"]))),
                percent(row["trips"], counted[row["dataset"]]),
                dollars(row["total_amount"] / row["trips"]) if row["total_amount"] else "",
                percent(row["tip_amount"] or 0, row["fare_amount"] or 0),
                f"{row['waiting_minutes'] / row['waited_trips']:.1f} min"
                if row["waited_trips"]
                else "",
            ]
            for row in rows
        ],
        marks={
            (n, 2): Mark(row["dataset"], row["trips"] / max(one["trips"] for one in rows))
            for n, row in enumerate(rows)
        },
    )


def _paid(numbers: Numbers) -> Section | None:
    prices: dict[str, float] = {}
    parts: dict[str, dict[str, float]] = {}
    said = []
    for dataset in numbers.datasets:
        now = numbers.sums(dataset)
        if not now["total_amount"] or not now["trips"]:
            continue
        price = prices[dataset] = now["total_amount"] / now["trips"]
        own = {label: now[part] / now["trips"] for part, label in PARTS.items() if now[part]}
        said.append(f"trips of {name(dataset)} cost {dollars(price)} on average")
        rest = price - sum(own.values())
        if abs(rest) >= 0.005:
            own[DIFFERENCE] = rest
            said.append(
                f"in the file, their parts add up to {dollars(abs(rest))}"
                f" {'more' if rest < 0 else 'less'}"
            )
        parts[dataset] = own
    if not parts:
        return None
    there = {label for own in parts.values() for label in own}
    labels = [label for label in (*PARTS.values(), DIFFERENCE) if label in there]
    most = max(max(own.values()) for own in parts.values())
    return Section(
        "paid",
        "What a passenger pays",
        sentences(*said),
        ["dollars a trip", *map(name, parts)],
        [
            *(
                [label, *(dollars(own[label]) if label in own else "" for own in parts.values())]
                for label in labels
            ),
            ["in all", *map(dollars, prices.values())],
        ],
        marks={
            (n, m): Mark(dataset, max(own[label], 0) / most)
            for n, label in enumerate(labels)
            for m, (dataset, own) in enumerate(parts.items(), 1)
            if label in own
        },
    )


def _payments(numbers: Numbers) -> Section | None:
    trips: dict[str, Counter[str]] = defaultdict(Counter)
    most: dict[str, tuple[float, str]] = {}
    for row in sorted(numbers.payments, key=lambda row: str(row["dataset"])):
        dataset, code = row["dataset"], row["payment_type"]
        kind = NOT_RECORDED if code is None else row["payment_type_name"] or f"code {code}"
        trips[dataset][kind] += row["trips"]
        if code is not None:
            how = _PAID_BY.get(code, f'with the payment "{kind}"')
            most[dataset] = max(most.get(dataset, (0, "")), (row["trips"], how))
    if not trips:
        return None
    total = {dataset: own.total() for dataset, own in trips.items()}
    by_kind = sum(trips.values(), Counter())
    kinds = sorted(by_kind, key=lambda kind: (kind == NOT_RECORDED, -by_kind[kind]))
    said = []
    for dataset, own in trips.items():
        missing = own[NOT_RECORDED]
        if dataset not in most:
            said.append(f"no payment of the trips of {name(dataset)} is recorded")
            continue
        count, how = most[dataset]
        said.append(
            f"{share(count, total[dataset])} of the trips of {name(dataset)} are paid {how}"
            + (f"; for {share(missing, total[dataset])} no payment is recorded" if missing else "")
        )
    apps = [dataset for dataset in numbers.datasets if is_app(dataset)]
    if apps:
        said.append(f"the files of {names_of(apps)} don't say how a trip is paid")
    return Section(
        "payments",
        "How they pay",
        sentences(*said),
        ["share of all trips", *map(name, trips)],
        [
            [kind, *(percent(own[kind], total[dataset]) for dataset, own in trips.items())]
            for kind in kinds
        ],
        marks={
            (n, m): Mark("missing" if kind == NOT_RECORDED else dataset, own[kind] / total[dataset])
            for n, kind in enumerate(kinds)
            for m, (dataset, own) in enumerate(trips.items(), 1)
        },
    )


def _tips(numbers: Numbers) -> Section | None:
    percents, large = (
        tips_by(numbers.hours, lambda row: int(row["hour_of_day"]), "recorded_", least)
        for least in (0, LEAST_TRIPS)
    )
    if not percents:
        return None
    said = []
    for dataset in percents:
        if own := large.get(dataset):
            best = max(own, key=own.__getitem__)
            said.append(
                f"passengers of {name(dataset)} tip most at {best}:00 ({percentage(own[best])}),"
                f" of the hours with at least {LEAST_TRIPS} such trips"
            )
        else:
            said.append(f"no hour has {LEAST_TRIPS} such trips of {name(dataset)}")
    shown = {
        f"{name(dataset)}, tip in % of the fare": Line("", own, dataset)
        for dataset, own in large.items()
    }
    return Section(
        "tips",
        "Tips by hour",
        sentences(_which_tips(percents), *said),
        *table_of("hour", percents, _HOURS, "{}:00".format, percentage),
        _by_hour(shown, axis_percentage, percentage),
        is_folded=not large,
    )


def _airports(numbers: Numbers) -> Section | None:
    sums: dict[str, dict[int, float]] = {}
    for zone, airport in AIRPORTS.items():
        for row in numbers.airports:
            if row["pickup_location_id"] == zone:
                own = sums.setdefault(airport, dict.fromkeys(_HOURS, 0.0))
                own[int(row["hour_of_day"])] += row["trips"]
    if not sums:
        return None
    total = {airport: sum(own.values()) for airport, own in sums.items()}
    busy = {
        f"{airport}, trips by hour of pickup": Line("", own, "places")
        for airport, own in sums.items()
        if total[airport] >= LEAST_TRIPS
    }
    return Section(
        "airports",
        "From the airports",
        sentences(
            *(
                f"{airport}: {words.count(trips, 'trip')} begin{'s' if trips == 1 else ''} there"
                for airport, trips in total.items()
            ),
            _together(numbers),
        ),
        *table_of("hour", sums, _HOURS, "{}:00".format, whole),
        _by_hour(busy, whole),
        is_folded=not busy,
    )


def _by_hour(
    shown: dict[str, Line],
    write: Callable[[float], str],
    tell: Callable[[float], str] | None = None,
) -> Callable[[int], Picture] | None:
    """Return what draws lines by hour by their titles, in panels of the same scale."""
    most = max((max(line.points.values()) for line in shown.values()), default=0.0)
    drawn = [
        over_hours(title, [line], write, most, tell, height=110).draw
        for title, line in shown.items()
    ]
    return partial(panels, drawn, columns=2) if drawn else None


def _before(numbers: Numbers) -> str:
    return "the month before" if numbers.length == 1 else f"the {numbers.length} months before"


def _together(numbers: Numbers) -> str:
    """Say whose trips are added up, where it is more than one dataset's."""
    own = [one for one in numbers.datasets if numbers.sums(one)["trips"]]
    return f"trips of {names_of(own)} are counted together" if len(own) > 1 else ""


def _which_tips(datasets: Iterable[str]) -> str:
    """Say of which trips the tips are that a section shows."""
    are_apps = {is_app(dataset) for dataset in datasets}
    of_which = {False: "taxi trips by card", True: "all trips of apps"}
    shown = [text for are, text in of_which.items() if are in are_apps]
    return f"tips are of {listed(shown)}: tips in cash are in no file" if shown else ""
