"""`python -m benchmarks.landing`: what landing costs, beside the floor that no landing can beat on the same machine in the same run.

The floor is a bare `COPY … TO STDOUT` (CSV) of each table, written to Parquet with the warehouse's types by DuckDB, and a load job: no change detection, no
protocol, no state, no metadata columns, no final statement. Each run measures, in this order: the floor, an initial sync of the nine streams, syncs with
nothing new, and a sync after 1 % of every table's rows were changed. Postgres, emulator and Airbyte server are the benchmark's own, on free
ports, in a folder that goes at the end. Seconds are wall time seen by a client of the API; CPU seconds and memory are the connectors' own, from the job's log.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import httpx
import psycopg
from google.cloud import bigquery as google
from psycopg import sql

from airbyte.connections import apply, find
from airbyte.connections.description import load as load_description
from airbyte.connectors.destination_bigquery.columns import columns as bigquery_columns
from airbyte.connectors.source_postgres import catalog
from benchmarks.deployment import RESULTS, Json, deployment, machine, save, verdicts
from source import load as source_load
from stack import airbyte, bigquery, emulator, postgres
from stack.settings import Settings

POLL_SECONDS = 0.05
CHANGED_PERCENT = 1
# What is aimed at: (comparison, value).
TARGETS = {
    "initial_rows_per_second": (">=", 80_000),
    "initial_over_floor": ("<=", 2.5),
    "rows_per_connector_cpu_second": (">=", 130_000),
    "nothing_new_seconds": ("<=", 3.0),
    "changed_over_initial": ("<=", 0.05),
    "source_megabytes": ("<=", 300),
    "destination_megabytes": ("<=", 300),
}


def floor(current: Settings) -> Json:
    """The bare copy of the nine tables into the dataset `floor`. Returns seconds, of each part too."""
    bq = bigquery.client(current)
    bq.delete_dataset("floor", delete_contents=True, not_found_ok=True)
    bq.create_dataset("floor")
    spent = {"copy": 0.0, "parquet": 0.0, "load": 0.0}
    with psycopg.connect(current.source_dsn) as source, tempfile.TemporaryDirectory() as folder:
        tables = catalog.tables_of(source, "public")
        for stream in load_description().streams:
            properties = {name: catalog.json_schema(c) for name, c in tables[stream.name].columns.items()}
            typed = bigquery_columns(stream.name, properties)
            lines, target = Path(folder) / "rows.csv", Path(folder) / "rows.parquet"
            began = time.monotonic()
            question = sql.SQL("copy {} to stdout (format csv)").format(sql.Identifier(stream.name))
            with lines.open("wb") as file, source.cursor() as cursor, cursor.copy(question) as copy:
                for block in copy:
                    file.write(block)
            copied = time.monotonic()
            names = ", ".join(f"'{c.name}': 'varchar'" for c in typed)
            # The casts that landing uses: the floor must not be slower than what stands on it.
            values = ", ".join(c.cast(f'"{c.name}"') + f' as "{c.name}"' for c in typed)
            with duckdb.connect(config={"threads": 2}) as engine:
                engine.execute(
                    f"copy (select {values} from read_csv('{lines}', auto_detect = false, header = false, columns = {{{names}}}, delim = ',', "
                    "quote = '\"', escape = '\"')) "
                    f"to '{target}' (format parquet, compression lz4_raw)"
                )
            written = time.monotonic()
            schema = [google.SchemaField(c.name, "STRING" if c.type == "JSON" else c.type) for c in typed]
            config = google.LoadJobConfig(source_format="PARQUET", schema=schema)
            with target.open("rb") as file:
                job = bq.load_table_from_file(file, f"{bq.project}.floor.{stream.name}", job_config=config)
            job.result(timeout=1800)
            for part, seconds in zip(
                spent, (copied - began, written - copied, time.monotonic() - written), strict=True
            ):
                spent[part] += seconds
    bq.delete_dataset("floor", delete_contents=True)
    return {"seconds": round(sum(spent.values()), 2)} | {name: round(value, 2) for name, value in spent.items()}


class Syncs:
    """Syncs of the described connection, timed from outside."""

    def __init__(self, current: Settings, api: httpx.Client) -> None:
        """`api` is logged in; the connection is made by `anew`."""
        self._current = current
        self._api = api
        self._connection = ""

    def anew(self) -> None:
        """A connection that has read nothing, and a raw dataset without tables."""
        if self._connection:
            self._api.delete(f"connections/{self._connection}")
        bq = bigquery.client(self._current)
        for table in bq.list_tables("raw"):
            bq.delete_table(table)
        self._connection = apply.apply(self._current, load_description())

    def run(self) -> Json:
        """One sync: seconds, rows, and each connector's CPU seconds and megabytes at most. Raises RuntimeError when it fails."""
        began = time.monotonic()
        job = self._api.post("jobs", json={"connectionId": self._connection, "jobType": "sync"}).json()["jobId"]
        while (found := self._api.get(f"jobs/{job}").json())["status"] in ("pending", "running"):
            time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - began
        log = self._api.get(f"jobs/{job}/log").text
        if found["status"] != "succeeded":
            raise RuntimeError(log)
        used = re.findall(r"(source|destination): ([\d.]+) CPU seconds, (\d+) MB", log)
        result: Json = {"seconds": round(seconds, 2), "rows": found["rowsSynced"], "bytes": found["bytesSynced"]}
        for name, cpu, memory in used:
            result |= {f"{name}_cpu_seconds": float(cpu), f"{name}_megabytes": int(memory)}
        return result


