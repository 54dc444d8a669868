"""A Python that starts in a tenth of the time: forked from a process that has imported dbt or dlt.

`python()` names a program that takes `-m module …`, `-P file …` or `-c code …`. What it runs is a
process of its own, with the environment, folder, files, exit code and children of any other; only
what it imports of other people's is imported already, and dbt has parsed the project once, because
it writes the code that reads and writes its own files when it first needs it.
`tests/unit/test_forks.py` compares it with Python itself.

It is not in the process group of its caller, and ends a moment after the program is killed: tests
that send signals, limit resources or ask who is whose child take `sys.executable`.
"""

import atexit
import fcntl
import functools
import gc
import importlib
import logging
import marshal
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from multiprocessing import resource_tracker
from pathlib import Path
from types import ModuleType

PROJECT_DIR = Path(__file__).resolve().parents[1]

#: For a process of dbt's (or the loader's worker, a file), and for any other. Importing dbt decides
#: where logs go, if nobody has.
_PRELOADED = {
    "dbt": ("dbt.cli.main", "dbt.adapters.postgres", "dbt.adapters.bigquery"),
    "dlt": (
        *("dlt", "dlt.destinations", "dlt.load.exceptions", "dlt.pipeline.exceptions"),
        *("dlt.destinations.impl.bigquery.bigquery", "gcsfs", "google.cloud.bigquery"),
        *("numpy", "pgpq", "pyarrow.compute", "pyarrow.parquet", "psycopg2.extras"),
        *("dotenv", "requests", "rich.progress", "rich.table", "tenacity", "typer", "yaml"),
    ),
}
#: A caller's files have lower numbers than what is open in the server.
_MOST_FILES = 64
_SERVERS: list[subprocess.Popen] = []

#: Few imports, as each takes a millisecond.
_PROGRAM = """#!{python} -IS
import _socket, marshal, os, sys
files = []
for fd in map(int, os.listdir("/proc/self/fd")):
    try:
        os.fstat(fd)
    except OSError:
        continue
    files.append(fd)
server = _socket.socket(_socket.AF_UNIX)
server.connect({folder!r} + ("/dbt" if sys.argv[1] == "-P" or "dbt" in sys.argv[2] else "/dlt"))
request = marshal.dumps((sys.argv[1:], dict(os.environ), os.getcwd(), files))
rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in files)
server.sendmsg([len(request).to_bytes(8)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
server.sendall(request)
for fd in files:
    os.close(fd)
code = int.from_bytes(server.recv(4), signed=True)
if code < 0:
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@functools.cache
def python() -> str:
    """Return the path of the program; it works as long as this process lives."""
    folder = Path(tempfile.mkdtemp(prefix="nyc_tlc-forks-"))
    program = folder / "python"
    program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)))
    program.chmod(0o755)
    servers = [
        subprocess.Popen(
            # A file, as frames of -m are slow to look through: see loader/building/runner.py.
            [sys.executable, __file__, name, str(folder)],
            cwd=PROJECT_DIR,
            stdin=subprocess.PIPE,  # its end is the server's
            stdout=subprocess.PIPE,
        )
        for name in _PRELOADED
    ]
    assert [server.stdout.readline() for server in servers] == [b"ready\n"] * 2
    # Without their standard input, which they keep, they would end now.
    _SERVERS.extend(servers)
    return str(program)


def _serve(name: str, folder: Path) -> None:
    """Fork for each program that connects; return in a child, ready to run what it is asked to."""
    low = [os.open(os.devnull, os.O_RDONLY) for _ in range(_MOST_FILES)]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / name))
    listener.listen(_MOST_FILES)
    print("ready", flush=True)
    children = 0
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        if low:  # the first one waits for the imports
            _prepare(name)
            while low:
                os.close(low.pop())
        program, _ = listener.accept()
        if not os.fork():
            listener.close()
            return _become(program, folder / "python")
        program.close()
        children += 1
        while children and os.waitpid(-1, os.WNOHANG)[0]:
            children -= 1
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit()


def _prepare(name: str) -> None:
    """Import what its programs do; have dbt parse the project, half of a short command's time."""
    for module in _PRELOADED[name]:
        importlib.import_module(module)
    assert name == "dbt" or not logging.root.handlers
    if name == "dbt":
        from dbt.adapters.base import impl
        from dbt.cli.main import dbtRunner

        flags = list(impl.DEFAULT_BASE_BEHAVIOR_FLAGS)
        with tempfile.TemporaryDirectory() as made:
            folders = ("--profiles-dir", ".", "--target-path", made, "--log-path", made)
            for _ in range(2):  # in full, and by what it has kept
                # Its static parser has threads, which a fork would wait for.
                options = ("--quiet", "--no-static-parser", "parse", "--target", "postgres")
                dbtRunner().invoke([*options, *folders])
        impl.DEFAULT_BASE_BEHAVIOR_FLAGS[:] = flags  # see loader/building/worker.py
        del sys.modules["dbt.cli.main"]  # what it imports stays, and it is run itself
    resource_tracker.ensure_running()  # else a process for each dbt
    gc.collect()
    gc.freeze()


def _become(program: socket.socket, executable: Path) -> None:
    """Take the place of a program, in a child that this process waits for."""
    header, received, _, _ = socket.recv_fds(program, 8, _MOST_FILES)
    request = bytearray()
    while len(request) < int.from_bytes(header):
        request += program.recv(1 << 20)
    arguments, env, folder, files = marshal.loads(request)
    child = os.fork()
    if child:
        for fd in received:
            os.close(fd)
        end = os.pidfd_open(child)
        if program in select.select([program, end], [], [])[0]:  # it was killed
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with suppress(BrokenPipeError):
            program.send(code.to_bytes(4, signed=True))
        os._exit(0)
    program.close()
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _MOST_FILES) for fd in received]
    for fd in received:
        os.close(fd)
    for copy, fd in zip(copies, files, strict=True):
        os.dup2(copy, fd)
        os.close(copy)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.executable = str(executable)
    sys.argv = arguments
    sys.path[0] = "" if arguments[0] == "-c" else folder
    sys.path[1:1] = filter(None, env.get("PYTHONPATH", "").split(":"))


def _run(option: str, what: str, arguments: list[str]) -> int:
    """Run what a program is asked to; return the exit code."""
    main = sys.modules["__main__"] = ModuleType("__main__")
    sys.argv = [option, *arguments]
    try:
        if option == "-m":
            runpy._run_module_as_main(what)
        elif option == "-P":
            main.__file__ = sys.argv[0] = what
            exec(compile(Path(what).read_text(), what, "exec"), vars(main))
        else:
            exec(compile(what, "<string>", "exec"), vars(main))
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
    code = _run(sys.argv[0], sys.argv[1], sys.argv[2:])
    # Python's end, but for taking apart what was imported, which takes longer than all the rest.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
