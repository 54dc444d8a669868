"""The parts of a report: for each a sentence from the numbers, a picture, and its table."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import altair as alt

from loader.calendar import Month, format_month, next_month
from loader.months.state import State
from loader.report.numbers import AIRPORTS, PARTS, Numbers, is_app, runs_of
from loader.report.pictures import (
    COLOURS,
    DIFFERENCE,
    FAINT,
    GRID,
    INK,
    NOT_RECORDED,
    SERIES,
    by_hour,
    colours,
    heading,
    series,
    stacked,
)
from loader.report.section import Section
from loader.report.words import change, dollars, listed, name, sentences, share, whole
from loader.report.zone_map import zone_map
from loader.terminal import words

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
#: Shares of odd rows: what they are called, and what these rows have.
QUALITY = {
    "null_block_share": ("no meter data", "no meter data"),
    "reversal_share": ("reversals", "a charge taken back"),
    "unknown_zone_share": ("unknown place", "an unknown place of pickup or dropoff"),
    "out_of_range_share": ("out of range", "a value out of range"),
    "outside_month_share": ("other month", "a pickup in another month"),
}
_KINDS = [kind for kind, _ in QUALITY.values()]
_TOP_ZONES = 15
#: A zone, or an hour, is named as the most or the least from so many trips on.
_LEAST_TRIPS = 100
_HOURS = range(24)
#: Boroughs in TLC's table that are none.
_PLACES = {None: "Unknown", "Unknown": "Unknown", "N/A": "Outside of NYC"}
_PAID_BY = {1: "by credit card", 2: "in cash"}


def sections(
    numbers: Numbers, shapes: dict[str, Any] | None, runs: list[list[str]]
) -> Iterator[Section]:
    """Make the parts, in the order of the page.

    Args:
        shapes: of the zones, for a map; None: without a map.
        runs: the table of `nyc-tlc runs`, its headings first.
    """
    yield _headline(numbers)
    parts = [_days(numbers), _weekdays(numbers), _zones(numbers), zone_map(numbers, shapes)]
    parts += [part(numbers) for part in (_boroughs, _paid, _payments, _tips, _airports, _quality)]
    parts.append(_oddities(numbers))
    yield from filter(None, parts)
    yield _calendar(numbers)
    yield _versions(numbers)
    said = "The last months that were loaded here, newest first. Times are UTC."
    yield Section("runs", "Runs", said, runs[0], runs[1:])


def _headline(numbers: Numbers) -> Section:
    is_whole = all(len(numbers.months(one)) == numbers.length for one in numbers.datasets)
    rows, said, compared = [], [], set()
    for dataset in numbers.datasets:
        now, months = numbers.sums(dataset), numbers.months(dataset)
        changes = {
            (column, back): _change_a_day(numbers, dataset, column, back)
            for column in ("trips", "total_amount")
            for back in (numbers.length, 12)
        }
        compared |= {back for (_, back), text in changes.items() if text}
        recent = changes["trips", numbers.length]
        there = "" if is_whole else f" in {len(months)} of {numbers.length} months"
        said.append(
            f"{words.count(now['trips'], 'trip')} of {name(dataset)}{there}"
            + (f" ({recent} a day)" if recent else "")
        )
        amount, trips = now["total_amount"], now["trips"]
        rows.append(
            [
                dataset,
                *([] if is_whole else [f"{len(months)} of {numbers.length}"]),
                whole(trips),
                recent,
                changes["trips", 12],
                dollars(amount, cents=False) if amount else "",
                changes["total_amount", numbers.length],
                dollars(amount / trips) if amount and trips else "",
                _percent(now["recorded_tip_amount"], now["recorded_fare_amount"]),
            ]
        )
    months_long = "month" if numbers.length == 1 else "months"
    to = {numbers.length: _before(numbers), 12: f"the same {months_long} a year before"}
    against = listed([f"to {text}" for back, text in to.items() if back in compared])
    return Section(
        "headline",
        "At a glance",
        sentences(
            f"{numbers.title}: {listed(said)}",
            f"changes are by day, {against}" if against else "",
            _which_tips(row[0] for row in rows if row[-1]),
        ),
        [
            *("dataset", *([] if is_whole else ["months"]), "trips", "change a day"),
            *("to the year before", "charged", "change a day", "a trip", "tip"),
        ],
        rows,
    )


def _days(numbers: Numbers) -> Section:
    by_day = _trips_by_day(numbers)
    dates = sorted({date for days in by_day.values() for date in days})

    def named(date: dt.date) -> str:
        year = "" if numbers.first.year == numbers.last.year else f", {date.year}"
        return f"{date:%A, %B} {date.day}{year}"

    said = []
    for dataset, days in by_day.items():
        best, least = max(days, key=lambda d: days[d]), min(days, key=lambda d: days[d])
        if not days[best]:
            said.append(f"no trip of {name(dataset)} began in its file's month")
            continue
        without = sum(not trips for trips in days.values())
        fewest = (
            f"none on {words.count(without, 'day')}"
            if without
            else f"fewest on {named(least)} ({whole(days[least])})"
        )
        said.append(
            f"{name(dataset)} have most trips on {named(best)} ({whole(days[best])}) and {fewest}"
        )

    def draw(width: int) -> Any:
        day = alt.X(
            "day:T",
            title=None,
            axis=alt.Axis(format="%b %-d", tickCount=width // 70),
            # gaps at its ends are seen, too
            scale=alt.Scale(
                domain=[
                    alt.DateTime(year=date.year, month=date.month, date=date.day)
                    for date in (numbers.first, next_month(numbers.last))
                ]
            ),
        )
        weekends = [
            {"day": f"{date}T00:00:00", "until": f"{date + dt.timedelta(days=1)}T00:00:00"}
            for date in dates
            if date.weekday() >= 5
        ]
        values = []
        for dataset, days in by_day.items():
            runs = runs_of(date.toordinal() for date in days)
            values += [
                {
                    "dataset": dataset,
                    "day": f"{date}T12:00:00",
                    "trips": trips,
                    "run": runs[date.toordinal()],
                }
                for date, trips in days.items()
            ]
        shades = alt.Chart(alt.Data(values=weekends)).mark_rect(color=GRID, opacity=0.5)
        line = alt.Chart(alt.Data(values=values)).mark_line(strokeWidth=2)
        return (
            shades.encode(x=day, x2="until:T")
            + line.encode(
                x=day,
                y=alt.Y("trips:Q", title="trips a day", axis=alt.Axis(format="~s")),
                color=colours(list(by_day)),
                detail="run:N",
            )
        ).properties(width=width - 60, height=220)

    return Section(
        "days",
        "Trips by day",
        sentences(*said, "weekends are shaded"),
        ["day", *by_day],
        [
            [
                f"{date:%a} {date}",
                *(whole(days[date]) if date in days else "" for days in by_day.values()),
            ]
            for date in dates
        ],
        draw,
    )


def _weekdays(numbers: Numbers) -> Section | None:
    sums: dict[tuple[str, int, int], float] = defaultdict(float)
    for row in numbers.hours:
        sums[row["dataset"], row["pickup_date"].weekday(), int(row["hour_of_day"])] += row["trips"]
    averages, most, said = {}, {}, []
    for dataset in numbers.datasets:
        days = Counter(day.weekday() for day in numbers.days(dataset))
        own = {(w, h): sums[dataset, w, h] / days[w] for w in range(7) for h in _HOURS}
        weekday, hour = max(own, key=lambda key: own[key])
        if own[weekday, hour]:
            averages[dataset], most[dataset] = own, own[weekday, hour]
            said.append(
                f"{name(dataset)} are busiest on {WEEKDAYS[weekday]} at {hour}:00"
                f" ({_few(most[dataset])} trips an hour)"
            )
    if not averages:
        return None

    def draw(width: int) -> Any:
        charts = []
        for dataset, own in averages.items():
            values = [
                {"weekday": WEEKDAYS[w], "hour": h, "share": trips / most[dataset]}
                for (w, h), trips in own.items()
            ]
            charts.append(
                alt.Chart(alt.Data(values=values), title=heading(dataset))
                .mark_rect(color=COLOURS.get(dataset, INK))
                .encode(
                    x=alt.X(
                        "hour:O", title=None, axis=alt.Axis(values=[0, 6, 12, 18, 23], labelAngle=0)
                    ),
                    y=alt.Y("weekday:O", title=None, sort=list(WEEKDAYS)),
                    opacity=alt.Opacity(
                        "share:Q", scale=alt.Scale(domain=[0, 1], range=[0.04, 1]), legend=None
                    ),
                )
                .properties(width=width - 50, height=130)
            )
        return alt.vconcat(*charts)

    return Section(
        "weekdays",
        "Weekday by hour",
        sentences(*said, "mean trips an hour: the stronger the colour, the more"),
        ["dataset", "hour", *WEEKDAYS],
        [
            [dataset, f"{hour}:00", *(_few(own[weekday, hour]) for weekday in range(7))]
            for dataset, own in averages.items()
            for hour in _HOURS
        ],
        draw,
    )


def _zones(numbers: Numbers) -> Section:
    names: dict[int, str] = {}
    now: Counter[int] = Counter()
    known: Counter[str] = Counter()
    compared = [one for one in numbers.datasets if numbers.is_comparable(one, numbers.length)]
    # trips of the datasets that can be compared: before, and now
    sums: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    for row in numbers.zones:
        zone = row["pickup_location_id"]
        names[zone] = row["zone_name"]
        if not row["is_before"]:
            now[zone] += row["trips"]
            known[row["dataset"]] += row["trips"]
        if row["dataset"] in compared:
            sums[row["is_before"]][zone] += row["trips"]
    top = sorted(now, key=lambda zone: (-now[zone], zone))[:_TOP_ZONES]
    trips = {dataset: numbers.sums(dataset)["trips"] for dataset in numbers.datasets}
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

    def change_of(zone: int) -> str:
        days, days_before = (len(numbers.days(compared[0], back)) for back in (0, numbers.length))
        return change(sums[False][zone] / days, sums[True][zone] / days_before)

    has_changes = bool(top) and bool(sums[True])
    if has_changes:
        before = _before(numbers)
        large = [zone for zone, count in sums[True].items() if count >= _LEAST_TRIPS]
        moved = [
            f"{names[zone]} {way} most ({change_of(zone)})"
            for most, way, sign in ((max, "rose", "+"), (min, "fell", "-"))
            if large
            for zone in [most(large, key=lambda zone: sums[False][zone] / sums[True][zone])]
            if change_of(zone).startswith(sign)
        ]
        if moved:
            said.append(
                f"of the zones with at least {_LEAST_TRIPS} trips in {before}, {listed(moved)}"
            )
        said.append(f"changes are by day, to {before}, of {_names(compared)}")
    is_part = has_changes and compared != numbers.datasets

    def draw(width: int) -> Any:
        values = [{"zone": f"{names[zone]} ({zone})", "trips": now[zone]} for zone in top]
        return (
            alt.Chart(alt.Data(values=values))
            .mark_bar(color=SERIES[0])
            .encode(
                x=alt.X("trips:Q", title="trips", axis=alt.Axis(format="~s", tickCount=5)),
                y=alt.Y("zone:N", title=None, sort=None, axis=alt.Axis(labelLimit=width // 3)),
            )
            .properties(width=width - width // 3 - 30, height=18 * len(values))
        )

    return Section(
        "zones",
        "Where trips begin",
        sentences(*said),
        [
            *("zone", "number", "trips"),
            *([f"of {', '.join(compared)}"] if is_part else []),
            *(["before", "change a day"] if has_changes else []),
        ],
        [
            [
                *(names[zone], str(zone), whole(now[zone])),
                *([whole(sums[False][zone])] if is_part else []),
                *([whole(sums[True][zone]), change_of(zone)] if has_changes else []),
            ]
            for zone in top
        ],
        draw if top else None,
    )


def _boroughs(numbers: Numbers) -> Section | None:
    sums: Counter[tuple[str, str]] = Counter()
    for row in numbers.boroughs:
        places = row["pickup_borough"], row["dropoff_borough"]
        start, end = (_PLACES.get(place, str(place)) for place in places)
        sums[start, end] += row["trips"]
    known = Counter({p: trips for p, trips in sums.items() if not {*p} & {*_PLACES.values()}})
    order = sorted(
        {place for pair in sums for place in pair}, key=lambda one: (one in _PLACES.values(), one)
    )
    if not {*order} - {*_PLACES.values()}:
        return None
    most = max(sums.values())
    said = ["no trip has a known zone at both ends"]
    if known:
        ((start, end), count) = max(known.items(), key=lambda item: item[1])
        said = [
            f"{share(count, sum(known.values()))} of the trips with a known zone at both ends go"
            f" from {start} to {end}"
        ]

    def draw(width: int) -> Any:
        values = [{"from": a, "to": b, "share": trips / most} for (a, b), trips in sums.items()]
        return (
            alt.Chart(alt.Data(values=values))
            .mark_rect(color=SERIES[0])
            .encode(
                x=alt.X("to:N", title="to", sort=order, axis=alt.Axis(labelAngle=-40)),
                y=alt.Y("from:N", title="from", sort=order),
                # most trips stay in Manhattan: a root lets the others be seen
                opacity=alt.Opacity(
                    "share:Q",
                    legend=None,
                    scale=alt.Scale(type="sqrt", domain=[0, 1], range=[0.03, 1]),
                ),
            )
            .properties(width=width - 130, height=26 * len(order))
        )

    return Section(
        "boroughs",
        "From borough to borough",
        sentences(*said, _together(numbers), "the stronger the colour, the more trips"),
        ["from", *order],
        [[a, *(whole(sums[a, b]) for b in order)] for a in order],
        draw,
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
    labels = [
        label
        for label in (*PARTS.values(), DIFFERENCE)
        if any(label in own for own in parts.values())
    ]

    def draw(width: int) -> Any:
        values = [
            {"dataset": dataset, "part": label, "size": size}
            for dataset, own in parts.items()
            for label, size in own.items()
        ]
        return stacked(values, alt.X("size:Q", title="dollars a trip"), labels, width)

    return Section(
        "paid",
        "What a passenger pays",
        sentences(*said),
        ["part", *parts],
        [
            *(
                [label, *(dollars(own[label]) if label in own else "" for own in parts.values())]
                for label in labels
            ),
            ["in all", *(dollars(price) for price in prices.values())],
        ],
        draw,
    )


def _payments(numbers: Numbers) -> Section | None:
    trips: dict[str, Counter[str]] = {}
    most: dict[str, tuple[float, str]] = {}
    for row in sorted(numbers.payments, key=lambda row: str(row["dataset"])):
        dataset, code = row["dataset"], row["payment_type"]
        kind = NOT_RECORDED if code is None else row["payment_type_name"] or f"code {code}"
        trips.setdefault(dataset, Counter())[kind] += row["trips"]
        if code is not None:
            how = _PAID_BY.get(code, f'with the payment "{kind}"')
            most[dataset] = max(most.get(dataset, (0, "")), (row["trips"], how))
    if not trips:
        return None
    total = {dataset: sum(own.values()) for dataset, own in trips.items()}
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
        said.append(f"the files of {_names(apps)} don't say how a trip is paid")

    def draw(width: int) -> Any:
        values = [
            {"dataset": dataset, "part": kind, "size": count / total[dataset]}
            for dataset, own in trips.items()
            for kind, count in own.items()
        ]
        axis, whole_bar = alt.Axis(format="%"), alt.Scale(domain=[0, 1])
        size = alt.X("size:Q", title="share of all trips", axis=axis, scale=whole_bar)
        return stacked(values, size, kinds, width)

    return Section(
        "payments",
        "How they pay",
        sentences(*said),
        ["payment", *trips],
        [
            [kind, *(f"{own[kind] / total[dataset]:.1%}" for dataset, own in trips.items())]
            for kind in kinds
        ],
        draw,
    )


def _tips(numbers: Numbers) -> Section | None:
    sums: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for row in numbers.hours:
        for column in ("recorded_trips", "recorded_fare_amount", "recorded_tip_amount"):
            sums[row["dataset"], int(row["hour_of_day"])][column] += row[column] or 0
    percents: dict[str, dict[int, float]] = {}
    for (dataset, hour), sum_of in sorted(sums.items()):
        if sum_of["recorded_fare_amount"] > 0:
            percent = sum_of["recorded_tip_amount"] / sum_of["recorded_fare_amount"] * 100
            percents.setdefault(dataset, {})[hour] = percent
    if not percents:
        return None
    said = []
    for dataset, own in percents.items():
        large = [h for h in own if sums[dataset, h]["recorded_trips"] >= _LEAST_TRIPS]
        if large:
            best = max(large, key=lambda hour: own[hour])
            said.append(
                f"passengers of {name(dataset)} tip most at {best}:00 ({own[best]:.1f}%),"
                f" of the hours with at least {_LEAST_TRIPS} such trips"
            )
        else:
            said.append(f"no hour has {_LEAST_TRIPS} such trips of {name(dataset)}")

    def draw(width: int) -> Any:
        values = []
        for dataset, own in percents.items():
            runs = runs_of(own)
            values += [
                {"dataset": dataset, "hour": hour, "percent": percent, "run": runs[hour]}
                for hour, percent in own.items()
            ]
        tip = alt.Y("percent:Q", title="tip, % of the fare", scale=alt.Scale(zero=True))
        return by_hour(values, tip, colours(list(percents)), width)

    return Section(
        "tips",
        "Tips by hour",
        sentences(
            _which_tips(percents),
            *said,
        ),
        ["hour", *percents],
        [
            [
                f"{hour}:00",
                *(f"{own[hour]:.1f}%" if hour in own else "" for own in percents.values()),
            ]
            for hour in _HOURS
        ],
        draw,
    )


def _airports(numbers: Numbers) -> Section | None:
    sums: dict[str, Counter[int]] = {}
    for zone, airport in AIRPORTS.items():
        own = [row for row in numbers.airports if row["pickup_location_id"] == zone]
        if own:
            sums[airport] = Counter()
            for row in own:
                sums[airport][int(row["hour_of_day"])] += row["trips"]
    if not sums:
        return None

    def draw(width: int) -> Any:
        values = [
            {"airport": airport, "hour": hour, "trips": own[hour], "run": 0}
            for airport, own in sums.items()
            for hour in _HOURS
        ]
        trips = alt.Y("trips:Q", title="trips", axis=alt.Axis(format="~s", tickMinStep=1))
        return by_hour(values, trips, series("airport:N", list(sums)), width)

    total = {airport: sum(own.values()) for airport, own in sums.items()}
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
        ["hour", *sums],
        [[f"{hour}:00", *(whole(own[hour]) for own in sums.values())] for hour in _HOURS],
        draw,
    )


def _quality(numbers: Numbers) -> Section | None:
    if not numbers.quality:
        return None
    by_dataset: dict[str, list[dict[str, Any]]] = {}
    for row in numbers.quality:
        by_dataset.setdefault(row["dataset"], []).append(row)
    said = []
    for dataset in numbers.datasets:
        newest = [r for r in by_dataset.get(dataset, []) if r["file_month"] >= numbers.first][-1:]
        for row in newest:
            worst = max(QUALITY, key=lambda column: row[column] or 0)
            odd = (
                f"{_percent(row[worst], 1)} of the rows have {QUALITY[worst][1]}"
                if row[worst]
                else "no row is odd"
            )
            said.append(f"{name(dataset)} in {row['file_month']:%B %Y}: {odd}")

    def draw(width: int) -> Any:
        months = len({row["file_month"] for row in numbers.quality})
        every = alt.TimeIntervalStep(interval="month", step=1 + months * 90 // width)
        charts = []
        for dataset, rows in by_dataset.items():
            places = [row["file_month"].year * 12 + row["file_month"].month for row in rows]
            runs = runs_of(places)
            values = [
                {
                    "dataset": dataset,
                    "month": f"{row['file_month']}T00:00:00",
                    "kind": kind,
                    "share": row[column] or 0,
                    "run": runs[place],
                }
                for row, place in zip(rows, places, strict=True)
                for column, (kind, _) in QUALITY.items()
            ]
            base = alt.Chart(alt.Data(values=values), title=heading(dataset)).encode(
                x=alt.X("month:T", title=None, axis=alt.Axis(format="%Y-%m", tickCount=every)),
                y=alt.Y("share:Q", title="share of the rows", axis=alt.Axis(format="%")),
                color=series("kind:N", _KINDS, columns=width // 120),
                detail="run:N",
            )
            charts.append(
                (base.mark_line(strokeWidth=2) + base.mark_point(filled=True, size=25)).properties(
                    width=width - 70, height=140
                )
            )
        return alt.vconcat(*charts)

    return Section(
        "quality",
        "How good the data is",
        sentences(*said, "none of these rows is lost: flags and marts name them"),
        ["dataset", "month", "rows", *_KINDS, "versions"],
        [
            [
                row["dataset"],
                format_month(row["file_month"]),
                whole(row["all_rows"]),
                *(f"{row[column] or 0:.2%}" for column in QUALITY),
                str(row["versions_seen"]),
            ]
            for row in numbers.quality
        ],
        draw,
    )


def _oddities(numbers: Numbers) -> Section | None:
    """Say of the last month of each dataset how many rows are odd, and how to read them."""
    newest = {row["dataset"]: row for row in numbers.quality if row["file_month"] >= numbers.first}
    rows = [
        [
            odd["what"],
            dataset,
            whole(row[odd["counted_in"]]),
            odd["verdict"],
            (odd["how_to_read"] or "").replace("`", ""),
        ]
        for odd in numbers.oddities
        for dataset, row in newest.items()
        if odd["datasets"] == "all" or dataset in odd["datasets"].split(", ")
        if row[odd["counted_in"]]
    ]
    if not rows:
        return None
    of_what = " and ".join(f"{name} {row['file_month']:%B %Y}" for name, row in newest.items())
    return Section(
        "oddities",
        "How to read what is odd",
        sentences(f"rows of {of_what}", "a row may be odd in several ways"),
        ["what", "dataset", "rows", "whose", "how to read it"],
        rows,
    )


def _calendar(numbers: Numbers) -> Section:
    states = [state for state in numbers.states if state.here != State.ABSENT]
    merged = [state for state in states if state.here == State.MERGED]
    years = sorted({state.month.month.year for state in states})

    def draw(width: int) -> Any:
        values = [
            {
                "dataset": state.month.dataset,
                "year": state.month.month.year,
                "month": state.month.month.month,
                "state": "merged" if state.here == State.MERGED else "landed",
                "again": state.month in numbers.republished,
            }
            for state in states
        ]
        charts = []
        for dataset in sorted({state.month.dataset for state in states}):
            own = [value for value in values if value["dataset"] == dataset]
            base = alt.Chart(alt.Data(values=own), title=heading(dataset)).encode(
                x=alt.X(
                    "month:O",
                    title=None,
                    scale=alt.Scale(domain=list(range(1, 13)), padding=0.1),
                    axis=alt.Axis(labelAngle=0),
                ),
                y=alt.Y("year:O", title=None),
            )
            colour = alt.Color(
                "state:N",
                scale=alt.Scale(
                    domain=["merged", "landed"], range=[COLOURS.get(dataset, INK), FAINT]
                ),
                legend=None,
            )
            squares = base.mark_rect(cornerRadius=2).encode(color=colour)
            dots = base.transform_filter("datum.again").mark_point(
                filled=True, color=INK, size=30, opacity=1
            )
            charts.append(
                (squares + dots).properties(
                    width=min(width - 60, 420), height=22 * len({v["year"] for v in own})
                )
            )
        return alt.vconcat(*charts).resolve_scale(color="independent")

    waiting = len(states) - len(merged)
    again = len(numbers.republished)
    return Section(
        "calendar",
        "Months in the warehouse",
        sentences(
            f"{words.count(len(merged), 'month')} {_are(len(merged))} merged"
            + (f", {waiting} {_are(waiting)} waiting" if waiting else ""),
            f"{again} {'was' if again == 1 else 'were'} republished since the first load, and"
            f" {'has' if again == 1 else 'have'} a dot"
            if again
            else "none was republished since the first load",
        ),
        ["dataset", "year", *(f"{month:02}" for month in range(1, 13))],
        [
            [dataset, str(year), *cells]
            for dataset in sorted({state.month.dataset for state in states})
            for year in years
            if any(
                cells := [
                    _word(states, numbers, Month(dataset, dt.date(year, month, 1)))
                    for month in range(1, 13)
                ]
            )
        ],
        draw if states else None,
    )


def _versions(numbers: Numbers) -> Section:
    return Section(
        "versions",
        "Versions of the files",
        sentences(
            "the versions of these months that were merged here, and of all months that were"
            " republished",
            "TLC keeps only the last one",
        ),
        ["dataset", "month", "published", "bytes", "sha256", "rows", "added", "removed"],
        [
            [
                row["dataset"],
                format_month(row["file_month"]),
                f"{row['last_modified']:%Y-%m-%d}" if row["last_modified"] else "",
                whole(row["file_bytes"]),
                row["sha256"][:12],
                whole(row["table_rows"]),
                whole(row["rows_added"] or 0),
                whole(row["rows_removed"] or 0),
            ]
            for row in numbers.versions
        ],
    )


def _word(states: Iterable[Any], numbers: Numbers, month: Month) -> str:
    found = [state for state in states if state.month == month]
    if not found:
        return ""
    if month in numbers.republished:
        return "republished"
    return "merged" if found[0].here == State.MERGED else "landed"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _before(numbers: Numbers) -> str:
    return "the month before" if numbers.length == 1 else f"the {numbers.length} months before"


def _names(datasets: Iterable[str]) -> str:
    return listed([name(dataset) for dataset in datasets])


def _together(numbers: Numbers) -> str:
    """Say whose trips are added up, where it is more than one dataset's."""
    own = [one for one in numbers.datasets if numbers.sums(one)["trips"]]
    return f"trips of {_names(own)} are counted together" if len(own) > 1 else ""


