"""`python -m benchmarks.cost_model`: what the heavy stage costs a month at 1x to 1000x, by engine: measured bytes and CPU seconds times prices.json.

Two months are reckoned: `full`, every run makes everything anew; and `incremental`, every run follows a change of 1 % (`changed_share`).

| engine | what is billed |
|---|---|
| bigquery_on_demand | dbt: bytes of the columns that the models read, beyond the month's free TiB; after a change those of two MERGEs, too (decision 0005) |
| bigquery_slots | dbt: DuckDB's CPU seconds as slot-seconds, in an autoscaled reservation |
| spark_dataproc | a cluster made for each run: its vCPUs, for its start and for Spark's CPU seconds spread over them |
| spark_serverless | DCUs, for the same |
| spark_one_machine, duckdb_one_machine, pysail_one_machine | one machine made for each run, likewise |

On demand, a MERGE that updates or deletes is billed as what it reads of its source and as the whole target. dbt's four incremental models compare with their
table what they made, and make two: of the changed rows, and of the dead keys; the tiers are made anew. All but the first two ask when raw's rows landed, read
them through the Storage Read API and publish by MERGE, as `spark_jobs` does: all rows, whose sums are then asked for, or the changed ones, and then the
published table's. A load job is free. A Spark run after a change costs what `benchmarks.spark_jobs` found it to cost of a full one, at its largest scale;
DuckDB and Sail have no incremental form here and make everything anew.

Not in it: storage, network, people, the marts (the same for all), the exchange rates (as many at any scale), discounts. Between measured scales values are
interpolated, beyond the largest they grow as between the last two; where one scale was measured, all others are in proportion to it. Results:
results/cost_model.json, the same bytes for the same inputs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]
HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PRICES = HERE / "prices.json"
OUTPUT = RESULTS / "cost_model.json"
TIB, GB = 2**40, 10**9
SCALES = (1, 10, 100, 1000)
MONTHS = ("full", "incremental")
PEERS = ("spark", "duckdb", "pysail")
DBT_READS = ("payments", "orders", "order_items", "int_payments_deduplicated", "seller_tier_history")
RAW = ("payments", "orders", "order_items", "seller_tier_history")
# What an order's items are joined to.
DATES = ("id", "created_at")
EXTRACTED_AT = "_airbyte_extracted_at"
# dbt's incremental models: the columns of their own table that they compare (none named: all), and the table and columns that say which keys are live.
DBT_INCREMENTAL = {
    "int_payments_deduplicated": (
        ("event_key", "_raw_extracted_at", "duplicate_count"),
        "payments",
        ("id", "event_id", EXTRACTED_AT),
    ),
    "int_orders_usd": (
        ("order_id", "_raw_extracted_at", "fx_rate_date", "fx_rate_usd"),
        "orders",
        ("id", EXTRACTED_AT),
    ),
    "int_order_items_usd": (
        ("order_item_id", "_raw_extracted_at", "order_date", "fx_rate_date", "fx_rate_usd"),
        "order_items",
        ("id", EXTRACTED_AT),
    ),
    "int_payments_usd": ((), "int_payments_deduplicated", ("event_key",)),
}
# BigQuery bills this much of a table at least.
LEAST_BYTES = 10 * 2**20

Inputs = Mapping[str, float]
Points = Mapping[float, float]


def at(points: Points, scale: float) -> float:
    """A value at a scale: interpolated between measured ones, and beyond them grown as between the nearest two; with one, in proportion."""
    scales = sorted(points)
    if len(scales) == 1:
        return points[scales[0]] * scale / scales[0]
    upper = next((i for i, known in enumerate(scales) if known >= scale), len(scales) - 1)
    low, high = scales[max(upper, 1) - 1], scales[max(upper, 1)]
    grown = points[low] + (points[high] - points[low]) * (scale - low) / (high - low)
    return max(grown, 0.0)


def measured(results: Path = RESULTS) -> Json:
    """What the model takes from the other benchmarks: values by scale, and the files that they are from."""
    by_scale = ("dbt_bytes", "compared_bytes", "merged_bytes", "raw_bytes", "extracted_at_bytes", "result_bytes")
    found: Json = {name: {} for name in by_scale} | {"cpu_seconds": {name: {} for name in PEERS}}
    files = []
    for path in sorted(results.glob("peers_scale_*.json")):
        result = json.loads(path.read_text())
        if result["memory_limit"] or result.get("skewed"):
            continue
        scale, tables = result["scale"], result["tables"]
        if not set(DBT_READS) <= set(tables) or not result["results"]:
            continue
        files.append(path.name)
        dates = sum(tables["orders"]["columns"][name] for name in DATES)
        found["dbt_bytes"][scale] = dates + sum(_billed(tables[name]) for name in DBT_READS)
        found["compared_bytes"][scale] = compared_bytes(tables, result["results"])
        found["raw_bytes"][scale] = sum(tables[name]["logical_bytes"] for name in RAW)
        found["extracted_at_bytes"][scale] = sum(_billed(tables[name], (EXTRACTED_AT,)) for name in RAW)
        published = {name: _billed(table) for name, table in result["results"].items()}
        found["result_bytes"][scale] = sum(published.values())
        found["merged_bytes"][scale] = sum(published[name] for name in DBT_INCREMENTAL)
        for engine in PEERS:
            jobs = [job.get(engine, {}).get("cpu_seconds") for job in result["figures"].values()]
            if all(jobs):
                found["cpu_seconds"][engine][scale] = round(sum(job["median"] for job in jobs), 2)
    found["cpu_seconds"] = {engine: points for engine, points in found["cpu_seconds"].items() if points}
    shares = {}
    for path in sorted(results.glob("spark_jobs_scale_*.json")):
        result = json.loads(path.read_text())
        if "recent_of_full" in result["figures"]:
            shares[result["scale"]] = result["figures"]["recent_of_full"]
            files.append(path.name)
    # Of the largest scale: a session's start weighs most on small ones.
    found["spark_changed_of_full"] = shares[max(shares)] if shares else None
    landing = {}
    for path in sorted(results.glob("landing_scale_*.json")):
        result = json.loads(path.read_text())
        landing[result["scale"]] = result["runs"][0]["changed"]["bytes"]
        files.append(path.name)
    found["landed_bytes_a_run"] = landing
    return found | {"files": files}


def compared_bytes(tables: Json, results: Json) -> int:
    """What an incremental run of dbt reads to find what differs and which keys are dead, beside the models' inputs and the tables that it merges into."""
    return sum(
        _billed(results[name], compared) + _billed(tables[live], keys)
        for name, (compared, live, keys) in DBT_INCREMENTAL.items()
    )


