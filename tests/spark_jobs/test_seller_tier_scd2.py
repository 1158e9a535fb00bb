"""The rules of a tier period, each on a table small enough to see."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.seller_tier_scd2 import tier_periods
from spark_jobs.tables import INT_SELLER_TIER_SCD2, SELLER_TIER_HISTORY, SPARK_TYPES
from tests.spark_jobs import marketplace
from tests.spark_jobs.marketplace import Row, at, by_key, frame, rows_of

JAN, FEB, MAR, APR = (at(f"2026-0{month}-01") for month in (1, 2, 3, 4))


def tier(id_: int, tier: str, start: datetime | None, end: datetime | None = None, **columns: Any) -> Row:
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


def test_a_row_without_a_beginning_is_in_no_period_and_raises_the_watermark(spark: SparkSession) -> None:
    found = periods(
        spark,
        tier(1, "bronze", None, created_at=JAN, _airbyte_extracted_at=APR),
        tier(2, "silver", FEB),
        tier(3, "gold", None, user_id="nobody", created_at=JAN),
    )
    assert [(row["seller_id"], row["tier"], row["previous_tier"], row["valid_from"]) for row in found] == [
        ("s", "silver", None, FEB)
    ]
    assert found[0]["_raw_extracted_at"] == APR


def test_many_random_histories(spark: SparkSession) -> None:
    """The job and the oracle on few sellers, tiers and moments, in which equal starts, repeats, empty rows and deletions are common."""
    chance = random.Random(7)
    moments = [JAN, FEB, MAR, APR]
    history = [
        tier(
            number,
            chance.choice(["bronze", "silver"]),
            chance.choice([*moments, *moments, None]),
            chance.choice([None, *moments]),
            user_id=f"s{chance.randint(0, 250)}",
            created_at=chance.choice([None, JAN, FEB]),
            _deleted_at=chance.choice([None, None, None, at("2026-06-01")]),
            _airbyte_extracted_at=chance.choice([at("2026-05-01"), at("2026-07-01")]),
        )
        for number in range(1000)
    ]
    assert by_key(INT_SELLER_TIER_SCD2, periods(spark, *history)) == by_key(
        INT_SELLER_TIER_SCD2,
        marketplace.tier_periods([dict.fromkeys(SELLER_TIER_HISTORY.columns) | row for row in history]),
    )


def test_a_seller_with_a_fifth_of_all_rows(spark: SparkSession) -> None:
    """More rows than a window keeps in memory before it spills (4,096)."""
    rows = (
        frame(spark, SELLER_TIER_HISTORY, [tier(0, "gold", JAN)])
        .withColumn("id", F.explode(F.sequence(F.lit(1), F.lit(50_000))))
        .withColumn(
            "user_id", F.when(F.col("id") <= 10_000, "big").otherwise(F.concat(F.lit("s"), F.col("id") % 4_000))
        )
        .withColumn("effective_from", F.col("effective_from") + F.make_dt_interval(secs=F.col("id")))
        .withColumn("tier", F.when(F.col("id") % 2 == 0, "gold").otherwise("silver"))
    )
    found = (
        tier_periods(rows)
        .groupBy((F.col("seller_id") == "big").alias("big"))
        .agg(F.count("*"), F.sum(F.col("is_current").cast("int")))
    )
    assert {tuple(row) for row in found.collect()} == {(True, 10_000, 1), (False, 4_000, 4_000)}
