"""One stream's way into its table: lines spill to disk, become Parquet, are loaded beside the table, and appear in it by one statement.

Until that statement the table is untouched, and after it everything is there; a process killed at any moment leaves a temporary table at most, which
the stream's next sync removes (leftovers.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import uuid
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import IO

import requests
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.cloud import bigquery

from airbyte.connectors.destination_bigquery import leftovers, parquet
from airbyte.connectors.destination_bigquery.columns import AIRBYTE_COLUMNS, columns
from airbyte.connectors.destination_bigquery.statements import Statement
from airbyte.connectors.protocol import APPEND, APPEND_DEDUP, OVERWRITE, ConfigError, ConfiguredStream
from stack.bigquery import RETRY

# Lines of one load job. Larger ones need more memory and disk, smaller ones more jobs.
SPILL_BYTES = 64 << 20
# From here on, asking whether keys are repeated costs less than choosing among their versions, and parsing JSON before a MERGE less than in it.
MANY_ROWS = 10_000
JOB_SECONDS = 1800.0
CLOSE_SECONDS = 10.0
CLOSE = RETRY.with_timeout(CLOSE_SECONDS)


class Landing:
    """One stream during one sync. While a file is converted, the next is filled, and earlier ones are being loaded by BigQuery."""

    def __init__(
        self, client: bigquery.Client, dataset: str, stream: ConfiguredStream, folder: Path, converter: Executor
    ) -> None:
        """Nothing is created until the first record, or until `commit`. `converter` is shared by the streams: one conversion at a time bounds memory."""
        if stream.destination_sync_mode not in (OVERWRITE, APPEND, APPEND_DEDUP):
            raise ConfigError(
                f"stream {stream.name}: destination_sync_mode {stream.destination_sync_mode} is not supported"
            )
        if stream.destination_sync_mode == APPEND_DEDUP and not stream.primary_key:
            raise ConfigError(f"stream {stream.name}: append_dedup needs a primary key")
        self.stream = stream
        self.states: list[bytes] = []
        self.is_committed = False
        self._client = client
        self._columns = columns(stream.name, stream.properties)
        self._dataset = f"{client.project}.{dataset}"
        self._target = f"{self._dataset}.{stream.name}"
        self._staging = self._temporary_name()
        self._job_prefix = leftovers.job_prefix(dataset, stream.name)
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._size = 0
        self.rows = 0
        self._converter = converter
        self._pending: Future[None] | None = None
        self._jobs: list[bigquery.LoadJob] = []
        self._statement_job: bigquery.QueryJob | None = None
        self._temporary: list[str] = []

    def add(self, lines: bytes, number: int) -> None:
        """Take whole RECORD lines."""
        if self._file is None:
            self._file = (self._folder / f"{uuid.uuid4().hex}.jsonl").open("wb", buffering=1 << 20)
        self._file.write(lines)
        self.rows += number
        self._size += len(lines)
        if self._size >= SPILL_BYTES:
            self._load_file()

    def add_parquet(self, path: Path, rows: int) -> None:
        """Take a file of `rows` rows that are converted already: the stream's columns and Airbyte's, as `parquet.convert` writes them."""
        self._need_staging()
        with path.open("rb") as file:
            self._load(file)
        self.rows += rows

    def finish(self) -> None:
        """Nothing more comes: begin with the last file."""
        if self._file is not None:
            self._load_file()

    def commit(self) -> int:
        """Make everything taken visible, at once. Returns the number of records. To be called after `finish`, by any thread."""
        self._wait()
        for job in self._jobs:
            job.result(retry=RETRY, timeout=JOB_SECONDS)
        target = self._prepare_target()
        if self.rows:
            statement = self._statement(target)
            if statement.is_empty and self.rows > MANY_ROWS and self.stream.destination_sync_mode == APPEND_DEDUP:
                repeated = next(iter(self._run(statement.repeated_keys())))["n"]
                statement = dataclasses.replace(statement, is_unique=repeated == 0)
            if statement.is_merge and self.rows > MANY_ROWS and any(c.type == "JSON" for c in self._columns):
                statement = self._parsed(statement)
            self._run(statement.text())
        elif self.stream.destination_sync_mode == OVERWRITE:
            self._run(f"delete from `{self._target}` where true")
        self.is_committed = True
        self._drop_temporary()
        return self.rows

    def abort(self) -> None:
        """End what BigQuery does for the stream; `commit`, in another thread, then fails soon, unless it has happened."""
        for job in (*self._jobs, *filter(None, (self._statement_job,))):
            if job.state != "DONE":
                with contextlib.suppress(GoogleAPIError, requests.RequestException):
                    job.cancel(retry=CLOSE, timeout=CLOSE_SECONDS)

    def close(self) -> None:
        """Drop what is only temporary; what cannot be dropped now, the next sync sweeps. May be called again; not while a conversion runs."""
        if self._file is not None:
            self._file.close()
            self._file = None
        while self._temporary and not self.is_committed:
            with contextlib.suppress(GoogleAPIError, requests.RequestException):
                self._client.delete_table(self._temporary.pop(), not_found_ok=True, retry=CLOSE, timeout=CLOSE_SECONDS)

    # loading beside the table

    def _load_file(self) -> None:
        """Convert and load the current file in the background; no more than one waits."""
        assert self._file is not None
        path = Path(self._file.name)
        self._file.close()
        self._file, self._size = None, 0
        self._wait()
        self._pending = self._converter.submit(self._convert_and_load, path)

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _convert_and_load(self, lines: Path) -> None:
        # Here, not in the main thread, which a cancellation may leave between the request and the note of it.
        self._need_staging()
        target = lines.with_suffix(".parquet")
        with parquet.connect() as engine:
            parquet.convert(engine, lines, target, self.stream, self._columns)
        lines.unlink()
        with target.open("rb") as file:
            self._load(file)
        target.unlink()

    def _load(self, file: IO[bytes]) -> None:
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            schema=self._staging_schema(),
        )
        self._jobs.append(
            self._client.load_table_from_file(
                file, self._staging, job_id_prefix=self._job_prefix, job_config=config, timeout=JOB_SECONDS
            )
        )

    def _staging_schema(self) -> list[bigquery.SchemaField]:
        """BigQuery loads no JSON from Parquet: such columns are text until the last statement."""
        return [bigquery.SchemaField(name, "STRING" if kind == "JSON" else kind) for name, kind in self._types.items()]

    def _need_staging(self) -> None:
        if self._staging not in self._temporary:
            self._create_temporary(self._staging, self._staging_schema())

    def _temporary_name(self) -> str:
        return f"{self._dataset}.{leftovers.temporary_name(self.stream.name, self.stream.sync_id)}"

    def _create_temporary(self, name: str, schema: list[bigquery.SchemaField]) -> None:
        table = bigquery.Table(name, schema=schema)
        table.expires = datetime.datetime.now(datetime.UTC) + leftovers.LIFETIME
        self._temporary.append(name)
        self._client.create_table(table, retry=RETRY)

    def _drop_temporary(self) -> None:
        while self._temporary:
            self._client.delete_table(self._temporary[-1], not_found_ok=True, retry=RETRY)
            self._temporary.pop()

    def _parsed(self, statement: Statement) -> Statement:
        """The same statement on a table of its own with the staged rows in the target's types."""
        name = self._temporary_name()
        self._create_temporary(name, self._schema())
        self._run(statement.parse_into(name))
        return dataclasses.replace(statement, staging=name, is_parsed=True)

    # the table

    @property
    def _types(self) -> dict[str, str]:
        return {c.name: c.type for c in self._columns} | AIRBYTE_COLUMNS

    def _schema(self) -> list[bigquery.SchemaField]:
        return [bigquery.SchemaField(name, kind) for name, kind in self._types.items()]

    def _prepare_target(self) -> bigquery.Table:
        """The table with every column the stream has: made, or widened by the columns that are new.

        Raises ConfigError when a column's type has changed, or when the table that holds the rest of the stream is gone.
        """
        schema = self._schema()
        try:
            table = self._client.get_table(self._target, retry=RETRY)
        except NotFound:
            if self.stream.is_resumed:
                raise ConfigError(
                    f"stream {self.stream.name}: {self._target} is gone, and this sync brings only what changed since the last one: run a "
                    "refresh, which reads everything anew (`python -m airbyte.connections.jobs refresh`)"
                ) from None
            table = bigquery.Table(self._target, schema=schema)
            table.time_partitioning = bigquery.TimePartitioning(field="_airbyte_extracted_at")
            if self.stream.primary_key:
                table.clustering_fields = list(self.stream.primary_key)[:4]
            return self._client.create_table(table, retry=RETRY)
        present = {field.name: field.field_type for field in table.schema}
        for field in schema:
            if field.name in present and _legacy(present[field.name]) != _legacy(field.field_type):
                raise ConfigError(
                    f"stream {self.stream.name}: column {field.name} is {present[field.name]} in {self._target} and now {field.field_type} at "
                    "the source: undo the change, or drop the table and run a refresh (`python -m airbyte.connections.jobs refresh`)"
                )
        missing = [field for field in schema if field.name not in present]
        if missing:
            table.schema = [*table.schema, *missing]
            table = self._client.update_table(table, ["schema"], retry=RETRY)
        return table

    def _statement(self, target: bigquery.Table) -> Statement:
        types = self._types
        fields = [f for f in target.schema if f.name in types or not f.name.startswith("_airbyte")]
        present = {field.name: _legacy(field.field_type) for field in fields}
        return Statement(self.stream, types, self._staging, self._target, present, is_empty=target.num_rows == 0)

    def _run(self, statement: str) -> Iterable[bigquery.Row]:
        job = self._client.query(statement, job_id_prefix=self._job_prefix, retry=RETRY, job_retry=None)
        self._statement_job = job
        rows: Iterable[bigquery.Row] = job.result(retry=RETRY, job_retry=None, timeout=JOB_SECONDS)
        return rows


def _legacy(kind: str) -> str:
    """The API answers with the old names of some types."""
    return {"INTEGER": "INT64", "BOOLEAN": "BOOL", "FLOAT": "FLOAT64"}.get(kind, kind)
