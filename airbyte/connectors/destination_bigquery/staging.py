"""The temporary table beside the targets: load jobs fill it, one statement a stream reads it, and it goes.

A stream with many rows has one of its own, streams with few share one (batch.py).
"""

from __future__ import annotations

import contextlib
import datetime
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import requests
from google.api_core.exceptions import GoogleAPIError
from google.cloud import bigquery

from airbyte.connectors.destination_bigquery import leftovers
from airbyte.connectors.destination_bigquery.columns import STAGED_TYPES
from airbyte.connectors.protocol import ConfiguredStream
from stack.bigquery import JOB_SECONDS, RETRY
from stack.failures import may_pass

# A larger file is sent after its job, as the API's documentation has it.
ONE_REQUEST_BYTES = 5 << 20
CLOSE_SECONDS = 10.0
CLOSE = RETRY.with_timeout(CLOSE_SECONDS)
# Seconds before a load that failed for what passes is begun again: of a table's limit of updates, ten are the window.
PAUSES = (5.0, 15.0, 30.0)


@dataclass
class _Load:
    """A load that has begun, and what it takes to begin it again."""

    job: bigquery.LoadJob
    path: Path
    schema: Sequence[bigquery.SchemaField]
    is_kept: bool


class Staging:
    """A temporary table. It is made by the first load and dropped when the last of its users has let go of it."""

    def __init__(self, client: bigquery.Client, dataset: str, stream: ConfiguredStream, users: int = 1) -> None:
        """Table and jobs are named after `stream`: its next sync clears away what a killed one leaves (leftovers.py)."""
        self.name = f"{client.project}.{dataset}.{leftovers.temporary_name(stream.name, stream.sync_id)}"
        self._client = client
        self._job_prefix = leftovers.job_prefix(dataset, stream.name)
        self._users = users
        self._lock = threading.Lock()
        self._last: _Load | None = None
        self.is_made = False
        # Done when every load has begun; None when `load` is called by who waits.
        self.filled: Future[None] | None = None

    def load(self, path: Path, types: Mapping[str, str], is_kept: bool = False) -> None:
        """Begin to load a Parquet file with columns of these BigQuery types, once the one before is loaded. It goes when it is loaded, unless it `is_kept`.

        One after the other, as BigQuery takes no more than five updates of a table in ten seconds. Raises as `wait`.
        """
        self._end_last()
        schema = [bigquery.SchemaField(name, STAGED_TYPES.get(kind, kind)) for name, kind in types.items()]
        if not self.is_made:
            table = bigquery.Table(self.name, schema=schema)
            table.expires = datetime.datetime.now(datetime.UTC) + leftovers.LIFETIME
            # Before it is: a cancellation may come between the request and the note of it.
            self.is_made = True
            self._client.create_table(table, retry=RETRY)
        self._last = _Load(self._begin(path, schema), path, schema, is_kept)

    def _begin(self, path: Path, schema: Sequence[bigquery.SchemaField]) -> bigquery.LoadJob:
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            schema=schema,
        )
        with path.open("rb") as file:
            size = path.stat().st_size
            return self._client.load_table_from_file(
                file,
                self.name,
                # Told its size, the client sends a file together with the job, in one request.
                size=size if size < ONE_REQUEST_BYTES else None,
                job_id_prefix=self._job_prefix,
                job_config=config,
                timeout=JOB_SECONDS,
            )

    def _end_last(self) -> None:
        """Wait for the load that has begun last; one that failed for what passes is begun again, which the client does for queries alone."""
        last, pauses = self._last, list(PAUSES)
        if last is None:
            return
        while True:
            try:
                last.job.result(retry=RETRY, timeout=JOB_SECONDS)
                break
            except GoogleAPIError as error:
                if not pauses or not may_pass(str(error)):
                    raise
            time.sleep(pauses.pop(0))
            last.job = self._begin(last.path, last.schema)
        self._last = None
        if not last.is_kept:
            last.path.unlink()

    def wait(self) -> None:
        """Wait until everything is loaded. Raises what BigQuery says when that failed, TimeoutError when a job takes longer than JOB_SECONDS."""
        if self.filled is not None:
            self.filled.result()
        self._end_last()

    def abort(self) -> None:
        """End the load job that still runs."""
        last = self._last
        if last is not None:
            end(last.job)

    def let_go(self) -> None:
        """To be called by each user once: it needs the table no longer. Raises what BigQuery says when the table cannot be dropped soon."""
        with self._lock:
            self._users -= 1
            is_last = not self._users
        if is_last and self.is_made:
            self._client.delete_table(self.name, not_found_ok=True, retry=CLOSE, timeout=CLOSE_SECONDS)


def end(job: bigquery.LoadJob | bigquery.QueryJob) -> None:
    """Cancel a job that still runs; nothing when it cannot be."""
    if job.state != "DONE":
        with contextlib.suppress(GoogleAPIError, requests.RequestException):
            job.cancel(retry=CLOSE, timeout=CLOSE_SECONDS)
