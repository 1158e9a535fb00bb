"""The three heavy jobs in Spark, in the forms of `benchmarks.spark_forms`: under spark-submit, in the session that the jobs have."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import ClassVar

import pyspark
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.spark_forms import JOBS
from spark_jobs.session import open_session
from spark_jobs.tables import (
    DELETED_AT,
    ECB_FX_RATES,
    INT_PAYMENTS_DEDUPLICATED,
    ORDER_ITEMS,
    ORDERS,
    PAYMENTS,
    SELLER_TIER_HISTORY,
)
from stack import settings

RAW = {table.lake_name: table for table in (PAYMENTS, ORDERS, ORDER_ITEMS, SELLER_TIER_HISTORY, ECB_FX_RATES)}


class ParquetTables:
    """Folders of Parquet files by the lake's names, as `benchmarks.spark_forms` reads them."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        """Nothing is read yet."""
        self._spark, self._folder = spark, folder

    def read(self, name: str) -> DataFrame:
        """A table's rows, in the lake's columns and types."""
        rows = self._spark.read.parquet(str(self._folder / name))
        if name not in RAW:
            return INT_PAYMENTS_DEDUPLICATED.conform(rows)
        return RAW[name].conform(rows.withColumn(DELETED_AT, F.lit(None)))


def write(tables: dict[str, DataFrame], outputs: Path) -> None:
    """Each table as a folder of Parquet files of its name."""
    for name, rows in tables.items():
        rows.write.mode("overwrite").option("compression", "snappy").parquet(str(outputs / name))


class Spark:
    """The JVM that spark-submit has started. `memory` is its heap (`--driver-memory`, set by who submits): Spark spills within it."""

    limit = "driver memory"
    form: ClassVar[str] = "ours"

    def __init__(self, memory: str | None, spill: Path) -> None:
        """Nothing is opened yet; where it spills is SPARK_LOCAL_DIRS."""

    def __enter__(self) -> Spark:
        """Open the session."""
        self._spark = open_session(settings.load(), f"peer {self.form}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, by which the event log is whole."""
        self._spark.stop()

    def run(self, job: str, inputs: Path, outputs: Path) -> None:
        """Do the job."""
        write(JOBS[job][self.form](ParquetTables(self._spark, inputs)), outputs)

    @staticmethod
    def versions() -> dict[str, str]:
        """What ran."""
        return {"pyspark": pyspark.__version__}


class Floor(Spark):
    """Read and write, and nothing between: its rows are not the jobs'."""

    form = "floor"


class Naive(Spark):
    """What one writes first."""

    form = "naive"
