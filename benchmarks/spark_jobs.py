"""`python -m benchmarks.spark_jobs --scale 100`: what the three heavy Spark jobs cost, beside their floor and their naive form.

Two parts, in one deployment of the benchmark's own; its input is `source.parquet`'s, kept in --bulk.

`jobs`: in one warm session, from the lake's mirrors of raw to the lake's results. Of each job three forms are timed in rotating order: the `floor` reads the
same columns and writes as many rows and columns without any work between; `ours` is the job's own function; `naive` is what one writes first (one window over
all rows; the last rate by a window over rates and rows together; periods by numbering islands). `ours` and `naive` must write the same rows.

`stage`: `spark-submit spark_jobs/heavy_steps.py` in a process of its own, raw to published tables: full, with nothing new, and after 1 % of the rows of each
table changed in raw. Wall seconds with the session's start, and the peak resident memory of the process with its JVM.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pyspark
from google.cloud import bigquery as google
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from airbyte.loaders import bulk, ecb_fx_rates
from benchmarks.deployment import RESULTS, Json, PeakMemory, deployment, machine, save, verdicts
from source import parquet as source_parquet
from spark_jobs import currency_normalization as rates
from spark_jobs.currency_normalization import convert_items, convert_orders, convert_payments, rate_calendar
from spark_jobs.lake import Lake
from spark_jobs.payment_dedup import deduplicate_all, event_key
from spark_jobs.seller_tier_scd2 import tier_periods
from spark_jobs.session import open_session
from spark_jobs.tables import (
    DELETED_AT,
    ECB_FX_RATES,
    EXTRACTED_AT,
    INT_ORDER_ITEMS_USD,
    INT_ORDERS_USD,
    INT_PAYMENTS_DEDUPLICATED,
    INT_PAYMENTS_USD,
    INT_SELLER_TIER_SCD2,
    ORDER_ITEMS,
    ORDERS,
    PAYMENTS,
    RAW_EXTRACTED_AT,
    SELLER_TIER_HISTORY,
    ResultTable,
    currency_code,
    is_live,
)
from stack import bigquery, emulator
from stack.settings import ROOT, Settings

FORMS = ("floor", "ours", "naive")
RAW = (PAYMENTS, ORDERS, ORDER_ITEMS, SELLER_TIER_HISTORY)
RESULTS_OF_STAGE = (
    INT_PAYMENTS_DEDUPLICATED,
    INT_ORDERS_USD,
    INT_ORDER_ITEMS_USD,
    INT_PAYMENTS_USD,
    INT_SELLER_TIER_SCD2,
)
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
    "changed_of_full": ("<=", 0.10),
}
# Each table's rows of which 1 % is written anew in raw: ids are random, so that their beginning chooses evenly.
ONE_PERCENT = "id < '028f5c28'"
CHANGES = {
    "payments": ("status = if(status = 'completed', 'refunded', status)", ONE_PERCENT),
    "orders": ("subtotal_amount = subtotal_amount + 1, total_amount = total_amount + 1", ONE_PERCENT),
    "order_items": ("total_price = total_price + 1", ONE_PERCENT),
    "seller_tier_history": ("tier = if(tier = 'gold', 'silver', 'gold')", "mod(id, 100) = 0"),
}


# What a form of a job makes of the lake's tables: {result: its rows}.
Form = Callable[[Lake], dict[str, DataFrame]]


# The floor: the same bytes in and out.


def _as_read(rows: DataFrame, result: ResultTable, **columns: str) -> DataFrame:
    """`rows` with a result's columns: those named from raw ones, the others of no content."""
    made = {name: columns.get(name, name if name in rows.columns else "null") for name in result.columns}
    return result.conform(rows.select(*(F.expr(made[name]).alias(name) for name in made)))


def dedup_floor(lake: Lake) -> dict[str, DataFrame]:
    """Payments, as events."""
    rows = lake.read(PAYMENTS.lake_name)
    first = {"first_seen_at": "event_timestamp", "last_seen_at": "event_timestamp", RAW_EXTRACTED_AT: EXTRACTED_AT}
    names = {"event_key": "event_id", "payment_id": "id", "duplicate_count": "0"}
    return {INT_PAYMENTS_DEDUPLICATED.name: _as_read(rows, INT_PAYMENTS_DEDUPLICATED, **names, **first)}


