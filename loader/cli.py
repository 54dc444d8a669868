"""The command line: `nyc-tlc …`, the same as `python -m loader …`."""

import datetime as dt
import json
import logging
import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import psycopg2
import typer
from rich.console import Console
from rich.table import Table

from loader import __version__, interrupts
from loader.datasets import check_supported, datasets, get_dataset
from loader.doctor import checks
from loader.embedded import local_server
from loader.errors import LoaderError, NoRightError, UsageError, WarehouseError
from loader.landing.land import fetch_month, land_month
from loader.log import log_to_file, showing_retries
from loader.months import (
    format_month,
    month_range,
    parse_month,
)
from loader.plan import Plan, hours, plan_of, require_room
from loader.progress import Reporter, how_far
from loader.report.numbers import newest_month, read_numbers
from loader.run import RunOptions, build_marts, run_months
from loader.runs import read_runs, table_of_runs
from loader.settings import PROJECT_DIR, TARGETS, TLC_CDN, Settings, export_settings, load_settings
from loader.source.mirror import mirror_months
from loader.state import MonthState, State, months_without_marts, read_state, read_states
from loader.summary import Summary, describe_bill, summarizing
from loader.sync import IN_WORDS, compare, followed, is_due, reason, window
from loader.warehouse.base import Warehouse
from loader.warehouse.connect import connect_warehouse

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
postgres_app = typer.Typer(
    help="The embedded Postgres server of target local.", no_args_is_help=True
)
app.add_typer(postgres_app, name="postgres")

DatasetOption = Annotated[
    str,
    typer.Option("--dataset", help="green, yellow, …", autocompletion=lambda: list(datasets())),
]
OneOrAllOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="green, yellow, …; with --all, default all",
        autocompletion=lambda: list(datasets()),
    ),
]
MonthOption = Annotated[str, typer.Option("--month", help="file month, YYYY-MM")]
ToOption = Annotated[str | None, typer.Option("--to", help="last month of a range, YYYY-MM")]
SourceOption = Annotated[
    str | None, typer.Option("--source", help="base URL, folder or bucket; default TLC's CDN")
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="local, postgres or bigquery; default local",
        autocompletion=lambda: list(TARGETS),
    ),
]
AllowEmptyOption = Annotated[
    bool, typer.Option("--allow-empty", help="take a file with zero rows, which is refused")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="land and merge again, even what is unchanged")
]


class WhenMarts(StrEnum):
    """When the marts of a month are built."""

    now = "now"
    later = "later"


