"""Retries are reported as they happen; what is more likely wrong than busy is given up soon.

Commands run in processes of their own: pytest's log handlers would hide what they print.
"""

import datetime as dt
import random
import socket
import subprocess
from types import SimpleNamespace

import pytest

from loader.calendar import file_name
from loader.datasets import datasets
from loader.errors import SourceError
from loader.source import discover, http
from tests import forks
from tests.cdn import close_early, status, with_headers
from tests.conftest import IMPATIENT, clean_env, publish
from tests.processes import ran

MONTH = dt.date(2024, 5, 1)
NAME = file_name("green", MONTH)


@pytest.fixture
def loader(tmp_path):
    """Run a command that needs no warehouse."""

    def run(*args: object) -> subprocess.CompletedProcess[str]:
        env = clean_env(TLC_LOCAL_DIR=str(tmp_path / "local"))
        return ran(forks.python(), "-c", IMPATIENT, *args, env=env)

    return run


@pytest.fixture
def mirror(loader, tmp_path):
    """Mirror the month from a source; return the exit code and the lines on standard error."""

    def run(source: str) -> tuple[int, list[str]]:
        options = ("--dataset", "green", "--month", "2024-05", "--source", source)
        process = loader("mirror", *options, tmp_path / "copy")
        return process.returncode, process.stderr.splitlines()

    return run


def nobody() -> str:
    """Give the host and port of a server that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("name", [None, "no.such.host.invalid"])
def test_a_connection_that_fails_is_reported_each_time(mirror, name):
    host = name or nobody()
    code, lines = mirror(f"http://me:s3cret@{host}/trip-data")
    assert code == 4
    problem = lines[0].partition("; ")[0]
    assert problem.startswith(f"green 2024-05 ({NAME}): can't reach {host}: ")
    assert name or problem.endswith(": Connection refused")
    assert lines == [
        f"{problem}; trying again in 0 s (1 of 2)",
        f"{problem}; trying again in 0 s (2 of 2)",
        f"error: {problem}; check the connection and the source's address, then run again",
    ]


def test_an_overloaded_source_is_reported_each_time(cdn, mirror):
    publish(cdn.folder, "green", "2024-05", 5_000)
    cdn.script(NAME, [status(503), status(429, Retry_After="1")], method="HEAD")
    code, lines = mirror(cdn.url)
    assert code == 0
    url = f"{cdn.url}/{NAME}"
    assert lines[:2] == [
        f"green 2024-05 ({NAME}): {url} answers 503 Service Unavailable;"
        " trying again in 0 s (1 of 5)",
        f"green 2024-05 ({NAME}): {url} answers 429 Too Many Requests;"
        " trying again in 1 s (2 of 5)",
    ]


def test_a_blocked_client_is_reported_each_time(cdn, mirror):
    cdn.forbid_all = True
    code, lines = mirror(cdn.url)
    assert code == 4
    assert [line.rpartition(": ")[2] for line in lines] == [
        "this client is blocked or throttled; trying again in 0 s (1 of 2)",
        "this client is blocked or throttled; trying again in 0 s (2 of 2)",
        "this client is blocked or throttled; wait some minutes and run again, or read from a copy"
        " with --source",
    ]


def test_a_download_that_breaks_is_reported(cdn, mirror, tmp_path):
    path = publish(cdn.folder, "green", "2024-05", 5_000)
    cdn.script(NAME, [close_early(70_000)])
    code, lines = mirror(cdn.url)
    assert code == 0
    assert lines[0] == (
        f"green 2024-05 ({NAME}): {cdn.url}/{NAME} sent 70000 bytes where it announced"
        f" {path.stat().st_size}; trying again in 0 s (1 of 7)"
    )
    assert (tmp_path / "copy" / NAME).read_bytes() == path.read_bytes()


def test_doctor_asks_the_source_once_and_last(cdn, loader):
    publish(cdn.folder, "green", "2024-05", 5_000)
    reference = file_name(next(iter(datasets())), http.REFERENCE_MONTHS[0])
    cdn.script(reference, [status(503)] * 9, method="HEAD")
    process = loader("doctor", "--source", cdn.url, "--target", "postgres")
    last, source = process.stdout.splitlines()[-2:]
    assert last.startswith("FAIL  target postgres: ")
    assert "loader doctor" not in last  # that is what runs
    assert source.startswith(f"FAIL  source {cdn.url}: ")
    assert "answers 503" in source
    assert len(cdn.requests) == 1


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """What was waited, which is only recorded. No host has answered: ports are used again."""
    monkeypatch.setattr("loader.source.http._reached", set())
    recorded: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=recorded.append))
    return recorded


@pytest.mark.parametrize("jitter", [0.0, 1.0])
@pytest.mark.parametrize(
    ("problem", "fewest", "most"),
    [("unreachable", 3, 5), ("overloaded", 31, 36), ("blocked", 15, 25)],
)
def test_how_long_a_source_is_waited_for(cdn, waits, monkeypatch, jitter, problem, fewest, most):
    monkeypatch.setattr(random, "uniform", lambda low, high: low + jitter * (high - low))
    cdn.forbid_all = problem == "blocked"
    if problem == "overloaded":
        cdn.script(NAME, [status(503)] * 99, method="HEAD")
    source = f"http://{nobody()}" if problem == "unreachable" else cdn.url
    with pytest.raises(SourceError):
        discover.find(source, "green", MONTH)
    assert sum(waits) == pytest.approx(fewest + jitter * (most - fewest))


def test_a_source_that_has_answered_is_waited_for_longer(cdn, waits):
    publish(cdn.folder, "green", "2024-05", 5_000)
    cdn.script(NAME, [with_headers(Connection="close")], method="HEAD")
    assert discover.find(cdn.url, "green", MONTH)
    cdn.close()
    with pytest.raises(SourceError, match="can't reach"):
        discover.find(cdn.url, "green", MONTH)
    assert len(waits) == http.ATTEMPTS - 1
    assert sum(waits) > 30


def test_other_errors_are_not_retried(waits):
    with pytest.raises(SourceError, match="can't ask"):
        discover.find("http://[bad/trip-data", "green", MONTH)
    assert waits == []
