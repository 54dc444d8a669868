"""The summary of a command in Markdown, which GitHub shows beside a run."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loader.building.runner import describe_warning
from loader.calendar import format_month
from loader.errors import LoaderError, UsageError
from loader.months.due import reason
from loader.months.state import MonthRun, MonthState
from loader.terminal import interrupts
from loader.terminal.commands import nyc_tlc
from loader.terminal.words import count

_COLUMNS = ("month", "result", "rows", "added", "removed", "unchanged", "seconds", "notes")
_ALIGNED = "|:--|:--|--:|--:|--:|--:|--:|:--|"


@dataclass
class Summary:
    """What a command did.

    Attributes:
        states: months that were looked at.
        done: months that were run.
        started: when the command began, by the monotonic clock.
    """

    states: Sequence[MonthState] = ()
    done: list[MonthRun] = field(default_factory=list)
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
    """Append a table of months to a file at the end, however it ends.

    Args:
        path: file to append to; None for no summary.

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
        _append(path, f"**Failed:** {_cell(str(error))}\n\n{_table(summary)}")
        raise
    _append(path, _table(summary))


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as failure:
        raise UsageError(f"can't write the summary {path}: {failure.strerror}") from failure


def _table(summary: Summary) -> str:
    lines = {(one.dataset, one.month): _skipped(one) for one in summary.states}
    lines |= {(one.dataset, one.month): _run(one) for one in summary.done}
    if not lines:
        return ""
    rows = [lines[key] for key in sorted(lines, key=lambda key: key[::-1])]
    table = "\n".join([_row(_COLUMNS), _ALIGNED, *map(_row, rows)]) + "\n\n"
    total = f"{summary.total()}\n\n" if len(summary.done) > 1 else ""
    return f"{table}{total}{_report_of(summary)}"


def _report_of(summary: Summary) -> str:
    """Return the command that shows the months that were merged."""
    months = sorted({format_month(one.month) for one in summary.done if one.state == "merged"})
    if not months:
        return ""
    to = ("--to", months[-1]) if len(months) > 1 else ()
    return f"To look at them: `{nyc_tlc('report', '--month', months[0], *to)}`\n\n"


def _skipped(state: MonthState) -> list[str]:
    rows = f"{state.merged.table_rows:,}" if state.merged else ""
    return [_month(state), "skipped", rows, "", "", "", "", reason(state)]


def _run(run: MonthRun) -> list[str]:
    if run.error:
        note = f"exit {run.error.exit_code}: {run.error}"
        return [_month(run), "**failed**", "", "", "", "", f"{run.seconds:.1f}", note]
    counts = (run.rows, run.rows_added, run.rows_removed, run.rows_unchanged)
    notes = [f"warned: {describe_warning(*warning)}" for warning in run.warnings.items()]
    if run.bytes_billed is not None:
        notes.append(describe_bill([run]))
    return [
        _month(run),
        run.state,
        *(f"{count:,}" for count in counts),
        f"{run.seconds:.1f}",
        "; ".join(notes),
    ]


def _month(one: MonthState | MonthRun) -> str:
    return f"{one.dataset} {format_month(one.month)}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    # Messages may quote what a file says: it must not become a column, a link or a tag.
    for sign, harmless in (("&", "&amp;"), ("<", "&lt;"), ("|", "&#124;"), ("[", "&#91;")):
        text = text.replace(sign, harmless)
    return " ".join(text.split())
