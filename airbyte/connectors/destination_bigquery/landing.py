"""One stream's way into its table: lines spill to disk, become Parquet, are loaded beside the table, and appear in it by one statement.

Until that statement the table is untouched, and after it everything is there; a process killed at any moment leaves a temporary table at most, which
the stream's next sync removes (leftovers.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import unicodedata
import uuid
from collections import deque
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import IO

import requests
from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from airbyte.connectors.destination_bigquery import leftovers, parquet
from airbyte.connectors.destination_bigquery.columns import AIRBYTE_COLUMNS, columns
from airbyte.connectors.destination_bigquery.parquet import Converter
from airbyte.connectors.destination_bigquery.staging import Staging, end
from airbyte.connectors.destination_bigquery.statements import Statement
from airbyte.connectors.protocol import APPEND, APPEND_DEDUP, OVERWRITE, ConfigError, ConfiguredStream
from stack.bigquery import ERRORS, JOB_SECONDS, RETRY

# Lines of one load job. Larger ones need more memory and disk, smaller ones more jobs.
SPILL_BYTES = 64 << 20
# Lines of a stream that shares a staging table. Above this size, merging files costs more than sharing saves.
SMALL_BYTES = 8 << 20
# BigQuery's 1,024, without what the name of a staging table has beside the stream's.
MAXIMUM_NAME_BYTES = 960
# From here on, asking whether keys are repeated costs less than choosing among their versions.
MANY_ROWS = 10_000


class Landing:
    """One stream during one sync. While a file is converted, the next is filled, and earlier ones are being loaded by BigQuery."""

    def __init__(
        self,
        client: bigquery.Client,
        dataset: str,
        stream: ConfiguredStream,
        folder: Path,
        converter: Converter,
        loader: Executor,
    ) -> None:
        """Nothing is created until there is a file, or until `commit`. `converter` and `loader` are shared by the streams, and do one thing after the other."""
        if stream.destination_sync_mode not in (OVERWRITE, APPEND, APPEND_DEDUP):
            raise ConfigError(
                f"stream {stream.name}: destination_sync_mode {stream.destination_sync_mode} is not supported"
            )
        if stream.destination_sync_mode == APPEND_DEDUP and not stream.primary_key:
            raise ConfigError(f"stream {stream.name}: append_dedup needs a primary key")
        if not _may_be_a_table(stream.name):
            raise ConfigError(
                f"stream {stream.name}: BigQuery takes no table of this name, only letters, marks, digits, spaces, - and _, and at most "
                f"{MAXIMUM_NAME_BYTES} bytes here: rename the table at the source, or leave the stream out of the connection"
            )
        self.stream = stream
        self.states: list[bytes] = []
        self.is_committed = False
        self.rows = 0
        # Bytes of the file that is being filled.
        self.size = 0
        self._client = client
        self._columns = columns(stream.name, stream.properties)
        self._target = f"{client.project}.{dataset}.{stream.name}"
        self._staging = Staging(client, dataset, stream)
        self._place: int | None = None
        self._job_prefix = leftovers.job_prefix(dataset, stream.name)
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._converter = converter
        self._loader = loader
        # In the files' order: what `_wait` waits for.
        self._conversion: Future[Path] | Future[str] | None = None
        self._loads: deque[Future[None]] = deque()
        self._statement_job: bigquery.QueryJob | None = None
        self._is_closed = False

    @property
    def types(self) -> dict[str, str]:
        """{column: BigQuery type} of the rows, Airbyte's own columns included."""
        return {c.name: c.type for c in self._columns} | AIRBYTE_COLUMNS

    @property
    def is_large(self) -> bool:
        """Whether the stream is to have a staging table of its own."""
        return self.size > SMALL_BYTES or self._conversion is not None or self._staging.is_made

    def add(self, lines: bytes, number: int) -> None:
        """Take whole RECORD lines."""
        if self._file is None:
            self._file = (self._folder / f"{uuid.uuid4().hex}.jsonl").open("wb", buffering=1 << 20)
        self._file.write(lines)
        self.rows += number
        self.size += len(lines)
        if self.size >= SPILL_BYTES:
            self._load_file()

    def add_parquet(self, path: Path, rows: int) -> None:
        """Take a file of `rows` rows that are converted already: the stream's columns and Airbyte's, as `parquet.convert` writes them."""
        self._staging.load(path, self.types, is_kept=True)
        self.rows += rows

    def finish(self) -> None:
        """Nothing more comes: begin with the last file."""
        if self._file is not None:
            self._load_file()

    def share(self, staging: Staging, place: int, converted: Future[str]) -> None:
        """In place of `finish`: the rows come into a staging table with other streams', in which this one has the `place`, once they are `converted`."""
        self._staging, self._place, self._conversion = staging, place, converted

    def gather(self, place: int) -> str:
        """Everything taken as a table of the converter's engine, for a staging table in which the stream has the `place`. Returns its name."""
        lines = self._filled()
        name = parquet.gather(self._converter.engine, lines, self.stream, self._columns, place)
        lines.unlink()
        return name

    def commit(self) -> int:
        """Make everything taken visible, at once. Returns the number of records. To be called after `finish` or `share`, by any thread."""
        self._wait()
        self._staging.wait()
        target = self._prepare_target()
        if self.rows:
            statement = self._statement(target)
            if statement.is_empty and self.rows > MANY_ROWS and self.stream.destination_sync_mode == APPEND_DEDUP:
                question = self._run(statement.repeated_keys())
                repeated = next(iter(question.result(retry=RETRY, job_retry=None, timeout=JOB_SECONDS)))["n"]
                statement = dataclasses.replace(statement, is_unique=repeated == 0)
            self._run(statement.text())
        elif self.stream.destination_sync_mode == OVERWRITE:
            self._run(f"delete from `{self._target}` where true")
        self.is_committed = True
        self._let_go()
        return self.rows

    def abort(self) -> None:
        """End what BigQuery does for the stream; `commit`, in another thread, then fails soon, unless it has happened."""
        self._staging.abort()
        if self._statement_job is not None:
            end(self._statement_job)

    def close(self) -> None:
        """Drop what is only temporary; what cannot be dropped now, the next sync sweeps. May be called again; not while a conversion runs."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._let_go()

    def _let_go(self) -> None:
        """Once: drop the temporary table, unless others use it. What is committed stays so when that fails; the stream's next sync sweeps the table."""
        if not self._is_closed:
            self._is_closed = True
            with contextlib.suppress(*ERRORS, requests.RequestException):
                self._staging.let_go()

    # loading beside the table

    def _load_file(self) -> None:
        """Convert and load the current file in the background; one more may be converted, and one more be loaded."""
        lines = self._filled()
        self._wait(loads=1)
        self._conversion = self._converter.submit(self._converted, lines)
        self._loads.append(self._loader.submit(self._load, self._conversion))

    def _filled(self) -> Path:
        """The file with what came until now; the next line begins another."""
        assert self._file is not None
        lines = Path(self._file.name)
        self._file.close()
        self._file, self.size = None, 0
        return lines

    def _wait(self, loads: int = 0) -> None:
        """Wait until the last file is converted and no more than so many `loads` are left."""
        if self._conversion is not None:
            self._conversion.result()
        while len(self._loads) > loads:
            self._loads.popleft().result()

    def _load(self, conversion: Future[Path]) -> None:
        self._staging.load(conversion.result(), self.types)

    def _converted(self, lines: Path) -> Path:
        target = lines.with_suffix(".parquet")
        with parquet.connect() as engine:
            parquet.convert(engine, lines, target, self.stream, self._columns)
        lines.unlink()
        return target

    # the table

    def _schema(self) -> list[bigquery.SchemaField]:
        return [bigquery.SchemaField(name, kind) for name, kind in self.types.items()]

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
        types = self.types
        fields = [f for f in target.schema if f.name in types or not f.name.startswith("_airbyte")]
        present = {field.name: _legacy(field.field_type) for field in fields}
        return Statement(
            self.stream, types, self._staging.name, self._target, present, self._place, is_empty=target.num_rows == 0
        )

    def _run(self, statement: str) -> bigquery.QueryJob:
        """Run a statement to its end. Raises what BigQuery says when it failed, TimeoutError when it takes longer than JOB_SECONDS."""
        job = self._client.query(statement, job_id_prefix=self._job_prefix, retry=RETRY, job_retry=None)
        self._statement_job = job
        # One that ended at once says so in the answer already.
        if job.state != "DONE" or job.error_result:
            job.result(retry=RETRY, job_retry=None, timeout=JOB_SECONDS)
        return job


def _may_be_a_table(name: str) -> bool:
    """Whether BigQuery takes a table of that name; the stream's staging table has a longer one."""
    is_allowed = all(unicodedata.category(c)[0] in "LMN" or unicodedata.category(c) in ("Pc", "Pd", "Zs") for c in name)
    return bool(name) and is_allowed and len(name.encode()) <= MAXIMUM_NAME_BYTES


def _legacy(kind: str) -> str:
    """The API answers with the old names of some types."""
    return {"INTEGER": "INT64", "BOOLEAN": "BOOL", "FLOAT": "FLOAT64"}.get(kind, kind)
