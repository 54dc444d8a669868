"""Locks in BigQuery, which has none: leases, in rows of a table."""

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud import bigquery
from tenacity import Retrying, retry_if_exception_type, wait_random

from loader.errors import LockedError, WarehouseError
from loader.terminal import interrupts
from loader.warehouse.bigquery_connection import BigQueryConnection, translate_google_errors

#: How long a lock outlives a killed run, and how often a live one renews it.
_LEASE_MINUTES = 10
_RENEWAL_SECONDS = 120.0
#: How long to sleep between two looks at whether another machine's turn has ended.
_TURN_SECONDS = (5, 15)


@contextmanager
def turn(
    connection: BigQueryConnection,
    schema: str,
    name: str,
    excludes: str | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold a lock by its name, waiting for others to give it back: see `lock`."""
    retrying = Retrying(
        retry=retry_if_exception_type(LockedError),
        wait=wait_random(*_TURN_SECONDS),
        after=lambda state: on_wait() if state.attempt_number == 1 else None,
    )
    with ExitStack() as held:
        retrying(lambda: held.enter_context(lock(connection, schema, name, excludes)))
        yield


@contextmanager
def lock(
    connection: BigQueryConnection, schema: str, name: str, excludes: str | None = None
) -> Iterator[None]:
    """Hold a lock by its name, or raise a LockedError at once.

    BigQuery has no locks: a row of `_locks` is taken by a conditional UPDATE, of which the
    service lets one at a time through. It is a lease, which is renewed while it is held.

    Args:
        excludes: pattern of the names that nobody may hold meanwhile; None for this name alone.
    """
    dataset = f"{connection.project}.{schema}"
    with translate_google_errors():
        try:
            connection.client.get_dataset(dataset)
        except NotFound:  # asked first: to create one that is there needs the right to create
            connection.client.create_dataset(bigquery.Dataset(dataset), exists_ok=True)
    locks = connection.table(schema, "_locks")
    token = f"{'/'.join(_process(os.getpid()) or ('?',))}/{uuid.uuid4().hex}"
    lease = f"timestamp_add(current_timestamp(), interval {_LEASE_MINUTES} minute)"
    holder = f"{socket.gethostname()}, pid {os.getpid()}"

    def take() -> list[dict[str, Any]]:
        """Take the lock, if it is free; return who holds one of those that exclude each other."""
        return connection.query(
            f"""
            create table if not exists {locks}
                (name string, token string, holder string, expires_at timestamp);
            insert into {locks} (name)
            select @name from (select 1)
            where not exists (select 1 from {locks} where name = @name);
            update {locks}
            set token = @token, holder = @holder, expires_at = {lease}
            where name = @name and not exists (
                select 1 from {locks} as live
                where
                    regexp_contains(live.name, @excludes) and live.expires_at > current_timestamp()
            );
            select distinct token, holder, expires_at from {locks}
            where regexp_contains(name, @excludes) and expires_at > current_timestamp();
            """,
            name=name,
            token=token,
            holder=holder,
            excludes=f"^({excludes or name})$",
        )

    rows = take()
    if dead := [row["token"] for row in rows if _is_dead(row["token"])]:
        for one in dead:
            connection.query(
                f"update {locks} set expires_at = null where token = @token", token=one
            )
        rows = take()

    def update_mine(values: str) -> None:
        connection.query(
            f"update {locks} set {values} where name = @name and token = @token",
            name=name,
            token=token,
        )

    give_back = partial(update_mine, "token = null, holder = null, expires_at = null")
    others = [row for row in rows if row["token"] != token]
    if others or not rows:
        if len(others) < len(rows):  # both were taken at once
            give_back()
        other = f"{others[0]['holder']}, until {others[0]['expires_at']:%H:%M} UTC" if rows else "?"
        raise LockedError(
            f"{name}: another run is working on it ({other});"
            " wait for it to end, or choose another month; if it was killed: nyc-tlc unlock"
        )

    def renew() -> None:
        with suppress(WarehouseError):  # the next renewal is before the lease ends, too
            update_mine(f"expires_at = {lease}")

    try:
        with interrupts.at_stop(give_back), _repeating(renew, _RENEWAL_SECONDS):
            yield
    finally:
        give_back()


def held_locks(connection: BigQueryConnection, schema: str) -> list[dict[str, Any]]:
    """List the locks that runs hold: name, holder, expires_at."""
    locks = connection.table(schema, "_locks")
    return connection.query_if_there(
        f"select name, holder, expires_at from {locks} where expires_at > current_timestamp()"
        " order by name"
    )


def free(connection: BigQueryConnection, schema: str, name: str) -> None:
    """End a lock, whoever holds it."""
    locks = connection.table(schema, "_locks")
    connection.query(f"update {locks} set expires_at = null where name = @name", name=name)


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