def _billed(table: Json, columns: Sequence[str] = ()) -> int:
    """Bytes that a statement is billed for of a table: of these columns, or of all."""
    read: int = sum(table["columns"][name] for name in columns or table["columns"])
    return max(read, LEAST_BYTES)


def inputs(described: Json) -> dict[str, float]:
    """Every price and assumption, by name."""
    return {name: item["value"] for part in ("prices", "assumptions") for name, item in described[part].items()}


def engines(found: Json) -> list[str]:
    """The engines whose cost can be reckoned from what was measured."""
    known = ["bigquery_on_demand"] if found["dbt_bytes"] else []
    known += ["bigquery_slots"] if "duckdb" in found["cpu_seconds"] else []
    known += ["spark_dataproc", "spark_serverless"] if "spark" in found["cpu_seconds"] else []
    return known + [f"{name}_one_machine" for name in found["cpu_seconds"]]


def cost(engine: str, month: str, scale: float, given: Inputs, found: Json) -> float:
    """USD a month of an engine's heavy stage."""
    runs = given["runs_a_month"]
    if engine == "bigquery_on_demand":
        read = at(found["dbt_bytes"], scale)
        if month == "incremental":
            # Two MERGEs into the same tables: of the changed rows, and of the dead keys, of which there are few.
            read += at(found["compared_bytes"], scale) + (2 + given["changed_share"]) * at(found["merged_bytes"], scale)
        return _on_demand(runs * read, given)
    if engine == "bigquery_slots":
        slot_seconds = at(found["cpu_seconds"]["duckdb"], scale) * given["slot_factor"]
        return runs * max(slot_seconds, given["slots_at_least"] * 60) / 3600 * given["bigquery_slot_hour"]
    peer = "spark" if engine.startswith("spark") else engine.split("_")[0]
    # Of a full run's work and reading.
    share, read = 1.0, 1.0
    if month == "incremental" and peer == "spark":
        share, read = found["spark_changed_of_full"], given["changed_share"]
    busy = at(found["cpu_seconds"][peer], scale) * share * given["cpu_factor"] / given["busy_share"]
    if engine == "spark_dataproc":
        vcpus = given["cluster_vcpus"]
        hourly = vcpus * (given["machine_vcpu_hour"] + given["dataproc_vcpu_hour"])
        seconds = given["cluster_start_seconds"] + busy / vcpus
    elif engine == "spark_serverless":
        # A DCU by default is a vCPU with its memory.
        hourly = given["serverless_spark_dcus"] * given["serverless_spark_dcu_hour"]
        seconds = given["serverless_start_seconds"] + busy / given["serverless_spark_dcus"]
    else:
        hourly = given["one_machine_vcpus"] * given["machine_vcpu_hour"]
        seconds = given["one_machine_start_seconds"] + busy / given["one_machine_vcpus"]
    reading = at(found["raw_bytes"], scale) * read / TIB * given["bigquery_storage_read_tib"]
    results = at(found["result_bytes"], scale)
    # The MERGE's target and its staged rows; then sums: of those rows where they are all, else of the published table.
    published = (2 + (given["changed_share"] if read < 1 else 1)) * results
    asked = at(found["extracted_at_bytes"], scale)
    return runs * (hourly * seconds / 3600 + reading) + _on_demand(runs * (asked + published), given)