def rates_floor(lake: Lake) -> dict[str, DataFrame]:
    """Orders, items and payments, as if converted."""
    day = {"fx_rate_date": "to_date(created_at)", "fx_rate_usd": "1.2", "is_fx_missing": "false"}
    landed = {RAW_EXTRACTED_AT: EXTRACTED_AT}
    orders, items = lake.read(ORDERS.lake_name), lake.read(ORDER_ITEMS.lake_name)
    payments = lake.read(INT_PAYMENTS_DEDUPLICATED.lake_name)
    order_amounts = {
        f"{name}_amount_usd": f"{name}_amount" for name in ("subtotal", "shipping", "tax", "discount", "total")
    }
    payment_amounts = {f"{name}_usd": name for name in ("amount", "platform_fee", "seller_payout")}
    item_day = {
        "order_date": f"to_date({EXTRACTED_AT})",
        "fx_rate_date": f"to_date({EXTRACTED_AT})",
        "fx_rate_usd": "1.2",
    }
    return {
        INT_ORDERS_USD.name: _as_read(
            orders, INT_ORDERS_USD, order_id="id", order_date="to_date(created_at)", **day, **order_amounts, **landed
        ),
        INT_ORDER_ITEMS_USD.name: _as_read(
            items,
            INT_ORDER_ITEMS_USD,
            order_item_id="id",
            unit_price_usd="unit_price",
            total_price_usd="total_price",
            is_fx_missing="false",
            **item_day,
            **landed,
        ),
        INT_PAYMENTS_USD.name: _as_read(
            payments, INT_PAYMENTS_USD, payment_date="to_date(created_at)", **day, **payment_amounts
        ),
    }


def tiers_floor(lake: Lake) -> dict[str, DataFrame]:
    """Tier rows, as periods."""
    names = {
        "seller_id": "user_id",
        "previous_tier": "tier",
        "valid_from": "effective_from",
        "valid_to": "effective_to",
        "is_current": "effective_to is null",
        RAW_EXTRACTED_AT: EXTRACTED_AT,
    }
    return {
        INT_SELLER_TIER_SCD2.name: _as_read(lake.read(SELLER_TIER_HISTORY.lake_name), INT_SELLER_TIER_SCD2, **names)
    }


# Ours: the jobs' own functions.


def dedup_ours(lake: Lake) -> dict[str, DataFrame]:
    """The job's own function."""
    return {INT_PAYMENTS_DEDUPLICATED.name: deduplicate_all(lake.read(PAYMENTS.lake_name))}


def rates_ours(lake: Lake) -> dict[str, DataFrame]:
    """The job's own functions, over its broadcast calendar."""
    return _converted(lake, F.broadcast(rate_calendar(lake.read(ECB_FX_RATES.lake_name)).cache()))


def _converted(lake: Lake, calendar: DataFrame) -> dict[str, DataFrame]:
    orders, items = lake.read(ORDERS.lake_name), lake.read(ORDER_ITEMS.lake_name)
    return {
        INT_ORDERS_USD.name: convert_orders(orders, calendar),
        INT_ORDER_ITEMS_USD.name: convert_items(items, orders, calendar),
        INT_PAYMENTS_USD.name: convert_payments(lake.read(INT_PAYMENTS_DEDUPLICATED.lake_name), calendar),
    }


def tiers_ours(lake: Lake) -> dict[str, DataFrame]:
    """The job's own function."""
    return {INT_SELLER_TIER_SCD2.name: tier_periods(lake.read(SELLER_TIER_HISTORY.lake_name))}


# Naive: what one writes first.


def dedup_naive(lake: Lake) -> dict[str, DataFrame]:
    """One window over all rows."""
    event = Window.partitionBy("event_key")
    order = [F.asc_nulls_first(name) for name in ("event_timestamp", "created_at", "id")]
    whole = event.orderBy(*order).rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    rows = (
        lake.read(PAYMENTS.lake_name)
        .withColumn("event_key", event_key())
        .withColumn(RAW_EXTRACTED_AT, F.max(EXTRACTED_AT).over(event))
        .where(is_live())
        .withColumn("event_id", F.nullif(F.trim("event_id"), F.lit("")))
        .withColumn("currency", currency_code())
        .withColumn("last_seen_at", F.coalesce("event_timestamp", "created_at"))
        .withColumn("payment_id", F.first("id").over(whole))
        .withColumn("first_seen_at", F.first(F.coalesce("event_timestamp", "created_at")).over(whole))
        .withColumn("_first_created_at", F.first("created_at").over(whole))
        .withColumn("_last_id", F.last("id").over(whole))
        .withColumn("duplicate_count", F.count("*").over(whole) - 1)
        .where("id = _last_id")
        .withColumn("created_at", F.col("_first_created_at"))
    )
    return {INT_PAYMENTS_DEDUPLICATED.name: INT_PAYMENTS_DEDUPLICATED.conform(rows)}


def rates_naive(lake: Lake) -> dict[str, DataFrame]:
    """The last rate on or before a day by a window over rates and rows together, currency by currency."""
    calendar = rate_calendar(lake.read(ECB_FX_RATES.lake_name))
    business_days = calendar.where("day = fx_rate_date").select(
        "currency", F.col("day").alias("_day"), F.struct("fx_rate_date", "fx_rate_usd").alias("_rate")
    )

    def with_rate(rows: DataFrame, calendar: DataFrame, date_column: str) -> DataFrame:
        until = (
            Window.partitionBy("currency")
            .orderBy("_day", "_is_row")
            .rowsBetween(Window.unboundedPreceding, Window.currentRow)
        )
        found = (
            rows.withColumn("_day", F.col(date_column))
            .withColumn("_is_row", F.lit(True))
            .unionByName(business_days.withColumn("_is_row", F.lit(False)), allowMissingColumns=True)
            .withColumn("_last", F.last("_rate", ignorenulls=True).over(until))
            .where("_is_row")
        )
        is_fresh = F.datediff("_day", F.col("_last.fx_rate_date")) <= rates.OLDEST_RATE_DAYS
        rate = F.when(is_fresh, F.col("_last.fx_rate_usd"))
        return found.withColumns(
            {
                "fx_rate_date": F.when(is_fresh, F.col("_last.fx_rate_date")),
                "fx_rate_usd": F.when(F.col("currency") == "USD", F.lit(1).cast(rates.RATE)).otherwise(rate),
            }
        )

    # All else of the job stays as it is.
    with mock.patch.object(rates, "_with_rate", with_rate):
        return _converted(lake, calendar)


