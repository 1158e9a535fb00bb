"""BigQuery for the jobs: raw rows out through the Storage Read API, results in by load job and one MERGE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import NotFound
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import types
from pyarrow import fs

from spark_jobs.errors import JobError, TryAgain
from spark_jobs.tables import (
    BIGQUERY_LETTER,
    CHECKSUM_MODULUS,
    DELETED_AT,
    EXTRACTED_AT,
    RAW_EXTRACTED_AT,
    RawTable,
    ResultTable,
    checksum,
    field_type,
)
from stack import bigquery as stack_bigquery
from stack.bigquery import JOB_SECONDS, RETRY
from stack.settings import Settings

# Parquet files and row groups of what is read: a file is one Spark task's work, a row group is what memory holds.
ROWS_PER_FILE = 1_000_000
ROWS_PER_GROUP = 100_000
MAX_STREAMS = 4
READ_SECONDS = 600.0
# As long as a read session lives: a stream is one call, however much it has to bring.
STREAM_SECONDS = 6 * 60 * 60.0

# In the table that a publish loads before its MERGE: the key is gone from the result. Null where the files have no such column.
IS_DELETED = "_is_deleted"

ARROW_TYPES = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "NUMERIC": pa.decimal128(38, 9),
    "NUMERIC(18,2)": pa.decimal128(18, 2),
    "NUMERIC(18,9)": pa.decimal128(18, 9),
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "DATETIME": pa.timestamp("us"),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "JSON": pa.string(),
}
# What the API calls some of them.
_LEGACY_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}


@dataclass(frozen=True)
class RawState:
    """A raw table at one moment: its rows, those landed after the moment asked for, when the last one landed, and the checksum."""

    rows: int
    fresh: int
    landed_until: datetime | None
    checksum: int
    has_deleted_at: bool


@dataclass(frozen=True)
class Content:
    """What a table with a result's columns holds: its rows, and their checksum (`tables.SHARES`)."""

    rows: int
    checksum: int


@dataclass(frozen=True)
class Staged:
    """Parquet files of a folder in the lake, which is `uri` to Spark and `folder` to `filesystem`, with the columns and rows that their footers state."""

    uri: str
    filesystem: fs.FileSystem
    folder: str
    files: Sequence[str]
    columns: Set[str]
    rows: int


