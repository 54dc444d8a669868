"""The program as a user starts it, in a process of its own: pytest's log handlers hide faults."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from loader import __version__
from loader.settings import PROJECT_DIR
from tests.conftest import clean_env
from tests.processes import ran

MONTH = ("--dataset", "green", "--month", "2023-01")
NYC_TLC = Path(sysconfig.get_path("scripts")) / "nyc-tlc"


def start(*command: object, **env: str) -> subprocess.CompletedProcess[str]:
    return ran(*command, env=clean_env(**env))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sync", "--since", "June"], "'June' is not a month"),
        (["rnu"], "Did you mean 'run'?"),
        (["run", "--dataset", "green"], "give --dataset and --month YYYY-MM, or --all"),
        (["load", "--dataset", "green"], "Missing option '--month'"),
        (["run", *MONTH, "--tto", "2023-02"], "No such option: --tto"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_2(tmp_path, arguments, said):
    process = start(sys.executable, "-m", "loader", *arguments, TLC_LOCAL_DIR=str(tmp_path))
    assert process.returncode == 2, process.stderr
    assert process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_the_console_script_is_the_same_program():
    version = start(NYC_TLC, "--version")
    assert (version.returncode, version.stdout) == (0, f"nyc-tlc {__version__}\n")
    wrong = start(NYC_TLC, "run", "--dataset", "gren", "--month", "2023-01")
    assert wrong.returncode == 2
    assert wrong.stderr == "error: unknown dataset 'gren': choose from fhv, fhvhv, green, yellow\n"


def test_without_the_environment_it_says_what_to_type():
    # -S: without site-packages, as any other Python of the machine is.
    process = start(sys.executable, "-S", "-m", "loader", *MONTH)
    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    assert "run `make install`, then `. .venv/bin/activate`" in line


@pytest.mark.slow
def test_dbt_and_dlt_get_the_settings_from_any_directory(tmp_path):
    env = {
        "TLC_TARGET": "postgres",
        "TLC_LOCAL_DIR": str(tmp_path),
        "DBT_TARGET_PATH": str(tmp_path),
    }
    process = start(NYC_TLC, "dbt", "debug", "--config-dir", **env)
    assert process.returncode == 0, process.stdout
    assert str(PROJECT_DIR) in process.stdout
    process = start(NYC_TLC, "dlt", "pipeline", "--list-pipelines", **env)
    assert f"{tmp_path}/dlt/pipelines" in process.stdout
    # Everything after the name is theirs, --help too.
    assert start(NYC_TLC, "dbt", "--help", **env).stdout.startswith("Usage: dbt ")


def test_a_signal_that_reaches_another_thread_stops_the_command():
    """The command's own thread takes it, and waits for ever; the main thread has to look."""
    code = """
import os, signal, threading
from loader.terminal import interrupts

def command():
    for _ in range(10_000):
        os.stat("/")  # lets the main thread go on, until it waits for us
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    threading.Event().wait()

signal.signal(signal.SIGINT, signal.default_int_handler)
interrupts.run(command)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 130