MartsOption = Annotated[
    WhenMarts,
    typer.Option("--marts", help="later: leave the marts to `nyc-tlc marts`, for a backfill"),
]
SummaryOption = Annotated[
    Path | None,
    typer.Option("--summary", help="append a table for people to this file, in Markdown"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]


@app.callback(invoke_without_command=True)
def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    """Load New York's taxi trips from TLC's monthly files into a warehouse.

    `nyc-tlc run --dataset green --month 2023-01` loads a month end to end: it lands the file,
    merges it with dbt, tests it, and reports the counts. When you run it again, it finds that
    nothing has changed.

    Settings come from the environment or .env: see docs/settings.md. Exit codes: 0 done or nothing
    to do, 2 wrong usage, 3 not published, 4 source fails, 5 file refused, 6 warehouse fails,
    7 counts differ, 8 locked by another run, 130 or 143 stopped by Ctrl-C or SIGTERM.
    """
    if version:
        print(f"nyc-tlc {__version__}")
        raise typer.Exit


@dataclass(frozen=True)
class _Context:
    settings: Settings
    warehouse: Warehouse
    reporter: Reporter


@contextmanager
def _session(target: str | None, source: str | None) -> Iterator[_Context]:
    settings = load_settings(target, source)
    with _reporting(settings) as reporter, closing(connect_warehouse(settings)) as warehouse:
        yield _Context(settings, warehouse, reporter)


@contextmanager
def _reporting(settings: Settings) -> Iterator[Reporter]:
    log_to_file(settings)
    reporter = Reporter(Console(stderr=True))
    with showing_retries(reporter), interrupts.at_stop(reporter.stop):
        yield reporter


def _months(dataset: str, month: str, to: str | None) -> list[dt.date]:
    """Check the options that name the dataset and its months."""
    get_dataset(dataset)
    first = parse_month(month)
    months = month_range(first, parse_month(to) if to else first)
    check_supported(dataset, first)
    return months


@app.command()
def load(
    dataset: DatasetOption,
    month: MonthOption,
    to: ToOption = None,
    source: SourceOption = None,
    target: TargetOption = None,
    allow_empty: AllowEmptyOption = False,
) -> None:
    """Land month files in the raw schema. `dbt build` merges them.

    A file is downloaded, checked, cast by the contract and copied; it counts as landed when all
    its rows are there. A file that has landed already is left alone.
    """
    months = _months(dataset, month, to)
    asked = [(dataset, one) for one in months]
    landed: list[tuple[str, dt.date]] = []
    with _session(target, source) as context:
        context.reporter.if_stopped(lambda: [how_far(asked, landed, "landed")])
        for one in months:
            with context.warehouse.lock(dataset, one):
                state = read_state(context.warehouse, dataset, one)
                file = fetch_month(
                    context.settings, state, context.reporter, allow_empty=allow_empty
                )
                landing = land_month(
                    context.settings, context.warehouse, state, file, context.reporter
                )
            landed.append((dataset, one))
            if landing.changed and not landing.landed.suspect:
                context.reporter.say(
                    f"{dataset} {format_month(one)}  landed {landing.landed.landed_rows:,} rows;"
                    f" next: dbt build --vars '{{dataset: {dataset}, month: {format_month(one)}}}'"
                )


@app.command()
def run(
    dataset: OneOrAllOption = None,
    month: Annotated[str | None, typer.Option("--month", help="file month, YYYY-MM")] = None,
    to: ToOption = None,
    all_months: Annotated[
        bool, typer.Option("--all", help="every month that is published, instead of --month")
    ] = False,
    since: Annotated[
        str | None, typer.Option("--since", help="with --all: first month, YYYY-MM")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="with --all: print the plan, and do nothing")
    ] = False,
    source: SourceOption = None,
    target: TargetOption = None,
    keep_raw: Annotated[
        bool, typer.Option("--keep-raw", help="keep the raw rows after the merge")
    ] = False,
    keep_files: Annotated[
        bool, typer.Option("--keep-files", help="keep the downloaded files after the merge")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="merge a version that is suspect, too")
    ] = False,
    allow_empty: AllowEmptyOption = False,
    force: ForceOption = False,
    marts: MartsOption = WhenMarts.now,
    summary: SummaryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load months end to end: land, merge, test, reconcile, clean up.

    Exit code 0 means that the ledger reconciles: the file's rows, the landed rows and the table's
    rows are the same number, for every month asked for. A month that fails doesn't stop the others;
    the exit code is then that of the first which failed.

    `nyc-tlc run --all` runs all that is published and not merged yet, after a plan of files, room
    and time, which `--dry-run` only prints; `--dataset`, `--since` and `--to` narrow it. Stop it at
    any moment, and run it again to go on.
    """
    if all_months == bool(month) or (not all_months and (since or dry_run or not dataset)):
        raise UsageError(
            "give --dataset and --month YYYY-MM, or --all; --since and --dry-run go with --all"
        )
    first, last = (parse_month(text) if text else None for text in (since, to))
    names = [get_dataset(dataset).name] if dataset else list(datasets())
    months = _months(names[0], month, to) if month else []
    with summarizing(summary) as told, _session(target, source) as context:
        asked = [(names[0], one) for one in months]
        if all_months:
            states = _look(context, names, first, last)
            due = [
                one
                for one in states
                if force or is_due(one) or (one.is_unfinished and not keep_raw)
            ]
            plan = plan_of(due)
            of_each = {name: plan_of([one for one in due if one.dataset == name]) for name in names}
            if as_json and dry_run:
                _print_json({name: asdict(one) for name, one in of_each.items()})
            elif not as_json:
                _print_plan(context, plan, of_each, merged=len(states) - len(due))
            if context.settings.target == "local":
                require_room(plan, context.settings.local_dir)
            asked = [] if dry_run else [(one.dataset, one.month) for one in due]
        options = RunOptions(
            keep_raw=keep_raw,
            keep_files=keep_files,
            accept=accept,
            allow_empty=allow_empty,
            force=force,
            marts=marts is WhenMarts.now,
        )
        _run(context, asked, options, told)
    if asked or (as_json and not dry_run):
        _finish(told, as_json)


def _look(
    context: _Context, names: Sequence[str], first: dt.date | None, last: dt.date | None
) -> list[MonthState]:
    """Ask the source for all months of datasets; return what it has, oldest first."""
    last = last or context.settings.today.replace(day=1)
    months = [
        (name, month)
        for name in names
        if (start := max(first or dt.date.min, get_dataset(name).first_month)) <= last
        for month in month_range(start, last)
    ]
    found = []
    with context.reporter.stage("all", "look", "months", len(months)) as stage:
        for state in compare(context.settings, read_states(context.warehouse), months):
            stage.add(1)
            if state.published:
                found.append(state)
    return sorted(found, key=lambda state: (state.month, state.dataset))


def _print_plan(context: _Context, plan: Plan, of_each: Mapping[str, Plan], merged: int) -> None:
    if not plan.files:
        print(f"nothing to do: {merged:,} months are merged, and the source has no others")
        return
    _print_table(
        ["dataset", "files", "rows, about", "download GB", "disk GB"],
        [
            [
                name,
                f"{one.files:,}",
                f"{one.rows:,}",
                f"{one.download_bytes / 1e9:,.2f}",
                f"{one.disk_bytes / 1e9:,.2f}",
            ]
            for name, one in {**of_each, "in all": plan}.items()
        ],
    )
    least, most = hours(plan.rows, context.warehouse.merged_versions())
    time = _time(most) if least == most else f"{_time(least)} to {_time(most)}"
    measured = "measured here" if least == most else "as on two cores"
    print(
        f"{merged:,} merged already. Download aside, these take about {time} ({measured});"
        f" on Postgres they need {plan.peak_bytes / 1e9:,.2f} GB at the peak."
    )


def _time(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{hours * 3600:,.0f} s"


@app.command()
def sync(
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", help="green, yellow, …; default those that the warehouse has, or all"
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            help="first month to look at, YYYY-MM; default six months before the newest merged one,"
            " and a year back when there is none",
        ),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="last month; default this month")] = None,
    source: SourceOption = None,
    target: TargetOption = None,
    force: ForceOption = False,
    marts: MartsOption = WhenMarts.now,
    summary: SummaryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find what is newly published or republished, and run it: what a schedule calls.

    It asks the source for each month with one request, one after the other, and runs months oldest
    first. It is normal that some are not published yet, or that nothing is new.
    """
    asked = get_dataset(dataset).name if dataset else None
    first, last = (parse_month(text) if text else None for text in (since, to))
    with summarizing(summary) as told, _session(target, source) as context:
        settings, reporter = context.settings, context.reporter
        states = read_states(context.warehouse)
        names = [asked] if asked else followed(states)
        months = [
            (name, month)
            for name in names
            for month in window(states, name, settings.today, first, last)
        ]
        told.states = list(compare(settings, states, months))
        due = [one for one in told.states if is_due(one) or (force and one.published)]
        for one in due:
            forced = "" if is_due(one) else ", forced"
            reporter.say(f"{one.dataset} {format_month(one.month)}  {reason(one)}{forced}")
        requests = sorted(((one.dataset, one.month) for one in due), key=lambda key: key[::-1])
        _run(context, requests, RunOptions(force=force, marts=marts is WhenMarts.now), told)
    if not told.done and not as_json:
        absent = sum(one.published is None for one in told.states)
        print(f"nothing new: {len(told.states)} months looked at, {absent} not yet published")
        return
    _finish(told, as_json)


