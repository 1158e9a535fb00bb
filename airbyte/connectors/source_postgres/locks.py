"""Tables are held as they are from before the snapshot on.

What writes a table's file anew (most of ALTER TABLE, TRUNCATE, CLUSTER) leaves rows that a snapshot from before it does not see: the table would be read as
empty, and be emptied where it is overwritten. A lock that only such statements wait for, taken before the snapshot, keeps them out until all is read.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.errors import LockNotAvailable

from airbyte.connectors.protocol import TransientError
from airbyte.connectors.source_postgres.connection import is_lost
from stack.failures import one_line

# Total time to wait for tables locked exclusively elsewhere.
PATIENCE_SECONDS = 30.0
# One wait: shorter than deadlock_timeout, so that the other transaction is not chosen as the victim.
WAIT_MILLISECONDS = 500


def hold(connection: psycopg.Connection[Any], tables: Mapping[str, sql.Identifier]) -> dict[str, TransientError]:
    """Lock `tables`, {stream: its table}, their partitions too, against being written anew until the transaction ends.

    To be called first in a transaction: to lock takes no snapshot, to look at anything does. What cannot be locked for a reason of its own (a materialized
    view, whose refresh every snapshot sees; a table that is gone) is left to its reading. What somebody else has, or the server has no room for a lock on,
    must not be read: returns {stream: why not}. Raises TransientError when the connection breaks.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    wanted = dict(tables)
    while wanted:
        try:
            _lock(connection, wanted.values())
            break
        except LockNotAvailable:
            connection.rollback()
            if time.monotonic() < deadline:
                continue
        except psycopg.Error as error:
            _raise_when_lost(connection, error)
            connection.rollback()
        failures = _lock_each(connection, wanted)
        refused = {name: error for name, error in failures.items() if isinstance(error, psycopg.OperationalError)}
        is_busy = any(isinstance(error, LockNotAvailable) for error in refused.values())
        if not is_busy or time.monotonic() >= deadline:
            return {name: _refused(name, error) for name, error in refused.items()}
        # Let go of the others meanwhile.
        connection.rollback()
        wanted = {name: table for name, table in wanted.items() if name in refused or name not in failures}
    return {}


def _lock(connection: psycopg.Connection[Any], tables: Collection[sql.Identifier]) -> None:
    # One request. Its wait is bounded, that of what is read afterwards is not.
    statement = sql.SQL(
        "set local lock_timeout = {}; lock table {} in access share mode; set local lock_timeout = 0"
    ).format(sql.Literal(WAIT_MILLISECONDS), sql.SQL(", ").join(tables))
    # Prepared, as psycopg does with what comes often, it could not be several.
    connection.execute(statement, prepare=False)


def _lock_each(connection: psycopg.Connection[Any], tables: Mapping[str, sql.Identifier]) -> dict[str, psycopg.Error]:
    """Lock what can be locked, one after the other. Returns why not for the others."""
    failures: dict[str, psycopg.Error] = {}
    for name, table in tables.items():
        connection.execute("savepoint one")
        try:
            _lock(connection, [table])
        except psycopg.Error as error:
            _raise_when_lost(connection, error)
            failures[name] = error
            connection.execute("rollback to savepoint one")
        connection.execute("release savepoint one")
    return failures


def _raise_when_lost(connection: psycopg.Connection[Any], error: psycopg.Error) -> None:
    if is_lost(connection, error):
        raise TransientError(f"locking the tables: {one_line(error)}") from None


def _refused(name: str, error: psycopg.Error) -> TransientError:
    if not isinstance(error, LockNotAvailable):
        return TransientError(f"table {name} cannot be locked: {one_line(error)}")
    return TransientError(
        f"table {name} is locked at the source by a transaction that alters or truncates it, or waits to: let that end (pg_stat_activity "
        "names it), then try again"
    )
