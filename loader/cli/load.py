"""Commands that change the warehouse: load, run, sync, figures, shapes, marts, remove, upgrade."""

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Annotated

import typer

import loader.cli.options as options
from loader.building.runner import run_operation
from loader.calendar import Month, month_range, name_months, parse_month
from loader.cli.app import app, with_advice
from loader.cli.figures import land_figures
from loader.cli.options import Session, months_of, range_of, session
from loader.cli.runs import counts_of_result, json_of_result
from loader.cli.shapes import get_shapes_for, land_shapes, land_shapes_for
from loader.cli.summary import Summary, describe_bill, summarizing
from loader.cli.tables import print_json, print_table
from loader.datasets import datasets, get_dataset
from loader.errors import LoaderError, NotPublishedError, UsageError, WarehouseError
from loader.landing.land import fetch_month, land_month
from loader.months.due import RunOptions, compare, followed, is_due, reason, window
from loader.months.plan import Plan, plan_of, require_room, seconds_of
from loader.months.state import MonthState, State, read_state, read_states
from loader.months.verdicts import describe_awaited, describe_unexplained, read_verdicts
from loader.run import build_marts, run_months
from loader.settings import TLC_CDN
from loader.terminal.commands import nyc_tlc
from loader.terminal.progress import how_far
from loader.terminal.words import count, duration


@app.command()
def load(
    dataset: options.Dataset,
    month: options.OneMonth,
    to: options.To = None,
    source: options.Source = None,
    target: options.Target = None,
    allow_empty: options.AllowEmpty = False,
) -> None:
    """Land month files in the raw schema. `dbt build` merges them.

    A file is downloaded, checked, cast by the contract and copied; it counts as landed when all
    its rows are there. A file that has landed already is left alone.
    """
    months = months_of(dataset, month, to)
    landed: list[Month] = []
    with session(target, source) as context:
        settings, warehouse, reporter = context.settings, context.warehouse, context.reporter
        reporter.if_stopped(lambda: [how_far(months, landed, "landed")])
        get_shapes_for(context, months)
        for one in months:
            with warehouse.lock(one, reporter):
                state = read_state(warehouse, one)
                file = fetch_month(settings, one, state.landed, reporter, allow_empty=allow_empty)
                landing = land_month(
                    settings, warehouse, file, state.landed, state.merged, reporter
                )
            landed.append(one)
            if landing.changed and not landing.landed.suspect:
                built = f"{{dataset: {dataset}, month: {one.text}}}"
                reporter.say(
                    f"{one.label}  landed {count(landing.landed.landed_rows, 'row')};"
                    f" next: {nyc_tlc('dbt build', '--vars', built)}"
                )


