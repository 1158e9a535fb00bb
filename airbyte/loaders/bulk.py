"""`python -m airbyte.loaders.bulk DIR`: the Parquet files of `source.parquet` into an empty raw, by load jobs.

For scale runs, where what is measured begins in raw. The destination's own code makes the tables and the rows visible, one statement per table, so raw is as a
first sync leaves it; but no sync has run: the connection has no state, and its first sync reads the source anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from airbyte.connections import description
from airbyte.connectors.destination_bigquery.landing import Landing
from airbyte.connectors.destination_bigquery.parquet import Converter
from airbyte.connectors.protocol import ConfiguredStream
from airbyte.connectors.source_postgres.catalog import Column, json_schema
from airbyte.deletion_sweep import SweepError, ensure_deleted_at
from airbyte.server.catalog import SYNC_MODES
from stack import settings
from stack.bigquery import ERRORS, client, create_datasets, query
from stack.failures import one_line

DATASET = "raw"
# What `source.parquet` says of the files beside it: each table's rows, and its columns with PostgreSQL's types.
MANIFEST = "marketplace.json"


class BulkLoadError(RuntimeError):
    """Nothing can be loaded; the message says why and what to do."""


def streams(types: dict[str, dict[str, str]]) -> list[ConfiguredStream]:
    """The connection's streams, as a first sync is given them. `types` is {table: {column: PostgreSQL's type}}."""
    found = []
    for stream in description.load().streams:
        sync_mode, destination_sync_mode = SYNC_MODES[stream.sync_mode]
        columns = {
            name: Column(kind.removesuffix("[]"), kind.endswith("[]"), 0, 0)
            for name, kind in types[stream.name].items()
        }
        properties = {name: json_schema(column) for name, column in columns.items()}
        found.append(
            ConfiguredStream(
                stream.name, "public", properties, sync_mode, destination_sync_mode, stream.primary_key, 0, 0
            )
        )
    return found


def load(bq: bigquery.Client, folder: Path) -> dict[str, int]:
    """Load every table, a line of progress for each. Returns {table: rows}. Raises BulkLoadError unless raw is empty and the folder whole."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        raise BulkLoadError(
            f"{folder} holds no marketplace: make one with `python -m source.parquet {folder}`"
        ) from None
    expected, found = manifest["rows"], streams(manifest["types"])
    for stream in found:
        try:
            rows = query(bq, f"select count(*) as n from {DATASET}.{stream.name}")[0]["n"]
        except NotFound:
            continue
        if rows:
            raise BulkLoadError(f"raw.{stream.name} holds {rows:,} rows already: `make clean-data` begins anew")
    loaded = {}
    started = time.monotonic()
    with Converter() as converter, ThreadPoolExecutor(1) as loader:
        for stream in found:
            landing = Landing(bq, DATASET, stream, folder, converter, loader)
            try:
                for path in sorted((folder / stream.name).glob("*.parquet")):
                    landing.add_parquet(path, pq.read_metadata(path).num_rows)
                if landing.rows != expected[stream.name]:
                    raise BulkLoadError(
                        f"{folder}/{stream.name} holds {landing.rows:,} of {expected[stream.name]:,} rows: run `source.parquet` again"
                    )
                loaded[stream.name] = landing.commit()
            finally:
                landing.close()
            print(f"{stream.name:20} {loaded[stream.name]:>12,} rows {time.monotonic() - started:7.1f} s", flush=True)
    return loaded


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status; the last line printed is the outcome as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m airbyte.loaders.bulk", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="what `source.parquet` has written")
    chosen = parser.parse_args(arguments)
    current = settings.for_command()
    try:
        bq = client(current)
        create_datasets(bq, current.bigquery_location)
        rows = sum(load(bq, chosen.folder).values())
        # As the sweep that follows a sync: dbt's models read the column.
        ensure_deleted_at(bq)
    except (BulkLoadError, SweepError, *ERRORS, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    print(json.dumps({"rows": rows, "reason": f"{rows:,} rows loaded"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
