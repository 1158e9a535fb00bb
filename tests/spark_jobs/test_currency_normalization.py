"""The rules of rates and amounts, each on a table small enough to see."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.currency_normalization import (
    changed_rates,
    convert_items,
    convert_orders,
    convert_payments,
    rate_calendar,
    redated_orders,
    stale,
)
from spark_jobs.tables import (
    ECB_FX_RATES,
    INT_ORDER_ITEMS_USD,
    INT_ORDERS_USD,
    INT_PAYMENTS_DEDUPLICATED,
    INT_PAYMENTS_USD,
    ORDER_ITEMS,
    ORDERS,
    SPARK_TYPES,
)
from tests.spark_jobs.marketplace import Row, at, frame, rows_of

# 2026-03-06 is a Friday. The krona is not quoted on the Thursday, and the lira never again after the Monday.
RATES = [
    {"rate_date": date(2026, 3, day), "currency": currency, "units_per_eur": Decimal(units)}
    for day, currency, units in [
        (2, "USD", "1.1000"),
        (2, "TRY", "30.0000"),
        (4, "USD", "1.1500"),
        (4, "SEK", "11.5000"),
        (5, "USD", "1.1000"),
        (5, "GBP", "0.8500"),
        (6, "USD", "1.2000"),
        (6, "GBP", "0.9000"),
        (6, "JPY", "161.0000"),
    ]
]


@pytest.fixture(scope="module")
def calendar(spark: SparkSession) -> DataFrame:
    return rate_calendar(frame(spark, ECB_FX_RATES, RATES)).cache()


@pytest.fixture(scope="module")
def rates(calendar: DataFrame) -> dict[tuple[str, date], tuple[date, Decimal]]:
    return {(row["currency"], row["day"]): (row["fx_rate_date"], row["fx_rate_usd"]) for row in calendar.collect()}


def day(number: int) -> date:
    return date(2026, 3, number)


def order(id_: str, currency: str | None, when: str | None, total: str | None = "1.00", **columns: Any) -> Row:
    created = {"created_at": at(when) if when else None, "total_amount": Decimal(total) if total else None}
    return {"id": id_, "currency": currency} | created | columns


def converted(spark: SparkSession, calendar: DataFrame, *orders: Row) -> dict[str, Row]:
    return {row["order_id"]: row for row in rows_of(convert_orders(frame(spark, ORDERS, list(orders)), calendar))}


def test_the_columns_are_the_contract(spark: SparkSession, calendar: DataFrame) -> None:
    orders, items = frame(spark, ORDERS, []), frame(spark, ORDER_ITEMS, [])
    events = frame(spark, INT_PAYMENTS_DEDUPLICATED, [])
    for found, table in (
        (convert_orders(orders, calendar), INT_ORDERS_USD),
        (convert_items(items, orders, calendar), INT_ORDER_ITEMS_USD),
        (convert_payments(events, calendar), INT_PAYMENTS_USD),
    ):
        assert found.dtypes == [(name, SPARK_TYPES[type_]) for name, type_ in table.columns.items()]


def test_a_rate_is_the_quotient_of_one_business_day_to_nine_decimals(rates: dict[Any, Any]) -> None:
    assert rates["GBP", day(5)] == (day(5), Decimal("1.294117647"))
    assert rates["JPY", day(6)] == (day(6), Decimal("0.007453416"))


def test_the_euro_is_one_unit_on_each_day_with_dollars(rates: dict[Any, Any]) -> None:
    assert rates["EUR", day(5)] == (day(5), Decimal("1.1"))
    assert rates["EUR", day(3)] == (day(2), Decimal("1.1"))


def test_a_weekend_takes_the_last_business_days_rate(rates: dict[Any, Any]) -> None:
    assert rates["GBP", day(7)] == rates["GBP", day(8)] == (day(6), Decimal("1.333333333"))


def test_a_rate_holds_for_seven_days_and_no_longer(rates: dict[Any, Any]) -> None:
    assert rates["TRY", day(9)] == (day(2), Decimal("0.036666667"))
    assert ("TRY", day(10)) not in rates
    assert ("GBP", day(4)) not in rates


def test_a_currency_without_a_quote_of_the_day_keeps_its_own_last_days_dollars(rates: dict[Any, Any]) -> None:
    assert rates["SEK", day(6)] == (day(4), Decimal("0.1"))


def test_a_dollar_is_a_dollar_on_every_day(spark: SparkSession, calendar: DataFrame) -> None:
    found = converted(
        spark,
        calendar,
        order("weekend", "USD", "2026-03-07 10:00", "12.34"),
        order("no rate", " usd", "2020-01-01 10:00", "12.34"),
        order("no date", "USD", None, "12.34"),
    )
    assert {key: (row["fx_rate_date"], row["fx_rate_usd"]) for key, row in found.items()} == {
        "weekend": (day(6), 1),
        "no rate": (None, 1),
        "no date": (None, 1),
    }
    assert {(row["total_amount_usd"], row["is_fx_missing"]) for row in found.values()} == {(Decimal("12.34"), False)}


def test_a_missing_rate_is_flagged_and_every_amount_is_null(spark: SparkSession, calendar: DataFrame) -> None:
    found = converted(
        spark,
        calendar,
        order("unknown", "XXX", "2026-03-06", subtotal_amount=Decimal(1)),
        order("too old", "TRY", "2026-03-10", subtotal_amount=Decimal(1)),
        order("no date", "EUR", None, subtotal_amount=Decimal(1)),
        order("no currency", None, "2026-03-06", subtotal_amount=Decimal(1)),
    )
    assert len(found) == 4
    for row in found.values():
        assert row["is_fx_missing"]
        assert {row["fx_rate_date"], row["fx_rate_usd"], row["subtotal_amount_usd"], row["total_amount_usd"]} == {None}


def test_cents_are_rounded_half_away_from_zero(spark: SparkSession, calendar: DataFrame) -> None:
    # One krona is exactly 0.1 dollars.
    found = converted(
        spark,
        calendar,
        order("up", "SEK", "2026-03-04", "0.25"),
        order("down", "SEK", "2026-03-04", "-0.25"),
        order("more", "SEK", "2026-03-04", "0.35"),
        order("less", "SEK", "2026-03-04", "0.24"),
        order("null", "SEK", "2026-03-04", None),
        order("large", "SEK", "2026-03-04", "9999999999.99"),
    )
    assert {key: row["total_amount_usd"] for key, row in found.items()} == {
        "up": Decimal("0.03"),
        "down": Decimal("-0.03"),
        "more": Decimal("0.04"),
        "less": Decimal("0.02"),
        "null": None,
        "large": Decimal("1000000000.00"),
    }


def test_amounts_in_a_wider_type_are_converted_as_exactly(spark: SparkSession, calendar: DataFrame) -> None:
    """As a table that is no mirror may have them: the product of two wide decimals would lose digits."""
    rows = frame(spark, ORDERS, [order(total, "GBP", "2026-03-05", total) for total in ("0.85", "9999999999.99")])
    wide = rows.withColumn("total_amount", rows.total_amount.cast("decimal(38,9)"))
    assert rows_of(convert_orders(wide, calendar)) == rows_of(convert_orders(rows, calendar))


def test_the_date_is_the_utc_date(spark: SparkSession, calendar: DataFrame) -> None:
    found = converted(spark, calendar, order("late", "EUR", "2026-03-05 23:59:59.999999"))
    assert (found["late"]["order_date"], found["late"]["fx_rate_usd"]) == (day(5), Decimal("1.1"))


def test_an_item_takes_its_live_orders_date(spark: SparkSession, calendar: DataFrame) -> None:
    gone = {"_airbyte_extracted_at": at("2026-04-01"), "_deleted_at": at("2026-04-01")}
    orders = [order("live", "USD", "2026-03-05"), order("gone", "EUR", "2026-03-05", **gone)]
    items = [
        {
            "id": f"item of {name}",
            "order_id": name,
            "currency": "EUR",
            "unit_price": Decimal(1),
            "total_price": Decimal(2),
        }
        for name in ("live", "gone", "nothing")
    ] + [{"id": "deleted", "order_id": "live", "currency": "EUR"} | gone]
    found = rows_of(convert_items(frame(spark, ORDER_ITEMS, items), frame(spark, ORDERS, orders), calendar))
    assert {
        row["order_item_id"]: (row["order_date"], row["total_price_usd"], row["is_fx_missing"]) for row in found
    } == {
        "item of live": (day(5), Decimal("2.20"), False),
        "item of gone": (None, None, True),
        "item of nothing": (None, None, True),
    }


def test_a_payment_takes_its_events_own_date(spark: SparkSession, calendar: DataFrame) -> None:
    event = {"event_key": "e", "currency": "EUR", "created_at": at("2026-03-07 01:00"), "amount": Decimal("10.00")}
    (row,) = rows_of(convert_payments(frame(spark, INT_PAYMENTS_DEDUPLICATED, [event]), calendar))
    assert (row["payment_date"], row["fx_rate_date"], row["amount_usd"]) == (day(7), day(6), Decimal("12.00"))


def test_only_rates_of_another_value_count_as_changed(spark: SparkSession) -> None:
    changes = spark.createDataFrame(
        [
            (day(2), "USD", Decimal(1), "update_preimage"),
            (day(2), "USD", Decimal(1), "update_postimage"),
            (day(3), "USD", Decimal(1), "update_preimage"),
            (day(3), "USD", Decimal(2), "update_postimage"),
            (day(4), "USD", Decimal(1), "insert"),
            (day(5), "USD", Decimal(1), "delete"),
        ],
        "rate_date date, currency string, units_per_eur decimal(38,9), _change_type string",
    )
    assert sorted(row[0] for row in changed_rates(changes).collect()) == [day(3), day(4), day(5)]


def test_a_row_is_stale_when_its_rate_or_the_rates_day_is_another(spark: SparkSession, calendar: DataFrame) -> None:
    def recorded(id_: str, currency: str, rate_date: date | None, rate: str | None) -> Row:
        known = {"order_date": day(7), "fx_rate_date": rate_date, "fx_rate_usd": Decimal(rate) if rate else None}
        return {"order_id": id_, "currency": currency} | known

    rows = [
        recorded("same", "EUR", day(6), "1.2"),
        recorded("other rate", "EUR", day(6), "1.3"),
        recorded("other day", "EUR", day(5), "1.2"),
        recorded("came", "EUR", None, None),
        recorded("still missing", "XXX", None, None),
        recorded("went", "XXX", day(6), "2"),
        recorded("dollar", "USD", day(6), "1"),
        recorded("dollar of another day", "USD", day(5), "1"),
    ]
    found = stale(frame(spark, INT_ORDERS_USD, rows), calendar, "order_date")
    assert {row["order_id"] for row in found.collect()} == {
        "other rate",
        "other day",
        "came",
        "went",
        "dollar of another day",
    }


def test_items_are_touched_by_an_order_that_came_went_died_or_moved_to_another_day(spark: SparkSession) -> None:
    before, after = "update_preimage", "update_postimage"
    feed = [
        ("new", "insert", "2026-03-02 10:00:00", None),
        ("gone", "delete", "2026-03-02 10:00:00", None),
        ("moved", before, "2026-03-02 10:00:00", None),
        ("moved", after, "2026-03-03 10:00:00", None),
        ("later that day", before, "2026-03-02 10:00:00", None),
        ("later that day", after, "2026-03-02 23:59:59", None),
        ("dated", before, None, None),
        ("dated", after, "2026-03-02 10:00:00", None),
        ("died", before, "2026-03-02 10:00:00", None),
        ("died", after, "2026-03-02 10:00:00", "2026-03-04 00:00:00"),
        ("died without a date", before, None, None),
        ("died without a date", after, None, "2026-03-04 00:00:00"),
        ("still without a date", before, None, None),
        ("still without a date", after, None, None),
    ]
    changes = spark.createDataFrame(feed, "id string, _change_type string, created string, deleted string").selectExpr(
        "id",
        "_change_type",
        "cast(created as timestamp) as created_at",
        "cast(deleted as timestamp) as _deleted_at",
        "timestamp '2026-03-02 12:00:00' as _airbyte_extracted_at",
    )
    found = {row[0] for row in redated_orders(changes).collect()}
    assert found == {"new", "gone", "moved", "dated", "died", "died without a date"}
