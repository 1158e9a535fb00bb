"""RECORD lines to Parquet files with typed columns, by DuckDB: no Python object is made for a record."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from airbyte.connectors.destination_bigquery.columns import STREAM, Column, staged
from airbyte.connectors.destination_bigquery.statements import clean_meta
from airbyte.connectors.protocol import APPEND, ConfiguredStream

# One record may be this large, and a larger one sometimes, by its place in the file; DuckDB keeps two buffers of twice this size a thread.
MAXIMUM_RECORD_BYTES = 16 << 20


def connect() -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that stays small and reads nothing but the files it is given."""
    return duckdb.connect(
        config={
            # A second thread costs a third more CPU time for the same rows, and memory; source and warehouse need the other core.
            "threads": 1,
            "memory_limit": "256MB",
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )


class Converter(ThreadPoolExecutor):
    """The thread that converts. There is one a sync: one conversion at a time bounds memory."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        super().__init__(1, "convert")

    @functools.cached_property
    def engine(self) -> duckdb.DuckDBPyConnection:
        """The thread's DuckDB for small files, which take less time than to connect. One that has seen many large files keeps a third more memory."""
        return connect()


def convert(
    engine: duckdb.DuckDBPyConnection, lines: Path, target: Path, stream: ConfiguredStream, columns: Sequence[Column]
) -> None:
    """Write the Parquet file `target` from a file of RECORD lines of one stream.

    A value that its column's type cannot hold becomes null and is named in `_airbyte_meta.changes`, as in Airbyte's typed tables; what the source has
    made null stands there too. JSON columns are text.

    Raises duckdb.Error when a line is no record, and when a row that is told from others by its key has a null in it.
    """
    _write(engine, _rows(lines, stream, columns), target)


def gather(
    engine: duckdb.DuckDBPyConnection, lines: Path, stream: ConfiguredStream, columns: Sequence[Column], place: int
) -> str:
    """As `convert`, but keep the rows as a table of the engine, for a staging table in which the stream has the `place` (`staged`). Returns its name."""
    name = f"rows_{uuid.uuid4().hex}"
    engine.execute(f"create table {name} as {_rows(lines, stream, columns, place)}")
    return name


def unite(engine: duckdb.DuckDBPyConnection, tables: Sequence[str], target: Path) -> None:
    """Write the Parquet file `target` with the rows of all `tables` and the columns of each, and drop them; columns that one has not are null in its rows."""
    _write(engine, " union all by name ".join(f"from {name}" for name in tables), target)
    for name in tables:
        engine.execute(f"drop table {name}")


def _write(engine: duckdb.DuckDBPyConnection, rows: str, target: Path) -> None:
    engine.execute(f"copy ({rows}) to '{_quoted(target)}' (format parquet, compression lz4_raw)")


def _rows(lines: Path, stream: ConfiguredStream, columns: Sequence[Column], place: int | None = None) -> str:
    # Names are identifiers (columns.columns checked them); values never become part of the statement.
    wanted = ", ".join(f'"{c.name}" {"json" if c.type == "JSON" else "varchar"}' for c in columns)
    names = staged({c.name: c.type for c in columns}, place)
    key = stream.primary_key if stream.is_compared else ()
    values = {c.name: c.cast(_value(c)) if c.name not in key else _known(c) for c in columns}
    select = [f'{value} as "{names[name]}"' for name, value in values.items()]
    select += [
        f"{_raw_id(stream, columns)} as _airbyte_raw_id",
        "make_timestamptz(record.emitted_at * 1000) as _airbyte_extracted_at",
        f"{_meta(stream, columns)} as _airbyte_meta",
        f"{stream.generation_id}::bigint as _airbyte_generation_id",
    ]
    if place is not None:
        select.append(f"{place}::bigint as {STREAM}")
    return (
        f"select {', '.join(select)} from read_json('{_quoted(lines)}', format = 'newline_delimited', records = true, "
        f"columns = {{'record': 'struct(data struct({wanted}), meta struct(changes json), emitted_at bigint)'}}, "
        f"maximum_object_size = {MAXIMUM_RECORD_BYTES})"
    )


def _known(column: Column) -> str:
    """The value of a key's column. Without one, a row would be found by no later version of it, and collapse with others."""
    problem = (
        f"its {column.name} is null, or a value that {column.type} cannot hold, and rows are told apart by it: "
        "correct it at the source, or choose another primaryKey"
    )
    return f"coalesce({column.cast(_value(column))}, error('{problem}'))"


def _value(column: Column) -> str:
    return f'record.data."{column.name}"'


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _raw_id(stream: ConfiguredStream, columns: Sequence[Column]) -> str:
    """One id a record; where changes are appended it is made of the content, so that a record sent twice is known again.

    Nulls leave no trace in it: a column that is added later does not make old rows look changed.
    """
    if stream.destination_sync_mode != APPEND:
        return "uuid()::varchar"
    fields = ", ".join(f"'{c.name}' || chr(2) || {_value(c)}::varchar" for c in columns)
    return f"md5(concat_ws(chr(1), {fields}))"


def _meta(stream: ConfiguredStream, columns: Sequence[Column]) -> str:
    """What became of the record: the changes that the source has made to it, then those of this conversion."""
    bad = {c.name: f"({_value(c)} is not null and {c.cast(_value(c))} is null)" for c in columns if c.duckdb_type}
    clean = clean_meta(stream)
    change = '{{"field": "{}", "change": "NULLED", "reason": "DESTINATION_TYPECAST_ERROR"}}'
    changes = [f"case when {test} then '{change.format(name)}' end" for name, test in bad.items()]
    # The source's list without its brackets; nothing when it is empty.
    changes.insert(0, "nullif(trim(record.meta.changes::varchar, '[]'), '')")
    return (
        f"case when {' or '.join(['record.meta is not null', *bad.values()])} "
        f"then '{{\"sync_id\": {stream.sync_id}, \"changes\": [' || concat_ws(', ', {', '.join(changes)}) || ']}}' else '{clean}' end"
    )