def change(current: Settings) -> None:
    """Write 1 % of every table's rows anew, spread over the table."""
    with psycopg.connect(current.admin_dsn) as connection:
        for stream in load_description().streams:
            table, key = sql.Identifier(stream.name), sql.Identifier(stream.primary_key[0])
            last = sql.Identifier(stream.columns[-1])
            connection.execute(
                sql.SQL("update {0} set {1} = {1} where abs(hashtext({2}::text)) % 100 < {3}").format(
                    table, last, key, sql.Literal(CHANGED_PERCENT)
                )
            )


def measure(current: Settings, runs: int, quiet: int) -> list[Json]:
    """The runs, each of which begins with an empty warehouse."""
    found = []
    with find.session(current) as api:
        syncs = Syncs(current, api)
        for number in range(runs):
            syncs.anew()
            run: Json = {"load_average": os.getloadavg()[0], "floor": floor(current), "initial": syncs.run()}
            run["nothing_new"] = [syncs.run() for _ in range(quiet)]
            change(current)
            run["changed"] = syncs.run()
            print(f"run {number + 1}: {json.dumps(run)}", flush=True)
            found.append(run)
    return found


def figures(runs: list[Json]) -> Json:
    """Medians over the runs; ratios are taken within a run."""

    def median(values: list[float]) -> float:
        return round(statistics.median(values), 3)

    def connectors(run: Json) -> float:
        return float(run["source_cpu_seconds"] + run["destination_cpu_seconds"])

    return {
        "rows": runs[0]["initial"]["rows"],
        "initial_seconds": median([r["initial"]["seconds"] for r in runs]),
        "floor_seconds": median([r["floor"]["seconds"] for r in runs]),
        "initial_rows_per_second": round(median([r["initial"]["rows"] / r["initial"]["seconds"] for r in runs])),
        "initial_over_floor": median([r["initial"]["seconds"] / r["floor"]["seconds"] for r in runs]),
        "rows_per_connector_cpu_second": round(median([r["initial"]["rows"] / connectors(r["initial"]) for r in runs])),
        "nothing_new_seconds": median([s["seconds"] for r in runs for s in r["nothing_new"]]),
        "changed_rows": runs[0]["changed"]["rows"],
        "changed_seconds": median([r["changed"]["seconds"] for r in runs]),
        "changed_over_initial": median([r["changed"]["seconds"] / r["initial"]["seconds"] for r in runs]),
        "source_megabytes": max(r["initial"]["source_megabytes"] for r in runs),
        "destination_megabytes": max(r["initial"]["destination_megabytes"] for r in runs),
    }


def main() -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.landing", description=__doc__)
    parser.add_argument(
        "--scale", type=float, default=10.0, help="scale factor of the source (default 10: 4 million rows)"
    )
    parser.add_argument("--runs", type=int, default=3, help="how often everything is measured (default 3)")
    parser.add_argument("--quiet", type=int, default=3, help="syncs with nothing new in a run (default 3)")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/landing_scale_<scale>.json")
    chosen = parser.parse_args()
    with deployment([postgres, emulator, airbyte]) as current:
        ledger = str(current.local_dir / "ledger.json")
        if source_load.main(["--scale", str(chosen.scale), "--dsn", current.admin_dsn, "--ledger", ledger]):
            return 1
        postgres.grant_reader(current)
        runs = measure(current, chosen.runs, chosen.quiet)
    measured = figures(runs)
    targets = verdicts(measured, TARGETS)
    result = {"scale": chosen.scale, "machine": machine(), "figures": measured, "targets": targets, "runs": runs}
    save(result, chosen.output or RESULTS / f"landing_scale_{chosen.scale:g}.json")
    print(json.dumps({"figures": measured, "targets": targets}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
