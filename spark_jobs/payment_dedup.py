"""Replayed payment webhooks made one row per payment event: raw.payments -> intermediate.int_payments_deduplicated."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # spark-submit runs this file by its path: imports start at the repository, not in this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.command import main
from spark_jobs.incremental import Run
from spark_jobs.tables import (
    EXTRACTED_AT,
    INT_PAYMENTS_DEDUPLICATED,
    PAYMENTS,
    RAW_EXTRACTED_AT,
    currency_code,
    is_live,
)

# The total order of an event's rows. Structs compare field by field, nulls first, and `id` ends every tie.
EVENT_ORDER = ("event_timestamp", "created_at", "id")


def event_key() -> Column:
    """The payment event that a raw payment belongs to; one without an event id is its own event."""
    return F.coalesce(_event_id(), F.concat(F.lit("payment:"), F.col("id")))


def deduplicate(payments: DataFrame) -> DataFrame:
    """One row per payment event that has a live row.

    Args:
        payments: raw payments, deleted ones too (`tables.PAYMENTS`): every row of each event that is in.

    Returns:
        `tables.INT_PAYMENTS_DEDUPLICATED`: the first row's identity, the last row's state, first and last by EVENT_ORDER.
    """
    # Two phases, as few events are replayed: only rows whose event is in twice take the costly grouping of wide rows.
    # Events are counted by hash, which keeps the broadcast small; a collision only sends two more rows to the grouping.
    keyed = payments.select(
        event_key().alias("event_key"),
        F.xxhash64(event_key()).alias("_hash"),
        is_live().alias("_is_live"),
        F.col(EXTRACTED_AT).alias(RAW_EXTRACTED_AT),
        F.struct(*EVENT_ORDER, *(_state(name) for name in _STATE)).alias("_row"),
    )
    repeated = F.broadcast(keyed.groupBy("_hash").count().where("count > 1").select("_hash"))
    alone = (
        keyed.join(repeated, on="_hash", how="left_anti")
        .where("_is_live")
        .select("event_key", _event(F.col("_row"), F.col("_row"), F.lit(1)).alias("_event"), RAW_EXTRACTED_AT)
    )
    live_row = F.when(F.col("_is_live"), F.col("_row"))
    replayed = (
        keyed.join(repeated, on="_hash", how="left_semi")
        .groupBy("event_key")
        .agg(
            F.min(live_row).alias("_first"),
            F.max(live_row).alias("_last"),
            F.count(live_row).alias("_rows"),
            F.max(RAW_EXTRACTED_AT).alias(RAW_EXTRACTED_AT),
        )
        .where("_rows > 0")
        .select(
            "event_key",
            _event(F.col("_first"), F.col("_last"), F.col("_rows")).alias("_event"),
            RAW_EXTRACTED_AT,
        )
    )
    events = alone.unionByName(replayed).select("event_key", "_event.*", RAW_EXTRACTED_AT)
    return INT_PAYMENTS_DEDUPLICATED.conform(events)


_STATE = (
    "event_id",
    "order_id",
    "payment_provider",
    "status",
    "amount",
    "currency",
    "platform_fee",
    "seller_payout",
    "processed_at",
)


def _event_id() -> Column:
    return F.nullif(F.trim("event_id"), F.lit(""))


def _state(name: str) -> Column:
    normalized = {"event_id": _event_id().alias("event_id"), "currency": currency_code()}
    return normalized.get(name, F.col(name))


def _event(first: Column, last: Column, rows: Column) -> Column:
    """The event's columns from its first and last live row (structs of EVENT_ORDER and state) and their number."""
    return F.struct(
        first["id"].alias("payment_id"),
        first["created_at"].alias("created_at"),
        *(last[name].alias(name) for name in _STATE),
        (rows - 1).cast("bigint").alias("duplicate_count"),
        F.coalesce(first["event_timestamp"], first["created_at"]).alias("first_seen_at"),
        F.coalesce(last["event_timestamp"], last["created_at"]).alias("last_seen_at"),
    )


def update(run: Run) -> None:
    """Bring intermediate.int_payments_deduplicated up to raw.payments."""
    job = run.job("payment_dedup")
    job.refresh(PAYMENTS)
    payments = job.read(PAYMENTS.lake_name).withColumn("event_key", event_key())
    scope = job.scope(
        INT_PAYMENTS_DEDUPLICATED, {PAYMENTS.lake_name: lambda changes: changes.select(event_key().alias("event_key"))}
    )
    job.store(INT_PAYMENTS_DEDUPLICATED, deduplicate(scope.of(payments)), scope)
    job.publish(INT_PAYMENTS_DEDUPLICATED, watermark_of=PAYMENTS)
    job.complete()


if __name__ == "__main__":
    sys.exit(main("payment_dedup", __doc__, [update]))
