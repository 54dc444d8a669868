"""Retries of transient errors; each wait is reported when it begins."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from loader.errors import SourceError

#: The unit of all waits.
BACKOFF_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0

_Result = TypeVar("_Result")

#: Its warnings are shown on the terminal, too.
log = logging.getLogger(__name__)


class TransientError(SourceError):
    """A failure of the source that may be transient."""

    def __init__(
        self,
        problem: str,
        advice: str,
        *,
        attempts: int = 1,
        first_wait: float = 1.0,
        retry_after: float | None = None,
    ) -> None:
        """Describe the failure, and how long to try again.

        Args:
            advice: what to do when trying again hasn't helped.
            attempts: how often to try, the first time included, unless the caller sets more.
            first_wait: units to wait before the second attempt; then each time twice as long.
            retry_after: seconds to wait before the next attempt, where the server says so.
        """
        super().__init__(f"{problem}; {advice}")
        self.problem = problem
        self.attempts = attempts
        self.first_wait = first_wait
        self.retry_after = retry_after


def patiently(do: Callable[[], _Result], attempts: int = 0) -> _Result:
    """Call a function, and again while it fails with a transient error.

    Args:
        attempts: how often to try, should the error ask for less.

    Raises:
        TransientError: the last one, when trying again hasn't helped.
    """

    def most(state: RetryCallState) -> int:
        return max(attempts, _error(state).attempts)

    def report(state: RetryCallState) -> None:
        log.warning(
            "%s; trying again in %.0f s (%d of %d)",
            _error(state).problem,
            state.upcoming_sleep,
            state.attempt_number,
            most(state) - 1,
        )

    retrying = Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=lambda state: state.attempt_number >= most(state),
        wait=_wait,
        before_sleep=report,
        reraise=True,
    )
    return retrying(do)


def _wait(state: RetryCallState) -> float:
    error = _error(state)
    if error.retry_after is not None:
        return min(error.retry_after, MAX_WAIT_SECONDS)
    first = error.first_wait * BACKOFF_SECONDS
    # With jitter: clients that failed together shouldn't retry together.
    return wait_exponential_jitter(initial=first, max=MAX_WAIT_SECONDS, jitter=first)(state)


def _error(state: RetryCallState) -> TransientError:
    return cast(Any, state.outcome).exception()
