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

# The total order of an event's rows: by when each was seen. Structs compare field by field, nulls first, and `id` ends every tie.
EVENT_ORDER = ("_seen_at", "created_at", "id")

# A verdict takes some 200 bytes in each executor's memory.
MAX_VERDICTS = 1_000_000


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
    row = F.when(is_live(), F.struct(*_order(), *(_state(name) for name in _STATE)))
    events = (
        payments.groupBy(event_key().alias("event_key"))
        .agg(
            F.min(row).alias("_first"),
            F.max(row).alias("_last"),
            F.count(row).alias("_rows"),
            F.max(EXTRACTED_AT).alias(RAW_EXTRACTED_AT),
        )
        .where("_rows > 0")
        .select(
            "*",
            *(F.col("_last")[name].alias(name) for name in _STATE),
            F.col("_first")["id"].alias("payment_id"),
            F.col("_first")["created_at"].alias("created_at"),
            (F.col("_rows") - 1).alias("duplicate_count"),
            F.col("_first")["_seen_at"].alias("first_seen_at"),
            F.col("_last")["_seen_at"].alias("last_seen_at"),
        )
    )
    return INT_PAYMENTS_DEDUPLICATED.conform(events)


def deduplicate_all(payments: DataFrame, max_verdicts: int = MAX_VERDICTS) -> DataFrame:
    """The same as `deduplicate`, faster for a whole table of which few events are replayed; counts those at once.

    Wide rows are neither shuffled nor sorted: narrow passes find the replayed events and a verdict on each (its last row, and what it takes from the first),
    which is broadcast to one scan of all rows. More than `max_verdicts` replayed events are too many for that: then every row is grouped.
    """
    # By hash, which is small: a collision only makes a verdict on an event that is alone.
    hashed = F.xxhash64(event_key()).alias("_hash")
    repeated = payments.groupBy(hashed).count().where("count > 1").select("_hash").cache()
    if repeated.count() > max_verdicts:
        return deduplicate(payments)
    order = F.when(is_live(), F.struct(*_order()))
    verdicts = (
        payments.withColumn("_hash", hashed)
        .join(F.broadcast(repeated), on="_hash", how="left_semi")
        .groupBy(event_key().alias("event_key"))
        .agg(
            F.min(order).alias("_first"),
            F.max(order).alias("_last"),
            F.count(order).alias("_rows"),
            F.max(EXTRACTED_AT).alias("_landed_at"),
        )
        .select(
            "event_key",
            F.struct("_first", F.col("_last")["id"].alias("last_id"), "_rows", "_landed_at").alias("_verdict"),
        )
    )
    verdict, is_alone = F.col("_verdict"), F.col("_verdict").isNull()
    first = verdict["_first"]
    events = (
        payments.withColumn("event_key", event_key())
        .join(F.broadcast(verdicts), on="event_key", how="left")
        .where(F.when(is_alone, is_live()).otherwise(F.col("id") == verdict["last_id"]))
        .select(
            "event_key",
            *(_state(name) for name in _STATE),
            F.when(is_alone, F.col("id")).otherwise(first["id"]).alias("payment_id"),
            F.when(is_alone, F.col("created_at")).otherwise(first["created_at"]).alias("created_at"),
            F.coalesce(verdict["_rows"] - 1, F.lit(0)).alias("duplicate_count"),
            F.when(is_alone, _seen_at()).otherwise(first["_seen_at"]).alias("first_seen_at"),
            _seen_at().alias("last_seen_at"),
            F.coalesce(verdict["_landed_at"], F.col(EXTRACTED_AT)).alias(RAW_EXTRACTED_AT),
        )
    )
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


def _seen_at() -> Column:
    """When a row was seen: when its event happened, or, where the provider does not say, when the row was made."""
    return F.coalesce("event_timestamp", "created_at")


def _order() -> list[Column]:
    """A row's EVENT_ORDER."""
    return [_seen_at().alias("_seen_at"), *(F.col(name) for name in EVENT_ORDER[1:])]


def update(run: Run) -> None:
    """Bring intermediate.int_payments_deduplicated up to raw.payments."""
    job = run.job("payment_dedup")
    job.refresh(PAYMENTS)
    payments = job.read(PAYMENTS.lake_name).withColumn("event_key", event_key())
    scope = job.scope(
        INT_PAYMENTS_DEDUPLICATED, {PAYMENTS.lake_name: lambda changes: changes.select(event_key().alias("event_key"))}
    )

    def events() -> DataFrame:
        return deduplicate_all(payments) if scope.everything else deduplicate(scope.of(payments))

    job.store(INT_PAYMENTS_DEDUPLICATED, events, scope)
    job.publish(INT_PAYMENTS_DEDUPLICATED, watermark_of=PAYMENTS)
    job.complete()


if __name__ == "__main__":
    sys.exit(main("payment_dedup", __doc__, [update]))
