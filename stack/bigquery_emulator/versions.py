"""The emulator's old versions of tables: which are kept while it serves, and for how long. Runs in the emulator's own environment.

DuckLake keeps every version of every table until it is told to forget it: its files, and what it has in memory of the catalog (a megabyte for each table that
comes or goes). A day of runs fills disk and memory, and each statement gets slower. But it does not know who still reads a version, and deletes the
files under a reader. So each round notes the newest version, and a later one forgets what is older than a note from before the oldest open cursor.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import Any

from local_bigquery.engine import database

# Seconds for which every version can be asked (`for system_time as of`).
RECENT = 600.0
# Seconds for which one can be asked that stood as long as RECENT: yesterday's tables are there after today's run. As BigQuery's time travel.
WEEK = 7 * 24 * 3600.0

# What is older than a version, and either passed soon or is too old.
FORGOTTEN = """
SELECT snapshot_id
FROM (
    SELECT snapshot_id, snapshot_time AS began, lead(snapshot_time) OVER (ORDER BY snapshot_id) AS ended
    FROM {catalog}.ducklake_snapshot
)
WHERE snapshot_id < $1 AND (ended - began < to_seconds($2) OR ended < now() - to_seconds($3))
"""

_connection = database.connection
_lock = threading.Lock()
# When each open cursor was opened. One that is no longer referred to is gone by itself.
_opened: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()


class Connection:
    """The emulator's connection, that remembers the cursors it gave out."""

    def __init__(self, connection: Any) -> None:
        """Wrap a connection of DuckDB's."""
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        """Everything else is the connection's."""
        return getattr(self._connection, name)

    def cursor(self) -> Any:
        """A new cursor."""
        # Before it is opened: it can see nothing older than the newest version of this moment.
        moment = time.monotonic()
        with _lock:
            cursor = self._connection.cursor()
            _opened[cursor] = moment
        return cursor


def connection() -> Connection:
    """As `database.connection`."""
    return Connection(_connection())


class Past:
    """What was the newest version when, and the forgetting of what nobody reads any more."""

    def __init__(self, recent: float = RECENT, week: float = WEEK) -> None:
        """Keep every version `recent` seconds, and `week` seconds what stood for `recent`."""
        self._recent, self._week = recent, week
        self._newest: dict[str, deque[tuple[float, int]]] = {}

    def forget(self) -> int:
        """Forget, with their files, the versions that are neither recent, nor read, nor stood. Returns how many. To be called again and again."""
        with _lock:
            oldest_reader = min(_opened.values(), default=float("inf"))
        moment = min(time.monotonic() - self._recent, oldest_reader)
        count = 0
        for project in database.projects():
            notes = self._newest.setdefault(project, deque())
            unread = None
            while notes and notes[0][0] <= moment:
                unread = notes.popleft()[1]
            catalog = database.quote(f"__ducklake_metadata_{project}")
            ((newest,),) = database.fetch(f"SELECT max(snapshot_id) FROM {catalog}.ducklake_snapshot")
            # After it was asked: who comes from now on sees this version or a newer one.
            notes.append((time.monotonic(), newest))
            if unread is None:
                continue
            due = database.fetch(FORGOTTEN.format(catalog=catalog), [unread, self._recent, self._week])
            if due:
                versions = ", ".join(str(version) for (version,) in due)
                _expire(project, f"versions => [{versions}]")
                count += len(due)
        return count


def forget_all() -> None:
    """Forget all but the last version of each table, with its files. Only while nobody reads."""
    for project in database.projects():
        _expire(project, "older_than => now()")


def _expire(project: str, which: str) -> None:
    """Forget versions, and delete the files that only they had."""
    database.execute(f"CALL ducklake_expire_snapshots(?, {which})", [project])
    database.execute("CALL ducklake_cleanup_old_files(?, cleanup_all => true)", [project])


def replace() -> None:
    """Put these in the place of the emulator's own."""
    database.connection = connection
