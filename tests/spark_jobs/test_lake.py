"""The lake's merge is a dictionary's update, whichever way it finds its rows; Delta holds every writer to a result's constraints."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from delta.tables import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from spark_jobs.lake import LARGE, Lake, Merged
from spark_jobs.tables import INT_ORDERS_USD, INT_SELLER_TIER_SCD2, ResultTable
from spark_jobs.warehouse import IS_DELETED

SCHEMA = "part int, id string, value string, time date"
Values = tuple[str | None, date | None]
Rows = dict[tuple[int | None, str], Values]
# Few keys, so that most rows meet one; a part of a key may be null. A row may move to another day, or have none.
KEYS = st.tuples(st.none() | st.integers(0, 2), st.sampled_from("abcdefgh"))
TIMES = st.none() | st.dates(date(2026, 1, 1), date(2026, 1, 20))
TABLES = st.dictionaries(KEYS, st.tuples(st.none() | st.sampled_from("xyz"), TIMES), max_size=12)


def as_rows(table: Rows) -> list[tuple[Any, ...]]:
    return [(*key, *values) for key, values in table.items()]


@pytest.mark.parametrize(
    ("held", "time"), [(0, None), (LARGE, None), (LARGE, "time")], ids=["a small table", "a large one", "by days"]
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=TABLES, upserts=TABLES, gone=st.sets(KEYS, max_size=4))
def test_a_merge_updates_inserts_and_deletes_by_key(
    spark: SparkSession,
    tmp_path: Path,
    held: int,
    time: str | None,
    before: Rows,
    upserts: Rows,
    gone: set[tuple[int | None, str]],
) -> None:
    upserts = {key: value for key, value in upserts.items() if key not in gone}
    source = [(*row, False) for row in as_rows(upserts)] + [(*key, None, None, True) for key in gone]
    with Lake(spark, tmp_path.as_uri()) as lake:
        lake.overwrite("t", spark.createDataFrame(as_rows(before), SCHEMA))
        rows = spark.createDataFrame(source, f"{SCHEMA}, {IS_DELETED} boolean")
        merged = lake.merge("t", rows, ["part", "id"], held, time)
        assert not lake.has_doubles("t", ["part", "id"])
        found = {(row.part, row.id): (row.value, row.time) for row in lake.read("t").collect()}
    assert found == {key: value for key, value in (before | upserts).items() if key not in gone}
    assert merged == Merged(
        inserted=len(upserts.keys() - before.keys()),
        updated=sum(before[key] != value for key, value in upserts.items() if key in before),
        deleted=len(before.keys() & gone),
    )


def test_a_merge_by_days_reads_only_the_files_of_these_days(spark: SparkSession, tmp_path: Path) -> None:
    with Lake(spark, tmp_path.as_uri()) as lake:
        for day in (1, 10, 20):
            row = spark.createDataFrame([(1, f"id {day}", "x", date(2026, 1, day))], SCHEMA)
            row.write.format("delta").mode("append").save(lake.uri("t"))
        # One row that moves to another day, and one that is new.
        rows = [(1, "id 20", "y", date(2026, 1, 19)), (1, "new", "x", date(2026, 1, 19))]
        lake.merge("t", spark.createDataFrame(rows, SCHEMA), ["part", "id"], LARGE, "time")
        history = DeltaTable.forPath(spark, lake.uri("t")).history(1).select("operationMetrics").collect()[0][0]
        assert (history["numTargetRowsUpdated"], history["numTargetRowsInserted"]) == ("1", "1")
        assert sorted(row.id for row in lake.read("t").collect()) == ["id 1", "id 10", "id 20", "new"]
        pruned = DeltaTable.forPath(spark, lake.uri("t")).history(1).select("operationParameters").collect()[0][0]
        assert "2026-01-19" in pruned["predicate"]


def test_a_key_that_two_runs_inserted_is_seen(spark: SparkSession, tmp_path: Path) -> None:
    with Lake(spark, tmp_path.as_uri()) as lake:
        lake.overwrite("t", spark.createDataFrame([(1, "a", "x", None), (None, "a", "x", None)], SCHEMA))
        assert not lake.has_doubles("t", ["part", "id"])
        again = spark.createDataFrame([(None, "a", "y", None)], SCHEMA)
        again.write.format("delta").mode("append").save(lake.uri("t"))
        assert lake.has_doubles("t", ["part", "id"])


def test_a_table_just_made_is_staged_as_its_own_files_and_a_changed_one_is_not(
    spark: SparkSession, tmp_path: Path
) -> None:
    with Lake(spark, tmp_path.as_uri()) as lake:
        lake.overwrite("t", spark.createDataFrame([(1, name, "x", None) for name in "abc"], SCHEMA))
        made, position = lake.staged_whole("t", lake.position("t")), lake.position("t")
        assert (made.uri, made.rows) == (lake.uri("t"), 3)
        lake.merge(
            "t", spark.createDataFrame([(1, "b", None, None, True)], f"{SCHEMA}, {IS_DELETED} boolean"), ["part", "id"]
        )
        changed, earlier = (lake.staged_whole("t", at) for at in (lake.position("t"), position))
        assert (changed.rows, earlier.rows) == (2, 3)
        for staged in (changed, earlier):
            assert staged.uri.startswith(lake.uri("_staging/"))
            files = [f"{staged.uri}/{file}" for file in staged.files]
            assert spark.read.parquet(*files).count() == staged.rows


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (INT_ORDERS_USD, {"is_fx_missing": "true"}),
        (INT_ORDERS_USD, {"order_id": "'a'", "is_fx_missing": "false"}),
        (INT_SELLER_TIER_SCD2, {"seller_id": "'a'"}),
    ],
    ids=["no key", "a rate that is missing unsaid", "half a key"],
)
def test_delta_refuses_a_row_that_breaks_the_results_rules(
    spark: SparkSession, tmp_path: Path, table: ResultTable, values: dict[str, str]
) -> None:
    broken = table.conform(
        spark.sql("select " + ", ".join(f"{values.get(name, 'null')} as {name}" for name in table.columns))
    )
    with Lake(spark, tmp_path.as_uri()) as lake:
        lake.overwrite(table.lake_name, broken.limit(0), table.constraints)
        with pytest.raises(Exception, match="DELTA_VIOLATE_CONSTRAINT"):
            lake.merge(table.lake_name, broken, table.key)
        assert lake.read(table.lake_name).count() == 0
