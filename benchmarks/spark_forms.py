"""The three heavy jobs as DataFrames, in three forms each: `floor`, `ours` and `naive`. What they are timed by is not in here.

The floor reads the same columns and writes as many rows and columns without any work between; ours is the jobs' own functions; the naive form is what one
writes first (one window over all rows; the last rate by a window over rates and rows together; periods by numbering islands). Ours and the naive form write
the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from unittest import mock

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs import currency_normalization as rates
from spark_jobs.currency_normalization import convert_items, convert_orders, convert_payments, rate_calendar
from spark_jobs.payment_dedup import deduplicate_all, event_key
from spark_jobs.seller_tier_scd2 import tier_periods
from spark_jobs.tables import (
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

FORMS = ("floor", "ours", "naive")


class Tables(Protocol):
    """Where a form reads: the lake, or anything else that knows its tables by the lake's names."""

    def read(self, name: str) -> DataFrame:
        """A table's rows."""
        ...


# What a form of a job makes of the tables: {result: its rows}.
Form = Callable[[Tables], dict[str, DataFrame]]


# The floor: the same bytes in and out.


def _as_read(rows: DataFrame, result: ResultTable, **columns: str) -> DataFrame:
    """`rows` with a result's columns: those named from raw ones, the others of no content."""
    made = {name: columns.get(name, name if name in rows.columns else "null") for name in result.columns}
    return result.conform(rows.select(*(F.expr(made[name]).alias(name) for name in made)))


def dedup_floor(tables: Tables) -> dict[str, DataFrame]:
    """Payments, as events."""
    rows = tables.read(PAYMENTS.lake_name)
    first = {"first_seen_at": "event_timestamp", "last_seen_at": "event_timestamp", RAW_EXTRACTED_AT: EXTRACTED_AT}
    names = {"event_key": "event_id", "payment_id": "id", "duplicate_count": "0"}
    return {INT_PAYMENTS_DEDUPLICATED.name: _as_read(rows, INT_PAYMENTS_DEDUPLICATED, **names, **first)}


def rates_floor(tables: Tables) -> dict[str, DataFrame]:
    """Orders, items and payments, as if converted."""
    day = {"fx_rate_date": "to_date(created_at)", "fx_rate_usd": "1.2", "is_fx_missing": "false"}
    landed = {RAW_EXTRACTED_AT: EXTRACTED_AT}
    orders, items = tables.read(ORDERS.lake_name), tables.read(ORDER_ITEMS.lake_name)
    payments = tables.read(INT_PAYMENTS_DEDUPLICATED.lake_name)
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


def tiers_floor(tables: Tables) -> dict[str, DataFrame]:
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
        INT_SELLER_TIER_SCD2.name: _as_read(tables.read(SELLER_TIER_HISTORY.lake_name), INT_SELLER_TIER_SCD2, **names)
    }


# Ours: the jobs' own functions.


def dedup_ours(tables: Tables) -> dict[str, DataFrame]:
    """The job's own function."""
    return {INT_PAYMENTS_DEDUPLICATED.name: deduplicate_all(tables.read(PAYMENTS.lake_name))}


def rates_ours(tables: Tables) -> dict[str, DataFrame]:
    """The job's own functions, over its broadcast calendar."""
    return _converted(tables, F.broadcast(rate_calendar(tables.read(ECB_FX_RATES.lake_name)).cache()))


def _converted(tables: Tables, calendar: DataFrame) -> dict[str, DataFrame]:
    orders, items = tables.read(ORDERS.lake_name), tables.read(ORDER_ITEMS.lake_name)
    return {
        INT_ORDERS_USD.name: convert_orders(orders, calendar),
        INT_ORDER_ITEMS_USD.name: convert_items(items, orders, calendar),
        INT_PAYMENTS_USD.name: convert_payments(tables.read(INT_PAYMENTS_DEDUPLICATED.lake_name), calendar),
    }


def tiers_ours(tables: Tables) -> dict[str, DataFrame]:
    """The job's own function."""
    return {INT_SELLER_TIER_SCD2.name: tier_periods(tables.read(SELLER_TIER_HISTORY.lake_name))}


# Naive: what one writes first.


def dedup_naive(tables: Tables) -> dict[str, DataFrame]:
    """One window over all rows."""
    event = Window.partitionBy("event_key")
    order = [F.asc_nulls_first(name) for name in ("last_seen_at", "created_at", "id")]
    whole = event.orderBy(*order).rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    rows = (
        tables.read(PAYMENTS.lake_name)
        .withColumn("event_key", event_key())
        .withColumn(RAW_EXTRACTED_AT, F.max(EXTRACTED_AT).over(event))
        .where(is_live())
        .withColumn("event_id", F.nullif(F.trim("event_id"), F.lit("")))
        .withColumn("currency", currency_code())
        .withColumn("last_seen_at", F.coalesce("event_timestamp", "created_at"))
        .withColumn("payment_id", F.first("id").over(whole))
        .withColumn("first_seen_at", F.first("last_seen_at").over(whole))
        .withColumn("_first_created_at", F.first("created_at").over(whole))
        .withColumn("_last_id", F.last("id").over(whole))
        .withColumn("duplicate_count", F.count("*").over(whole) - 1)
        .where("id = _last_id")
        .withColumn("created_at", F.col("_first_created_at"))
    )
    return {INT_PAYMENTS_DEDUPLICATED.name: INT_PAYMENTS_DEDUPLICATED.conform(rows)}


def rates_naive(tables: Tables) -> dict[str, DataFrame]:
    """The last rate on or before a day by a window over rates and rows together, currency by currency."""
    calendar = rate_calendar(tables.read(ECB_FX_RATES.lake_name))
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
        return _converted(tables, calendar)


def tiers_naive(tables: Tables) -> dict[str, DataFrame]:
    """Islands of equal tiers: the difference of two row numbers, then a grouping, then windows over the periods."""
    history = tables.read(SELLER_TIER_HISTORY.lake_name)
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
