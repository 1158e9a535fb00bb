"""Which row versions a sync has not seen yet, told by the transactions that wrote them.

PostgreSQL stamps every row version with its transaction (`xmin`). A snapshot's xmin is the oldest transaction that was still
running when it was taken: whatever was not visible then was written by it or a later one. A transaction is visible whole or not at
all, so the ones at or after that bound whose rows were already emitted are simply listed. Subtransactions have numbers of their own, later than their
parent's, so both rules hold for them too. Rule and alternatives: docs/decisions/0002-xmin-replication.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from airbyte.connectors.protocol import Json
from airbyte.connectors.source_postgres.catalog import Column

_WRAP = 1 << 32
# age() is a signed 32-bit distance; a state older than that cannot be compared and everything is read anew.
_COMPARABLE = 1 << 31


@dataclass(frozen=True)
class Snapshot:
    """The snapshot a sync reads: its oldest running and its next transaction (64 bits), and whose they are."""

    oldest_running: int
    next_transaction: int
    cluster: str

    @classmethod
    def of(cls, connection: psycopg.Connection[Any]) -> Snapshot:
        """The connection's snapshot; it stays the same to the end of the transaction."""
        row = connection.execute(
            "select pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint, "
            "has_function_privilege('pg_control_system()', 'execute') from pg_current_snapshot() as s"
        ).fetchone()
        assert row is not None
        cluster = ""
        if row[2]:
            found = connection.execute("select system_identifier::text from pg_control_system()").fetchone()
            cluster = found[0] if found else ""
        return cls(row[0], row[1], cluster)


@dataclass(frozen=True)
class XminState:
    """How far a stream was read.

    Attributes:
        oldest_running: everything written by an earlier transaction (64 bits) was emitted.
        seen: transactions from there on that were emitted too; none is listed past 2^32 (`to_be_listed`).
        cluster: the cluster that the numbers belong to.
        emitted_at: the time (ms) stamped on the last sync's records; the next one's is later.
        columns: {column: its number in the table} of what was read; empty when that was not noted.
        stored_in: oids of the table and its partitions then; empty when that was not noted.
        former: {column: its number in the table} of what was read once and not the last time.
        meaning: {column: `Column.meaning`} of what was read, where there is one.
    """

    oldest_running: int
    seen: tuple[int, ...]
    cluster: str
    emitted_at: int
    columns: dict[str, int] = field(default_factory=dict)
    stored_in: tuple[int, ...] = ()
    former: dict[str, int] = field(default_factory=dict)
    meaning: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def as_json(self) -> Json:
        """What the platform keeps."""
        return {"state_type": "xmin", "version": 1} | asdict(self)

    @classmethod
    def from_json(cls, state: Json) -> XminState | None:
        """The kept state; None when there is none or it is another method's."""
        if state.get("state_type") != "xmin":
            return None
        return cls(
            int(state["oldest_running"]),
            tuple(int(x) for x in state.get("seen", ())),
            state.get("cluster", ""),
            int(state.get("emitted_at", 0)),
            {str(name): int(number) for name, number in state.get("columns", {}).items()},
            tuple(int(oid) for oid in state.get("stored_in", ())),
            {str(name): int(number) for name, number in state.get("former", {}).items()},
            {str(name): tuple(map(str, texts)) for name, texts in state.get("meaning", {}).items()},
        )

    @classmethod
    def reached(
        cls,
        before: XminState | None,
        now: Snapshot,
        seen: tuple[int, ...],
        emitted_at: int,
        columns: Mapping[str, Column],
        stored_in: tuple[int, ...],
    ) -> XminState:
        """The state after a stream of these `columns` was read."""
        once = before.former | before.columns if before else {}
        return cls(
            now.oldest_running,
            seen,
            now.cluster,
            emitted_at,
            {name: column.number for name, column in columns.items()},
            stored_in,
            {name: number for name, number in once.items() if name not in columns},
            {name: column.meaning for name, column in columns.items() if column.meaning},
        )


def unseen(
    state: XminState | None, now: Snapshot, columns: Mapping[str, Column], stored_in: Sequence[int]
) -> sql.Composable | None:
    """The condition on rows that `state` has not seen; None when all must be read.

    All are read on the first sync, from another cluster, from one whose clock of transactions was set back (a restore), after 2^31 transactions
    without a sync, when a column was dropped and made anew under its name, and when an enum's label or a virtual column's expression changed: none of that
    leaves a trace in the rows. A column that is new is read back where it has a value, and so is a partition that was attached with its rows in it.
    """
    if state is None or state.cluster != now.cluster:
        return None
    if not 0 <= now.next_transaction - state.oldest_running < _COMPARABLE:
        return None
    numbers = state.former | state.columns
    if any(numbers.get(name, column.number) != column.number for name, column in columns.items()):
        return None
    # A label that is only new is in no row.
    if any(not set(state.meaning.get(name, ())) <= set(column.meaning) for name, column in columns.items()):
        return None
    condition: sql.Composable = since(state.oldest_running)
    if state.seen:
        text: LiteralString = " and not (xmin::text = any({seen}::text[]))"
        condition += sql.SQL(text).format(seen=sql.Literal([str(x) for x in state.seen]))
    alternatives = [condition]
    if state.columns:
        alternatives += [
            sql.SQL("{} is not null").format(sql.Identifier(name)) for name in columns if name not in state.columns
        ]
    attached = sorted(set(stored_in) - set(state.stored_in)) if state.stored_in else []
    if attached:
        alternatives.append(sql.SQL("tableoid = any({}::oid[])").format(sql.Literal(attached)))
    return sql.SQL(" or ").join(sql.SQL("({})").format(alternative) for alternative in alternatives)


def since(transaction: int) -> sql.Composed:
    """The condition on row versions written by `transaction` (64 bits) or a later one.

    A frozen row keeps its number for good. Between 2^31 and 2^32 transactions later its age is negative, as if it were still to come. At 2^32 its number is
    a recent one's, and for that one time the row is read again.
    """
    # The bound is asked once, and the test that hardly a row passes comes first: an age costs as much as the rest of reading a row.
    text: LiteralString = "age(xmin) <= (select age({bound}::xid)) and age(xmin) >= 0"
    return sql.SQL(text).format(bound=sql.Literal(str(transaction % _WRAP)))


def to_be_listed(now: Snapshot) -> sql.Composed | None:
    """The condition on rows whose transactions the state lists as seen; None when it lists none.

    Past 2^32 a number may be a frozen row's and, 2^32 transactions later, one's that is still running: to leave that number out would lose its rows. What
    was written since the oldest running one is read again then.
    """
    if not now.oldest_running < now.next_transaction < _WRAP:
        return None
    return sql.SQL("xmin::text::bigint >= {}").format(sql.Literal(now.oldest_running))
