"""Finds the server's process by its lock files, and handles those that a killed server left."""

import os
import pwd
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from loader.embedded.programs import PATIENCE
from loader.embedded.tuning import SOCKET
from loader.errors import WarehouseError

_NO_PROCESS = str(2**31 - 1)  # more than any system's highest process id


@dataclass(frozen=True)
class Postmaster:
    """The server's first process."""

    pid: int
    state: str  # starting, ready or stopping


def settled_postmaster(data_dir: Path) -> Postmaster | None:
    """Wait for a server that is starting or stopping (whoever began that was interrupted)."""
    deadline = time.monotonic() + PATIENCE
    while (server := postmaster(data_dir)) and server.state != "ready":
        if time.monotonic() > deadline:
            raise WarehouseError(
                f"embedded Postgres: still {server.state} after {PATIENCE} s"
                f" (log: {data_dir.parent / 'postgres.log'})"
            )
        time.sleep(0.1)
    return server


def postmaster(data_dir: Path) -> Postmaster | None:
    """Return the server's process; None when it is down."""
    lines = _lines(data_dir / "postmaster.pid")
    # pg_ctl resolves the `..` in a path.
    if not lines or f" -D {os.path.normpath(data_dir)} " not in command_line(lines[0]):
        return None
    state = lines[7].strip() if len(lines) > 7 else "starting"
    return Postmaster(int(lines[0]), state)


def _lines(lock_file: Path) -> list[str]:
    try:
        return lock_file.read_text().splitlines()
    except FileNotFoundError:
        return []


def command_line(pid: str) -> str:
    """Return a process's command line; empty for one that is gone, or dead but not yet reaped."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    return subprocess.run(  # noqa: S603 - macOS
        ["/bin/ps", "-ww", "-o", "args=", "-p", pid], capture_output=True, text=True, check=False
    ).stdout


def defuse_stale_locks(local_dir: Path, sockets: Path, user: pwd.struct_passwd) -> None:
    """Make Postgres see that a killed server is gone.

    It takes any process with the old id for the old server: one that is dead but not reaped, as
    in a container without an init, or after the container's restart another program, which may be
    the server of another folder.
    """
    data_dir = local_dir / "postgres"
    socket_lock = sockets / f"{SOCKET}.lock"
    if _is_stale(_lines(socket_lock), data_dir):
        socket_lock.unlink()
    pid_file = data_dir / "postmaster.pid"
    lines = _lines(pid_file)
    if _is_stale(lines, data_dir):
        # All but the id must stay: from the rest Postgres finds out whether processes of the old
        # server still use its shared memory.
        defused = local_dir / "postmaster.pid"
        defused.write_text("\n".join([_NO_PROCESS, *lines[1:]]) + "\n")
        os.chown(defused, user.pw_uid, user.pw_gid)
        defused.replace(pid_file)


def _is_stale(lock_file: list[str], data_dir: Path) -> bool:
    if not lock_file:
        return False
    if "postgres" not in command_line(lock_file[0]):
        return True
    try:  # a server works in its data folder
        return not Path(f"/proc/{lock_file[0]}/cwd").samefile(data_dir)
    except OSError:  # macOS
        return False
