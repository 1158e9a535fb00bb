"""`python -m airbyte.deletion_sweep`: mark rows of raw whose key is gone from the source. A sync never sees a hard delete; comparing keys does.

Keys are compared only where the numbers of rows differ, in a snapshot that is not older than what raw had then: a key that lands later is not looked
for. A marked row keeps its values, gets `_deleted_at` and `_airbyte_extracted_at` of now (so that incremental readers see it change), and is
live again when its key comes back. See "Raw row is live" in docs/architecture.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import NotFound
from google.cloud import bigquery
from psycopg import sql

from airbyte.connections.description import Stream, load
from airbyte.connections.source import connect
from airbyte.connectors.protocol import ConfigError, TransientError
from airbyte.connectors.source_postgres import locks
from stack import settings
from stack.bigquery import ERRORS, RETRY, client, query, temporary_table
from stack.failures import FINAL, one_line
from stack.settings import Settings

LIVE = "(_deleted_at is null or _airbyte_extracted_at > _deleted_at)"
# More than this share of a table gone at once is more likely a wrong database or a lost grant than a business event.
SUSPICIOUS_SHARE = 0.2
SUSPICIOUS_ROWS = 100
LOAD_SECONDS = 600
KEYS = [bigquery.SchemaField("key", "STRING")]
KEYS_AT_ONCE = 100_000


class SweepError(RuntimeError):
    """The sweep must not or cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Landed:
    """The live rows of a raw table: their distinct keys, and when the newest was extracted (None: there is none)."""

    keys: int
    newest: datetime.datetime | None


def sweep(current: Settings, force: bool = False) -> dict[str, int]:
    """Mark what is gone. Returns {table: rows marked} for every stream.

    Raises SweepError when suspiciously much is gone, unless `force`; ConfigError or TransientError when the source cannot be reached.
    """
    bq = client(current)
    streams = load().streams
    marked: dict[str, int] = {}
    ensure_deleted_at(bq)
    with connect(current) as connection:
        # One that is written anew after the snapshot would look empty in it. The first in its way ends the sweep: it marks all or nothing of what it looked at.
        for taken in locks.hold(connection, {stream.name: _at_source(stream) for stream in streams}).values():
            raise taken
        # Before the source's snapshot, which the first question to it takes.
        landed = _live_keys(bq, streams)
        for stream in streams:
            marked[stream.name] = _sweep_table(bq, connection, stream, landed[stream.name], force)
    return marked


def _at_source(stream: Stream) -> sql.Identifier:
    return sql.Identifier(load().schema, stream.name)


def ensure_deleted_at(bq: bigquery.Client) -> None:
    """Every raw table has the column `_deleted_at`; added where it is missing. Raises SweepError when a table has never landed."""
    for stream in load().streams:
        try:
            table = bq.get_table(f"{bq.project}.raw.{stream.name}", retry=RETRY)
        except NotFound:
            raise SweepError(f"raw.{stream.name} has never landed: sync first") from None
        if "_deleted_at" not in {field.name for field in table.schema}:
            table.schema = [*table.schema, bigquery.SchemaField("_deleted_at", "TIMESTAMP")]
            bq.update_table(table, ["schema"], retry=RETRY)


def _live_keys(bq: bigquery.Client, streams: tuple[Stream, ...]) -> dict[str, Landed]:
    """What is live in each raw table; a key that lands once a change counts once."""
    union = " union all ".join(
        f"select '{s.name}' as name, count(distinct {s.primary_key[0]}) as n, max(_airbyte_extracted_at) as newest "
        f"from raw.{s.name} where {LIVE}"
        for s in streams
    )
    return {row["name"]: Landed(row["n"], row["newest"]) for row in query(bq, union)}


def _sweep_table(
    bq: bigquery.Client, connection: psycopg.Connection[Any], stream: Stream, landed: Landed, force: bool
) -> int:
    key, table = stream.primary_key[0], _at_source(stream)
    row = connection.execute(sql.SQL("select count(*) from {}").format(table)).fetchone()
    present = row[0] if row else 0
    # Rows that appeared after the sync can hide as many that vanished; they land at the next sync, and the numbers differ then.
    if landed.newest is None or present == landed.keys:
        return 0
    now = datetime.datetime.now(datetime.UTC)
    question = sql.SQL("select {}::text from {}").format(sql.Identifier(key), table)
    with temporary_table(bq, f"raw._airbyte_tmp_keys_{stream.name}", KEYS) as staging:
        _load_keys(bq, staging, _keys(connection, question))
        # What a sync has landed meanwhile may be younger than the snapshot: it says nothing of such a key.
        gone_where = (
            f"{LIVE} and cast({key} as string) not in (select key from {staging} union all "
            f"select cast({key} as string) from raw.{stream.name} where _airbyte_extracted_at > @newest)"
        )
        count = f"select count(distinct {key}) as n from raw.{stream.name} where {gone_where}"
        gone = query(bq, count, {"newest": landed.newest})[0]["n"]
        if gone > max(SUSPICIOUS_ROWS, landed.keys * SUSPICIOUS_SHARE) and not force:
            raise SweepError(
                f"{gone:,} of {landed.keys:,} rows of {stream.name} are gone from the source: if that is right, run "
                "`python -m airbyte.deletion_sweep --force`; if not, check that the source is the right database and readable"
            )
        if gone:
            # Never earlier than the row landed, or it would count as come back.
            query(
                bq,
                f"update raw.{stream.name} set _deleted_at = greatest(@now, _airbyte_extracted_at), "
                f"_airbyte_extracted_at = greatest(@now, _airbyte_extracted_at) where {gone_where}",
                {"now": now, "newest": landed.newest},
            )
    return int(gone)


def _keys(connection: psycopg.Connection[Any], question: sql.Composed) -> Iterator[list[str]]:
    """The keys, KEYS_AT_ONCE at once: a table may have more than there is memory for."""
    with connection.cursor("keys") as cursor:
        cursor.execute(question)
        while found := cursor.fetchmany(KEYS_AT_ONCE):
            yield [row[0] for row in found]


def _load_keys(bq: bigquery.Client, staging: str, keys: Iterable[list[str]]) -> None:
    config = bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.PARQUET,
        write_disposition="WRITE_APPEND",
        schema=KEYS,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.parquet"
        schema = pa.schema([("key", pa.string())])
        # Keys are not repeated: a dictionary of them would be as large as they are.
        with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
            for batch in keys:
                writer.write_batch(pa.record_batch([pa.array(batch, pa.string())], schema=schema))
        with path.open("rb") as file:
            job = bq.load_table_from_file(file, f"{bq.project}.{staging}", job_config=config, timeout=LOAD_SECONDS)
        job.result(retry=RETRY, timeout=LOAD_SECONDS)


def main() -> int:
    """The command line. Returns the exit status; the last line printed is the outcome as JSON."""
    parser = argparse.ArgumentParser(prog="python -m airbyte.deletion_sweep", description=__doc__)
    parser.add_argument("--force", action="store_true", help="mark the rows even when suspiciously many are gone")
    arguments = parser.parse_args()
    try:
        marked = sweep(settings.for_command(), arguments.force)
    except (SweepError, ConfigError, TransientError, *ERRORS, psycopg.Error) as error:
        print(f"error: the deletion sweep stopped: {one_line(error)}", file=sys.stderr)
        return FINAL if isinstance(error, SweepError | ConfigError) else 1
    found = {table: rows for table, rows in marked.items() if rows}
    reason = ", ".join(f"{table} {rows:,}" for table, rows in found.items()) or "nothing was deleted at the source"
    print(json.dumps({"rows": sum(found.values()), "reason": reason}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
