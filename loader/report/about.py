"""What the report says of the data: how good they are, which months and versions there are."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

from loader.calendar import Month, format_month, month_number
from loader.months.state import State
from loader.report.numbers import Numbers
from loader.report.pictures import Line, Panel, Picture, beside, heat, panels
from loader.report.section import Section
from loader.report.words import name, percent, sentences, whole
from loader.terminal import words

#: Shares of odd rows: what they are called, and what these rows have.
QUALITY = {
    "null_block_share": ("no meter data", "no meter data"),
    "reversal_share": ("reversals", "a charge taken back"),
    "unknown_zone_share": ("unknown place", "an unknown place of pickup or dropoff"),
    "out_of_range_share": ("out of range", "a value out of range"),
    "outside_month_share": ("other month", "a pickup in another month"),
}
#: Up to so many months, a table says more than lines.
_FEW_MONTHS = 3


def about(numbers: Numbers, runs: list[list[str]]) -> Iterator[Section]:
    """Make the parts on the data.

    Args:
        runs: the table of `nyc-tlc runs`, its headings first.
    """
    yield from filter(None, [_quality(numbers), _oddities(numbers)])
    yield _calendar(numbers)
    yield _versions(numbers)
    said = "The last months that were loaded here, newest first. Times are UTC."
    yield Section("runs", "Runs", said, runs[0], runs[1:])


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
                f"{percent(row[worst], 1)} of the rows have {QUALITY[worst][1]}"
                if row[worst]
                else "no row is odd"
            )
            said.append(f"{name(dataset)} in {row['file_month']:%B %Y}: {odd}")
    months = sorted({row["file_month"] for row in numbers.quality})
    places = {month_number(month): f"{month:%b %Y}" for month in months}
    shown = {
        column: kind
        for column, (kind, _) in QUALITY.items()
        if any(row[column] for row in numbers.quality)
    }

    def draw(width: int) -> Picture:
        return panels(
            [
                Panel(
                    f"{kind}, % of the rows",
                    [
                        Line(
                            dataset,
                            {month_number(r["file_month"]): (r[column] or 0) * 100 for r in rows},
                            dataset,
                        )
                        for dataset, rows in by_dataset.items()
                    ],
                    (min(places), max(places)),
                    places,
                    places.__getitem__,
                    lambda value: f"{value:g}%",
                    max((row[column] or 0) * 100 for row in numbers.quality),
                    lambda value: f"{value:.2f}%",
                    height=80,
                    least_step=0,
                ).draw
                for column, kind in shown.items()
            ],
            width,
            columns=2,
        )

    return Section(
        "quality",
        "How good the data is",
        sentences(
            *said,
            "none of these rows is lost: flags and marts name them",
            "each panel has its own scale" if len(months) > _FEW_MONTHS and len(shown) > 1 else "",
        ),
        ["dataset", "month", "rows", *(kind for kind, _ in QUALITY.values()), "versions"],
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
        draw if shown and len(months) > _FEW_MONTHS else None,
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

    def draw(width: int) -> Picture:
        drawn = []
        for dataset in sorted({state.month.dataset for state in states}):
            own = [state for state in states if state.month.dataset == dataset]
            of_dataset = sorted({state.month.month.year for state in own})
            cells = {
                (of_dataset.index(state.month.month.year), state.month.month.month - 1): (
                    _WORDS[word].format(dataset),
                    f"{state.month.label}: {word}",
                )
                for state in own
                for word in [_word(states, numbers, state.month)]
            }
            months = [str(month) for month in range(1, 13)]
            drawn.append(heat(name(dataset), months, list(map(str, of_dataset)), cells, 344))
        return beside(drawn, width, max(1, width // 344))

    waiting = len(states) - len(merged)
    again = len(numbers.republished)
    return Section(
        "calendar",
        "Months in the warehouse",
        sentences(
            f"{words.count(len(merged), 'month')} {_are(len(merged))} merged"
            + (f", {waiting} {_are(waiting)} waiting" if waiting else ""),
            f"{again} {'was' if again == 1 else 'were'} republished since the first load, and"
            f" {'has' if again == 1 else 'have'} a frame"
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


#: Classes of the style sheet by the word for a month.
_WORDS = {"merged": "{}", "republished": "{} framed", "landed": "missing"}


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
