"""The Python that most tests start commands with does what Python itself does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loader.settings import PROJECT_DIR
from tests import forks
from tests.conftest import clean_env
from tests.processes import ran

pytestmark = pytest.mark.slow

SHOW = """
import json, logging, os, signal, sys
print(json.dumps([
    dict(os.environ), os.getcwd(), sys.argv, sys.path[:2], __name__, sys.stdin.read(),
    [signal.getsignal(n) == signal.SIG_DFL for n in (signal.SIGCHLD, signal.SIGTERM)],
    len(logging.root.handlers), logging.root.level, logging.getLogger("dlt").handlers == [],
    sys.stdout.line_buffering, os.umask(0),
    sorted(set(map(int, os.listdir("/proc/self/fd"))) & {*range(3), FD}),
]))
"""
CODES = {
    "what it finds": SHOW,
    "a number": "import sys; sys.exit(7)",
    "a message": "import sys; sys.exit('told')",
    "an end without a number": "import sys; print('last'); sys.exit()",
    "no end at all": "print('last', end='')",
    "a signal": "import os; os.kill(os.getpid(), 9)",
    "at the end": "import atexit; atexit.register(print, 'last'); print('first')",
    "a thread": "import threading; threading.Timer(0.1, print, ['last']).start(); print('first')",
    "a message that nobody handles": "import logging; logging.error('lost'); logging.info('no')",
    "a module": "import runpy; runpy.run_module('loader', run_name='__main__')",
    "a child": "import subprocess as s, sys; s.run([sys.executable, '-c', 'print(1)'], check=True)",
    "dbt": "from dbt.cli.main import dbtRunner; print(dbtRunner().invoke(['parse', '--nope']))",
}


def ended(python: str, *arguments: str, cwd: Path, **options: object) -> tuple[int, str, str]:
    env = clean_env(HERE="yes", PYTHONPATH=f"/no/such:{PROJECT_DIR}")
    process = ran(python, *arguments, env=env, cwd=cwd, input="asked", **options)
    return process.returncode, process.stdout, process.stderr


def assert_as_in_python(*arguments: str, cwd: Path, **options: object) -> tuple[int, str, str]:
    forked, real = (
        ended(python, *arguments, cwd=cwd, **options) for python in (forks.python(), sys.executable)
    )
    assert forked == real
    return real


@pytest.mark.parametrize("code", CODES.values(), ids=CODES.keys())
def test_code_ends_as_it_does_in_python(code, tmp_path):
    with (tmp_path / "open").open("w") as file:
        code = code.replace("FD", str(file.fileno()))
        assert_as_in_python("-c", code, "an argument", "", cwd=tmp_path, pass_fds=[file.fileno()])


def test_an_error_has_its_trace(tmp_path):
    code, stdout, stderr = ended(forks.python(), "-c", "1 / 0", cwd=tmp_path)
    assert (code, stdout) == (1, "")
    assert stderr.startswith("Traceback (most recent call last):\n")
    assert stderr.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("arguments", [("--version",), ("load", "--dataset", "gren"), ()])
def test_a_module_ends_as_it_does_in_python(arguments, tmp_path):
    assert_as_in_python("-m", "loader", *arguments, cwd=tmp_path)


def test_a_file_ends_as_it_does_in_python(tmp_path):
    file = tmp_path / "file.py"
    file.write_text("import sys; print(__name__, __file__, sys.argv); sys.exit(3)")
    ended = assert_as_in_python("-P", str(file), "an argument", cwd=tmp_path)
    assert ended == (3, f"__main__ {file} {[str(file), 'an argument']}\n", "")


def test_what_it_runs_ends_when_it_is_killed(tmp_path):
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with subprocess.Popen([forks.python(), "-c", code], stdout=subprocess.PIPE) as process:
        pid = int(process.stdout.readline())
        assert pid != process.pid
        os.kill(pid, 0)
        process.kill()
        assert process.stdout.read() == b""  # it ends when nobody can write any more
