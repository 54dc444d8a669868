"""Environments of Python for programs whose packages clash with the project's."""

import fcntl
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path


class InstallError(Exception):
    """An environment can't be made."""


def install(
    folder: Path, python: str, constraints: Path, finish: Callable[[], None] = lambda: None
) -> Path:
    """Make an environment, once for each state of its constraints, which list every package.

    `finish` is called when the packages are there. Returns the environment's interpreter.
    """
    state = hashlib.sha256(constraints.read_bytes()).hexdigest()
    stamp, own = folder / "installed", folder / "bin" / "python"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != state:
            run([python, "-m", "venv", "--clear", str(folder)])
            run([str(own), "-m", "pip", "install", "-qq", "--no-deps", "-r", str(constraints)])
            finish()
            stamp.write_text(state)
    return own


def run(command: list[str], env: dict[str, str] | None = None) -> None:
    """Run a command, or fail with the last thing that it said."""
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise InstallError(f"{' '.join(command[:4])} … failed: {last[0]}")
