"""Streams with few rows share a staging table: a table to make, a load job to wait for and a table to drop cost the same for three rows as for a million, in
the emulator a tenth of a second each, in BigQuery seconds.
"""

from __future__ import annotations

import time
import uuid
from concurrent.futures import Executor, Future
from pathlib import Path

from google.cloud import bigquery

from airbyte.connectors.destination_bigquery import parquet
from airbyte.connectors.destination_bigquery.columns import STREAM, staged
from airbyte.connectors.destination_bigquery.landing import Landing
from airbyte.connectors.destination_bigquery.staging import Staging

# A batch lingers at least so long for more streams, unless it is so large.
LINGER_SECONDS = 0.25
BATCH_BYTES = 32 << 20


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
        """Load now if large; otherwise linger for more streams while earlier commits or loads are pending.

        `waiting` is how many streams, loaded or being loaded, wait for their commit. One is enough to go on with meanwhile; behind more of them this batch
        would have to wait anyway.
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
