"""Orders, order items and payments in US dollars at the ECB's rates: raw -> intermediate.int_{orders,order_items,payments}_usd."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # spark-submit runs this file by its path: imports start at the repository, not in this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.command import main
from spark_jobs.errors import JobError
from spark_jobs.incremental import Job, Run, Touched, counted
from spark_jobs.tables import (
    ECB_FX_RATES,
    EXTRACTED_AT,
    INT_ORDER_ITEMS_USD,
    INT_ORDERS_USD,
    INT_PAYMENTS_DEDUPLICATED,
    INT_PAYMENTS_USD,
    ORDER_ITEMS,
    ORDERS,
    PAYMENTS,
    RAW_EXTRACTED_AT,
    SPARK_TYPES,
    ResultTable,
    currency_code,
    is_live,
)

# A rate holds until the next business day's, but no longer than this.
OLDEST_RATE_DAYS = 7

# Bounded operands: Spark would take digits off the product of two DECIMAL(38,9).
AMOUNT = SPARK_TYPES["NUMERIC(18,2)"]
RATE = SPARK_TYPES["NUMERIC(18,9)"]


def rate_calendar(rates: DataFrame) -> DataFrame:
    """The rate of each currency on each calendar day that has one.

    Args:
        rates: the ECB's daily rates (`tables.ECB_FX_RATES`), units of a currency per EUR, business days only.

    Returns:
        currency STRING, day DATE, fx_rate_date DATE (the business day), fx_rate_usd DECIMAL(18,9) (USD per unit).
    """
    quotes = rates.where("units_per_eur > 0 and currency <> 'EUR'").select(
        currency_code(), F.col("rate_date").alias("fx_rate_date"), F.col("units_per_eur").cast(RATE).alias("_units")
    )
    dollars = quotes.where("currency = 'USD'").select("fx_rate_date", F.col("_units").alias("_dollars"))
    euros = dollars.select(
        F.lit("EUR").alias("currency"), "fx_rate_date", F.lit(1).cast(RATE).alias("_units"), "_dollars"
    )
    on_business_days = (
        quotes.join(dollars, on="fx_rate_date", how="inner")
        .unionByName(euros)
        .select(
            "currency", "fx_rate_date", F.round(F.col("_dollars") / F.col("_units"), 9).cast(RATE).alias("fx_rate_usd")
        )
    )
    next_quote = F.lead("fx_rate_date").over(Window.partitionBy("currency").orderBy("fx_rate_date"))
    last_day = F.least(F.date_sub(next_quote, 1), F.date_add("fx_rate_date", OLDEST_RATE_DAYS))
    return (
        on_business_days.withColumn("_last_day", last_day)
        .withColumn("day", F.explode(F.sequence("fx_rate_date", "_last_day")))
        .select("currency", "day", "fx_rate_date", "fx_rate_usd")
    )


def convert_orders(orders: DataFrame, calendar: DataFrame) -> DataFrame:
    """Live orders (`tables.ORDERS`) with their amounts in USD at the rate of the order's UTC date: INT_ORDERS_USD."""
    amounts = ("subtotal_amount", "shipping_amount", "tax_amount", "discount_amount", "total_amount")
    rows = orders.where(is_live()).select(
        F.col("id").alias("order_id"),
        currency_code(),
        F.to_date("created_at").alias("order_date"),
        *amounts,
        F.col(EXTRACTED_AT).alias(RAW_EXTRACTED_AT),
    )
    return INT_ORDERS_USD.conform(_in_usd(rows, calendar, "order_date", amounts))


def convert_items(items: DataFrame, orders: DataFrame, calendar: DataFrame) -> DataFrame:
    """Live items (`tables.ORDER_ITEMS`) in USD at the rate of their live order's UTC date: INT_ORDER_ITEMS_USD."""
    amounts = ("unit_price", "total_price")
    dates = orders.where(is_live()).select(F.col("id").alias("order_id"), F.to_date("created_at").alias("order_date"))
    rows = items.where(is_live()).select(
        F.col("id").alias("order_item_id"),
        "order_id",
        currency_code(),
        *amounts,
        F.col(EXTRACTED_AT).alias(RAW_EXTRACTED_AT),
    )
    rows = rows.join(dates, on="order_id", how="left")
    return INT_ORDER_ITEMS_USD.conform(_in_usd(rows, calendar, "order_date", amounts))


def convert_payments(payments: DataFrame, calendar: DataFrame) -> DataFrame:
    """Payment events (`tables.INT_PAYMENTS_DEDUPLICATED`) in USD at the rate of their own UTC date: INT_PAYMENTS_USD."""
    amounts = ("amount", "platform_fee", "seller_payout")
    rows = payments.select(
        "event_key",
        "payment_id",
        "order_id",
        currency_code(),
        F.to_date("created_at").alias("payment_date"),
        *amounts,
        RAW_EXTRACTED_AT,
    )
    return INT_PAYMENTS_USD.conform(_in_usd(rows, calendar, "payment_date", amounts))


def changed_rates(changes: DataFrame) -> DataFrame:
    """The business days (rate_date) whose rates are new, gone or different, of a change feed of `tables.ECB_FX_RATES`."""
    return (
        changes.groupBy("rate_date", "currency")
        .agg(
            F.bool_or(F.col("_change_type").isin("insert", "delete")).alias("_came_or_went"),
            F.countDistinct("units_per_eur").alias("_values"),
        )
        .where("_came_or_went or _values > 1")
        .select("rate_date")
    )


