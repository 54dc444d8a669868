"""Locks in BigQuery, which has none: leases, in rows of a table."""

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud import bigquery
from tenacity import Retrying, retry_if_exception_type, wait_random

from loader.errors import LockedError, WarehouseError
from loader.settings import Settings
from loader.terminal import interrupts
from loader.warehouse.bigquery_connection import BigQueryConnection, translate_google_errors

#: How long a lock outlives a killed run, and how often a live one renews it.
_LEASE = "timestamp_add(current_timestamp(), interval 10 minute)"
_RENEWAL_SECONDS = 120.0
#: How long to sleep between two looks at whether another machine's turn has ended.
_TURN_SECONDS = (5, 15)


class BigQueryLocks(BigQueryConnection):
    """Locks by name, in the table `_locks` of the raw schema."""

    def __init__(self, settings: Settings) -> None:
        """Connect."""
        super().__init__(settings)
        self._raw = settings.raw_schema
        self._locks = self.table(self._raw, "_locks")

    def held_locks(self) -> list[dict[str, Any]]:
        """List the locks that runs hold: name, holder, expires_at."""
        return self.query_if_there(
            f"select name, holder, expires_at from {self._locks}"
            " where expires_at > current_timestamp() order by name"
        )

    def free_lock(self, name: str) -> None:
        """End a lock, whoever holds it."""
        self._update("expires_at = null", name=name)

    @contextmanager
    def turn(
        self, name: str, excludes: str | None = None, on_wait: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Hold a lock by its name, waiting for others to give it back: see `lease`."""
        retrying = Retrying(
            retry=retry_if_exception_type(LockedError),
            wait=wait_random(*_TURN_SECONDS),
            after=lambda state: on_wait() if state.attempt_number == 1 else None,
        )
        with ExitStack() as held:
            retrying(lambda: held.enter_context(self.lease(name, excludes)))
            yield

    @contextmanager
    def lease(self, name: str, excludes: str | None = None) -> Iterator[None]:
        """Hold a lock by its name, or raise a LockedError at once.

        BigQuery has no locks: a row of `_locks` is taken by a conditional UPDATE, of which the
        service lets one at a time through. It is a lease, which is renewed while it is held.

        Args:
            excludes: pattern of the names that nobody may hold meanwhile; None for this name alone.
        """
        dataset = f"{self.project}.{self._raw}"
        with translate_google_errors():
            try:
                self.client.get_dataset(dataset)
            except NotFound:  # asked first: to create one that is there needs the right to create
                self.client.create_dataset(bigquery.Dataset(dataset), exists_ok=True)
        token = f"{'/'.join(_process(os.getpid()) or ('?',))}/{uuid.uuid4().hex}"
        rows = self._take(name, token, excludes or name)
        if dead := [row["token"] for row in rows if _is_dead(row["token"])]:
            for one in dead:
                self._update("expires_at = null", token=one)
            rows = self._take(name, token, excludes or name)

        def give_back() -> None:
            self._update("token = null, holder = null, expires_at = null", name=name, token=token)

        others = [row for row in rows if row["token"] != token]
        if others or not rows:
            if len(others) < len(rows):  # both were taken at once
                give_back()
            other = (
                f"{others[0]['holder']}, until {others[0]['expires_at']:%H:%M} UTC" if rows else "?"
            )
            raise LockedError(
                f"{name}: another run is working on it ({other});"
                " wait for it to end, or choose another month; if it was killed: nyc-tlc unlock"
            )

        def renew() -> None:
            with suppress(WarehouseError):  # the next renewal is before the lease ends, too
                self._update(f"expires_at = {_LEASE}", name=name, token=token)

        try:
            with interrupts.at_stop(give_back), _repeating(renew, _RENEWAL_SECONDS):
                yield
        finally:
            give_back()

    def _take(self, name: str, token: str, excludes: str) -> list[dict[str, Any]]:
        """Take a lock, if it is free; return who holds one of those that exclude each other."""
        return self.query(
            f"""
            create table if not exists {self._locks}
                (name string, token string, holder string, expires_at timestamp);
            insert into {self._locks} (name)
            select @name from (select 1)
            where not exists (select 1 from {self._locks} where name = @name);
            update {self._locks}
            set token = @token, holder = @holder, expires_at = {_LEASE}
            where name = @name and not exists (
                select 1 from {self._locks} as live
                where
                    regexp_contains(live.name, @excludes) and live.expires_at > current_timestamp()
            );
            select distinct token, holder, expires_at from {self._locks}
            where regexp_contains(name, @excludes) and expires_at > current_timestamp();
            """,
            name=name,
            token=token,
            holder=f"{socket.gethostname()}, pid {os.getpid()}",
            excludes=f"^({excludes})$",
        )

    def _update(self, values: str, **whose: str) -> None:
        """Change the locks with a name, a token or both."""
        where = " and ".join(f"{column} = @{column}" for column in whose)
        self.query(f"update {self._locks} set {values} where {where}", **whose)


def _process(pid: int) -> tuple[str, ...] | None:
    """Name a process of this machine as no other one ever is: its boot, container, id and start.

    None when there is no such process, or no /proc.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        container = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return None
    is_zombie, start = stat[0] == "Z", stat[19]
    return None if is_zombie else (boot, container, str(pid), start)


def _is_dead(token: str) -> bool:
    """Return whether a lock's holder was a process of this machine that has ended."""
    ours, (*holder, _) = _process(os.getpid()), token.split("/")
    if ours is None or len(holder) != len(ours) or tuple(holder[:2]) != ours[:2]:
        return False
    return _process(int(holder[2])) != tuple(holder)


@contextmanager
def _repeating(do: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call a function at intervals, in a thread, while the block runs."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            do()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
