"""Progress: bars on a terminal; in a pipe one line a stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from dlt.common.runtime.collector_base import Collector
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from loader.errors import printable

_UNITS = {"bytes": "MB", "rows": "rows", "parts": "parts"}


class Stage:
    """One stage of work on a month: counts what was done, and shows it."""

    def __init__(self, bars: Progress | None, label: str, unit: str, total: int | None) -> None:
        """Begin a stage; use `Reporter.stage`."""
        self.done = 0
        self.unit = unit
        self._total = total
        self._bars = bars
        self._bar = bars.add_task(label, total=total, figures="") if bars else None

    def set(self, done: int) -> None:
        """Tell how much is done so far, in the stage's unit."""
        self.done = done
        if self._bars:
            self._bars.update(self._bar, completed=done, figures=_amount(done, self.unit))

    def add(self, amount: int) -> None:
        """Tell that more is done."""
        self.set(self.done + amount)


class Reporter:
    """Says what goes on, on standard error, so that standard output stays for results."""

    def __init__(self, console: Console) -> None:
        """Make a reporter.

        Args:
            console: where to write; a terminal gets bars.
        """
        self.console = console

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def stage(self, label: str, name: str, unit: str, total: int | None = None) -> Iterator[Stage]:
        """Show one stage of work.

        Args:
            label: dataset and month, or the like.
            name: what is done: download, conform, copy, …
            unit: bytes, rows or parts.
            total: how much there is to do, if known.

        Yields:
            The stage, to be told of progress.
        """
        started = time.monotonic()
        if self.console.is_terminal:
            columns = ["{task.description}", BarColumn(), "{task.fields[figures]}"]
            with Progress(
                *(TextColumn(c) if isinstance(c, str) else c for c in columns),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            ) as bars:
                stage = Stage(bars, f"{label}  {name}", unit, total)
                yield stage
        else:
            stage = Stage(None, label, unit, total)
            yield stage
        seconds = time.monotonic() - started
        rate = f"  {_amount(stage.done / seconds, unit)}/s" if stage.done and seconds > 0.05 else ""
        self.say(f"{label}  {name:<9} {_amount(stage.done, unit):>16}  {seconds:6.1f} s{rate}")


#: dlt's steps that take time, as users know them, and what is counted in each.
_STEPS = {"Extract": ("conform", "rows"), "Load": ("copy", "rows")}


class DltProgress(Collector):
    """Shows dlt's steps as our stages."""

    def __init__(self, reporter: Reporter, label: str, rows: int) -> None:
        """Make a collector for one month file.

        Args:
            reporter: where to show progress.
            label: dataset and month.
            rows: rows of the file.
        """
        self.step = None
        self._reporter = reporter
        self._label = label
        self._rows = rows
        self._context = None
        self._stage: Stage | None = None

    def update(
        self,
        name: str,
        inc: int = 1,
        total: int | None = None,
        inc_total: int | None = None,
        message: str | None = None,
        label: str | None = None,
    ) -> None:
        """Take dlt's count of a table's rows (Extract) or of load jobs (Load)."""
        if self._stage is None:
            return
        if self.step.startswith("Load"):
            if name == "Jobs" and not label and total is None:
                self._jobs_done += inc
            elif name == "Jobs" and total:
                self._jobs = total
            if self._jobs_done:
                self._stage.set(min(self._rows, self._rows * self._jobs_done // self._jobs))
        elif name.endswith("_tripdata"):
            self._stage.add(inc)

    def _start(self, step: str) -> None:
        found = next((v for k, v in _STEPS.items() if step.startswith(k)), None)
        if found:
            self._jobs_done, self._jobs = 0, 1
            self._context = self._reporter.stage(self._label, *found, self._rows)
            self._stage = self._context.__enter__()

    def _stop(self) -> None:
        if self._context:
            if self._jobs_done or self.step.startswith("Load"):
                self._stage.set(self._rows)
            self._context.__exit__(None, None, None)
            self._context = self._stage = None


def _amount(amount: float, unit: str) -> str:
    if unit == "bytes":
        return f"{amount / 1e6:,.1f} MB"
    return f"{amount:,.0f} {unit}"
