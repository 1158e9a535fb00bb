"""Spec, check, discover and read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

from airbyte.connectors.protocol import (
    INCREMENTAL,
    ConfigError,
    ConfiguredStream,
    Json,
    Output,
    ReportedError,
    TransientError,
)
from airbyte.connectors.source_postgres import catalog, locks, rows
from airbyte.connectors.source_postgres.connection import connect, is_lost, schemas
from airbyte.connectors.source_postgres.spec import SPEC
from airbyte.connectors.source_postgres.xmin import Snapshot, XminState, to_be_listed, unseen
from stack.failures import one_line

# Few, large writes: one write a record is five times slower.
WRITE_BYTES = 1 << 20
PROGRESS_SECONDS = 10.0
# A conflict, too few resources, a lock that is taken, an operator, the system below: the next sync may read the table.
PASSING_ERRORS = ("40", "53", "55P03", "57", "58")


class SourcePostgres:
    """PostgreSQL 15 to 18, read in one snapshot, with no column, index, trigger or setting added to it."""

    spec = SPEC

    def check(self, config: Json) -> None:
        """Raise ConfigError or TransientError unless some table can be read."""
        with connect(config) as connection:
            if not catalog.streams(connection, schemas(config)):
                raise ConfigError(
                    f"user {config['username']} can read no table in schema {', '.join(schemas(config))} of database "
                    f"{config['database']}: create the tables, or grant select on them"
                )

    def discover(self, config: Json) -> list[Json]:
        """Every readable table as a stream."""
        with connect(config) as connection:
            return catalog.streams(connection, schemas(config))

    def read(self, config: Json, streams: list[ConfiguredStream], states: dict[str, Json], output: Output) -> None:
        """Emit the configured streams, all from the same snapshot, each followed by its state.

        Raises ReportedError when a stream could not be read; the others were.
        """
        with connect(config) as connection:
            taken = locks.hold(connection, {s.name: sql.Identifier(s.namespace or "public", s.name) for s in streams})
            for stream in streams:
                if stream.name in taken:
                    output.error(taken[stream.name], stream.name)
                    output.stream_status(stream.descriptor, "INCOMPLETE")
            snapshot = Snapshot.of(connection)
            tables = {schema: catalog.tables_of(connection, schema) for schema in schemas(config)}
            free = [stream for stream in streams if stream.name not in taken]
            failed = [s.name for s in free if not _read_alone(connection, snapshot, s, tables, states, output)]
        if failed or taken:
            raise ReportedError(f"not read: {', '.join([*taken, *failed])}")


def _read_alone(
    connection: psycopg.Connection[Any],
    snapshot: Snapshot,
    stream: ConfiguredStream,
    tables: dict[str, dict[str, catalog.Table]],
    states: dict[str, Json],
    output: Output,
) -> bool:
    """Read one stream. What is wrong with its table, or with the server at its reading, ends it alone, with its reason; returns False then.

    Raises TransientError when the connection breaks.
    """
    try:
        table = _table(stream, tables)
        # A savepoint: an error leaves the snapshot as it is for the next stream.
        with connection.transaction():
            _read_stream(connection, snapshot, stream, table, XminState.from_json(states.get(stream.name, {})), output)
    except psycopg.Error as error:
        if is_lost(connection, error):
            raise TransientError(f"reading {stream.name}: {one_line(error)}") from None
        kind = TransientError if (error.sqlstate or "").startswith(PASSING_ERRORS) else ConfigError
        output.error(kind(f"table {stream.name} cannot be read: {one_line(error)}"), stream.name)
    except ConfigError as error:
        output.error(error, stream.name)
    else:
        return True
    output.stream_status(stream.descriptor, "INCOMPLETE")
    return False


def _table(stream: ConfiguredStream, tables: dict[str, dict[str, catalog.Table]]) -> catalog.Table:
    """The stream's table with the columns that are read. Raises ConfigError when the table or a column is gone."""
    schema = stream.namespace or "public"
    found = tables.get(schema, {}).get(stream.name)
    if found is None:
        raise ConfigError(
            f"table {schema}.{stream.name} is missing at the source, or may not be read: create it, or grant select on it"
        )
    gone = [name for name in stream.properties if name not in found.columns]
    if gone:
        raise ConfigError(
            f"table {schema}.{stream.name} has no column {', '.join(gone)} any more: bring it back, or apply the connection anew"
        )
    return catalog.Table({name: found.columns[name] for name in stream.properties}, found.stored_in)


def _read_stream(
    connection: psycopg.Connection[Any],
    snapshot: Snapshot,
    stream: ConfiguredStream,
    table: catalog.Table,
    state: XminState | None,
    output: Output,
) -> None:
    output.stream_status(stream.descriptor, "STARTED")
    incremental = stream.sync_mode == INCREMENTAL
    emitted_at = max(int(time.time() * 1000), state.emitted_at + 1 if state else 0)
    condition = unseen(state, snapshot, table.columns, table.stored_in) if incremental else None
    records = _emit(connection, stream, rows.query(stream, table.columns, condition), emitted_at, output)
    seen: tuple[int, ...] = ()
    listed = to_be_listed(snapshot) if incremental else None
    if listed is not None:
        query = sql.SQL("select distinct xmin::text::bigint from {} where {}").format(
            sql.Identifier(stream.namespace or "public", stream.name), listed
        )
        seen = tuple(sorted(row[0] for row in connection.execute(query)))
    reached = XminState.reached(state, snapshot, seen, emitted_at, table.columns, table.stored_in)
    output.state(stream.descriptor, reached.as_json(), records)
    output.stream_status(stream.descriptor, "COMPLETE")
    output.log(f"{stream.name}: {records:,} records read")


def _emit(
    connection: psycopg.Connection[Any], stream: ConfiguredStream, query: sql.Composed, emitted_at: int, output: Output
) -> int:
    """Write the query's lines as RECORD messages, many a write. Returns their number."""
    name = orjson.dumps(stream.name)
    namespace = orjson.dumps(stream.namespace or "public")
    start = b'{"type":"RECORD","record":{"stream":%s,"namespace":%s,"data":' % (name, namespace)
    end = b',"emitted_at":%d}}\n' % emitted_at
    between = end + start
    records = size = 0
    lines: list[bytes] = []
    told = time.monotonic()

    def write() -> None:
        output.raw(start + b"".join(lines)[:-1].replace(b"\n", between) + end)

    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for line in _received(copy, connection.pgconn):
            lines.append(line)
            size += len(line)
            if size >= WRITE_BYTES:
                records += len(lines)
                write()
                lines.clear()
                size = 0
                if time.monotonic() - told > PROGRESS_SECONDS:
                    told = time.monotonic()
                    output.log(f"{stream.name}: {records:,} records so far")
    if lines:
        records += len(lines)
        write()
    output.flush()
    return records


def _received(copy: psycopg.Copy, pgconn: PGconn) -> Iterator[bytes]:
    """The lines of a COPY.

    psycopg waits for each of them anew, which costs more than a line; it is asked only when no line is left of what the connection has received.
    Raises psycopg.Error when the query fails.
    """
    while line := copy.read():
        yield bytes(line)
        size, more = pgconn.get_copy_data(1)
        while size > 0:
            yield bytes(more)
            size, more = pgconn.get_copy_data(1)
        if size < 0:
            # All results, so that the connection can go on, also after an error.
            results = list(iter(pgconn.get_result, None))
            if results[0].status != ExecStatus.COMMAND_OK:
                raise psycopg.errors.error_from_result(results[0])
            return