class Warehouse:
    """The deployment's BigQuery."""

    def __init__(self, settings: Settings, results: str = "intermediate") -> None:
        """`results` is the dataset of the tables that are published. No connection is made yet."""
        self.settings, self.results = settings, results
        self._client = stack_bigquery.client(settings)

    def check(self) -> None:
        """Fail now, and not after the session's start, when the warehouse does not answer."""
        self._client.get_dataset("raw", retry=RETRY.with_timeout(5.0))

    def raw_columns(self, name: str) -> dict[str, str]:
        """{column: type} of raw.`name`, in its order. Raises JobError when it does not exist or has a type not mirrored."""
        found = self._table("raw", name)
        if found is None:
            raise JobError(f"raw.{name} does not exist: run the sync that lands it first")
        columns = {field.name: _LEGACY_NAMES.get(field.field_type, field.field_type) for field in found.schema}
        unknown = [f"{column} {type_}" for column, type_ in columns.items() if type_ not in ARROW_TYPES]
        if unknown:
            raise JobError(f"raw.{name} has columns of types that the lake does not mirror: {', '.join(unknown)}")
        return columns

    def raw_state(self, table: RawTable, after: datetime | None) -> RawState:
        """How many rows there are in `raw`, and landed after `after` (None: all). Raises JobError when a column is missing."""
        found = self._table("raw", table.name)
        if found is None:
            raise JobError(f"raw.{table.name} does not exist: run the sync that lands it first")
        columns = {field.name for field in found.schema}
        missing = [name for name in table.columns if name not in columns and name != DELETED_AT]
        if missing:
            raise JobError(f"raw.{table.name} has no column {', '.join(missing)}: refresh the source's schema and sync")
        is_fresh = "true" if after is None else f"`{EXTRACTED_AT}` > @after"
        row = stack_bigquery.query(
            self._client,
            f"select count(*) as n, countif({is_fresh}) as fresh, max(`{EXTRACTED_AT}`) as until, "
            f"coalesce(sum(mod(unix_micros(`{EXTRACTED_AT}`), {CHECKSUM_MODULUS})), 0) as checksum "
            f"from {self._name('raw', table.name)}",
            {} if after is None else {"after": after},
        )[0]
        return RawState(row["n"], row["fresh"], row["until"], int(row["checksum"]), DELETED_AT in columns)

    def read(
        self, table: RawTable, state: RawState, after: datetime | None, filesystem: fs.FileSystem, folder: str
    ) -> int:
        """Write the raw rows landed after `after`, until the `state`'s moment, to Parquet files in `folder`.

        Returns the number of rows. Raises JobError when it is not the `state`'s: an emulator, or a sync that lands
        meanwhile, must not pass for an empty or a full answer.
        """
        if state.fresh == 0:
            return 0
        limits = [f"{EXTRACTED_AT} <= {_timestamp(state.landed_until)}"] if state.landed_until else []
        limits += [f"{EXTRACTED_AT} > {_timestamp(after)}"] if after else []
        columns = {name: type_ for name, type_ in table.columns.items() if name != DELETED_AT or state.has_deleted_at}
        project = f"projects/{self.settings.bigquery_project}"
        asked = types.ReadSession(
            table=f"{project}/datasets/raw/tables/{table.name}",
            data_format=types.DataFormat.ARROW,
            read_options=types.ReadSession.TableReadOptions(
                selected_fields=list(columns), row_restriction=" and ".join(limits)
            ),
        )
        schema = pa.schema([(name, ARROW_TYPES[type_]) for name, type_ in table.columns.items()])

        client = stack_bigquery.storage_client(self.settings.bigquery_storage_endpoint)
        with closing(client.transport):
            session = client.create_read_session(
                parent=project, read_session=asked, max_stream_count=MAX_STREAMS, timeout=READ_SECONDS
            )

            def save(number: int, stream: str) -> int:
                pages = client.read_rows(stream, timeout=STREAM_SECONDS).rows(session).pages
                batches = (_fitted(table.name, page.to_arrow(), schema) for page in pages)
                return _write_parquet(batches, schema, filesystem, f"{folder}/stream-{number:03}")

            with ThreadPoolExecutor(MAX_STREAMS) as pool:
                rows = sum(pool.map(save, range(len(session.streams)), [stream.name for stream in session.streams]))
        if rows != state.fresh:
            raise TryAgain(
                f"raw.{table.name}: {rows:,} rows read, {state.fresh:,} expected: did a sync land meanwhile? Run again"
            )
        return rows

    def holds(self, table: ResultTable) -> bool:
        """Whether the published table exists. Raises JobError when it is not ours to write."""
        found = self._table(self.results, table.name)
        if found is None:
            return False
        if found.table_type != "TABLE":
            raise JobError(f"{self.results}.{table.name} is a {found.table_type}, not a table: drop it and run again")
        if {field.name for field in found.schema} != set(table.columns):
            raise JobError(f"{self.results}.{table.name} has other columns than the contract: drop it and run again")
        return True

    def content(self, table: ResultTable) -> Content:
        """What the published table holds, by one query that reads all of it.

        Asked and not told by the table's metadata: the emulator's number of rows goes on counting rows that a MERGE replaced, and
        its time of modification is that of the last CREATE.
        """
        return self._content(table, self._name(self.results, table.name))

    def create(self, table: ResultTable, staged: Staged) -> int:
        """Make the published table of the staged rows, in one statement. Returns their checksum."""
        with self._loaded(table, staged) as temporary:
            stack_bigquery.query(
                self._client,
                f"create table {self._name(self.results, table.name)} cluster by {', '.join(map(_quoted, table.key))} "
                f"as select {', '.join(map(_quoted, table.columns))} from {temporary}",
            )
            return self._content(table, temporary).checksum

    def merge(self, table: ResultTable, staged: Staged, read_until: datetime, is_whole: bool) -> int | None:
        """Upsert the staged rows into the published table by key, in one statement.

        Args:
            table: what is published.
            staged: the table's columns, and IS_DELETED where a row may be gone.
            read_until: how far into raw the rows' engine has read. A row computed from a later state of raw stays.
            is_whole: the staged rows are the whole table, so that any other row goes.

        Returns:
            The checksum of the staged rows when they are the whole table.
        """
        with self._loaded(table, staged) as temporary:
            sql = merge_sql(self._name(self.results, table.name), temporary, table, is_whole)
            stack_bigquery.query(self._client, sql, {"read_until": read_until})
            return self._content(table, temporary).checksum if is_whole else None

    def _content(self, table: ResultTable, name: str) -> Content:
        sums = ", ".join(f"sum({share}) as sum_{n}" for n, share in enumerate(table.shares(BIGQUERY_LETTER)))
        rows, *found = stack_bigquery.query(self._client, f"select count(*) as n, {sums} from {name}")[0].values()
        return Content(int(rows), checksum(found))

    def _table(self, dataset: str, name: str) -> bigquery.Table | None:
        try:
            return self._client.get_table(f"{dataset}.{name}", retry=RETRY)
        except NotFound:
            return None

    def _name(self, dataset: str, table: str) -> str:
        return _quoted(f"{self.settings.bigquery_project}.{dataset}.{table}")

    @contextmanager
    def _loaded(self, table: ResultTable, staged: Staged) -> Iterator[str]:
        """A temporary table with the staged rows; yields its quoted name."""
        types_ = {**table.columns, IS_DELETED: "BOOL"}
        fields = [bigquery.SchemaField(column, field_type(type_)) for column, type_ in types_.items()]
        prefix = f"{self.results}.{table.name}__spark"
        with stack_bigquery.temporary_table(self._client, prefix, fields) as name:
            temporary = f"{self._client.project}.{name}"
            config = bigquery.LoadJobConfig(
                source_format=bigquery.SourceFormat.PARQUET,
                schema=[field for field in fields if field.name in staged.columns],
                write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            )
            if staged.files and staged.uri.startswith("gs://") and not self.settings.is_emulator:
                uris = [f"{staged.uri}/{file}" for file in staged.files]
                job = self._client.load_table_from_uri(uris, temporary, job_config=config, retry=RETRY)
                job.result(retry=RETRY, timeout=JOB_SECONDS)
            else:
                for file in staged.files:
                    with staged.filesystem.open_input_file(f"{staged.folder}/{file}") as content:
                        job = self._client.load_table_from_file(
                            content, temporary, job_config=config, timeout=JOB_SECONDS
                        )
                    job.result(retry=RETRY, timeout=JOB_SECONDS)
            loaded = int(self._client.get_table(temporary, retry=RETRY).num_rows or 0)
            if loaded != staged.rows:
                raise TryAgain(
                    f"{self.results}.{table.name}: {loaded:,} of {staged.rows:,} rows were loaded; run again"
                )
            yield self._name(*name.split("."))


