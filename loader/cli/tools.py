"""Commands beside a load: mirror, doctor, unlock, dbt, dlt."""

from itertools import pairwise
from typing import Annotated, Any

import typer
from rich.console import Console

import loader.cli.options as options
from loader.cli.app import app
from loader.cli.become import become
from loader.cli.doctor import checks
from loader.cli.options import months_of, reporting, session, settings_of
from loader.cli.tables import print_table
from loader.embedded import local_server
from loader.errors import LoaderError, UsageError
from loader.settings import export_settings, load_settings
from loader.source.mirror import mirror_months
from loader.terminal import interrupts
from loader.terminal.progress import Reporter
from loader.terminal.words import count


@app.command()
def mirror(
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="folder, gs://bucket/path or s3://bucket/path")
    ],
    dataset: options.Dataset,
    month: options.OneMonth,
    to: options.To = None,
    source: options.Source = None,
) -> None:
    """Copy published files, byte for byte, to a folder or a bucket.

    Several at once, each verified. An unchanged copy is left alone, and a republished file replaces
    its copy; run again to resume. DEST then serves as --source.
    """
    months = months_of(dataset, month, to)
    settings = settings_of(None, source)
    with reporting(settings) as reporter:
        outcomes = mirror_months(settings, months, destination, reporter)
    counts = []
    for state in ("mirrored", "unchanged", "not published", "failed"):
        of_state = [one for one in outcomes if one.state == state]
        size = sum(one.size for one in of_state)
        if of_state:
            counts.append(f"{len(of_state)} {state}" + (f" ({size / 1e6:,.1f} MB)" if size else ""))
    print(f"{dataset}: {', '.join(counts)}")
    errors = [one.error for one in outcomes if one.error]
    if errors:
        of_all = count(len(months), "month")
        raise type(errors[0])(f"{len(errors)} of {of_all} failed; run again to go on")


@app.command()
def doctor(
    source: options.Source = None,
    target: options.Target = None,
    work: Annotated[
        str, typer.Option("--for", help="load, build (dbt), or run, which is both")
    ] = "run",
) -> None:
    """Check that everything is there to load a month: one line a check, nothing is changed."""
    settings = settings_of(target, source)
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


@app.command()
def unlock(
    name: Annotated[
        str | None, typer.Argument(help="the lock to free, such as 'yellow 2019-01'")
    ] = None,
    target: options.Target = None,
) -> None:
    """Show the locks that runs hold on BigQuery; free that of a run that was killed elsewhere.

    A run that was killed on this machine is recognised, and its locks are taken over. Those of
    others end by themselves after ten minutes. On Postgres a lock ends with its session.
    """
    with session(target, None) as context:
        locks = context.warehouse.held_locks()
        if locks is None:
            print("nothing to free: on Postgres a lock ends with the session of its run")
            return
        held = {row["name"]: row for row in locks}
        if name is None:
            rows = [
                {
                    "lock": one["name"],
                    "held by": one["holder"],
                    "until (UTC)": one["expires_at"].replace(tzinfo=None),
                }
                for one in held.values()
            ]
            print_table(rows) if rows else print("no run holds a lock")
            return
        if name not in held:
            raise UsageError(f"no run holds {name!r}: nyc-tlc unlock shows those that are held")
        context.warehouse.free_lock(name)
    print(
        f"freed: {name}, which {held[name]['holder']} held. If that run still goes on, stop it:"
        " another one may now work on the same month"
    )


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
    target = dict(pairwise(arguments or [])).get("--target", settings.target)
    if target == "local":
        local_server.start(settings.local_dir)
    become("dbt", arguments)


@app.command("dlt", **_PASS_ON)
def run_dlt(arguments: PassedOn = None) -> None:
    """Run dlt with the project's settings: nyc-tlc dlt pipeline nyc_tlc info."""
    export_settings()
    become("dlt", arguments)
