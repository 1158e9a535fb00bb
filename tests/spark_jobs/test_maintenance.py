"""Maintenance merges small files and changes nothing that a reader or a job's change feed sees."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from spark_jobs.lake import Lake
from spark_jobs.maintenance import FOLDERS, tidy


def test_small_files_become_few_and_the_change_feed_shows_nothing(spark: SparkSession, tmp_path: Path) -> None:
    with Lake(spark, tmp_path.as_uri()) as lake:
        lake.overwrite("raw/t", spark.createDataFrame([(0, "a")], "id int, x string"))
        lake.merge("raw/t", spark.createDataFrame([(1, "b"), (0, "c")], "id int, x string"), ["id"])
        known = {"raw/t": lake.inspect("raw/t")}
        lake.save_state("job", known)
        before = known["raw/t"].position
        rows = sorted(map(tuple, lake.read("raw/t").collect()))
        found = tidy(lake)
        assert set(found) == {"raw/t"}
        assert found["raw/t"][0] > 1
        assert found["raw/t"][1] == 1
        assert sorted(map(tuple, lake.read("raw/t").collect())) == rows
        after = lake.position("raw/t")
        assert after.version > before.version
        assert lake.changes("raw/t", before, after).count() == 0
        assert lake.state("job") == known
        # What the change feed needs is still there: a job that rested since the table was made can continue.
        assert lake.changes("raw/t", type(before)(before.table_id, 0), after).count() > 0


def test_a_lake_without_a_table_is_left_alone(spark: SparkSession, tmp_path: Path) -> None:
    with Lake(spark, tmp_path.as_uri()) as lake:
        assert tidy(lake) == {}


def test_the_jobs_own_tables_and_those_of_dbt_are_kept_small() -> None:
    assert {"raw", "intermediate", "dbt/raw", "dbt/marts"} <= set(FOLDERS)
