"""What is shown of the work: no stage that failed as if it were done, no time without a basis."""

import io

import pytest
from rich.console import Console

from loader.terminal.progress import Reporter


class Clock:
    """A clock that goes when it is told to."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("loader.terminal.progress.time", clock)
    return clock


@pytest.fixture
def piped() -> Reporter:
    return Reporter(Console(file=io.StringIO(), width=200))


def lines(reporter: Reporter) -> list[str]:
    return reporter.console.file.getvalue().splitlines()


def test_a_stage_ends_with_what_was_done(piped, clock):
    with piped.stage("green 2023-01", "merge", "rows") as stage:
        clock.now += 2
        stage.set(68_211)
        stage.note = "tests: 34 passed"
    assert lines(piped) == [
        "green 2023-01  merge          68,211 rows     2.0 s  34,106 rows/s  tests: 34 passed"
    ]


def test_a_stage_that_fails_isnt_shown_as_done(piped):
    with pytest.raises(OSError), piped.stage("green 2023-01", "download", "bytes") as stage:
        stage.add(1_000_000)
        raise OSError
    assert lines(piped) == []


def test_the_time_left_is_that_of_the_months_after_the_first(piped, clock):
    with piped.months(4) as one_is_done:
        for seconds in (60, 10, 14, 12):
            clock.now += seconds
            one_is_done()
    assert lines(piped) == [
        "1 of 4 months",
        "2 of 4 months, about 20 s left",
        "3 of 4 months, about 12 s left",
    ]


def test_a_single_month_has_no_total(piped):
    with piped.months(1) as one_is_done:
        one_is_done()
    assert lines(piped) == []


def test_the_bar_of_all_months_says_from_the_start_how_far_it_is():
    terminal = Reporter(Console(file=io.StringIO(), force_terminal=True, width=100))
    with terminal.months(2) as one_is_done:
        terminal._bars.refresh()
        assert "0 of 2 months" in terminal.console.file.getvalue()
        one_is_done()
        terminal._bars.refresh()
        assert "1 of 2 months " in terminal.console.file.getvalue()
