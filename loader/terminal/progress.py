"""Progress: bars on a terminal; in a pipe one line a stage."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from loader.calendar import Month, name_months
from loader.errors import printable
from loader.terminal.words import duration


class Stage:
    """One stage of work on a month: counts what was done, and shows it."""

    def __init__(self, bars: Progress, label: str, unit: str, total: int | None) -> None:
        """Begin a stage; use `Reporter.stage`."""
        self.done = 0
        self.unit = unit
        self.note = ""  #: shown beside the figures when the stage has ended
        self._bars, self._bar = bars, bars.add_task(label, total=total, figures="")

    def set(self, done: int, figures: str | None = None) -> None:
        """Set how much is done so far, in the stage's unit; `figures` is shown instead if given."""
        self.done = done
        self._bars.update(self._bar, completed=done, figures=figures or _amount(done, self.unit))

    def add(self, amount: int) -> None:
        """Count more as done."""
        self.set(self.done + amount)

    def close(self) -> None:
        """Remove the bar."""
        self._bars.remove_task(self._bar)


#: Begins a stage of a month, by its name.
StageMaker = Callable[[str], AbstractContextManager[Stage]]


class Reporter:
    """Reports progress on standard error; standard output is for results.

    Stages may run side by side, in several threads: a terminal shows all their bars at once.
    """

    def __init__(self, console: Console) -> None:
        """Report on a console; a terminal gets bars."""
        self.console = console
        self._lock = threading.Lock()
        self._bars = Progress(disable=True)
        self._shown = 0
        self._how_far: Callable[[], Sequence[str]] = lambda: ["stopped: nothing was changed"]
        self._stopped = False

    def say(self, text: str) -> None:
        """Print a line."""
        if not self._stopped:
            self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    def if_stopped(self, how_far: Callable[[], Sequence[str]]) -> None:
        """Set what returns the lines for when the command is stopped."""
        self._how_far = how_far

    def stop(self) -> None:
        """Report what is done, and show nothing after that."""
        with self._lock:
            self._stopped = True
            self._bars.stop()
        for line in self._how_far():
            self._print(line)

    @contextmanager
    def stage(self, label: str, name: str, unit: str, total: int | None = None) -> Iterator[Stage]:
        """Show one stage of work; its line at the end is printed only when it succeeds.

        Args:
            label: dataset and month, or the like.
            name: what is done: download, conform, copy, …
            unit: bytes, rows or parts.
            total: how much there is to do, if known.
        """
        started = time.monotonic()
        with self._bar(f"{label}  {name}", unit, total) as stage:
            yield stage
        seconds = time.monotonic() - started
        line = f"{label}  {name:<9} {_amount(stage.done, unit):>16}  {seconds:6.1f} s"
        if stage.done and seconds > 0.05:
            line += f"  {_amount(stage.done / seconds, unit)}/s"
        self.say(f"{line}  {stage.note}".rstrip())

    @contextmanager
    def months(self, total: int) -> Iterator[Callable[[], None]]:
        """Show how far a run of several months is; yields what to call when a month is done."""
        first_done = 0.0

        def one_done() -> None:
            nonlocal first_done
            done, now = stage.done + 1, time.monotonic()
            text = f"{done} of {total} months"
            if done == 1:
                first_done = now
            else:  # the first month takes longer: dbt starts, and nothing overlaps
                left = (now - first_done) / (done - 1) * (total - done)
                text += f", about {duration(left)} left" if left >= 1 else ""
            stage.set(done, text)
            if not self.console.is_terminal and done < total:
                self.say(text)

        if total > 1:
            with self._bar("in all", "months", total) as stage:
                stage.set(0, f"0 of {total} months")
                yield one_done
        else:
            yield lambda: None

    @contextmanager
    def _bar(self, label: str, unit: str, total: int | None) -> Iterator[Stage]:
        with self._lock:
            if not self._shown and not self._stopped:
                self._bars = Progress(
                    TextColumn("{task.description}"),
                    BarColumn(),
                    TextColumn("{task.fields[figures]}"),
                    TimeElapsedColumn(),
                    console=self.console,
                    transient=True,
                    disable=not self.console.is_terminal,
                )
                self._bars.start()
            self._shown += 1
        stage = Stage(self._bars, label, unit, total)
        try:
            yield stage
        finally:
            with self._lock:
                stage.close()
                self._shown -= 1
                if not self._shown:
                    self._bars.stop()


def how_far(asked: Sequence[Month], done: Collection[Month], what: str = "done") -> str:
    """Return how much a stopped command has done, as a line.

    Args:
        asked: months that it was going to do.
        what: what that means: done, landed, mirrored.
    """
    parts = []
    if len(asked) > 1:
        names = f" ({name_months(done)})" if done else ""
        parts.append(f"{len(done)} of {len(asked)} months {what}{names}")
    if rest := [one for one in asked if one not in done]:
        parts.append(f"{name_months(rest)} not {what}, nothing half-done")
        parts.append("run the same command again to go on")
    return f"stopped: {'; '.join(parts) or what}"


def _amount(amount: float, unit: str) -> str:
    if unit == "bytes":
        return f"{amount / 1e6:,.1f} MB"
    return f"{amount:,.0f} {unit}"
