"""The program: its options of all commands, and how a failure ends."""

import logging
import re
import sys
from typing import Annotated

import psycopg2
import typer

from loader import __version__
from loader.errors import LoaderError, WarehouseError
from loader.terminal import interrupts

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


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


def with_advice(message: str) -> str:
    """Say where the rights of Postgres' roles are described, when a user lacks one."""
    lacks_right = re.search(r"permission denied for|must be owner of", message)
    return message + ("; see docs/postgres.md" if lacks_right else "")


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
        print(f"error: {with_advice(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except psycopg2.Error as error:
        logging.getLogger("loader").error("%s", error, exc_info=True)
        message = " ".join(str(error).split())
        print(f"error: {with_advice(f'Postgres: {message}')}", file=sys.stderr)
        sys.exit(WarehouseError.exit_code)