def redated_orders(changes: DataFrame) -> DataFrame:
    """The orders (order_id) that came, went, died or have another date, of a change feed of `tables.ORDERS`: what their items' rates go by."""
    date = F.when(is_live(), F.coalesce(F.to_date("created_at"), F.lit("0001-01-01").cast("date")))
    return (
        changes.groupBy(F.col("id").alias("order_id"))
        .agg(
            F.bool_or(F.col("_change_type").isin("insert", "delete")).alias("_came_or_went"),
            F.countDistinct(F.struct(date)).alias("_dates"),
        )
        .where("_came_or_went or _dates > 1")
        .select("order_id")
    )


def stale(converted: DataFrame, calendar: DataFrame, date_column: str) -> DataFrame:
    """The rows of a converted table whose recorded rate is not the calendar's."""
    rows = converted.withColumn("_recorded", F.struct("fx_rate_date", "fx_rate_usd")).drop(
        "fx_rate_date", "fx_rate_usd"
    )
    return _with_rate(rows, calendar, date_column).where(
        ~F.col("_recorded").eqNullSafe(F.struct("fx_rate_date", "fx_rate_usd"))
    )


def _rate_scope(job: Job, result: ResultTable, calendar: DataFrame, date_column: str) -> Touched:
    """How changed rates touch a result: by its rows, of the first changed day and later, whose recorded rate is stale."""

    def touched(changes: DataFrame) -> DataFrame:
        first_day = changed_rates(changes).agg(F.min("rate_date")).collect()[0][0]
        stored = job.read(result.lake_name).where(F.col(date_column) >= F.lit(first_day))
        return stale(stored, calendar, date_column)

    return touched


def _with_rate(rows: DataFrame, calendar: DataFrame, date_column: str) -> DataFrame:
    rated = rows.join(calendar.withColumnRenamed("day", date_column), on=["currency", date_column], how="left")
    # A dollar is a dollar on days without a rate, too.
    rate = F.when(F.col("currency") == "USD", F.lit(1).cast(RATE)).otherwise(F.col("fx_rate_usd"))
    return rated.withColumn("fx_rate_usd", rate)


def _in_usd(rows: DataFrame, calendar: DataFrame, date_column: str, amounts: tuple[str, ...]) -> DataFrame:
    # round() is half away from zero, as BigQuery's. Nearly half of all rows are in dollars, and arithmetic on decimals is dear.
    in_usd = {
        f"{name}_usd": F.when(F.col("currency") == "USD", amount).otherwise(
            F.round(amount * F.col("fx_rate_usd"), 2).cast(AMOUNT)
        )
        for name, amount in ((name, F.col(name).cast(AMOUNT)) for name in amounts)
    }
    rated = _with_rate(rows, calendar, date_column)
    return rated.withColumns({**in_usd, "is_fx_missing": F.col("fx_rate_usd").isNull()})


def update(run: Run) -> None:
    """Bring the three tables up to raw.orders, raw.order_items, raw.ecb_fx_rates and the lake's deduplicated payments."""
    if not run.lake.holds(INT_PAYMENTS_DEDUPLICATED.lake_name):
        raise JobError("the lake has no int_payments_deduplicated: run spark_jobs/payment_dedup.py first")
    job = run.job("currency_normalization")
    for table in (ORDERS, ORDER_ITEMS, ECB_FX_RATES):
        job.refresh(table)
    orders, items = job.read(ORDERS.lake_name), job.read(ORDER_ITEMS.lake_name)
    payments = job.read(INT_PAYMENTS_DEDUPLICATED.lake_name)
    calendar = F.broadcast(rate_calendar(job.read(ECB_FX_RATES.lake_name)).cache())

    def of_order(changes: DataFrame) -> DataFrame:
        return changes.select(F.col("id").alias("order_id"))

    def of_item(changes: DataFrame) -> DataFrame:
        return changes.select(F.col("id").alias("order_item_id"))

    def items_of_order(changes: DataFrame) -> DataFrame:
        return of_item(items.join(counted(redated_orders(changes)), on="order_id", how="left_semi"))

    order_scope = job.scope(
        INT_ORDERS_USD,
        {ORDERS.lake_name: of_order, ECB_FX_RATES.lake_name: _rate_scope(job, INT_ORDERS_USD, calendar, "order_date")},
    )
    job.store(
        INT_ORDERS_USD,
        lambda: convert_orders(order_scope.of(orders.withColumn("order_id", F.col("id"))), calendar),
        order_scope,
    )
    job.publish(INT_ORDERS_USD, watermark_of=ORDERS)
    item_scope = job.scope(
        INT_ORDER_ITEMS_USD,
        {
            ORDER_ITEMS.lake_name: of_item,
            ORDERS.lake_name: items_of_order,
            ECB_FX_RATES.lake_name: _rate_scope(job, INT_ORDER_ITEMS_USD, calendar, "order_date"),
        },
    )
    job.store(
        INT_ORDER_ITEMS_USD,
        lambda: convert_items(item_scope.of(items.withColumn("order_item_id", F.col("id"))), orders, calendar),
        item_scope,
    )
    job.publish(INT_ORDER_ITEMS_USD, watermark_of=ORDER_ITEMS)
    payment_scope = job.scope(
        INT_PAYMENTS_USD,
        {
            INT_PAYMENTS_DEDUPLICATED.lake_name: lambda changes: changes.select("event_key"),
            ECB_FX_RATES.lake_name: _rate_scope(job, INT_PAYMENTS_USD, calendar, "payment_date"),
        },
    )
    job.store(INT_PAYMENTS_USD, lambda: convert_payments(payment_scope.of(payments), calendar), payment_scope)
    job.publish(INT_PAYMENTS_USD, watermark_of=PAYMENTS)
    job.complete()


if __name__ == "__main__":
    sys.exit(main("currency_normalization", __doc__, [update]))
