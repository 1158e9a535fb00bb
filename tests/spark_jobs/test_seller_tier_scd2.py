"""The rules of a tier period, each on a table small enough to see."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pyspark.sql import SparkSession

from spark_jobs.seller_tier_scd2 import tier_periods
from spark_jobs.tables import INT_SELLER_TIER_SCD2, SELLER_TIER_HISTORY, SPARK_TYPES
from tests.spark_jobs.marketplace import Row, at, frame, rows_of

JAN, FEB, MAR, APR = (at(f"2026-0{month}-01") for month in (1, 2, 3, 4))


def tier(id_: int, tier: str, start: datetime, end: datetime | None = None, **columns: Any) -> Row:
    known = {"user_id": "s", "created_at": start, "change_reason": f"reason {id_}"}
    return {"id": id_, "tier": tier, "effective_from": start, "effective_to": end} | known | columns


def periods(spark: SparkSession, *history: Row) -> list[Row]:
    found = rows_of(tier_periods(frame(spark, SELLER_TIER_HISTORY, list(history))))
    return sorted(found, key=lambda row: (row["seller_id"], row["valid_from"]))


def spans(spark: SparkSession, *history: Row) -> list[tuple[Any, ...]]:
    return [(row["tier"], row["valid_from"], row["valid_to"]) for row in periods(spark, *history)]


def test_the_columns_are_the_contract(spark: SparkSession) -> None:
    found = tier_periods(frame(spark, SELLER_TIER_HISTORY, []))
    assert found.dtypes == [(name, SPARK_TYPES[type_]) for name, type_ in INT_SELLER_TIER_SCD2.columns.items()]


def test_a_row_ends_where_the_next_begins_whatever_it_says_itself(spark: SparkSession) -> None:
    found = periods(spark, tier(1, "bronze", JAN, APR), tier(2, "silver", FEB), tier(3, "gold", MAR, None))
    assert [(row["tier"], row["previous_tier"], row["valid_from"], row["valid_to"]) for row in found] == [
        ("bronze", None, JAN, FEB),
        ("silver", "bronze", FEB, MAR),
        ("gold", "silver", MAR, None),
    ]
    assert [row["is_current"] for row in found] == [False, False, True]
    assert [row["change_reason"] for row in found] == ["reason 1", "reason 2", "reason 3"]


def test_a_closed_last_row_ends_at_its_own_end(spark: SparkSession) -> None:
    found = periods(spark, tier(1, "bronze", JAN), tier(2, "silver", FEB, MAR))
    assert [(row["valid_to"], row["is_current"]) for row in found] == [(FEB, False), (MAR, False)]


def test_a_last_row_closed_at_its_own_start_ends_the_one_before_and_is_gone(spark: SparkSession) -> None:
    assert spans(spark, tier(1, "bronze", JAN), tier(2, "silver", FEB, FEB)) == [("bronze", JAN, FEB)]
    assert spans(spark, tier(1, "bronze", JAN), tier(2, "silver", FEB, JAN)) == [("bronze", JAN, FEB)]
    assert spans(spark, tier(1, "bronze", JAN, JAN)) == []


def test_of_rows_with_one_start_the_last_counts(spark: SparkSession) -> None:
    found = spans(
        spark,
        tier(9, "bronze", JAN, created_at=JAN),
        tier(1, "silver", JAN, created_at=FEB),
        tier(2, "gold", FEB, created_at=MAR),
        tier(10, "platinum", FEB, created_at=MAR),
        tier(11, "bronze", FEB, created_at=None),
    )
    assert found == [("silver", JAN, FEB), ("platinum", FEB, None)]


def test_one_tier_in_a_row_is_one_period(spark: SparkSession) -> None:
    found = periods(
        spark,
        tier(1, "gold", JAN),
        tier(2, "gold", FEB),
        tier(3, "silver", MAR),
        tier(4, "gold", APR, at("2026-05-01")),
    )
    assert [(row["tier"], row["previous_tier"], row["valid_from"], row["valid_to"]) for row in found] == [
        ("gold", None, JAN, MAR),
        ("silver", "gold", MAR, APR),
        ("gold", "silver", APR, at("2026-05-01")),
    ]
    assert [row["change_reason"] for row in found] == ["reason 1", "reason 3", "reason 4"]


def test_a_repeat_that_is_closed_closes_its_period(spark: SparkSession) -> None:
    assert spans(spark, tier(1, "gold", JAN), tier(2, "gold", FEB, MAR)) == [("gold", JAN, MAR)]
    assert spans(spark, tier(1, "gold", JAN), tier(2, "gold", FEB, FEB)) == [("gold", JAN, FEB)]


def test_a_deleted_row_leaves_the_row_before_open_and_raises_the_watermark(spark: SparkSession) -> None:
    gone = {"_airbyte_extracted_at": APR, "_deleted_at": APR}
    found = periods(
        spark,
        tier(1, "bronze", JAN),
        tier(2, "silver", FEB, **gone),
        tier(3, "gold", JAN, user_id="other"),
        tier(4, "gold", JAN, user_id="left", **gone),
    )
    assert [(row["seller_id"], row["tier"], row["valid_to"]) for row in found] == [
        ("other", "gold", None),
        ("s", "bronze", None),
    ]
    assert [row["_raw_extracted_at"] for row in found] == [at("2026-01-01"), APR]
