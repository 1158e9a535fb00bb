"""Spec, check, discover and read."""

from __future__ import annotations

import time
from typing import Any

import orjson
import psycopg
from psycopg import sql

from airbyte.connectors.protocol import (
    INCREMENTAL,
    ConfigError,
    ConfiguredStream,
    Json,
    Output,
    TransientError,
    one_line,
)
from airbyte.connectors.source_postgres import catalog
from airbyte.connectors.source_postgres.connection import SPEC, connect, schemas
from airbyte.connectors.source_postgres.xmin import Snapshot, XminState, since, unseen

# Few, large writes: one write a record is five times slower.
WRITE_BYTES = 1 << 20
PROGRESS_SECONDS = 10.0


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
        """Emit the configured streams, all from the same snapshot, each followed by its state."""
        with connect(config) as connection:
            snapshot = Snapshot.of(connection)
            tables = {schema: catalog.columns_of(connection, schema) for schema in schemas(config)}
            for stream in streams:
                columns = _columns(stream, tables)
                state = XminState.from_json(states.get(stream.name, {}))
                try:
                    _read_stream(connection, snapshot, stream, columns, state, output)
                except psycopg.OperationalError as error:
                    raise TransientError(f"reading {stream.name}: {one_line(error)}") from None


def _columns(stream: ConfiguredStream, tables: dict[str, dict[str, catalog.Columns]]) -> catalog.Columns:
    """The stream's columns with their types. Raises ConfigError when the table or a column is gone."""
    schema = stream.namespace or "public"
    found = tables.get(schema, {}).get(stream.name)
    if found is None:
        raise ConfigError(
            f"table {schema}.{stream.name} is missing at the source, or may not be read: create it, or grant select on it"
        )
    gone = [name for name in stream.properties if name not in found]
    if gone:
        raise ConfigError(
            f"table {schema}.{stream.name} has no column {', '.join(gone)} any more: bring it back, or apply the connection anew"
        )
    return {name: found[name] for name in stream.properties}


def _select(stream: ConfiguredStream, columns: catalog.Columns, condition: sql.Composable | None) -> sql.Composed:
    """The stream's rows as lines of JSON, in a form whose lines break only between rows."""
    fields = [
        sql.SQL(
            "{0}::jsonb as {0}"
            if kind == ("json", False)
            else "{0}"
            if catalog.travels_as_json(*kind)
            else "{0}::text as {0}"
        ).format(sql.Identifier(name))
        for name, kind in columns.items()
    ]
    query = sql.SQL("select {} from {}").format(
        sql.SQL(", ").join(fields), sql.Identifier(stream.namespace or "public", stream.name)
    )
    if condition is not None:
        query += sql.SQL(" where ") + condition
    # JSON holds no control character, so CSV with such a quote and delimiter quotes nothing.
    return sql.SQL(
        "copy (select row_to_json(x)::text from ({}) as x) to stdout (format csv, quote E'\\x01', delimiter E'\\x02')"
    ).format(query)


def _read_stream(
    connection: psycopg.Connection[Any],
    snapshot: Snapshot,
    stream: ConfiguredStream,
    columns: catalog.Columns,
    state: XminState | None,
    output: Output,
) -> None:
    output.stream_status(stream.descriptor, "STARTED")
    incremental = stream.sync_mode == INCREMENTAL
    emitted_at = max(int(time.time() * 1000), state.emitted_at + 1 if state else 0)
    condition = unseen(state, snapshot) if incremental else None
    records = _emit(connection, stream, _select(stream, columns, condition), emitted_at, output)
    seen: tuple[int, ...] = ()
    if incremental and snapshot.oldest_running < snapshot.next_transaction:
        table = sql.Identifier(stream.namespace or "public", stream.name)
        query = sql.SQL("select distinct xmin::text::bigint from {} where {}").format(
            table, since(snapshot.oldest_running)
        )
        seen = tuple(sorted(row[0] for row in connection.execute(query)))
    reached = XminState(snapshot.oldest_running, seen, snapshot.cluster, emitted_at)
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
        for line in copy:
            lines.append(bytes(line))
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
