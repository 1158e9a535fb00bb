"""The temporary table beside the targets: load jobs fill it, one statement a stream reads it, and it goes.

A stream with many rows has one of its own. Streams with few share one (Batch): a table to make, a load job to wait for and a table to drop cost the same for
three rows as for a million, in the emulator a tenth of a second each, in BigQuery seconds.
"""

from __future__ import annotations

import contextlib
import datetime
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from google.api_core.exceptions import GoogleAPIError
from google.cloud import bigquery

from airbyte.connectors.destination_bigquery import leftovers, parquet
from airbyte.connectors.destination_bigquery.columns import STAGED_TYPES, STREAM, staged
from airbyte.connectors.protocol import ConfiguredStream
from stack.bigquery import RETRY

if TYPE_CHECKING:
    from airbyte.connectors.destination_bigquery.landing import Landing

# A complete stream waits so long for others to share a staging table with, and while others wait for their commit, but not when there is so much.
LINGER_SECONDS = 0.25
BATCH_BYTES = 32 << 20
# A larger file is sent after its job, as the API's documentation has it.
ONE_REQUEST_BYTES = 5 << 20
JOB_SECONDS = 1800.0
CLOSE_SECONDS = 10.0
CLOSE = RETRY.with_timeout(CLOSE_SECONDS)


class Staging:
    """A temporary table. It is made by the first load and dropped when the last of its users has let go of it."""

    def __init__(self, client: bigquery.Client, dataset: str, stream: ConfiguredStream, users: int = 1) -> None:
        """Table and jobs are named after `stream`: its next sync clears away what a killed one leaves (leftovers.py)."""
        self.name = f"{client.project}.{dataset}.{leftovers.temporary_name(stream.name, stream.sync_id)}"
        self._client = client
        self._job_prefix = leftovers.job_prefix(dataset, stream.name)
        self._users = users
        self._lock = threading.Lock()
        self._jobs: list[bigquery.LoadJob] = []
        self.is_made = False
        # Done when every load has begun; None when `load` is called by who waits.
        self.filled: Future[None] | None = None

    def load(self, path: Path, types: Mapping[str, str]) -> None:
        """Begin to load a Parquet file with columns of these BigQuery types."""
        schema = [bigquery.SchemaField(name, STAGED_TYPES.get(kind, kind)) for name, kind in types.items()]
        if not self.is_made:
            table = bigquery.Table(self.name, schema=schema)
            table.expires = datetime.datetime.now(datetime.UTC) + leftovers.LIFETIME
            # Before it is: a cancellation may come between the request and the note of it.
            self.is_made = True
            self._client.create_table(table, retry=RETRY)
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            schema=schema,
        )
        with path.open("rb") as file:
            size = path.stat().st_size
            job = self._client.load_table_from_file(
                file,
                self.name,
                # Told its size, the client sends a file together with the job, in one request.
                size=size if size < ONE_REQUEST_BYTES else None,
                job_id_prefix=self._job_prefix,
                job_config=config,
                timeout=JOB_SECONDS,
            )
        self._jobs.append(job)

    def wait(self) -> None:
        """Wait until everything is loaded. Raises what BigQuery says when that failed, TimeoutError when a job takes longer than JOB_SECONDS."""
        if self.filled is not None:
            self.filled.result()
        for job in self._jobs:
            job.result(retry=RETRY, timeout=JOB_SECONDS)

    def abort(self) -> None:
        """End the load jobs that still run."""
        for job in self._jobs:
            end(job)

    def let_go(self) -> None:
        """To be called by each user once: it needs the table no longer. Raises what BigQuery says when the table cannot be dropped soon."""
        with self._lock:
            self._users -= 1
            is_last = not self._users
        if is_last and self.is_made:
            self._client.delete_table(self.name, not_found_ok=True, retry=CLOSE, timeout=CLOSE_SECONDS)


class Batch:
    """Complete streams with few rows, for one staging table."""

    def __init__(
        self,
        client: bigquery.Client,
        dataset: str,
        folder: Path,
        converter: parquet.Converter,
        loader: Executor,
        earlier: Batch | None,
    ) -> None:
        """Files are made in `folder` by `converter` and sent by `loader`, each of which does one thing after the other."""
        self._client = client
        self._dataset = dataset
        self._folder = folder
        self._converter = converter
        self._loader = loader
        self._earlier = earlier
        self._members: list[Landing] = []
        self._tables: list[Future[str]] = []
        self._loaded: Future[None] | None = None
        self._bytes = 0
        self._began = time.monotonic()

    def is_due(self, waiting: int) -> bool:
        """Whether it should be loaded now, where so many streams that are loaded, or being loaded, wait until others are committed.

        One of them is enough to go on with meanwhile; while there are more, and while an earlier batch is being loaded, this one waits for more streams: it
        would have to wait for those anyway.
        """
        if self._bytes >= BATCH_BYTES:
            return True
        is_next = waiting <= 1 and (self._earlier is None or self._earlier.is_loaded)
        return is_next and time.monotonic() - self._began >= LINGER_SECONDS

    @property
    def is_loaded(self) -> bool:
        """Whether the load has ended, well or not."""
        return self._loaded is not None and self._loaded.done()

    def add(self, landing: Landing) -> None:
        """Begin to convert a stream's lines."""
        self._bytes += landing.size
        self._tables.append(self._converter.submit(landing.gather, len(self._members)))
        self._members.append(landing)

    def load(self) -> list[Landing]:
        """Nothing more is added: begin to load. Returns the streams, which can be committed."""
        self._earlier = None
        staging = Staging(self._client, self._dataset, self._members[0].stream, users=len(self._members))
        for place, (landing, table) in enumerate(zip(self._members, self._tables, strict=True)):
            landing.share(staging, place, table)
        # Only now, when each of them can let go of it.
        united = self._converter.submit(self._unite)
        staging.filled = self._loaded = self._loader.submit(self._load, staging, united)
        return self._members

    def _unite(self) -> tuple[Path, dict[str, str]] | None:
        """One file of what could be converted, and its columns' types; a stream whose records could not fails by itself when it is committed."""
        tables: list[str] = []
        types = {STREAM: "INT64"}
        for place, (landing, converted) in enumerate(zip(self._members, self._tables, strict=True)):
            if converted.exception() is None:
                tables.append(converted.result())
                types |= {shared: landing.types[name] for name, shared in staged(landing.types, place).items()}
        if not tables:
            return None
        united = self._folder / f"{uuid.uuid4().hex}.parquet"
        parquet.unite(self._converter.engine, tables, united)
        return united, types

    def _load(self, staging: Staging, united: Future[tuple[Path, dict[str, str]] | None]) -> None:
        if found := united.result():
            path, types = found
            staging.load(path, types)
            path.unlink()


def end(job: bigquery.LoadJob | bigquery.QueryJob) -> None:
    """Cancel a job that still runs; nothing when it cannot be."""
    if job.state != "DONE":
        with contextlib.suppress(GoogleAPIError, requests.RequestException):
            job.cancel(retry=CLOSE, timeout=CLOSE_SECONDS)