def _on_demand(bytes_a_month: float, given: Inputs) -> float:
    return max(0.0, bytes_a_month / TIB - given["bigquery_free_tib_month"]) * given["bigquery_on_demand_tib"]


def landing_cost(scale: float, given: Inputs, found: Json) -> float:
    """USD a month of Airbyte Cloud for the changes alone; the first sync comes once, and is not in it."""
    gigabytes = at(found["landed_bytes_a_run"], scale) * given["runs_a_month"] * given["changed_share"] / 0.01 / GB
    included = given["airbyte_cloud_month"] / given["airbyte_cloud_gb"]
    return given["airbyte_cloud_month"] + max(0.0, gigabytes - included) * given["airbyte_cloud_gb"]


def crossovers(month: str, given: Inputs, found: Json) -> list[Json]:
    """Where an engine begins to cost less than BigQuery does, or more, from 1x to 10,000x: {engine, beside, scale, from_there}."""
    said = []
    steps = [10 ** (i / 40) for i in range(161)]
    names = [name for name in engines(found) if possible(name, month, found)]
    for beside in (name for name in names if name.startswith("bigquery")):
        for engine in (
            name for name in names if name != beside and not (name < beside and name.startswith("bigquery"))
        ):

            def gap(scale: float, engine: str = engine, beside: str = beside) -> float:
                return cost(engine, month, scale, given, found) - cost(beside, month, scale, given, found)

            for low, high in itertools.pairwise(steps):
                if (gap(low) > 0) == (gap(high) > 0):
                    continue
                dear = gap(low) > 0
                for _ in range(40):
                    middle = math.sqrt(low * high)
                    low, high = (middle, high) if (gap(middle) > 0) == dear else (low, middle)
                said.append(
                    {
                        "engine": engine,
                        "beside": beside,
                        "scale": float(f"{high:.3g}"),
                        "from_there": "cheaper" if dear else "dearer",
                    }
                )
    return said


def possible(engine: str, month: str, found: Json) -> bool:
    """Whether that month can be reckoned: Spark's incremental one needs its share of a full run."""
    return month == "full" or not engine.startswith("spark") or found["spark_changed_of_full"] is not None


def sensitivity(month: str, scale: float, given: Inputs, found: Json) -> Json:
    """Of each input: what half of it, and half as much again, make of each engine's month, as ratios. Engines that it does not touch are left out."""
    said: Json = {}
    for name in sorted(given):
        for engine in (item for item in engines(found) if possible(item, month, found)):
            base = cost(engine, month, scale, given, found)
            both = [cost(engine, month, scale, {**given, name: given[name] * by}, found) for by in (0.5, 1.5)]
            if base and any(abs(value / base - 1) > 0.005 for value in both):
                said.setdefault(name, {})[engine] = [round(value / base, 2) for value in both]
    return said


def model(described: Json, found: Json) -> Json:
    """The whole result, a function of its arguments."""
    given = inputs(described)
    months = {
        month: {
            name: {f"{scale}": round(cost(name, month, scale, given, found), 2) for scale in SCALES}
            for name in engines(found)
            if possible(name, month, found)
        }
        for month in MONTHS
    }
    return {
        "inputs": described,
        "measured": {name: value if not isinstance(value, dict) else _by_text(value) for name, value in found.items()},
        "largest_measured_scale": max(found["dbt_bytes"], default=None),
        "usd_a_month": months,
        "airbyte_cloud_usd_a_month": {f"{scale}": round(landing_cost(scale, given, found), 2) for scale in SCALES},
        "crossovers": {month: crossovers(month, given, found) for month in MONTHS},
        "sensitivity_at_100": {month: sensitivity(month, 100, given, found) for month in MONTHS},
    }


def _by_text(value: Json) -> Json:
    return {str(name): _by_text(item) if isinstance(item, dict) else item for name, item in value.items()}


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status: 1 when nothing was measured yet."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost_model",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    found = measured()
    if not found["dbt_bytes"]:
        print("error: no results/peers_scale_<SCALE>.json to reckon from: `make bench` makes it", file=sys.stderr)
        return 1
    result = model(json.loads(PRICES.read_text()), found)
    OUTPUT.write_text(json.dumps(result, indent=1) + "\n")
    for month, by_engine in result["usd_a_month"].items():
        print(f"USD a month, {month:12}" + "".join(f"{scale:>10}x" for scale in SCALES))
        for name, values in by_engine.items():
            print(f"  {name:22}" + "".join(f"{values[f'{scale}']:11,.2f}" for scale in SCALES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