def tiers_naive(lake: Lake) -> dict[str, DataFrame]:
    """Islands of equal tiers: the difference of two row numbers, then a grouping, then windows over the periods."""
    history = lake.read(SELLER_TIER_HISTORY.lake_name)
    landed = history.groupBy("user_id").agg(F.max(EXTRACTED_AT).alias(RAW_EXTRACTED_AT))
    seller = Window.partitionBy("user_id").orderBy("effective_from")
    of_start = Window.partitionBy("user_id", "effective_from").orderBy(F.desc("created_at"), F.desc("id"))
    rows = (
        history.where(is_live())
        .withColumn("_rank", F.row_number().over(of_start))
        .where("_rank = 1")
        .withColumn("_ends_at", F.coalesce(F.lead("effective_from").over(seller), "effective_to"))
        .where("_ends_at is null or _ends_at > effective_from")
        .withColumn("_number", F.row_number().over(seller))
        .withColumn(
            "_island",
            F.col("_number") - F.row_number().over(Window.partitionBy("user_id", "tier").orderBy("effective_from")),
        )
    )
    ends = rows.groupBy("user_id").agg(F.max_by("_ends_at", "effective_from").alias("_last_end"))
    periods = (
        rows.groupBy("user_id", "tier", "_island")
        .agg(
            F.min("effective_from").alias("valid_from"),
            F.min_by("change_reason", "effective_from").alias("change_reason"),
        )
        .join(ends, on="user_id")
        .join(landed, on="user_id")
    )
    in_order = Window.partitionBy("user_id").orderBy("valid_from")
    periods = (
        periods.withColumn("previous_tier", F.lag("tier").over(in_order))
        .withColumn("valid_to", F.coalesce(F.lead("valid_from").over(in_order), "_last_end"))
        .withColumn("is_current", F.col("valid_to").isNull())
        .withColumn("seller_id", F.col("user_id"))
    )
    return {INT_SELLER_TIER_SCD2.name: INT_SELLER_TIER_SCD2.conform(periods)}


JOBS: dict[str, dict[str, Form]] = {
    "payment_dedup": {"floor": dedup_floor, "ours": dedup_ours, "naive": dedup_naive},
    "currency_normalization": {"floor": rates_floor, "ours": rates_ours, "naive": rates_naive},
    "seller_tier_scd2": {"floor": tiers_floor, "ours": tiers_ours, "naive": tiers_naive},
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
    """The heavy stage as the DAG runs it: full, with nothing new, and after a change of 1 %."""
    bq = bigquery.client(current)
    bigquery.create_datasets(bq, current.bigquery_location)
    bulk.load(bq, bulk_folder)
    ecb_fx_rates.load(bq)
    found = {"full": _submit(current)}
    before = _modified(bq)
    found["nothing_new"] = _submit(current)
    after = _modified(bq)
    found["nothing_new"]["wrote"] = [name for name in before if after[name] != before[name]]
    for table, (assignments, rows) in CHANGES.items():
        bigquery.query(bq, f"update raw.{table} set {assignments}, {EXTRACTED_AT} = current_timestamp() where {rows}")
    found["changed"] = _submit(current)
    return found


def _modified(bq: google.Client) -> Json:
    """{published table: when it was last written}."""
    return {table.name: bq.get_table(f"intermediate.{table.name}").modified for table in RESULTS_OF_STAGE}


def _submit(current: Settings) -> Json:
    """Run the stage. Returns wall seconds, peak memory and the job's own numbers; exits with its output when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder) / "metrics.json"
        command = [str(Path(sys.executable).with_name("spark-submit")), "--driver-memory", current.spark_driver_memory]
        command += ["--driver-java-options", current.spark_driver_java_options]
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, str(ROOT / "spark_jobs" / "heavy_steps.py"), "--metrics", str(metrics)],
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
        made["stage_seconds"] = stage["full"]["seconds"]
        made["stage_peak_megabytes"] = max(run["peak_megabytes"] for run in stage.values())
        made["changed_of_full"] = round(stage["changed"]["seconds"] / stage["full"]["seconds"], 3)
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
    measured = figures(found)
    targets = verdicts(measured, TARGETS)
    save(
        {"scale": chosen.scale, "machine": about, "figures": measured, "targets": targets} | found,
        RESULTS / f"spark_jobs_scale_{chosen.scale:g}.json",
    )
    for name, value in measured.items():
        print(f"{name:44} {value:10,.2f}   {targets.get(name, '')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