def _run(
    context: _Context,
    requests: Sequence[tuple[str, dt.date]],
    options: RunOptions,
    told: Summary,
) -> None:
    """Run months, and record each one, for the summary and for the message after a stop."""

    def lines() -> list[str]:
        failed = [f"error: {one.error}" for one in told.done if one.error]
        return [
            *failed,
            how_far(requests, [(o.dataset, o.month) for o in told.done if not o.error]),
        ]

    context.reporter.if_stopped(lines)
    for one in run_months(context.settings, requests, context.reporter, options):
        told.done.append(one)


@app.command("marts")
def marts_command(
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            help="green, yellow, …; default all",
            autocompletion=lambda: list(datasets()),
        ),
    ] = None,
    month: Annotated[
        str | None, typer.Option("--month", help="file month, YYYY-MM; default all")
    ] = None,
    to: ToOption = None,
    target: TargetOption = None,
) -> None:
    """Build the marts of merged months that lack them, oldest first.

    `run --marts later` leaves them to this command, as does a warehouse that was made before there
    were marts. Stop it at any moment, and run it again to go on.
    """
    names = [get_dataset(dataset).name] if dataset else list(datasets())
    if to and not month:
        raise UsageError("--to goes with --month, the first month")
    first = parse_month(month) if month else None
    months = month_range(first, parse_month(to) if to else first) if first else None
    with _session(target, None) as context:
        versions = [
            version
            for version in months_without_marts(context.warehouse)
            if version.dataset in names and (months is None or version.file_month in months)
        ]
        asked = [(one.dataset, one.file_month) for one in versions]
        built: list[tuple[str, dt.date]] = []
        context.reporter.if_stopped(lambda: [how_far(asked, built)])
        for one in build_marts(context.settings, context.warehouse, versions, context.reporter):
            built.append((one.dataset, one.file_month))
    if built:
        print(f"{len(built):,} {'month' if len(built) == 1 else 'months'} built")
    else:
        print("nothing to do: every merged month has its marts")


