"""What the report says of the data: how good they are, which months and versions there are."""

import datetime as dt
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

from loader.calendar import Month, format_month, month_number
from loader.months.state import State
from loader.report.numbers import Numbers
from loader.report.pictures import Line, Panel, Picture, beside, heat, panels
from loader.report.section import Section
from loader.report.words import axis_percentage, name, percent, sentences, whole
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
    """Make the parts on the data; arguments as of `page.render`."""
    yield from filter(None, [_quality(numbers), _oddities(numbers)])
    yield _calendar(numbers)
    yield _versions(numbers)
    said = "The last months that were loaded here, newest first. Times are UTC."
    yield Section("runs", "Runs", said, runs[0], runs[1:])


def _quality(numbers: Numbers) -> Section | None:
    if not numbers.quality:
        return None
    by_dataset = {
        dataset: list(rows) for dataset, rows in groupby(numbers.quality, itemgetter("dataset"))
    }
    said = []
    newest = _newest(numbers)
    for dataset in numbers.datasets:
        if row := newest.get(dataset):
            worst = max(QUALITY, key=lambda column: row[column] or 0)
            share = f"{percent(row[worst] or 0, 1)} of the rows have {QUALITY[worst][1]}"
            odd = share if row[worst] else "no row is odd"
            said.append(f"{name(dataset)} in {row['file_month']:%B %Y}: {odd}")
    months = sorted({row["file_month"] for row in numbers.quality})
    places = {month_number(month): f"{month:%b %Y}" for month in months}
    shown = {
        column: kind
        for column, (kind, _) in QUALITY.items()
        if any(row[column] for row in numbers.quality)
    }
    drawn = [
        Panel(
            f"{kind}, % of the rows",
            [
                Line(
                    dataset,
                    {month_number(row["file_month"]): (row[column] or 0) * 100 for row in rows},
                    dataset,
                )
                for dataset, rows in by_dataset.items()
            ],
            (min(places), max(places)),
            places,
            places.__getitem__,
            axis_percentage,
            max((row[column] or 0) * 100 for row in numbers.quality),
            "{:.2f}%".format,
            height=80,
            least_step=0,
        ).draw
        for column, kind in shown.items()
    ]
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
        partial(panels, drawn, columns=2) if shown and len(months) > _FEW_MONTHS else None,
    )


def _oddities(numbers: Numbers) -> Section | None:
    """Say of the last month of each dataset how many rows are odd, and how to read them."""
    newest = _newest(numbers)
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


def _newest(numbers: Numbers) -> dict[str, dict[str, Any]]:
    """Return the quality of the report's last month of each dataset."""
    return {row["dataset"]: row for row in numbers.quality if row["file_month"] >= numbers.first}


def _calendar(numbers: Numbers) -> Section:
    here = {state.month: state.here for state in numbers.states if state.here != State.ABSENT}
    kinds = {
        month: "merged" if state == State.MERGED else "landed" for month, state in here.items()
    }
    kinds |= {month: "republished" for month in numbers.republished if month in here}
    years = {
        dataset: sorted({month.month.year for month in here if month.dataset == dataset})
        for dataset in sorted({month.dataset for month in here})
    }

    def draw(width: int) -> Picture:
        drawn = []
        for dataset, own in years.items():
            cells = {
                (own.index(month.month.year), month.month.month - 1): (
                    _CLASSES[kind].format(dataset),
                    f"{month.label}: {kind}",
                )
                for month, kind in kinds.items()
                if month.dataset == dataset
            }
            months = [str(month) for month in range(1, 13)]
            drawn.append(heat(name(dataset), months, list(map(str, own)), cells, 344))
        return beside(drawn, width, max(1, width // 344))

    merged = sum(state == State.MERGED for state in here.values())
    waiting = len(here) - merged
    again = len(numbers.republished)
    return Section(
        "calendar",
        "Months in the warehouse",
        sentences(
            f"{words.count(merged, 'month')} {_are(merged)} merged"
            + (f", {waiting} {_are(waiting)} waiting" if waiting else ""),
            f"{again} {'was' if again == 1 else 'were'} republished since the first load, and"
            f" {'has' if again == 1 else 'have'} a frame"
            if again
            else "none was republished since the first load",
        ),
        ["dataset", "year", *(f"{month:02}" for month in range(1, 13))],
        [
            [
                *(dataset, str(year)),
                *(kinds.get(Month(dataset, dt.date(year, n, 1)), "") for n in range(1, 13)),
            ]
            for dataset, own in years.items()
            for year in own
        ],
        draw if here else None,
    )


#: Classes of the style sheet by the word for a month.
_CLASSES = {"merged": "{}", "republished": "{} framed", "landed": "missing"}


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


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
