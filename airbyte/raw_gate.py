"""`python -m airbyte.raw_gate`: nothing is transformed unless raw is whole. Stops the run when a table is missing, empty, poorer than the source or damaged."""

from __future__ import annotations

import argparse
import json
import sys

import psycopg
from google.api_core.exceptions import NotFound
from psycopg import sql

from airbyte.connections.description import load
from airbyte.connections.source import connect
from airbyte.connectors.protocol import ConfigError, TransientError
from airbyte.connectors.source_postgres import catalog
from airbyte.deletion_sweep import LIVE
from stack import settings
from stack.bigquery import ERRORS, client, query
from stack.failures import FINAL, one_line
from stack.settings import Settings


def problems(current: Settings) -> tuple[int, list[str]]:
    """The live raw rows, and what is wrong with them: one sentence a table."""
    bq, description = client(current), load()
    streams = description.streams
    counts = " union all ".join(
        f"select '{s.name}' as name, count(distinct {s.primary_key[0]}) as keys, count(*) as n, "
        f"countif(json_value(_airbyte_meta, '$.changes[0].field') is not null) as damaged, "
        f"countif({s.primary_key[0]} is null) as keyless from raw.{s.name} where {LIVE}"
        for s in streams
    )
    try:
        found = {row["name"]: row for row in query(bq, counts)}
        rates = query(bq, "select count(*) as n from raw.ecb_fx_rates")[0]["n"]
    except NotFound as error:
        return 0, [f"a raw table has never landed: {one_line(error)[:300]}"]
    said = [] if rates else ["raw.ecb_fx_rates is empty: run the loader"]
    with connect(current) as connection:
        # A sync lands null in a column that the source has lost; the models would go on without it.
        tables = catalog.tables_of(connection, description.schema)
        lacking = description.lacking({name: set(table.columns) for name, table in tables.items()})
        if lacking:
            return 0, [lacking]
        for stream in streams:
            table = sql.Identifier(description.schema, stream.name)
            row = connection.execute(sql.SQL("select count(*) from {}").format(table)).fetchone()
            source, raw = row[0] if row else 0, found[stream.name]
            if stream.sync_mode != "incremental_append" and raw["n"] != raw["keys"]:
                said.append(f"raw.{stream.name} has {raw['n'] - raw['keys']:,} rows more than keys: a key landed twice")
            if raw["keyless"]:
                said.append(f"raw.{stream.name} has {raw['keyless']:,} rows without a key")
            # The source may have grown since the sync, or shrunk since the sweep; it cannot have a tenth more than what was just read.
            if (source and not raw["n"]) or (raw["keys"] < 0.9 * source and source - raw["keys"] > 100):
                said.append(f"raw.{stream.name} has {raw['keys']:,} rows, the source {source:,}: sync again")
            if raw["damaged"]:
                print(
                    f"warning: {raw['damaged']:,} rows of raw.{stream.name} have a value that their type cannot hold: see _airbyte_meta.changes",
                    file=sys.stderr,
                )
    rows = sum(row["n"] for row in found.values())
    if not rows and not said:
        said.append("the source is empty: none of its tables has a row")
    return rows, said


def main() -> int:
    """The command line. Returns the exit status; the last line printed is the outcome as JSON."""
    argparse.ArgumentParser(prog="python -m airbyte.raw_gate", description=__doc__).parse_args()
    try:
        rows, said = problems(settings.for_command())
    except (ConfigError, TransientError, *ERRORS, psycopg.Error) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return FINAL if isinstance(error, ConfigError) else 1
    if said:
        for problem in said:
            print(f"error: {problem}", file=sys.stderr)
        return FINAL
    print(json.dumps({"rows": rows, "reason": f"{rows:,} live rows, every key once"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
