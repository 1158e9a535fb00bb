"""Seller tiers as periods (slowly changing dimension, type 2): raw.seller_tier_history -> intermediate.int_seller_tier_scd2."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # spark-submit runs this file by its path: imports start at the repository, not in this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.command import main
from spark_jobs.incremental import Run
from spark_jobs.tables import EXTRACTED_AT, INT_SELLER_TIER_SCD2, RAW_EXTRACTED_AT, SELLER_TIER_HISTORY, is_live


def tier_periods(history: DataFrame) -> DataFrame:
    """One row per seller and tier period, without gaps or overlaps.

    Args:
        history: raw tier rows, deleted ones too (`tables.SELLER_TIER_HISTORY`): every row of each seller that is in.

    Returns:
        `tables.INT_SELLER_TIER_SCD2`.
    """
    # One order for all windows: rows are shuffled and sorted once.
    in_order = Window.partitionBy("user_id").orderBy("effective_from", F.desc("created_at"), F.desc("id"))
    whole = in_order.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    before = in_order.rowsBetween(Window.unboundedPreceding, -1)
    start, last = F.struct("effective_from"), F.col("_last_row")
    rows = (
        history.withColumns(
            {
                RAW_EXTRACTED_AT: F.max(EXTRACTED_AT).over(whole),
                "_live_start_before": F.last(F.when(is_live(), start), ignorenulls=True).over(before),
            }
        )
        # Of rows that begin at the same time only the last counts; one without a beginning waits in quarantine.
        .where(is_live() & F.col("effective_from").isNotNull() & ~F.col("_live_start_before").eqNullSafe(start))
        # A row ends where the next begins; only the last one has an end of its own.
        .withColumns(
            {
                "_next_from": F.lead("effective_from").over(in_order),
                "_last_row": F.last(F.struct("effective_from", "effective_to")).over(whole),
            }
        )
        .withColumn("_ends_at", F.coalesce("_next_from", "effective_to"))
        # After it has ended the row before, a last row that was closed at or before its own start is no period.
        .where(F.col("_ends_at").isNull() | (F.col("_ends_at") > F.col("effective_from")))
        .withColumn(
            "_last_ends_at",
            F.greatest(last["effective_to"], F.when(last["effective_to"].isNotNull(), last["effective_from"])),
        )
        .withColumn("_tier_before", F.lag(F.struct("tier")).over(in_order))
    )
    periods = (
        rows.where(F.col("_tier_before").isNull() | ~F.col("_tier_before.tier").eqNullSafe(F.col("tier")))
        .withColumn("previous_tier", F.col("_tier_before.tier"))
        .withColumn("valid_to", F.coalesce(F.lead("effective_from").over(in_order), "_last_ends_at"))
        .withColumn("is_current", F.col("valid_to").isNull())
        .withColumns({"seller_id": F.col("user_id"), "valid_from": F.col("effective_from")})
    )
    return INT_SELLER_TIER_SCD2.conform(periods)


def update(run: Run) -> None:
    """Bring intermediate.int_seller_tier_scd2 up to raw.seller_tier_history."""
    job = run.job("seller_tier_scd2")
    job.refresh(SELLER_TIER_HISTORY)
    history = job.read(SELLER_TIER_HISTORY.lake_name).withColumn("seller_id", F.col("user_id"))
    scope = job.scope(
        INT_SELLER_TIER_SCD2,
        {SELLER_TIER_HISTORY.lake_name: lambda changes: changes.select(F.col("user_id").alias("seller_id"))},
    )
    job.store(INT_SELLER_TIER_SCD2, lambda: tier_periods(scope.of(history)), scope)
    job.publish(INT_SELLER_TIER_SCD2, watermark_of=SELLER_TIER_HISTORY)
    job.complete()


if __name__ == "__main__":
    sys.exit(main("seller_tier_scd2", __doc__, [update]))
