"""`nyc-tlc postgres …`: the embedded server."""

import os
import shlex
from dataclasses import asdict
from typing import Annotated

import typer

import loader.cli.options as options
from loader.cli.app import app
from loader.cli.tables import print_json
from loader.embedded import local_server
from loader.settings import load_settings

postgres_app = typer.Typer(
    help="The embedded Postgres server of target local.", no_args_is_help=True
)
app.add_typer(postgres_app, name="postgres")


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
def postgres_status(as_json: options.Json = False) -> None:
    """Show whether the embedded server runs, and where its data are."""
    server = local_server.status(load_settings("local").local_dir)
    if as_json:
        print_json(asdict(server))
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