@app.command()
def run(
    dataset: options.OneOrAll = None,
    month: Annotated[str | None, typer.Option("--month", help="file month, YYYY-MM")] = None,
    to: options.To = None,
    all_months: Annotated[
        bool, typer.Option("--all", help="every month that is published, instead of --month")
    ] = False,
    since: Annotated[
        str | None, typer.Option("--since", help="with --all: first month, YYYY-MM")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="with --all: print the plan, and do nothing")
    ] = False,
    source: options.Source = None,
    target: options.Target = None,
    keep_raw: Annotated[
        bool, typer.Option("--keep-raw", help="keep the raw rows after the merge")
    ] = False,
    keep_files: Annotated[
        bool, typer.Option("--keep-files", help="keep the downloaded files after the merge")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="merge a version that is suspect, too")
    ] = False,
    allow_empty: options.AllowEmpty = False,
    force: options.Force = False,
    marts: options.Marts = options.WhenMarts.now,
    summary: options.SummaryFile = None,
    as_json: options.Json = False,
) -> None:
    """Load months end to end: land, merge, test, reconcile, clean up.

    Exit code 0 means that the ledger reconciles: the file's rows, the landed rows and the table's
    rows are the same number, for every month asked for. A month that fails doesn't stop the others;
    the exit code is then that of the first which failed. The table's seconds are from a month's
    start to its end: months overlap, so they add up to more than the run took.

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
    months = months_of(names[0], month, to) if month else []
    how = RunOptions(
        keep_raw=keep_raw,
        keep_files=keep_files,
        accept=accept,
        allow_empty=allow_empty,
        force=force,
        marts=marts is options.WhenMarts.now,
    )
    with summarizing(summary) as told, session(target, source) as context:
        asked = months
        if all_months:
            states = _look(context, names, first, last)
            due = [one for one in states if is_due(one, how)]
            loads = [one for one in due if force or one.state != State.MERGED]
            plan = plan_of(loads)
            of_each = {
                name: plan_of([one for one in loads if one.month.dataset == name]) for name in names
            }
            if as_json and dry_run:
                print_json({name: asdict(one) for name, one in of_each.items()})
            elif not as_json:
                _print_plan(context, plan, of_each, states, len(due) - len(loads), marts=how.marts)
            if context.settings.target == "local":
                require_room(plan, context.settings.local_dir)
            asked = [] if dry_run else [one.month for one in due]
        _run(context, asked, how, told)
    if asked or (as_json and not dry_run):
        _finish(told, as_json)


def _look(
    context: Session, names: Sequence[str], first: dt.date | None, last: dt.date | None
) -> list[MonthState]:
    """Ask the source for all months of datasets; return what it has, oldest first."""
    last = last or context.settings.today.replace(day=1)
    months = [
        Month(name, month)
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
    return sorted(found, key=lambda state: state.month[::-1])


def _print_plan(
    context: Session,
    plan: Plan,
    of_each: Mapping[str, Plan],
    states: Sequence[MonthState],
    unfinished: int,
    *,
    marts: bool,
) -> None:
    merged = sum(one.state == State.MERGED for one in states) - unfinished
    removed = sum(one.state == State.REMOVED for one in states)
    if unfinished:
        months = count(unfinished, "month")
        print(f"{months} merged without their marts, or with raw rows left: to be finished")
    if removed:
        print(f"{count(removed, 'month')} removed: run them by name to have them back")
    if not plan.files:
        if not unfinished:
            print(f"nothing to do: {count(merged, 'month')} merged, and the source has no others")
        return
    print_table(
        [
            {
                "dataset": name,
                "files": one.files,
                "months": " … ".join(
                    dict.fromkeys(filter(None, (one.first_month, one.last_month)))
                ),
                "rows, about": one.rows,
                "download GB": f"{one.download_bytes / 1e9:,.2f}",
                "disk GB": f"{one.disk_bytes / 1e9:,.2f}",
            }
            for name, one in {**of_each, "in all": plan}.items()
        ]
    )
    least, most, is_measured = seconds_of(plan, context.warehouse.merged_versions(), marts=marts)
    print(
        f"{merged:,} merged already. Download aside, these take about {duration(least)} to"
        f" {duration(most)}, {'with' if marts else 'without'} their marts"
        f" ({'by the last months here' if is_measured else 'as on two cores'});"
        f" on Postgres they need {plan.peak_bytes / 1e9:,.2f} GB at the peak."
    )


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
    to: options.ToNow = None,
    source: options.Source = None,
    target: options.Target = None,
    force: options.Force = False,
    marts: options.Marts = options.WhenMarts.now,
    summary: options.SummaryFile = None,
    as_json: options.Json = False,
) -> None:
    """Find what is newly published or republished, and run it: what a schedule calls.

    It asks the source for each month with one request, one after the other, and runs months oldest
    first. It is normal that some are not published yet, or that nothing is new.
    """
    asked = get_dataset(dataset).name if dataset else None
    first, last = (parse_month(text) if text else None for text in (since, to))
    how = RunOptions(force=force, marts=marts is options.WhenMarts.now)
    with summarizing(summary) as told, session(target, source) as context:
        settings, reporter = context.settings, context.reporter

        def note(text: str) -> None:
            reporter.say(text)
            told.notes.append(text)

        states = read_states(context.warehouse)
        names = [asked] if asked else followed(states)
        months = [
            Month(name, month)
            for name in names
            for month in window(states, name, settings.today, first, last)
        ]
        awaited = [v for v in read_verdicts(context.warehouse).values() if v.awaits_republication]
        for verdict in awaited:
            month = verdict.month
            if month.dataset in names:
                note(f"{month.label}  {describe_awaited(context.warehouse, verdict)}")
                months += [] if month in months else [month]
        told.states = list(compare(settings, states, months))
        new, errors = land_figures(context, settings.source)
        for error in errors:
            # a copy of the month files need not have the reports
            if settings.source == TLC_CDN or not isinstance(error, NotPublishedError):
                note(f"TLC's own counts  warning: {error}; months go on without")
        if settings.source == TLC_CDN:
            try:
                land_shapes(context)
            except LoaderError as error:
                note(f"TLC's zone shapes  warning: {error}; months go on without")
        verdicts = read_verdicts(context.warehouse).values() if new else ()
        if any(one.is_unexplained for one in verdicts):
            note(f"warning: {describe_unexplained(verdicts)}")
        due = [one for one in told.states if is_due(one, how)]
        if due and not states and not asked:
            plan = plan_of(due)
            reporter.say(
                f"the warehouse is empty, so this loads {', '.join(names)}:"
                f" {count(plan.files, 'file')}, {plan.download_bytes / 1e9:,.2f} GB, about"
                f" {count(plan.rows, 'row')}, {plan.disk_bytes / 1e9:,.2f} GB on Postgres; for"
                " less, stop it and name a --dataset"
            )
        for one in due:
            forced = "" if is_due(one, replace(how, force=False)) else ", forced"
            reporter.say(f"{one.month.label}  {reason(one)}{forced}")
        requests = sorted((one.month for one in due), key=lambda month: month[::-1])
        _run(context, requests, how, told)
    if not told.done and not as_json:
        absent = sum(one.published is None for one in told.states)
        looked = count(len(told.states), "month")
        print(f"nothing new: {looked} looked at, {absent} not yet published")
        return
    _finish(told, as_json)


def _run(context: Session, requests: Sequence[Month], how: RunOptions, told: Summary) -> None:
    """Run months, and record each one, for the summary and for the message after a stop."""

    def lines() -> list[str]:
        failed = [f"error: {one.error}" for one in told.done if one.error]
        return [*failed, how_far(requests, [one.month for one in told.done if not one.error])]

    context.reporter.if_stopped(lines)
    land_shapes_for(context, requests)
    for one in run_months(context.settings, requests, context.reporter, how):
        told.done.append(one)


def _finish(told: Summary, as_json: bool) -> None:
    """Print what a run did, and fail as the first month that failed did."""
    done = told.done
    if as_json:
        print_json(list(map(json_of_result, done)))
    elif len(done) != 1 or not done[0].error:
        print_table(
            [
                {
                    "dataset": one.month.dataset,
                    "month": one.month.text,
                    **counts_of_result(one),
                    "": one.state,
                }
                for one in done
            ]
        )
        if len(done) > 1:
            print(told.total())
        elif done and done[0].bytes_billed is not None:
            print(describe_bill(done))
    errors = [one.error for one in done if one.error]
    if len(done) == 1 and errors:
        raise errors[0]
    for error in errors:
        print(f"error: {with_advice(str(error))}", file=sys.stderr)
    if errors:
        of_all = count(len(done), "month")
        raise type(errors[0])(f"{len(errors)} of {of_all} failed; run again to go on")


@app.command("figures")
def figures_command(
    source: Annotated[
        str | None,
        typer.Option(
            "--source", help="a report, or a folder, bucket or URL of copies; default TLC's own"
        ),
    ] = None,
    target: options.Target = None,
) -> None:
    """Land what TLC itself counted: every month is compared with it.

    TLC's monthly report of trips a day, and NYC Open Data's trips by base. TLC revises them: each
    version is kept, and the newest counts. With them comes New York's list of licensed bases, for
    tlc.licensed_bases. `sync` does this by itself.
    """
    with session(target, source) as context:
        new, errors = land_figures(context, source or TLC_CDN)
        verdicts = read_verdicts(context.warehouse).values()
    if not new and not errors:
        print("nothing new: these figures are here already")
    if new and any(one.is_unexplained for one in verdicts):
        print(describe_unexplained(verdicts))
    for error in errors[:-1]:
        print(f"error: {error}", file=sys.stderr)
    if errors:
        raise errors[-1]


@app.command("shapes")
def shapes_command(target: options.Target = None) -> None:
    """Land TLC's shapes of its zones in tlc.taxi_zone_shapes: for maps, and zones of coordinates.

    From TLC, or from where TLC_SHAPES says: a URL, a zip, or a folder that holds taxi_zones.zip.
    `sync` does this by itself, and so does a run of months whose trips have coordinates.
    """
    with session(target, None) as context:
        is_new = land_shapes(context)
    if not is_new:
        print("nothing new: these shapes are here already")


@app.command("marts")
def marts_command(
    dataset: options.AnyDataset = None,
    month: options.AnyMonth = None,
    to: options.To = None,
    target: options.Target = None,
) -> None:
    """Build the marts of merged months that lack them, oldest first.

    `run --marts later` leaves them to this command, as does a warehouse that was made before there
    were marts. Stop it at any moment, and run it again to go on.
    """
    names = [get_dataset(dataset).name] if dataset else list(datasets())
    months = range_of(month, to)
    with session(target, None) as context:
        states = read_states(context.warehouse).values()
        versions = [
            one.merged
            for one in sorted(states, key=lambda state: state.month[::-1])
            if one.merged
            and one.has_marts is False
            and one.month.dataset in names
            and (months is None or one.month.month in months)
        ]
        asked = [one.month for one in versions]
        built: list[Month] = []
        context.reporter.if_stopped(lambda: [how_far(asked, built)])
        for one in build_marts(context.settings, context.warehouse, versions, context.reporter):
            built.append(one.month)
    if built:
        print(f"{count(len(built), 'month')} built")
    else:
        print("nothing to do: every merged month has its marts")


@app.command()
def remove(
    dataset: options.Dataset,
    month: options.OneMonth,
    to: options.To = None,
    target: options.Target = None,
) -> None:
    """Take months out of the warehouse: their trips, marts and raw rows. The ledger keeps a record.

    `sync` and `run --all` leave a month alone that was removed; `run --dataset … --month …` brings
    it back, with the same ids.
    """
    months = months_of(dataset, month, to)
    with session(target, None) as context, ExitStack() as held:
        warehouse = context.warehouse
        for one in months:
            held.enter_context(warehouse.lock(one, context.reporter))
        states = read_states(warehouse, months)
        # A month that has only landed isn't in the ledger, which may not even be there.
        in_ledger = [key for key, state in states.items() if state.merged or state.gone]
        if in_ledger:
            held.enter_context(warehouse.build_lock(context.reporter))
            names = [month.text for month in in_ledger]
            arguments = {"dataset": dataset, "months": names}
            run_operation(context.settings, "remove_file_months", arguments)
        removed = [key for key, state in states.items() if key in in_ledger or state.landed]
        for one in removed:
            warehouse.drop_raw(one)
    print(f"removed: {name_months(removed)}" if removed else "nothing to do: none of them is here")


@app.command()
def upgrade(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what it needs, and change nothing")
    ] = False,
    target: options.Target = None,
) -> None:
    """Give trips tables of an earlier version today's shape: a tenth smaller, faster to read.

    Nothing else needs it: tables of both shapes take new months and answer the same queries. A
    table is copied month by month beside the old one, and changes as a whole at the end; stopped
    before that, it is as it was. Your views, grants and indexes stay.
    """
    with session(target, None) as context, context.warehouse.build_lock(context.reporter):
        try:
            run_operation(context.settings, "upgrade_tables", {"dry_run": dry_run})
        except WarehouseError:
            run_operation(context.settings, "drop_upgraded_copies", {})
            raise
