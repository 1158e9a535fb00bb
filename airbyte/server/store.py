"""What the server remembers across restarts: one SQLite file, written by the server and by the jobs it runs."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_SCHEMA = """
create table if not exists documents (kind text not null, id text primary key, created_at integer not null, body text not null);
create table if not exists states (connection_id text not null, stream text not null, body text not null, primary key (connection_id, stream));
create table if not exists jobs (
    id integer primary key autoincrement, connection_id text not null, job_type text not null, status text not null,
    started_at real not null, updated_at real not null, rows_synced integer not null default 0, bytes_synced integer not null default 0,
    pid integer, process_born text, message text not null default '', streams text not null default '{}'
);
-- The database itself refuses a second running job of a connection.
create unique index if not exists one_active_job on jobs (connection_id) where status in ('pending', 'running', 'incomplete');
"""
PENDING = "pending"
ACTIVE = (PENDING, "running", "incomplete")
SYNC, REFRESH = "sync", "refresh"
WORKSPACE, SOURCE, DESTINATION, CONNECTION = "workspace", "source", "destination", "connection"


class Busy(Exception):
    """The connection already has an active job."""


class Store:
    """Documents (workspaces, sources, destinations, connections), connection states and jobs. Safe for threads and processes."""

    def __init__(self, folder: Path) -> None:
        """Open or make the file under `folder`; it holds secrets, so only its owner may read it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "airbyte.db"
        self.path.touch(mode=0o600)
        with self._open() as db:
            db.execute("pragma journal_mode = wal")
            db.executescript(_SCHEMA)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self.path, timeout=30)
        db.row_factory = sqlite3.Row
        try:
            with db:
                yield db
        finally:
            db.close()

    # documents

    def create(self, kind: str, body: Json) -> str:
        """Keep a new document; returns its id."""
        identity = str(uuid.uuid4())
        with self._open() as db:
            db.execute(
                "insert into documents values (?, ?, ?, ?)", (kind, identity, int(time.time()), json.dumps(body))
            )
        return identity

    def get(self, kind: str, identity: str) -> Json | None:
        """The document with `id` and `createdAt` (seconds) in it; None when there is none."""
        with self._open() as db:
            row = db.execute("select * from documents where kind = ? and id = ?", (kind, identity)).fetchone()
        return _document(row) if row else None

    def documents(self, kind: str) -> list[Json]:
        """All documents of a kind, oldest first."""
        with self._open() as db:
            return [
                _document(row)
                for row in db.execute("select * from documents where kind = ? order by created_at, rowid", (kind,))
            ]

    def update(self, kind: str, identity: str, changes: Json) -> Json | None:
        """Replace the given top-level fields; returns the document, None when there is none."""
        return self.revise(kind, identity, lambda _: changes)

    def revise(self, kind: str, identity: str, change: Callable[[Json], Json]) -> Json | None:
        """Replace the top-level fields that `change` makes of the document as it is at that moment: nobody writes between its look and this.

        Returns the document, None when there is none.
        """
        with self._open() as db:
            db.execute("begin immediate")
            row = db.execute("select * from documents where kind = ? and id = ?", (kind, identity)).fetchone()
            if row is None:
                return None
            body = json.loads(row["body"])
            body |= change(body)
            db.execute("update documents set body = ? where id = ?", (json.dumps(body), identity))
        return self.get(kind, identity)

    def delete(self, kind: str, identity: str) -> bool:
        """Forget a document and, for a connection, its state. Returns whether there was one."""
        with self._open() as db:
            db.execute("delete from states where connection_id = ?", (identity,))
            return db.execute("delete from documents where kind = ? and id = ?", (kind, identity)).rowcount > 0

    # state

    def states(self, connection_id: str) -> list[Json]:
        """The state messages of a connection, one a stream."""
        with self._open() as db:
            rows = db.execute("select body from states where connection_id = ? order by stream", (connection_id,))
            return [json.loads(row["body"]) for row in rows]

    def save_state(self, connection_id: str, state: Json) -> None:
        """Keep a state that the destination has acknowledged."""
        stream = state["stream"]["stream_descriptor"]["name"]
        with self._open() as db:
            db.execute(
                "insert into states values (?, ?, ?) on conflict do update set body = excluded.body",
                (connection_id, stream, json.dumps(state)),
            )

    def clear_states(self, connection_id: str) -> None:
        """Forget how far the connection was read."""
        with self._open() as db:
            db.execute("delete from states where connection_id = ?", (connection_id,))

    # jobs

    def create_job(self, connection_id: str, job_type: str) -> int:
        """A new pending job; returns its id. Raises Busy while another one of the connection is active."""
        now = time.time()
        try:
            with self._open() as db:
                cursor = db.execute(
                    "insert into jobs (connection_id, job_type, status, started_at, updated_at) values (?, ?, 'pending', ?, ?)",
                    (connection_id, job_type, now, now),
                )
                assert cursor.lastrowid is not None
                return cursor.lastrowid
        except sqlite3.IntegrityError:
            raise Busy(connection_id) from None

    def update_job(self, job_id: int, **fields: Any) -> bool:
        """Change an active job. Returns False, changing nothing, when it has ended: an end is final."""
        return self._change_job(job_id, ACTIVE, fields)

    def begin_job(self, job_id: int, pid: int, born: str) -> bool:
        """Take a pending job, for the process that runs it, and its birth. Returns False, changing nothing, when another one has taken it or it has ended."""
        return self._change_job(job_id, (PENDING,), {"status": "running", "pid": pid, "process_born": born})

    def call_off_job(self, job_id: int, status: str, message: str) -> bool:
        """End a job that no process has taken, and none will then. Returns False, changing nothing, when one has."""
        return self._change_job(job_id, (PENDING,), {"status": status, "message": message})

    def _change_job(self, job_id: int, states: Sequence[str], fields: Mapping[str, Any]) -> bool:
        """Set `fields` where the job is in one of `states`. Returns whether it was."""
        names = ", ".join(f"{name} = ?" for name in fields)
        with self._open() as db:
            changed = db.execute(
                f"update jobs set {names}, updated_at = ? where id = ? and status in ({', '.join('?' * len(states))})",
                (*fields.values(), time.time(), job_id, *states),
            )
            return changed.rowcount > 0

    def job(self, job_id: int) -> Json | None:
        """One job, None when there is none."""
        with self._open() as db:
            row = db.execute("select * from jobs where id = ?", (job_id,)).fetchone()
        return dict(row) if row else None

    def jobs(self, connection_id: str | None = None) -> list[Json]:
        """Jobs, newest first."""
        with self._open() as db:
            rows = db.execute(
                "select * from jobs where ? is null or connection_id = ? order by id desc",
                (connection_id, connection_id),
            )
            return [dict(row) for row in rows]

    def forget_jobs(self, before: float) -> list[int]:
        """Forget the jobs that ended before then (seconds since 1970); returns their ids."""
        with self._open() as db:
            rows = db.execute(
                f"delete from jobs where updated_at < ? and status not in ({', '.join('?' * len(ACTIVE))}) returning id",
                (before, *ACTIVE),
            )
            return [row["id"] for row in rows]


def _document(row: sqlite3.Row) -> Json:
    body: Json = json.loads(row["body"])
    return body | {"id": row["id"], "createdAt": row["created_at"]}
