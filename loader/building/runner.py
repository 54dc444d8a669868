"""Runs dbt for months that have landed, and reports the results."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

from loader.building import worker
from loader.building.worker import BuildResult, NodeResult, Project, Request
from loader.calendar import Month, name_months
from loader.datasets import get_dataset
from loader.errors import (
    ABORTED,
    POINTER,
    TABLE_IN_USE,
    LoaderError,
    LockedError,
    ReconciliationError,
    WarehouseError,
)
from loader.settings import Settings
from loader.terminal.progress import Reporter
from loader.warehouse.base import Warehouse
from loader.warehouse.versions import FileVersion

#: Tests that warned: by name, the number of rows by column ("rows" for a test that names none).
Warnings = dict[str, dict[str, int]]

#: Attempts at a merge whose transaction BigQuery aborts.
_ABORTED_ATTEMPTS = 4
_ABORTED_MAX_SECONDS = 30
#: How long dbt may take to cancel its queries when it is interrupted.
_STOP_SECONDS = 3
_ENDED = BuildResult(False, [], ["its process ended, see dbt_worker.log"])


class DbtRunner:
    """A dbt process that parses the project while a month lands, and builds one month at a time."""

    def __init__(
        self, settings: Settings, before_all: Callable[[Settings, Warehouse], None]
    ) -> None:
        """Prepare its folder; the process starts when it is needed.

        Args:
            before_all: is called before views are built, too: completes the tables that they name.
        """
        self._before_all = before_all
        self._settings = settings
        self._target_path = settings.local_dir / "dbt"
        self._target_path.mkdir(parents=True, exist_ok=True)
        self._log = settings.local_dir / "logs" / "dbt.log"
        self._log.parent.mkdir(exist_ok=True)
        self._lock = (self._target_path / "lock").open("w")
        self._process: subprocess.Popen[str] | None = None
        self._project: Project | None = None
        self.is_complete = False  #: whether the warehouse has all that is not of a month
        self.invocation_id: str | None = None  #: of the last build
        self._starting = threading.Lock()
        self._stopped = False

    def start(self) -> None:
        """Start the process early, if there is none: parsing the project takes seconds."""
        with self._starting:
            if self._process is None and not self._stopped:
                self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        paths = {"DBT_TARGET_PATH": self._target_path, "DBT_LOG_PATH": self._log.parent}
        with self._log.with_name("dbt_worker.log").open("w") as output:
            return subprocess.Popen(  # noqa: S603 - our own interpreter
                [
                    # As a file, not with -m. In each build dbt looks through its stack for each
                    # of its flags, and for a frame without a file through all modules: -m has two
                    # such frames, which took a fifth of a small build.
                    *(sys.executable, "-P", worker.__file__),
                    *("--no-use-colors", "--target", self._settings.target),
                ],
                env=os.environ | {name: str(path) for name, path in paths.items()},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                # A build that outlives a killed loader keeps the lock until it ends.
                pass_fds=(self._lock.fileno(),),
                # Ctrl-C on a terminal reaches us alone: `stop` ends it, once.
                process_group=0,
                text=True,
            )

    def stop(self) -> None:
        """End the process at once: dbt cancels its queries, and a merge is rolled back."""
        with self._starting:
            self._stopped = True
            process = self._process
        if process:
            process.send_signal(signal.SIGINT)
            with suppress(OSError):
                if process.stdin:
                    process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            process.kill()

    def close(self) -> None:
        """End the process, which waits for another month."""
        if self._process:
            self._process.communicate()
            self._process = None
        self._lock.close()

    def turn(
        self,
        warehouse: Warehouse,
        months: Collection[Month],
        reporter: Reporter,
        *,
        marts: bool = True,
    ) -> AbstractContextManager[None]:
        """Hold the build lock for a build of months: of them alone, if all else is there."""
        self._look_for_all(warehouse, marts)
        return warehouse.build_lock(reporter, months if self.is_complete else ())

    def build(
        self,
        warehouse: Warehouse,
        versions: Sequence[FileVersion],
        reporter: Reporter,
        *,
        merge: bool = True,
        marts: bool = True,
    ) -> Warnings:
        """Merge and test landed months, and build their rows in the marts; return what warned.

        Views and seeds are built only when the project has changed since this warehouse was last
        built. Hold the months' `turn`.

        Args:
            versions: landed or merged versions of months of one dataset.

        Raises:
            LockedError: when somebody uses the table for too long.
            ReconciliationError: when a test found that counts differ.
            WarehouseError: when a model failed.
        """
        label = name_months(one.month for one in versions)
        retrying = Retrying(
            retry=retry_if_result(_is_aborted),
            stop=stop_after_attempt(_ABORTED_ATTEMPTS),
            wait=wait_random_exponential(max=_ABORTED_MAX_SECONDS),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reporter.say(f"{label}  waiting for another dbt build in this folder to end")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            with reporter.stage(label, "merge" if merge else "marts", "rows") as stage:
                built = retrying(lambda: self._build(warehouse, versions, merge, marts))
                if not built.success or not built.nodes:
                    raise self._failure(label, built)
                stage.set(sum(one.file_rows for one in versions))
                stage.note = _count_tests(built)
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        return {node.name: rows_by_column(node) for node in built.nodes if node.status == "warn"}

    def _build(
        self, warehouse: Warehouse, versions: Sequence[FileVersion], merge: bool, marts: bool
    ) -> BuildResult:
        project = self._look_for_all(warehouse, marts)
        if project is None:
            return _ENDED
        if not project.fingerprint:
            return BuildResult(False, [], project.errors)
        dataset, months = versions[0].dataset, [one.month.text for one in versions]
        table, is_all = get_dataset(dataset).table, not self.is_complete
        if is_all:
            self._before_all(self._settings, warehouse)
        answer = self._ask(Request(dataset, months, table, merge, marts, is_all))
        if answer is None:
            return _ENDED
        success, nodes, errors, self.invocation_id = answer
        if success and is_all:
            built_all = project.fingerprint if marts else project.fingerprint_without_marts
            warehouse.record_project(built_all)
            self.is_complete = True
        return BuildResult(success, [NodeResult(*node) for node in nodes], errors)

    def _look_for_all(self, warehouse: Warehouse, marts: bool) -> Project | None:
        """Find out whether the warehouse has all that is not of a month."""
        project = self._read_project()
        if project and project.fingerprint and not self.is_complete:
            relations = [one for one in project.relations if marts or one not in project.marts]
            recorded = warehouse.built_project(relations)
            is_without_marts = not marts and recorded == project.fingerprint_without_marts
            self.is_complete = is_without_marts or recorded == project.fingerprint
        return project

    def _read_project(self) -> Project | None:
        """Return the process's description of the project; None when the process has ended."""
        self.start()
        if self._project is None and (answer := self._answer()):
            self._project = Project(*answer)
        return self._project

    def _ask(self, request: Request) -> Any:
        """Send a request, and return the answer; None when the process has ended."""
        process: Any = self._process  # its pipes are there
        with suppress(BrokenPipeError):  # it has ended: there is no answer to read
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        process: Any = self._process
        answer = process.stdout.readline()
        if not answer:
            process.wait()
            self._process = self._project = None  # the next month gets another
            return None
        return json.loads(answer)

    def _failure(self, label: str, built: BuildResult) -> LoaderError:
        failed = [node for node in built.nodes if node.status in ("error", "fail")]
        for node in failed:
            if "_reconcile" in node.unique_id:
                return ReconciliationError(
                    f"{label}: {node.name}: the table's rows and the file's differ;"
                    " run the command again, and report it if it stays"
                )
        if failed and "due to lock timeout" in (failed[0].message or ""):
            return LockedError(f"{label}: {TABLE_IN_USE}")
        if failed:
            reason = describe_failure(failed[0])
        else:
            lines = [line.strip() for text in built.errors for line in text.splitlines()]
            shown = takewhile(lambda line: not POINTER.fullmatch(line), lines)
            said = [line for line in shown if line and not line.startswith(">")]
            reason = said[-1] if said else "dbt reported nothing"
        return WarehouseError(f"{label}: dbt build failed: {reason}; {self._log} has the details")


