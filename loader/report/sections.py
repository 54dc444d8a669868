"""The parts of a report: for each a sentence from the numbers, a picture, and its table."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import altair as alt

from loader.months import format_month, month_range
from loader.report.numbers import AIRPORTS, PARTS, Numbers
from loader.report.pictures import (
    COLOURS,
    FAINT,
    GRID,
    INK,
    SERIES,
    by_hour,
    colours,
    heading,
    series,
    stacked,
)
from loader.report.section import Section
from loader.report.zone_map import zone_map
from loader.state import State

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
#: Shares of odd rows: what they are called, and what these rows have.
QUALITY = {
    "null_block_share": ("no meter data", "no meter data"),
    "reversal_share": ("reversals", "a charge taken back"),
    "unknown_zone_share": ("unknown zone", "an unknown zone"),
    "out_of_range_share": ("out of range", "a value out of range"),
    "outside_month_share": ("other month", "a pickup in another month"),
}
_KINDS = [kind for kind, _ in QUALITY.values()]
_TOP_ZONES = 15


def sections(
    numbers: Numbers, shapes: dict[str, Any] | None, runs: list[list[str]]
) -> Iterator[Section]:
    """Make the parts, in the order of the page.

    Args:
        numbers: the numbers.
        shapes: of the zones, for a map; None: without a map.
        runs: the table of `nyc-tlc runs`, its headings first.
    """
    yield _headline(numbers)
    yield _days(numbers)
    yield _weekdays(numbers)
    yield _zones(numbers)
    yield zone_map(numbers, shapes)
    for part in (_boroughs, _paid, _payments, _tips, _airports):
        section = part(numbers)
        if section:
            yield section
    yield _quality(numbers)
    yield _calendar(numbers)
    said = "The last months that were loaded here, newest first. Times are UTC."
    yield Section("runs", "Runs", said, runs[0], runs[1:])


def _headline(numbers: Numbers) -> Section:
    months = len(month_range(numbers.first, numbers.last))
    before = "the month before" if months == 1 else f"the {months} months before"
    rows, said = [], []
    for dataset in numbers.datasets:
        now = numbers.sums(dataset)
        if now is None:
            continue
        earlier, year = numbers.sums(dataset, months), numbers.sums(dataset, 12)
        change = _change(now, earlier, "trips")
        said.append(f"{dataset} {_count(now['trips'])} trips" + (f" ({change})" if change else ""))
        rows.append(
            [
                dataset,
                _count(now["trips"]),
                change or "",
                _change(now, year, "trips") or "",
                f"${_count(now['total_amount'])}" if now["total_amount"] else "",
                _change(now, earlier, "total_amount") or "",
                f"${now['total_amount'] / now['trips']:.2f}" if now["total_amount"] else "",
                _percent(now["card_tip_amount"], now["card_fare_amount"]),
            ]
        )
    return Section(
        "headline",
        "At a glance",
        f"{numbers.title}: {', '.join(said)}. Changes are to {before} and to the year before.",
        [
            *("dataset", "trips", "change", "to the year before", "charged", "change"),
            *("a trip", "tip by card"),
        ],
        rows,
    )


def _days(numbers: Numbers) -> Section:
    by_day: dict[str, dict[dt.date, float]] = {}
    for row in sorted(numbers.hours, key=lambda row: str(row["dataset"])):
        days = by_day.setdefault(row["dataset"], defaultdict(float))
        days[row["pickup_date"]] += row["trips"]
    said = []
    for dataset, days in by_day.items():
        best, least = max(days, key=lambda d: days[d]), min(days, key=lambda d: days[d])
        said.append(
            f"{dataset} has most trips on {best:%A, %B} {best.day} ({_count(days[best])}) and"
            f" fewest on {least:%A, %B} {least.day} ({_count(days[least])})"
        )
    dates = sorted({row["pickup_date"] for row in numbers.hours})

    def draw(width: int) -> Any:
        day = alt.X("day:T", title=None, axis=alt.Axis(format="%b %-d", tickCount=width // 70))
        weekends = [
            {"day": f"{date}T00:00:00", "until": f"{date + dt.timedelta(days=1)}T00:00:00"}
            for date in dates
            if date.weekday() >= 5
        ]
        values = [
            {"dataset": dataset, "day": f"{date}T12:00:00", "trips": trips}
            for dataset, days in by_day.items()
            for date, trips in sorted(days.items())
        ]
        shades = alt.Chart(alt.Data(values=weekends)).mark_rect(color=GRID, opacity=0.5)
        line = alt.Chart(alt.Data(values=values)).mark_line(strokeWidth=2)
        return (
            shades.encode(x=day, x2="until:T")
            + line.encode(
                x=day,
                y=alt.Y("trips:Q", title="trips a day", axis=alt.Axis(format="~s")),
                color=colours(list(by_day)),
            )
        ).properties(width=width - 60, height=220)

    return Section(
        "days",
        "Trips by day",
        _sentence(said, "Weekends are shaded."),
        ["day", *by_day],
        [
            [f"{date:%a} {date}", *(_count(days.get(date, 0)) for days in by_day.values())]
            for date in dates
        ],
        draw,
    )


def _weekdays(numbers: Numbers) -> Section:
    sums: dict[tuple[str, int, int], float] = defaultdict(float)
    days: dict[int, set[dt.date]] = defaultdict(set)
    for row in numbers.hours:
        date = row["pickup_date"]
        sums[row["dataset"], date.weekday(), int(row["hour_of_day"])] += row["trips"]
        days[date.weekday()].add(date)
    averages = {key: trips / len(days[key[1]]) for key, trips in sums.items()}
    shown = sorted({dataset for dataset, *_ in averages})
    said = []
    for dataset in shown:
        own = {key[1:]: value for key, value in averages.items() if key[0] == dataset}
        weekday, hour = max(own, key=lambda key: own[key])
        said.append(f"{dataset} is busiest on {WEEKDAYS[weekday]} at {hour}:00")

    def draw(width: int) -> Any:
        values = [
            {"dataset": d, "weekday": WEEKDAYS[w], "hour": h, "share": value / most[d]}
            for (d, w, h), value in averages.items()
        ]
        charts = []
        for dataset in shown:
            own = [value for value in values if value["dataset"] == dataset]
            charts.append(
                alt.Chart(alt.Data(values=own), title=heading(dataset))
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

    most = {
        dataset: max(value for key, value in averages.items() if key[0] == dataset)
        for dataset in shown
    }
    return Section(
        "weekdays",
        "Weekday by hour",
        _sentence(said, "The darker, the more trips begin then."),
        ["dataset", "hour", *WEEKDAYS],
        [
            [
                dataset,
                f"{hour}:00",
                *(_count(averages.get((dataset, weekday, hour), 0)) for weekday in range(7)),
            ]
            for dataset in shown
            for hour in range(24)
        ],
        draw,
    )


def _zones(numbers: Numbers) -> Section:
    trips: dict[tuple[int, str], dict[bool, float]] = defaultdict(lambda: {True: 0, False: 0})
    for row in numbers.zones:
        trips[row["pickup_location_id"], row["zone_name"]][row["is_before"]] += row["trips"]
    top = sorted(trips, key=lambda zone: -trips[zone][False])[:_TOP_ZONES]
    has_before = any(count[True] for count in trips.values())
    large = [zone for zone in trips if trips[zone][True] >= 100] if has_before else []
    said = [f"Most trips begin in {top[0][1]} ({_count(trips[top[0]][False])})"] if top else []
    if large:
        grown = max(large, key=lambda zone: trips[zone][False] / trips[zone][True])
        fallen = min(large, key=lambda zone: trips[zone][False] / trips[zone][True])
        said.append(
            f"{grown[1]} changed most upwards ({_change_of(*_pair(trips[grown]))}),"
            f" {fallen[1]} downwards ({_change_of(*_pair(trips[fallen]))})"
        )

    def draw(width: int) -> Any:
        values = [
            {"zone": f"{name} ({number})", "trips": trips[number, name][False]}
            for number, name in top
        ]
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
        _sentence(said),
        ["zone", "number", "trips", "before", "change"],
        [
            [
                name,
                str(number),
                _count(trips[number, name][False]),
                _count(trips[number, name][True]) if has_before else "",
                _change_of(*_pair(trips[number, name])) or "",
            ]
            for number, name in top
        ],
        draw,
    )


def _boroughs(numbers: Numbers) -> Section | None:
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for row in numbers.boroughs:
        sums[row["pickup_borough"], row["dropoff_borough"]] += row["trips"]
    if not sums:
        return None
    order = sorted({name for pair in sums for name in pair})
    total = sum(sums.values())
    (start, end), most = max(sums.items(), key=lambda item: item[1])

    def draw(width: int) -> Any:
        values = [{"from": a, "to": b, "share": trips / most} for (a, b), trips in sums.items()]
        return (
            alt.Chart(alt.Data(values=values))
            .mark_rect(color=SERIES[0])
            .encode(
                x=alt.X("to:N", title="to", axis=alt.Axis(labelAngle=-40)),
                y=alt.Y("from:N", title="from"),
                # most trips stay in Manhattan: a root lets the others be seen
                opacity=alt.Opacity(
                    "share:Q", legend=None, scale=alt.Scale(type="sqrt", range=[0.03, 1])
                ),
            )
            .properties(width=width - 130, height=26 * len(order))
        )

    return Section(
        "boroughs",
        "From borough to borough",
        f"{_percent(most, total)} of the trips go from {start} to {end}.",
        ["from", *order],
        [[a, *(_count(sums.get((a, b), 0)) for b in order)] for a in order],
        draw,
    )


def _paid(numbers: Numbers) -> Section | None:
    rows: list[tuple[str, str, float]] = []
    for dataset in numbers.datasets:
        now = numbers.sums(dataset)
        if now and now["total_amount"] and now["trips"]:
            rows += [
                (dataset, label, now[name] / now["trips"])
                for name, label in PARTS.items()
                if now[name]
            ]
    if not rows:
        return None
    labels = [label for label in PARTS.values() if any(row[1] == label for row in rows)]
    paying = list(dict.fromkeys(dataset for dataset, *_ in rows))
    said = []
    for dataset in paying:
        now = numbers.sums(dataset)
        if now:
            said.append(
                f"a {dataset} trip costs ${now['total_amount'] / now['trips']:.2f} on average"
            )

    def draw(width: int) -> Any:
        values = [{"dataset": d, "part": p, "size": v} for d, p, v in rows]
        return stacked(values, alt.X("size:Q", title="dollars a trip"), labels, width)

    return Section(
        "paid",
        "What a passenger pays",
        _sentence(said),
        ["part", *paying],
        [
            [
                label,
                *(
                    f"${sum(v for d, p, v in rows if (d, p) == (dataset, label)):.2f}"
                    for dataset in paying
                ),
            ]
            for label in labels
        ],
        draw,
    )


def _payments(numbers: Numbers) -> Section | None:
    if not numbers.payments:
        return None
    total: dict[str, float] = defaultdict(float)
    for row in numbers.payments:
        total[row["dataset"]] += row["trips"]
    by_kind: dict[str, float] = defaultdict(float)
    for row in numbers.payments:
        by_kind[row["payment_type_name"]] += row["trips"]
    kinds = sorted(by_kind, key=lambda kind: -by_kind[kind])
    share = {
        (row["dataset"], row["payment_type_name"]): row["trips"] / total[row["dataset"]]
        for row in numbers.payments
        if total[row["dataset"]]
    }
    said = [
        f"{share[dataset, kinds[0]]:.0%} of the {dataset} trips are paid by {kinds[0].lower()}"
        for dataset in total
        if (dataset, kinds[0]) in share
    ]

    def draw(width: int) -> Any:
        values = [{"dataset": d, "part": k, "size": value} for (d, k), value in share.items()]
        size = alt.X("size:Q", title="share of the trips", axis=alt.Axis(format="%"))
        return stacked(values, size, kinds, width)

    return Section(
        "payments",
        "How they pay",
        _sentence(said),
        ["payment", *total],
        [[kind, *(f"{share.get((dataset, kind), 0):.1%}" for dataset in total)] for kind in kinds],
        draw,
    )


def _tips(numbers: Numbers) -> Section | None:
    sums: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in numbers.hours:
        if row["card_fare_amount"]:
            own = sums[row["dataset"], int(row["hour_of_day"])]
            own[0] += row["card_tip_amount"] or 0
            own[1] += row["card_fare_amount"]
    percents = {key: tip / fare * 100 for key, (tip, fare) in sums.items() if fare > 0}
    if not percents:
        return None
    tipped = sorted({dataset for dataset, _ in percents})
    said = []
    for dataset in tipped:
        own_hours = {hour: value for (name, hour), value in percents.items() if name == dataset}
        best = max(own_hours, key=lambda hour: own_hours[hour])
        said.append(f"{dataset} passengers tip most at {best}:00 ({own_hours[best]:.1f}%)")

    def draw(width: int) -> Any:
        values = [{"dataset": d, "hour": h, "percent": value} for (d, h), value in percents.items()]
        tip = alt.Y("percent:Q", title="tip, % of the fare", scale=alt.Scale(zero=False))
        return by_hour(values, tip, colours(tipped), width)

    return Section(
        "tips",
        "Tips by hour",
        _sentence(said, "Of trips by card: tips in cash are in no file."),
        ["hour", *tipped],
        [
            [f"{hour}:00", *(_or_blank(percents.get((d, hour)), "{:.1f}%") for d in tipped)]
            for hour in range(24)
        ],
        draw,
    )


def _airports(numbers: Numbers) -> Section | None:
    sums: dict[tuple[str, int], float] = defaultdict(float)
    for row in numbers.airports:
        sums[AIRPORTS[row["pickup_location_id"]], int(row["hour_of_day"])] += row["trips"]
    if not sums:
        return None
    names = [name for name in AIRPORTS.values() if any(key[0] == name for key in sums)]
    total = {name: sum(v for (n, _), v in sums.items() if n == name) for name in names}

    def draw(width: int) -> Any:
        values = [{"airport": a, "hour": h, "trips": value} for (a, h), value in sums.items()]
        trips = alt.Y("trips:Q", title="trips", axis=alt.Axis(format="~s"))
        return by_hour(values, trips, series("airport:N", names), width)

    return Section(
        "airports",
        "From the airports",
        _sentence([f"{name}: {_count(total[name])} trips begin there" for name in names]),
        ["hour", *names],
        [[f"{h}:00", *(_count(sums.get((name, h), 0)) for name in names)] for h in range(24)],
        draw,
    )


def _quality(numbers: Numbers) -> Section:
    now = [row for row in numbers.quality if numbers.first <= row["file_month"] <= numbers.last]
    said = []
    for row in now[-len(numbers.datasets) :]:
        worst = max(QUALITY, key=lambda name: row[name] or 0)
        said.append(
            f"{row['dataset']} {format_month(row['file_month'])}:"
            f" {row[worst] or 0:.1%} of the rows have {QUALITY[worst][1]}"
        )

    def draw(width: int) -> Any:
        values = [
            {
                "dataset": row["dataset"],
                "month": f"{row['file_month']}T00:00:00",
                "kind": kind,
                "share": row[name] or 0,
            }
            for row in numbers.quality
            for name, (kind, _) in QUALITY.items()
        ]
        months = len({row["file_month"] for row in numbers.quality})
        every = alt.TimeIntervalStep(interval="month", step=1 + months * 90 // width)
        charts = []
        for dataset in sorted({row["dataset"] for row in numbers.quality}):
            own = [value for value in values if value["dataset"] == dataset]
            base = alt.Chart(alt.Data(values=own), title=heading(dataset)).encode(
                x=alt.X("month:T", title=None, axis=alt.Axis(format="%Y-%m", tickCount=every)),
                y=alt.Y("share:Q", title="share of the rows", axis=alt.Axis(format="%")),
                color=series("kind:N", _KINDS, columns=width // 120),
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
        _sentence(said, "None of these rows is lost: flags and marts name them."),
        ["dataset", "month", "rows", *_KINDS, "versions"],
        [
            [
                row["dataset"],
                format_month(row["file_month"]),
                _count(row["all_rows"]),
                *(f"{row[name] or 0:.2%}" for name in QUALITY),
                str(row["versions_seen"]),
            ]
            for row in numbers.quality
        ],
        draw,
    )


def _calendar(numbers: Numbers) -> Section:
    states = [state for state in numbers.states if state.here != State.ABSENT]
    merged = [state for state in states if state.here == State.MERGED]
    years = sorted({state.month.year for state in states})

    def draw(width: int) -> Any:
        values = [
            {
                "dataset": state.dataset,
                "year": state.month.year,
                "month": state.month.month,
                "state": "merged" if state.here == State.MERGED else "landed",
                "again": (state.dataset, state.month) in numbers.republished,
            }
            for state in states
        ]
        charts = []
        for dataset in sorted({state.dataset for state in states}):
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
        f"{len(merged)} months are merged{f', {waiting} are waiting' if waiting else ''}."
        f" {again} were republished since the first load, and have a dot.",
        ["dataset", "year", *(f"{month:02}" for month in range(1, 13))],
        [
            [dataset, str(year), *cells]
            for dataset in sorted({state.dataset for state in states})
            for year in years
            if any(
                cells := [
                    _word(states, numbers, dataset, dt.date(year, month, 1))
                    for month in range(1, 13)
                ]
            )
        ],
        draw if states else None,
    )


def _word(states: Iterable[Any], numbers: Numbers, dataset: str, month: dt.date) -> str:
    found = [state for state in states if (state.dataset, state.month) == (dataset, month)]
    if not found:
        return ""
    if (dataset, month) in numbers.republished:
        return "republished"
    return "merged" if found[0].here == State.MERGED else "landed"


def _pair(counts: dict[bool, float]) -> tuple[float, float]:
    return counts[False], counts[True]


def _change(now: dict[str, float], before: dict[str, float] | None, name: str) -> str | None:
    return _change_of(now[name], before[name]) if before else None


def _change_of(now: float, before: float) -> str | None:
    """Return a change in percent, with its sign."""
    change = f"{(now / before - 1) * 100:+.1f}%" if before else None
    return "0.0%" if change == "-0.0%" else change


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _or_blank(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _sentence(said: list[str], last: str = "") -> str:
    """Join parts to sentences."""
    parts = [f"{part[0].upper()}{part[1:]}." for part in said]
    return " ".join([*parts, *([last] if last else [])])
