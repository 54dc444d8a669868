"""Ctrl-C and SIGTERM: a command reports what is done, and ends at once.

The command works in a thread of its own, so that the main thread can take a signal whatever the
work waits for: the source, a lock, a query, or dlt, which turns a KeyboardInterrupt into an error
of its own. No cleanup is needed, since each step is atomic: report progress, stop dbt, release
locks.
"""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: How long a signal may wait that reached another thread.
_LOOK_SECONDS = 0.2

_at_stop: list[Callable[[], None]] = []


def run(command: Callable[[], None]) -> None:
    """Run a command that SIGINT and SIGTERM stop, with exit code 130 or 143; a second kills it."""
    # nohup and a shell's & make a process ignore signals, which stays so.
    caught = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _stop) for number in caught}
    try:
        with ThreadPoolExecutor(1) as worker:
            future = worker.submit(command)
            # The kernel may give a signal to another thread, which doesn't wake this one.
            while not wait([future], _LOOK_SECONDS).done:
                pass
            future.result()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def at_stop(do: Callable[[], None]) -> Iterator[None]:
    """Call a function if the command is stopped inside this block.

    Args:
        do: what to do, in the main thread, while other threads still work. What was
            registered first is done first.
    """
    _at_stop.append(do)
    try:
        yield
    finally:
        _at_stop.remove(do)


def _stop(number: int, _: FrameType | None) -> None:
    for caught in _SIGNALS:
        if signal.getsignal(caught) is _stop:
            signal.signal(caught, signal.SIG_DFL)  # the next one ends the process at once
    for do in tuple(_at_stop):
        try:
            do()
        except Exception:
            logging.getLogger(__name__).exception("while the command was stopped")
    # Don't flush standard output: half a JSON document is worse than none.
    os._exit(128 + number)