def _which_tips(datasets: Iterable[str]) -> str:
    """Say of which trips the tips are that a section shows."""
    are_apps = {is_app(dataset) for dataset in datasets}
    of_which = {False: "taxi trips by card", True: "all trips of apps"}
    shown = [text for are, text in of_which.items() if are in are_apps]
    return f"tips are of {listed(shown)}: tips in cash are in no file" if shown else ""


def _change_a_day(numbers: Numbers, dataset: str, column: str, months_back: int) -> str:
    """Return the change of a sum by day: months have 28 to 31. Empty when a month is missing."""
    if not numbers.is_comparable(dataset, months_back):
        return ""
    now, before = (
        numbers.sums(dataset, back)[column] / len(numbers.days(dataset, back))
        for back in (0, months_back)
    )
    return change(now, before)


def _trips_by_day(numbers: Numbers) -> dict[str, dict[dt.date, float]]:
    """Return trips by dataset and day, of all days of the months that count."""
    by_day = {one: dict.fromkeys(numbers.days(one), 0.0) for one in numbers.datasets}
    for row in numbers.hours:
        by_day[row["dataset"]][row["pickup_date"]] += row["trips"]
    return by_day


def _few(value: float) -> str:
    """Write an average: with a decimal when it is small."""
    return f"{value:.1f}" if 0 < value < 10 else whole(value)


def _percent(part: float, of: float) -> str:
    return f"{part / of:.1%}" if of > 0 else ""
