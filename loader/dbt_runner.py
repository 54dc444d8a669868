"""Runs dbt for months that have landed, and reads what came of it."""

import datetime as dt
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from loader.errors import (
    TABLE_IN_USE,
    LoaderError,
    LockedError,
    ReconciliationError,
    WarehouseError,
)
from loader.months import format_month
from loader.progress import Reporter
from loader.settings import Settings

#: How long dbt may take to cancel its queries when it is interrupted.
_STOP_SECONDS = 3

#: The last line of what the process says of a build.
SUCCEEDED, FAILED = "dbt build: succeeded\n", "dbt build: failed\n"

#: Tests that warned: by name, the number of rows by column ("rows" for a test that names none).
Warnings = dict[str, dict[str, int]]
#: What is wrong with the rows that a generic test counts by column.
_FAULTS = {
    "accepted_ranges": "values outside their range",
    "never_null": "missing values",
    "relationships": "codes that the dictionary doesn't have",
}


class Dbt:
    """A dbt process that reads the project while a month lands, and builds what it is told."""

    def __init__(self, settings: Settings) -> None:
        """Prepare its folder.

        Args:
            settings: the settings.
        """
        self._settings = settings
        self._target_path = settings.local_dir / "dbt"
        self._target_path.mkdir(parents=True, exist_ok=True)
        self._log = settings.local_dir / "logs" / "dbt.log"
        self._lock = (self._target_path / "lock").open("w")
        self._process: subprocess.Popen[str] | None = None
        self._starting = threading.Lock()
        self._stopped = False

    def start(self) -> None:
        """Start the process, if there is none: it takes its time to read the project."""
        with self._starting:
            if self._process is None and not self._stopped:
                self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            [
                *(sys.executable, "-m", "loader.dbt_worker"),
                *("--no-use-colors", "--target", self._settings.target),
            ],
            env=os.environ
            | {
                "DBT_TARGET_PATH": str(self._target_path),
                "DBT_LOG_PATH": str(self._log.parent),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
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

    def build(self, dataset: str, month: dt.date, rows: int, reporter: Reporter) -> Warnings:
        """Merge and test a landed month.

        Args:
            dataset: dataset to merge.
            month: file month to merge.
            rows: rows of the month, to be shown.
            reporter: where to show progress.

        Returns:
            The tests that warned.

        Raises:
            LockedError: when somebody uses the table for too long.
            ReconciliationError: when a test found that counts differ.
            WarehouseError: when a model failed.
        """
        label = f"{dataset} {format_month(month)}"
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reporter.say(f"{label}  waiting for another dbt build in this folder to end")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        results_file = self._target_path / "run_results.json"
        results_file.unlink(missing_ok=True)
        try:
            with reporter.stage(label, "merge", "rows") as stage:
                is_built, said = self._ask({"dataset": dataset, "month": format_month(month)})
                results = json.loads(results_file.read_text()) if results_file.exists() else None
                if results:
                    # The next build overwrites dbt's own.
                    kept = f"run_results_{dataset}_{format_month(month)}.json"
                    shutil.copy(results_file, self._target_path / kept)
                if not is_built or results is None:
                    raise _failure(label, results, said, self._log)
                stage.set(rows)
                stage.note = _tests(results)
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        return {
            _name(result): _rows_by_column(result)
            for result in results["results"]
            if result["status"] == "warn"
        }

    def _ask(self, variables: dict[str, str]) -> tuple[bool, list[str]]:
        """Have a month built; tell whether it was, and what dbt said."""
        self.start()
        process: Any = self._process  # its pipes are there
        with suppress(BrokenPipeError):  # it has ended: what it said last says why
            process.stdin.write(json.dumps(variables) + "\n")
            process.stdin.flush()
        said: list[str] = []
        for line in process.stdout:
            if line in (SUCCEEDED, FAILED):
                return line == SUCCEEDED, said
            said.append(line)
        process.wait()
        self._process = None  # the next month gets another
        return False, said


def describe_warning(test: str, rows: dict[str, int]) -> str:
    """Return a test's warning as people read it.

    Args:
        test: name of the test.
        rows: the number of rows by column.

    Returns:
        Text on one line.
    """
    found = ", ".join(f"{column} {count:,}" for column, count in rows.items())
    for kind, fault in _FAULTS.items():
        if test.startswith(kind):
            columns = "1 column has" if len(rows) == 1 else f"{len(rows)} columns have"
            return f"{columns} {fault}: {found}"
    return f"{test}: {found}"


def _rows_by_column(result: dict[str, Any]) -> dict[str, int]:
    """Return what macros/tests/rows_by_column.sql reports; for any other test, its failures."""
    message = result["adapter_response"].get("_message", "")
    return json.loads(message) if message.startswith("{") else {"rows": result["failures"]}


def _tests(results: dict[str, Any]) -> str:
    """Return how many tests passed, and how many warned; nothing when none ran."""
    statuses = [r["status"] for r in results["results"] if r["unique_id"].startswith("test.")]
    counts = {"passed": statuses.count("pass"), "warned": statuses.count("warn")}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"tests: {told}" if told else ""


def _failure(label: str, results: dict[str, Any] | None, said: list[str], log: Path) -> LoaderError:
    failed = [r for r in (results or {}).get("results", ()) if r["status"] in ("error", "fail")]
    for result in failed:
        if "rows_reconcile" in result["unique_id"]:
            return ReconciliationError(
                f"{label}: {_name(result)}: the table's rows and the file's differ;"
                " run the command again, and report it if it stays"
            )
    if failed and "due to lock timeout" in (failed[0]["message"] or ""):
        return LockedError(f"{label}: {TABLE_IN_USE}")
    if failed:
        reason = f"{_name(failed[0])}: {_said_of(failed[0])}"
    else:
        lines = [line.strip() for line in said if line.strip()]
        reason = lines[-1] if lines else "dbt said nothing"
    return WarehouseError(f"{label}: dbt build failed: {reason}; {log} has the details")


def _said_of(result: dict[str, Any]) -> str:
    """Return dbt's message on one line, without its heading and the macros that were called."""
    lines = [line.strip() for line in (result["message"] or "").splitlines()]
    said = takewhile(lambda line: not line.startswith(("> in macro", "compiled code at")), lines)
    return " ".join(line for line in said if line and " Error in " not in line)


def _name(result: dict[str, Any]) -> str:
    return result["unique_id"].split(".")[2]