def run_operation(settings: Settings, macro: str, arguments: dict[str, Any]) -> None:
    """Run a macro, which changes all its tables or none; show what it says. Hold the build lock."""
    if _run_dbt(settings, "run-operation", macro, "--args", json.dumps(arguments)):
        raise WarehouseError(f"{macro} failed, and the tables are as they were: see above")


def build_official(settings: Settings, model: str) -> None:
    """Build what TLC publishes besides trips, and all that it needs. Hold the build lock."""
    # Without tests: those of the trips tables need TLC's counts, too.
    no_tests = ("--exclude-resource-types", "test", "unit_test")
    if _run_dbt(settings, "build", "--select", f"+{model}", *no_tests):
        raise WarehouseError(f"the rows of {model} have landed, and dbt can't build it: see above")


def _run_dbt(settings: Settings, command: str, *arguments: str) -> int:
    """Run dbt in a process of its own; return its exit code."""
    # By our interpreter, as the worker is: another may be first on the PATH of the script.
    dbt: list[str | Path] = [sys.executable, "-P", Path(sysconfig.get_path("scripts")) / "dbt"]
    options = ["--quiet", "--no-use-colors", command, "--target", settings.target]
    return subprocess.run([*dbt, *options, *arguments], check=False).returncode  # noqa: S603


def _is_aborted(built: BuildResult) -> bool:
    """Return whether BigQuery aborted the merge because of a concurrent transaction."""
    return any(ABORTED in (node.message or "") for node in built.nodes)


#: Tests that warn, by the beginning of their names.
_IN_WORDS = {
    "unusual_values": "unusual values",
    "official_figures": "not as many trips as TLC itself counted",
}


def name_warning(test: str) -> str:
    """Return what a test warns of, as people read it."""
    return next((words for name, words in _IN_WORDS.items() if test.startswith(name)), test)


def describe_warning(test: str, rows: dict[str, int]) -> str:
    """Return a test's warning as people read it, on one line."""
    found = ", ".join(f"{column} {count:,}" for column, count in rows.items())
    return f"{name_warning(test)}: {found}"


def rows_by_column(node: NodeResult) -> dict[str, int]:
    """Return what macros/tests/rows_by_column.sql reports; for any other test, its failures."""
    if node.found.startswith("{"):
        found: dict[str, int] = json.loads(node.found)
        return found
    return {"rows": node.failures or 0}


def _count_tests(built: BuildResult) -> str:
    """Return how many tests passed, and how many warned; empty when none ran."""
    statuses = [node.status for node in built.nodes if node.unique_id.startswith("test.")]
    counts = {"passed": statuses.count("pass"), "warned": statuses.count("warn")}
    shown = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"tests: {shown}" if shown else ""


def describe_failure(node: NodeResult) -> str:
    """Return what failed, and dbt's message without heading, pointers and macros, on one line."""
    lines = [line.strip() for line in (node.message or "").splitlines()]
    said = takewhile(lambda line: not line.startswith(("> in macro", "compiled code at")), lines)
    told = [line for line in said if " Error in " not in line and not POINTER.fullmatch(line)]
    return f"{node.name}: {' '.join(filter(None, told))}"
