"""The summary of a command in Markdown, which GitHub shows beside a run."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loader.building.runner import describe_warning
from loader.cli.runs import counts_of_result
from loader.cli.tables import Row, harmless, markdown
from loader.errors import LoaderError, UsageError
from loader.months.due import reason
from loader.months.state import MonthState
from loader.run import MonthRun, Result
from loader.terminal import interrupts
from loader.terminal.commands import nyc_tlc
from loader.terminal.words import count


@dataclass
class Summary:
    """What a command did.

    Attributes:
        states: months that were looked at.
        done: months that were run.
        notes: what it found besides, a sentence each.
        started: when the command began, by the monotonic clock.
    """

    states: Sequence[MonthState] = ()
    done: list[MonthRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def total(self) -> str:
        """Return what was run in all, and how long it took: the months' own seconds overlap."""
        rows = [one.rows for one in self.done if one.rows is not None]
        seconds = time.monotonic() - self.started
        billed = [one for one in self.done if one.bytes_billed is not None]
        bill = f", {describe_bill(billed)}" if billed else ""
        months = count(len(self.done), "month")
        done = months if len(rows) == len(self.done) else f"{len(rows)} of {months}"
        return f"{done}, {count(sum(rows), 'row')}, {seconds:.1f} s{bill}"


def describe_bill(runs: Sequence[MonthRun]) -> str:
    """Return what BigQuery billed for months, as people read it."""
    size = sum(one.bytes_billed or 0 for one in runs)
    dollars = sum(one.dollars or 0 for one in runs)
    return f"{size / 1e9:,.2f} GB billed (${dollars:.3f})"


@contextmanager
def summarizing(path: Path | None) -> Iterator[Summary]:
    """Append a table of months to a file, if one is given, at the end, however it ends.

    Yields:
        The record to fill in.

    Raises:
        UsageError: when the file can't be written.
    """
    summary = Summary()
    if not path:
        yield summary
        return
    try:
        with interrupts.at_stop(lambda: _append(path, f"**Stopped.**\n\n{_table(summary)}")):
            yield summary
    except LoaderError as error:
        _append(path, f"**Failed:** {harmless(str(error))}\n\n{_table(summary)}")
        raise
    _append(path, _table(summary))


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as failure:
        raise UsageError(f"can't write the summary {path}: {failure.strerror}") from failure


def _table(summary: Summary) -> str:
    lines = {one.month: _skipped(one) for one in summary.states}
    lines |= {one.month: _run(one) for one in summary.done}
    notes = "".join(f"{harmless(note)}\n\n" for note in summary.notes)
    if not lines:
        return notes
    table = markdown([lines[month] for month in sorted(lines, key=lambda month: month[::-1])])
    total = f"{summary.total()}\n\n" if len(summary.done) > 1 else ""
    return f"{table}\n{total}{notes}{_report_of(summary)}"


def _report_of(summary: Summary) -> str:
    """Return the command that shows the months that were merged."""
    months = sorted({one.month.text for one in summary.done if one.state == Result.MERGED})
    if not months:
        return ""
    to = ("--to", months[-1]) if len(months) > 1 else ()
    return f"To look at them: `{nyc_tlc('report', '--month', months[0], *to)}`\n\n"


def _skipped(state: MonthState) -> Row:
    rows = state.merged.table_rows if state.merged else None
    counts = {"rows": rows, "added": None, "removed": None, "unchanged": None, "seconds": None}
    return {"month": state.month.label, "result": "skipped", **counts, "notes": reason(state)}


def _run(run: MonthRun) -> Row:
    notes = [f"warned: {describe_warning(*warning)}" for warning in run.warnings.items()]
    if run.bytes_billed is not None:
        notes.append(describe_bill([run]))
    if run.error:
        notes = [f"exit {run.error.exit_code}: {run.error}"]
    return {
        "month": run.month.label,
        "result": f"**{run.state}**" if run.error else run.state,
        **counts_of_result(run),
        "notes": "; ".join(notes),
    }
