"""Commands that show: status, runs, report, explore, available."""

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer

import loader.cli.options as options
from loader.calendar import Month, format_month, month_range, parse_month
from loader.cli.app import app
from loader.cli.become import become
from loader.cli.options import range_of, session
from loader.cli.runs import json_of_record, read_runs, row_of_record
from loader.cli.tables import grid, place_of, print_json, print_table
from loader.datasets import get_dataset
from loader.embedded import local_server
from loader.errors import UsageError
from loader.months.due import IN_WORDS, compare
from loader.months.state import State, read_states
from loader.months.verdicts import read_verdicts
from loader.report.history import History, read_history
from loader.report.numbers import Numbers, newest_month, read_numbers
from loader.settings import install_command, load_settings
from loader.source import discover
from loader.source.published import redact
from loader.terminal.commands import nyc_tlc
from loader.terminal.words import count

#: What `status` tells of a month beside TLC's own count.
_OFFICIAL = (
    *("official_trips", "official_difference", "official_share", "official_verdict"),
    "cause",
)


@app.command()
def status(target: options.Target = None, as_json: options.Json = False) -> None:
    """Show the ledger: which version of each month is landed, which the trips table holds."""
    with session(target, None) as context:
        found = read_states(context.warehouse, for_reader=True).values()
        states = [state for state in found if state.here != State.ABSENT]
        verdicts = read_verdicts(context.warehouse)
    rows: list[dict[str, Any]] = []
    for state in states:
        landed, merged = state.landed, state.merged
        newest: Any = landed or merged or state.gone or state.removed
        rows.append(
            {
                "dataset": state.month.dataset,
                "month": state.month.text,
                "state": IN_WORDS[state.here],
                "file_rows": newest.file_rows,
                "table_rows": merged.table_rows if merged else None if landed else 0,
                "landed_at": newest.landed_at,
                "merged_at": merged.merged_at if merged else None,
                "has_marts": state.has_marts if merged else False,
                "format": newest.format,
                "source_url": newest.source_url,
                "sha256": newest.sha256,
                "unknown_columns": landed.unknown_columns if landed else None,
                **{name: getattr(verdicts.get(state.month), name, None) for name in _OFFICIAL},
            }
        )
    if as_json:
        print_json(rows)
    elif not rows:
        print(f"nothing is landed yet: try {nyc_tlc('run', *options.A_MONTH)}")
    else:
        print_table(
            [
                {
                    "dataset": row["dataset"],
                    "month": row["month"],
                    "state": row["state"],
                    "file rows": row["file_rows"],
                    "table rows": row["table_rows"],
                    "TLC counted": row["official_trips"],
                    "verdict": verdict.text if (verdict := verdicts.get(one.month)) else None,
                    "merged at (UTC)": row["merged_at"],
                    "format": row["format"],
                    "source": place_of(row["source_url"]),
                }
                for row, one in zip(rows, states, strict=True)
            ]
        )
        without_marts = sum(state.has_marts is False for state in states)
        if without_marts:
            print(f"without their marts: {without_marts:,}; to build them: {nyc_tlc('marts')}")
        for state in states:
            if state.here == State.GONE:
                print(
                    f"{state.month.label} was merged, and its rows are gone; to load it again:"
                    f" {nyc_tlc('run', *state.month.options)}"
                )


#: Runs that are shown when nobody says how many.
_LAST_RUNS = 30


@app.command("runs")
def runs_command(
    last: Annotated[
        int, typer.Option("--last", help="how many, the newest first", min=1)
    ] = _LAST_RUNS,
    target: options.Target = None,
    as_json: options.Json = False,
) -> None:
    """Show what was run: each month with its seconds, rows a second, warnings and errors.

    From the ledger, and from dbt's results on this machine: of months that another machine merged,
    the seconds of the build are not known here.
    """
    with session(target, None) as context:
        runs = read_runs(context.settings, context.warehouse)[:last]
    if as_json:
        print_json(list(map(json_of_record, runs)))
    elif not runs:
        print(f"nothing was run yet: try {nyc_tlc('run', *options.A_MONTH)}")
    else:
        print_table(list(map(row_of_record, runs)))


