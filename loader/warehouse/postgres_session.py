"""What the loader needs of a session on Postgres, whoever set the server up."""

import json
from collections.abc import Sequence
from typing import Any

from psycopg2.extensions import connection as Connection

from loader.errors import WarehouseError

#: A statement of a large month takes minutes.
_STATEMENT_SECONDS = 3600
_POOLER = (
    "a pooler gives each statement another session of Postgres, so that locks exclude nobody:"
    " connect to the server itself, or set pool_mode = session for this user"
)


def prepare(connection: Connection, lock_timeout: str) -> None:
    """Set what holds for all statements of a session."""
    settings = {
        # A command that is stopped while it waits for a table gives its locks back.
        "client_connection_check_interval": "2s",
        "lock_timeout": lock_timeout,
        # The session that holds a month's lock waits while others build the month.
        "idle_session_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
    }
    query = "select set_config(key, value, false) from jsonb_each_text(%s)"
    _row(connection, query, json.dumps(settings))


def require_writable(connection: Connection) -> None:
    """Refuse a session in which nothing can be written, or not every text."""
    info = connection.info
    is_replica, is_read_only, encoding = _row(
        connection,
        "select pg_is_in_recovery(), current_setting('transaction_read_only')::boolean,"
        " pg_encoding_to_char(encoding) from pg_database where datname = current_database()",
    )
    problem = None
    if is_replica:
        problem = "the server is a replica, which only reads: connect to its primary"
    elif is_read_only:
        problem = (
            f"sessions of {info.user} only read: alter role {info.user} set"
            " default_transaction_read_only = off"
        )
    elif encoding != "UTF8":
        problem = (
            f"database {info.dbname} has the encoding {encoding}, which lacks characters of TLC's"
            " files: create one with encoding 'UTF8' template template0"
        )
    if problem:
        raise WarehouseError(f"Postgres: {problem}")


def require_own_session(mine: Connection, other: Connection) -> None:
    """Refuse a pooler that takes a session away between two statements.

    Locks belong to a session of the server. Behind pgbouncer's pool_mode = transaction, two
    clients take turns in one: both get the same lock.

    Args:
        other: a second connection that was made in the same way.
    """
    ours, theirs = set(), set()
    for _ in range(3):
        ours.add(_row(mine, "select pg_backend_pid()"))
        theirs.add(_row(other, "select pg_backend_pid()"))
    if len(ours) > 1 or ours & theirs:
        raise WarehouseError(f"Postgres: {_POOLER}")


def advice(connection: Connection) -> str | None:
    """Return advice about a limit that a large month may reach; None when there is none."""
    (milliseconds,) = _row(
        connection, "select setting::int from pg_settings where name = 'statement_timeout'"
    )
    if not 0 < milliseconds < _STATEMENT_SECONDS * 1000:
        return None
    return (
        f"the server ends statements of {connection.info.user} after {milliseconds / 1000:g} s, and"
        f" those of a large month take minutes: alter role {connection.info.user} set"
        " statement_timeout = 0"
    )


def _row(connection: Connection, query: str, *args: str) -> Sequence[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, args or None)
        row: Sequence[Any] = cursor.fetchone() or ()
        return row
