"""`python -m benchmarks.spark_jobs --scale 100`: what the three heavy Spark jobs cost, beside their floor and their naive form.

Two parts, in one deployment of the benchmark's own; its input is `source.parquet`'s, kept in --bulk.

`jobs`: in one warm session, from the lake's mirrors of raw to the lake's results. Of each job three forms are timed in rotating order: the `floor` reads the
same columns and writes as many rows and columns without any work between; `ours` is the job's own function; `naive` is what one writes first (one window over
all rows; the last rate by a window over rates and rows together; periods by numbering islands). `ours` and `naive` must write the same rows.

`stage`: `spark-submit spark_jobs/heavy_steps.py` in a process of its own, raw to published tables: full, into an empty lake; with nothing new; after 1 % of the
rows of each table changed in raw, the newest ones (`recent`, as a day's business does) or any (`scattered`, the worst case: there is one in every file). Wall
seconds with the session's start, and the peak resident memory of the process with its JVM. After each, `dbt run` of the heavy models, a process of its own too,
brings tables beside the published ones to the same state of raw; every row of both is compared, and a difference ends the benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyspark
from google.cloud import bigquery as google
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from airbyte.deletion_sweep import ensure_deleted_at
from airbyte.loaders import bulk, ecb_fx_rates
from benchmarks.deployment import RESULTS, Json, PeakMemory, deployment, machine, report, save, verdicts
from benchmarks.spark_forms import FORMS, JOBS
from source import parquet as source_parquet
from spark_jobs.lake import Lake
from spark_jobs.payment_dedup import deduplicate_all
from spark_jobs.session import open_session
from spark_jobs.tables import (
    DELETED_AT,
    ECB_FX_RATES,
    EXTRACTED_AT,
    INT_PAYMENTS_DEDUPLICATED,
    ORDER_ITEMS,
    ORDERS,
    PAYMENTS,
    SELLER_TIER_HISTORY,
)
from stack import bigquery, emulator, parity_audit
from stack.settings import ROOT, Settings

RAW = (PAYMENTS, ORDERS, ORDER_ITEMS, SELLER_TIER_HISTORY)
# What is aimed at: (comparison, value).
TARGETS = {
    "payment_dedup_over_floor": ("<=", 1.6),
    "currency_normalization_over_floor": ("<=", 1.3),
    "seller_tier_scd2_over_floor": ("<=", 2.5),
    "payment_dedup_naive_over_ours": (">=", 1.3),
    "currency_normalization_naive_over_ours": (">=", 1.3),
    "seller_tier_scd2_naive_over_ours": (">=", 1.3),
    "stage_seconds": ("<=", 300.0),
    "stage_peak_megabytes": ("<=", 6144.0),
    "recent_of_full": ("<=", 0.10),
    "scattered_of_full": ("<=", 0.10),
}
# What becomes of the 1 % of each table's rows that is written anew in raw.
CHANGES = {
    "payments": "status = if(status = 'completed', 'refunded', status)",
    "orders": "subtotal_amount = subtotal_amount + 1, total_amount = total_amount + 1",
    "order_items": "total_price = total_price + 1",
    "seller_tier_history": "tier = if(tier = 'gold', 'silver', 'gold')",
}
NEWEST = "created_at >= (select approx_quantiles(created_at, 100)[offset(99)] from raw.{})"
# Which rows these are. Ids are random, so that their beginning chooses evenly.
WHICH = {
    "recent": {
        "payments": NEWEST.format("payments"),
        "orders": NEWEST.format("orders"),
        "order_items": f"order_id in (select id from raw.orders where {NEWEST.format('orders')})",
        "seller_tier_history": NEWEST.format("seller_tier_history"),
    },
    "scattered": {
        "payments": "id < '028f5c28'",
        "orders": "id < '028f5c28'",
        "order_items": "id < '028f5c28'",
        "seller_tier_history": "mod(id, 100) = 0",
    },
}


def mirror(spark: SparkSession, lake: Lake, bulk_folder: Path) -> None:
    """The lake's mirrors of raw, from the Parquet files that raw would be loaded from, and of the ECB's rates."""
    for table in RAW:
        rows = spark.read.parquet(str(bulk_folder / table.name)).withColumn(DELETED_AT, F.lit(None))
        lake.overwrite(table.lake_name, table.conform(rows))
    quotes = spark.createDataFrame(
        list(ecb_fx_rates.published()), "rate_date date, currency string, units_per_eur decimal(38,9)"
    )
    lake.overwrite(ECB_FX_RATES.lake_name, ECB_FX_RATES.conform(quotes.withColumn(EXTRACTED_AT, F.lit(None))))


def checksum(lake: Lake, name: str) -> str:
    """Rows and a sum of their hashes: the same for the same rows in any order."""
    rows = lake.read(name)
    hashed = F.sum(F.xxhash64(*rows.columns).cast("decimal(38,0)"))
    count, total = rows.agg(F.count("*"), hashed).collect()[0]
    return f"{count} rows, {total}"


def measure_jobs(current: Settings, bulk_folder: Path, repeat: int) -> Json:
    """Seconds of every form of every job, and that ours and the naive one write the same rows. Raises RuntimeError when they do not."""
    spark = open_session(current, "benchmark")
    try:
        with Lake(spark, current.lake_uri) as lake:
            mirror(spark, lake, bulk_folder)
            # What the rates are put on, whichever form is timed.
            lake.overwrite(INT_PAYMENTS_DEDUPLICATED.lake_name, deduplicate_all(lake.read(PAYMENTS.lake_name)))
            return {job: _measure(spark, lake, job, repeat) for job in JOBS}
    finally:
        spark.stop()


def _measure(spark: SparkSession, lake: Lake, job: str, repeat: int) -> Json:
    seconds: dict[str, list[float]] = {form: [] for form in FORMS}
    sums: dict[str, dict[str, str]] = {}
    for number in range(repeat):
        for form in FORMS[number % len(FORMS) :] + FORMS[: number % len(FORMS)]:
            began = time.monotonic()
            tables = JOBS[job][form](lake)
            for name, rows in tables.items():
                lake.overwrite(f"benchmark/{form}/{name}", rows)
            seconds[form].append(round(time.monotonic() - began, 2))
            spark.catalog.clearCache()
            print(f"{job:24} {form:6} {seconds[form][-1]:8.1f} s", flush=True)
            if number == 0:
                sums[form] = {name: checksum(lake, f"benchmark/{form}/{name}") for name in tables}
    if sums["ours"] != sums["naive"]:
        raise RuntimeError(f"{job}: ours and the naive form differ: {sums}")
    return {"seconds": seconds, "checksums": sums["ours"]}


def measure_stage(current: Settings, bulk_folder: Path) -> Json:
    """The heavy stage as the DAG runs it: full, with nothing new, and after changes of 1 %; by Spark, and by dbt beside."""
    # What the part before left would be half of the work.
    shutil.rmtree(current.local_dir / "lake", ignore_errors=True)
    bq = bigquery.client(current)
    bigquery.create_datasets(bq, current.bigquery_location)
    bulk.load(bq, bulk_folder)
    ecb_fx_rates.load(bq)
    ensure_deleted_at(bq)
    # What comes before the heavy models in a run of the DAG.
    _dbt(current, "seed")
    _dbt(current, "run", "--select", "path:models/staging", "int_fx_rates_daily")
    found = {"full": _by_both(current)}
    before = _modified(bq)
    found["nothing_new"] = _by_both(current)
    after = _modified(bq)
    found["nothing_new"]["wrote"] = [name for name in before if after[name] != before[name]]
    for kind, rows in WHICH.items():
        for table, assignments in CHANGES.items():
            sql = f"update raw.{table} set {assignments}, {EXTRACTED_AT} = current_timestamp() where {rows[table]}"
            bigquery.query(bq, sql)
        found[kind] = _by_both(current)
    return found


def _by_both(current: Settings) -> Json:
    """The stage by Spark, then by dbt in datasets of its own, and how many rows were compared. Exits when they differ."""
    found = _submit(current)
    found["dbt_seconds"] = _dbt(current, "run", "--selector", "heavy")
    compared = parity_audit.compare(current, spark_dataset="intermediate")
    if differing := [each for each in compared if not each.is_equal]:
        sys.exit(f"error: Spark and dbt differ: {differing}")
    found["rows_compared"] = sum(each.dbt_rows for each in compared)
    print(f"{'the same by dbt':24} {found['dbt_seconds']:8.1f} s, {found['rows_compared']:,} equal rows", flush=True)
    return found


def _dbt(current: Settings, *arguments: str) -> float:
    """Seconds of a dbt command on the models in the parity audit's datasets; exits with its output when it fails."""
    project, folder = ROOT / "dbt", current.local_dir / "dbt-beside"
    command = [str(Path(sys.executable).with_name("dbt")), *arguments, "--project-dir", str(project)]
    command += ["--profiles-dir", str(project), "--target-path", str(folder / "target"), "--log-path", str(folder)]
    command += ["--vars", json.dumps({"dataset_prefix": parity_audit.PREFIX})]
    began = time.monotonic()
    done = subprocess.run(command, env=os.environ | current.environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: dbt {arguments[0]} failed:\n{done.stdout[-3000:]}")
    return round(time.monotonic() - began, 1)


def _modified(bq: google.Client) -> Json:
    """{published table: when it was last written}."""
    return {name: bq.get_table(f"intermediate.{name}").modified for name in parity_audit.HEAVY_TABLES}


def heavy_steps_command(current: Settings) -> list[str]:
    """spark-submit of the three jobs in one session, with the options of the DAG's task."""
    command = [str(Path(sys.executable).with_name("spark-submit")), "--driver-memory", current.spark_driver_memory]
    command += ["--driver-java-options", current.spark_driver_java_options]
    return [*command, str(ROOT / "spark_jobs" / "heavy_steps.py")]


def _submit(current: Settings) -> Json:
    """Run the stage. Returns wall seconds, peak memory and the job's own numbers; exits with its output when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder) / "metrics.json"
        began = time.monotonic()
        process = subprocess.Popen(
            [*heavy_steps_command(current), "--metrics", str(metrics)],
            # spark-submit looks for Spark beside this Python.
            env=os.environ | {"PYSPARK_PYTHON": sys.executable},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with PeakMemory(process.pid) as memory:
            output = process.communicate()[0]
        seconds = time.monotonic() - began
        if process.returncode:
            sys.exit(f"error: heavy_steps failed:\n{output[-3000:]}")
        said = json.loads(metrics.read_text())
    print(f"{'heavy stage':24} {seconds:8.1f} s, {memory.megabytes:,} MB", flush=True)
    return {"seconds": round(seconds, 1), "peak_megabytes": memory.megabytes, "tables": said["tables"]}


def figures(found: Json) -> Json:
    """Medians, and the ratios that the targets are about: ratios within a repetition, then their median."""
    made: Json = {}
    for name, case in found.get("jobs", {}).items():
        floor, ours, naive = (case["seconds"][form] for form in FORMS)
        made |= {f"{name}_{form}_seconds": statistics.median(case["seconds"][form]) for form in FORMS}
        made[f"{name}_over_floor"] = round(statistics.median(a / b for a, b in zip(ours, floor, strict=True)), 2)
        made[f"{name}_naive_over_ours"] = round(statistics.median(a / b for a, b in zip(naive, ours, strict=True)), 2)
    if stage := found.get("stage"):
        made |= {f"{name}_seconds": run["seconds"] for name, run in stage.items() if name != "full"}
        made |= {f"dbt_{name}_seconds": run["dbt_seconds"] for name, run in stage.items() if "dbt_seconds" in run}
        made["stage_seconds"] = stage["full"]["seconds"]
        made["stage_peak_megabytes"] = max(run["peak_megabytes"] for run in stage.values())
        for kind in WHICH:
            made[f"{kind}_of_full"] = round(stage[kind]["seconds"] / stage["full"]["seconds"], 3)
    return made


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.spark_jobs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scale", type=float, default=1.0, help="scale factor (default 1; 100 is 40 million rows)")
    parser.add_argument("--repeat", type=int, default=3, help="how often each form is timed (default 3)")
    parser.add_argument("--parts", nargs="+", choices=("jobs", "stage"), default=["jobs", "stage"])
    parser.add_argument("--bulk", type=Path, help="the input's folder (default: .local/bulk/scale-<scale>)")
    chosen = parser.parse_args(arguments)
    folder = (chosen.bulk or ROOT / ".local" / "bulk" / f"scale-{chosen.scale:g}").resolve()
    if source_parquet.main([str(folder), "--scale", str(chosen.scale)]):
        return 1
    found: Json = {}
    with deployment([emulator] if "stage" in chosen.parts else []) as current:
        if "jobs" in chosen.parts:
            found["jobs"] = measure_jobs(current, folder, chosen.repeat)
        if "stage" in chosen.parts:
            found["stage"] = measure_stage(current, folder)
        about = machine() | {"spark": pyspark.__version__, "driver_memory": current.spark_driver_memory}
    # A part that was not measured now stays as it was, with its own date.
    path = RESULTS / f"spark_jobs_scale_{chosen.scale:g}.json"
    kept = json.loads(path.read_text()) if path.exists() else {"machines": {}}
    found = {part: kept[part] for part in ("jobs", "stage") if part in kept} | found
    machines = kept["machines"] | dict.fromkeys(chosen.parts, about)
    measured = figures(found)
    targets = verdicts(measured, TARGETS)
    save({"scale": chosen.scale, "machines": machines, "figures": measured, "targets": targets} | found, path)
    report(measured, targets)
    return 0


if __name__ == "__main__":
    sys.exit(main())