@app.command("report")
def report_command(
    month: Annotated[
        str | None, typer.Option("--month", help="file month, YYYY-MM; default the newest")
    ] = None,
    to: options.To = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="file to write; default report-MONTH.html")
    ] = None,
    shapes: Annotated[
        Path | None,
        typer.Option(
            "--shapes", help="TLC's zip of zones or GeoJSON, for the map; default the warehouse's"
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="all of history on one page, instead of months")
    ] = False,
    target: options.Target = None,
) -> None:
    """Write a report of a month, or of several, as one HTML file that opens offline.

    Trips by day, hour and zone, what passengers pay and tip, airports, and how good the data is:
    with a sentence, a picture and a table for each. It reads the marts, and the zones' shapes, if
    the warehouse has them.
    """
    from loader.report import page  # jinja2 and shapely, which take their time to import
    from loader.report.shapes import read_shapes, warehouse_shapes

    months = range_of(month, to)
    if everything:
        if month or shapes:
            raise UsageError("--all is of all months: leave out --month, --to and --shapes")
        with session(target, None) as context:
            history = read_history(context.warehouse)
            text = page.render_history(history, context.settings.today)
        shown = count(len(history.months_there), "month")
        _write_and_tell(out or Path("report-all.html"), text, shown, history)
        return
    zones = read_shapes(shapes) if shapes else None
    with session(target, None) as context:
        if months is None and (newest := newest_month(context.warehouse)):
            months = [newest]
        if months is None:
            print(f"no month has marts yet: try {nyc_tlc('run', *options.A_MONTH)}")
            return
        numbers = read_numbers(context.warehouse, months[0], months[-1])
        runs = read_runs(context.settings, context.warehouse)[:_LAST_RUNS]
        text = page.render(
            numbers,
            zones or warehouse_shapes(context.warehouse),
            grid(list(map(row_of_record, runs))),
            context.settings.today,
        )
    span = f"{format_month(months[0])}{f'-to-{to}' if to else ''}"
    _write_and_tell(out or Path(f"report-{span}.html"), text, numbers.title, numbers)


def _write_and_tell(path: Path, text: str, title: str, shown: Numbers | History) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"can't write the report {path}: {error.strerror}") from error
    print("\n".join([f"{path}: {title}, {', '.join(shown.datasets)}", *shown.notes]))


@app.command()
def explore(
    port: Annotated[int, typer.Option("--port", help="port on this machine")] = 2718,
    target: options.Target = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="print the address, and open no browser")
    ] = False,
) -> None:
    """Open a window on the marts in the browser: choose a dataset, months, zones; or ask in SQL.

    It listens on this machine only, with a token in its address. On Postgres a query can only read;
    on BigQuery your credentials decide. Stop it with Ctrl-C.
    """
    settings = load_settings(target)
    try:
        import marimo  # noqa: F401 - the program that is started below needs it
    except ImportError as error:
        raise UsageError(
            f"the explorer needs marimo, of the extra `explore`: {install_command('explore')}"
        ) from error
    if settings.target == "local":
        local_server.start(settings.local_dir)
    notebook = Path(__file__).parents[1] / "report" / "explore.py"
    arguments = ["run", str(notebook), "--host", "127.0.0.1", "--port", str(port), "--token"]
    arguments += ["--headless"] if headless else []
    become("marimo", arguments, {"TLC_TARGET": settings.target})


@app.command()
def available(
    dataset: options.Dataset,
    month: Annotated[
        str | None,
        typer.Option(
            "--month",
            help="first month, YYYY-MM; default all that a folder or bucket has, else a year back",
        ),
    ] = None,
    to: options.ToNow = None,
    source: options.Source = None,
    target: options.Target = None,
    as_json: options.Json = False,
) -> None:
    """Show which months the source has, and the state of each in the warehouse.

    One request a month. TLC publishes about two months after a month ends.
    """
    first_month = get_dataset(dataset).first_month
    with session(target, source) as context:
        place = context.settings.source
        last = parse_month(to) if to else context.settings.today.replace(day=1)
        first = parse_month(month) if month else last.replace(year=max(last.year - 1, 1))
        there = None if month else discover.open_source(place).months(dataset)
        if there is None:
            months = month_range(max(first, first_month), last)
        else:
            months = [one for one in there if first_month <= one and (not to or one <= last)]
        here = read_states(context.warehouse)
        states = list(compare(context.settings, here, [Month(dataset, one) for one in months]))
    rows: list[dict[str, Any]] = [
        {
            "dataset": state.month.dataset,
            "month": state.month.text,
            "published": state.published is not None,
            "bytes": state.published.size if state.published else None,
            "last_modified": state.published.last_modified if state.published else None,
            "here": IN_WORDS[state.here],
            "changed": state.state == State.CHANGED and not state.is_other_copy,
            "format": state.landed.format if state.landed else None,
            "source_url": state.landed.source_url if state.landed else None,
        }
        for state in states
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        print(f"{redact(place)} has no file of {dataset}{f' up to {to}' if to else ''}")
        return
    print_table(
        [
            {
                "dataset": row["dataset"],
                "month": row["month"],
                "published": _day(row["last_modified"]) if row["published"] else "not yet",
                "MB": row["bytes"] / 1e6 if row["published"] else None,
                "here": row["here"] + (", changed at the source" if row["changed"] else ""),
                "format": row["format"],
                "source": place_of(row["source_url"]),
            }
            for row in rows
        ]
    )


def _day(time: dt.datetime | None) -> str:
    return f"{time:%Y-%m-%d}" if time else "yes"
