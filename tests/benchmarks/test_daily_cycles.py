"""What the days of `benchmarks/daily_cycles.py` are judged by."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks.daily_cycles import figures, files
from spark_jobs.lake import Lake


def test_only_the_files_of_the_newest_version_count(spark: SparkSession, tmp_path: Path) -> None:
    with Lake(spark, tmp_path.as_uri()) as lake:
        for rows in (100, 1000):
            lake.overwrite("intermediate/t", spark.range(rows).repartition(2))
        # Marks rows of the files that are there, and adds one.
        lake.merge("intermediate/t", spark.range(990, 1010).selectExpr("id", "id < 995 as _is_deleted"), ["id"])
        newest = spark.read.format("delta").load(lake.uri("intermediate/t")).inputFiles()
    assert files(tmp_path) == {"intermediate/t": len(newest)}
    assert len(list(tmp_path.rglob("*.parquet"))) > len(newest) > 2


def test_growth_is_the_last_days_over_the_first_ones() -> None:
    days = [
        {
            "engine": ("dbt", "spark")[day % 2],
            "seconds": 100.0 + (day % 2) * 50,
            "memory_megabytes": {"a": 100 + 10 * day, "b": 100},
            "files": {"t": 5 + day % 7},
            **({"maintenance_seconds": 9.0} if (day + 1) % 7 == 0 else {}),
        }
        for day in range(20)
    ]
    assert figures(days) == {
        "dbt_seconds_growth": 1.0,
        "spark_seconds_growth": 1.0,
        # Days 1 to 6: 200 to 250 MB; days 15 to 20: 340 to 390 MB.
        "memory_growth": round(365 / 225, 2),
        "files_after_maintenance": 1.0,
        "most_files_of_a_table": 11,
    }
    # No maintenance yet.
    assert "files_after_maintenance" not in figures(days[:2])