def merge_sql(target: str, staged: str, table: ResultTable, is_whole: bool) -> str:
    """The publishing statement. `target` and `staged` are quoted names; @read_until is bound by the caller."""
    columns = [_quoted(name) for name in table.columns]
    key = [_quoted(name) for name in table.key]
    state = [name for name in columns if name not in key]
    is_ours = f"ifnull(t.`{RAW_EXTRACTED_AT}` <= @read_until, true)"
    lines = [
        f"merge {target} as t using {staged} as s on {' and '.join(f't.{name} = s.{name}' for name in key)}",
        f"when matched and s.{IS_DELETED} is true and {is_ours} then delete",
        f"when matched and s.{IS_DELETED} is not true and {is_ours}",
        f"  and ({' or '.join(f't.{name} is distinct from s.{name}' for name in state)})",
        f"  then update set {', '.join(f'{name} = s.{name}' for name in state)}",
        f"when not matched and s.{IS_DELETED} is not true",
        f"  then insert ({', '.join(columns)}) values ({', '.join(f's.{name}' for name in columns)})",
    ]
    if is_whole:
        lines.append(f"when not matched by source and {is_ours} then delete")
    return "\n".join(lines)


def _quoted(name: str) -> str:
    return f"`{name}`"


def _timestamp(moment: datetime) -> str:
    """A literal for a row restriction, which takes no parameters."""
    return f"TIMESTAMP '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00:00'"


def _fitted(table: str, batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """`batch` in exactly `schema`; a column that raw does not have is null. Raises JobError where a value does not fit."""

    def column(field: pa.Field) -> pa.Array:
        if field.name not in batch.schema.names:
            return pa.nulls(batch.num_rows, field.type)
        try:
            return batch.column(field.name).cast(field.type)
        except pa.ArrowInvalid as error:
            raise JobError(
                f"raw.{table}.{field.name} has a value that Spark's tables cannot hold, which is no {field.type} ({error}): "
                "build with dbt (ENGINE=dbt), or correct it in the source and sync"
            ) from error

    return pa.Table.from_arrays([column(field) for field in schema], schema=schema)


def _write_parquet(batches: Iterator[pa.Table], schema: pa.Schema, filesystem: fs.FileSystem, prefix: str) -> int:
    """Write `batches` as `<prefix>-<n>.parquet` files. Returns the number of rows."""
    total, number, writer = 0, 0, None
    pending: list[pa.Table] = []

    def flush() -> None:
        nonlocal writer
        if not pending:
            return
        if writer is None:
            writer = pq.ParquetWriter(
                f"{prefix}-{number:04}.parquet", schema, filesystem=filesystem, store_decimal_as_integer=True
            )
        writer.write_table(pa.concat_tables(pending))
        pending.clear()

    for batch in batches:
        pending.append(batch)
        total += batch.num_rows
        if sum(part.num_rows for part in pending) >= ROWS_PER_GROUP:
            flush()
        if total >= (number + 1) * ROWS_PER_FILE and writer is not None:
            flush()
            writer.close()
            writer, number = None, number + 1
    flush()
    if writer is not None:
        writer.close()
    return total