@app.command()
def upgrade(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what it needs, and change nothing")
    ] = False,
    target: TargetOption = None,
) -> None:
    """Give trips tables of an earlier version today's shape: a tenth smaller, faster to read.

    Nothing else needs it: tables of both shapes take new months and answer the same queries. A
    table is copied month by month beside the old one, and changes as a whole at the end; stopped
    before that, it is as it was. Your views, grants and indexes stay.
    """
    with _session(target, None) as context, context.warehouse.build_lock(context.reporter):
        arguments = ["--quiet", "--no-use-colors", "run-operation", "upgrade_tables"]
        options = ["--args", json.dumps({"dry_run": dry_run})]
        dbt = subprocess.run([_script("dbt"), *arguments, *options], check=False)  # noqa: S603
        if dbt.returncode:
            raise WarehouseError("the upgrade failed, and the table is as it was: see above")


@app.command()
def status(target: TargetOption = None, as_json: JsonOption = False) -> None:
    """Show the ledger: which version of each month is landed, which the trips table holds."""
    with _session(target, None) as context:
        states = [
            state for state in read_states(context.warehouse).values() if state.here != State.ABSENT
        ]
        without_marts: set[tuple[str, dt.date]] | None = None
        with suppress(NoRightError):  # a user who only loads
            without_marts = {
                (one.dataset, one.file_month) for one in months_without_marts(context.warehouse)
            }
    rows: list[dict[str, Any]] = []
    for state in states:
        landed, merged = state.landed, state.merged
        newest: Any = landed or merged
        rows.append(
            {
                "dataset": state.dataset,
                "month": format_month(state.month),
                "state": IN_WORDS[state.here],
                "file_rows": newest.file_rows,
                "table_rows": merged.table_rows if merged else None,
                "landed_at": newest.landed_at,
                "merged_at": merged.merged_at if merged else None,
                "has_marts": None
                if without_marts is None
                else bool(merged) and (state.dataset, state.month) not in without_marts,
                "format": newest.format,
                "source_url": newest.source_url,
                "sha256": newest.sha256,
                "unknown_columns": landed.unknown_columns if landed else None,
            }
        )
    if as_json:
        _print_json(rows)
    elif not rows:
        print("nothing is landed yet: try nyc-tlc run --dataset green --month 2023-01")
    else:
        _print_table(
            [
                *("dataset", "month", "state", "file rows", "table rows", "merged at (UTC)"),
                *("format", "source"),
            ],
            [
                [
                    row["dataset"],
                    row["month"],
                    row["state"],
                    f"{row['file_rows']:,}",
                    "" if row["table_rows"] is None else f"{row['table_rows']:,}",
                    "" if row["merged_at"] is None else f"{row['merged_at']:%Y-%m-%d %H:%M:%S}",
                    row["format"],
                    _place(row["source_url"]),
                ]
                for row in rows
            ],
        )
        if without_marts:
            print(f"without their marts: {len(without_marts):,}; to build them: nyc-tlc marts")


#: Runs that are shown when nobody says how many.
_LAST_RUNS = 30


@app.command("runs")
def runs_command(
    last: Annotated[
        int, typer.Option("--last", help="how many, the newest first", min=1)
    ] = _LAST_RUNS,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was run: each month with its seconds, rows a second, warnings and errors.

    From the ledger, and from dbt's results on this machine: of months that another machine merged,
    the seconds of the build are not known here.
    """
    with _session(target, None) as context:
        runs = read_runs(context.settings, context.warehouse)[:last]
    if as_json:
        _print_json([asdict(run) for run in runs])
    elif not runs:
        print("nothing was run yet: try nyc-tlc run --dataset green --month 2023-01")
    else:
        columns, *rows = table_of_runs(runs)
        _print_table(columns, rows)


@app.command("report")
def report_command(
    month: Annotated[
        str | None, typer.Option("--month", help="file month, YYYY-MM; default the newest")
    ] = None,
    to: ToOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="file to write; default report-MONTH.html")
    ] = None,
    shapes: Annotated[
        Path | None, typer.Option("--shapes", help="GeoJSON of TLC's zones, for a map")
    ] = None,
    target: TargetOption = None,
) -> None:
    """Write a report of a month, or of several, as one HTML file that opens offline.

    Trips by day, hour and zone, what passengers pay and tip, airports, and how good the data is:
    with a sentence, a picture and a table for each. It reads the marts. The zones' shapes are not
    part of the project: TLC publishes them as taxi_zones.zip, and any tool makes GeoJSON of them.
    """
    page = _report_extra()
    if to and not month:
        raise UsageError("--to goes with --month, the first month")
    first = parse_month(month) if month else None
    last = month_range(first, parse_month(to))[-1] if first and to else first
    zones = page.read_shapes(shapes) if shapes else None
    with _session(target, None) as context:
        first = first or newest_month(context.warehouse)
        if first is None:
            print("no month has marts yet: try nyc-tlc run --dataset green --month 2023-01")
            return
        numbers = read_numbers(context.warehouse, first, last or first)
        runs = read_runs(context.settings, context.warehouse)[:_LAST_RUNS]
        text = page.render(numbers, zones, table_of_runs(runs))
    path = out or Path(f"report-{format_month(first)}{f'-to-{to}' if to else ''}.html")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"can't write the report {path}: {error.strerror}") from error
    print(f"{path}: {numbers.title}, {', '.join(numbers.datasets)}")
    for note in numbers.notes:
        print(note)


@app.command()
def explore(
    port: Annotated[int, typer.Option("--port", help="port on this machine")] = 2718,
    target: TargetOption = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="print the address, and open no browser")
    ] = False,
) -> None:
    """Open a window on the marts in the browser: choose a dataset, months, zones; or ask in SQL.

    It listens on this machine only, with a token in its address. On Postgres its session can only
    read; on BigQuery your credentials decide. Stop it with Ctrl-C.
    """
    settings = load_settings(target)
    try:
        import marimo  # noqa: F401 - the program that is started below needs it
    except ImportError as error:
        raise UsageError(
            "the explorer needs marimo, of the extra `explore`: make install WITH=explore"
        ) from error
    if settings.target == "local":
        local_server.start(settings.local_dir)
    read_only = f"{os.environ.get('PGOPTIONS', '')} -c default_transaction_read_only=on"
    os.environ |= {"TLC_TARGET": settings.target, "PGOPTIONS": read_only.strip()}
    notebook = PROJECT_DIR / "loader" / "report" / "explore.py"
    options = ["--host", "127.0.0.1", "--port", str(port), "--token"]
    _become("marimo", ["run", str(notebook), *options, *(["--headless"] if headless else [])])


def _report_extra() -> Any:
    """Import what draws the report, which is an extra of the package."""
    try:
        from loader.report import page
    except ImportError as error:
        raise UsageError(
            f"the report needs {error.name}, of the extra `report`: make install WITH=report"
        ) from error
    return page


@app.command()
def available(
    dataset: DatasetOption,
    month: Annotated[
        str | None, typer.Option("--month", help="first month, YYYY-MM; default a year back")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="last month; default this month")] = None,
    source: SourceOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which months the source has, and the state of each in the warehouse.

    One request a month. TLC publishes about two months after a month ends.
    """
    first_month = get_dataset(dataset).first_month
    with _session(target, source) as context:
        last = parse_month(to) if to else context.settings.today.replace(day=1)
        first = parse_month(month) if month else last.replace(year=max(last.year - 1, 1))
        months = month_range(max(first, first_month), last)
        here = read_states(context.warehouse)
        states = list(compare(context.settings, here, [(dataset, one) for one in months]))
    rows: list[dict[str, Any]] = [
        {
            "dataset": state.dataset,
            "month": format_month(state.month),
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
        _print_json(rows)
        return
    _print_table(
        ["dataset", "month", "published", "MB", "here", "format", "source"],
        [
            [
                row["dataset"],
                row["month"],
                _day(row["last_modified"]) if row["published"] else "not yet",
                f"{row['bytes'] / 1e6:.1f}" if row["published"] else "",
                row["here"] + (", changed at the source" if row["changed"] else ""),
                row["format"] or "",
                _place(row["source_url"]),
            ]
            for row in rows
        ],
    )


@app.command()
def mirror(
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="folder, gs://bucket/path or s3://bucket/path")
    ],
    dataset: DatasetOption,
    month: MonthOption,
    to: ToOption = None,
    source: SourceOption = None,
) -> None:
    """Copy published files, byte for byte, to a folder or a bucket.

    Several at once, each verified. An unchanged copy is left alone, and a republished file replaces
    its copy; run again to resume. DEST then serves as --source.
    """
    months = _months(dataset, month, to)
    settings = load_settings(None, source)
    with _reporting(settings) as reporter:
        outcomes = mirror_months(settings, dataset, months, destination, reporter)
    counts = []
    for state in ("mirrored", "unchanged", "not published", "failed"):
        of_state = [one for one in outcomes if one.state == state]
        size = sum(one.size for one in of_state)
        if of_state:
            counts.append(f"{len(of_state)} {state}" + (f" ({size / 1e6:,.1f} MB)" if size else ""))
    print(f"{dataset}: {', '.join(counts)}")
    errors = [one.error for one in outcomes if one.error]
    if errors:
        raise type(errors[0])(f"{len(errors)} of {len(months)} months failed; run again to go on")


def _place(source_url: str | None) -> str:
    """Return where a version came from: TLC's CDN, or a folder's or bucket's address."""
    place = (source_url or "").rpartition("/")[0]
    return "TLC" if place == TLC_CDN else place


def _day(time: dt.datetime | None) -> str:
    return f"{time:%Y-%m-%d}" if time else "yes"


@app.command()
def doctor(
    source: SourceOption = None,
    target: TargetOption = None,
    work: Annotated[
        str, typer.Option("--for", help="load, build (dbt), or run, which is both")
    ] = "run",
) -> None:
    """Check that everything is there to load a month: one line a check, nothing is changed."""
    settings = load_settings(target, source)
    failed = None
    with interrupts.at_stop(Reporter(Console(stderr=True)).stop):
        for name, check in checks(settings, work):
            try:
                print(f"ok    {name}: {check()}")
            except LoaderError as error:
                failed = failed or error
                print(f"FAIL  {name}: {error}")
    if failed:
        raise typer.Exit(failed.exit_code)


@postgres_app.command("start")
def postgres_start() -> None:
    """Start the embedded server; any command with target local does so by itself."""
    settings = load_settings("local")
    started = local_server.start(settings.local_dir)
    print("started" if started else "running already")


@postgres_app.command("stop")
def postgres_stop() -> None:
    """Stop the embedded server; its data stay."""
    print("stopped" if local_server.stop(load_settings("local").local_dir) else "not running")


@postgres_app.command("status")
def postgres_status(as_json: JsonOption = False) -> None:
    """Show whether the embedded server runs, and where its data are."""
    server = local_server.status(load_settings("local").local_dir)
    if as_json:
        _print_json(asdict(server))
        return
    state = f"running, pid {server.pid}" if server.running else "not running"
    print(f"Postgres {server.version}: {state}")
    print(f"data    {server.data_dir} ({server.size_bytes / 1e6:,.1f} MB)")
    print(f"socket  {server.socket_dir}")


@postgres_app.command("psql", context_settings={"ignore_unknown_options": True})
def postgres_psql(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Open psql on the embedded server; arguments go to psql: -- -c 'select 1'."""
    settings = load_settings("local")
    local_server.start(settings.local_dir)
    command = local_server.psql_command(settings.local_dir) + (arguments or [])
    os.execv(command[0], command)  # noqa: S606 - psql replaces this process


@postgres_app.command("env")
def postgres_env() -> None:
    """Print the server's variables for a shell: eval "$(nyc-tlc postgres env)"."""
    settings = load_settings("local")
    local_server.start(settings.local_dir)
    for name, value in local_server.connection_env(settings.local_dir).items():
        print(f"export {name}={shlex.quote(value)}")


#: For commands that pass everything on, --help too.
_PASS_ON: dict[str, Any] = {
    "context_settings": {"ignore_unknown_options": True},
    "add_help_option": False,
}
PassedOn = Annotated[list[str] | None, typer.Argument(metavar="[ARGUMENTS]...")]


@app.command("dbt", **_PASS_ON)
def run_dbt(arguments: PassedOn = None) -> None:
    """Run dbt with the project's settings: nyc-tlc dbt build.

    It reads .env, starts the embedded server of target local, and works in any directory.
    """
    settings = load_settings()
    if settings.target == "local":
        local_server.start(settings.local_dir)
    _become("dbt", arguments)


@app.command("dlt", **_PASS_ON)
def run_dlt(arguments: PassedOn = None) -> None:
    """Run dlt with the project's settings: nyc-tlc dlt pipeline nyc_tlc info."""
    export_settings()
    _become("dlt", arguments)


def _become(program: str, arguments: list[str] | None) -> None:
    # It replaces this process: terminal, signals and exit code are its own.
    os.execv(_script(program), [program, *(arguments or [])])  # noqa: S606


def _script(program: str) -> Path:
    return Path(sysconfig.get_path("scripts")) / program


def _finish(told: Summary, as_json: bool) -> None:
    """Print what a run did, and fail as the first month that failed did."""
    done = told.done
    if as_json:
        _print_json(
            [
                asdict(replace(one, error=None))
                | {
                    "month": format_month(one.month),
                    "changed": one.state == "merged",
                    "error": str(one.error) if one.error else None,
                }
                for one in done
            ]
        )
    elif len(done) != 1 or not done[0].error:
        _print_table(
            ["dataset", "month", "rows", "added", "removed", "unchanged", "seconds", ""],
            [
                [
                    one.dataset,
                    format_month(one.month),
                    *(
                        "" if one.error else f"{rows:,}"
                        for rows in (one.rows, one.rows_added, one.rows_removed, one.rows_unchanged)
                    ),
                    f"{one.seconds:.1f}",
                    one.state,
                ]
                for one in done
            ],
        )
        if len(done) > 1:
            print(told.total())
        elif done and done[0].bytes_billed is not None:
            print(describe_bill(done))
    errors = [one.error for one in done if one.error]
    if len(done) == 1 and errors:
        raise errors[0]
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    if errors:
        raise type(errors[0])(f"{len(errors)} of {len(done)} months failed; run again to go on")


def _print_table(columns: list[str], rows: list[list[str]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        numeric = all(row[index].replace(",", "").replace(".", "").isdigit() for row in rows)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # A pipe has no width: the table takes what it needs, so that no cell is cut.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _print_json(value: Any) -> None:
    print(json.dumps(value, default=_as_json, indent=2))


def _as_json(value: object) -> str:
    if isinstance(value, dt.datetime):  # all times of ours are UTC, and naive
        return f"{value.isoformat(timespec='seconds')}Z"
    return str(value)


def main() -> None:
    """Run the command line; every failure ends as one line and an exit code."""
    try:
        interrupts.run(lambda: sys.exit(app(standalone_mode=False)))
    except typer.TyperException as error:  # an option that typer refuses
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        if message := error.format_message().rstrip("."):  # none: it has printed the help
            print(f"error: {message}{hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except LoaderError as error:
        logging.getLogger("loader").error("%s", error, exc_info=True)
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except psycopg2.Error as error:
        logging.getLogger("loader").error("%s", error, exc_info=True)
        print(f"error: Postgres: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(WarehouseError.exit_code)
