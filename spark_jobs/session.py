"""The one Spark session factory: Delta on the class path, UTC, quiet, and nothing left in the working directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from spark_jobs.errors import JobError
from stack.bootstrap import JARS, JARS_DIR, Missing, jar_name, java_version
from stack.settings import Settings

DELTA_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"


def open_session(settings: Settings, app_name: str, shuffle_partitions: int = 8) -> SparkSession:
    """A Spark session that reads and writes Delta.

    Works in a plain Python process and under spark-submit, whose own `--master` and `--conf` win. `shuffle_partitions`
    holds for a local master only, where a partition is a thread's work; AQE merges them further. ANSI mode stays on, so
    that a value that does not fit is an error, not a null.

    Raises:
        JobError: no Java that Spark runs on, or Delta's jars are neither on the class path nor in DELTA_JARS_DIR.
    """
    conf = SparkConf(loadDefaults=False)
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # spark-submit brings its own JVM
        try:
            java_version()
        except Missing as reason:
            raise JobError(str(reason)) from reason
        conf.set("spark.driver.memory", settings.spark_driver_memory)
        conf.set("spark.driver.extraJavaOptions", settings.spark_driver_java_options)
    SparkContext._ensure_initialized(conf=conf)
    jars = _put_delta_on_class_path()

    submitted = SparkConf().get("spark.master", "local[*]")
    master = settings.spark_master if submitted == "local[*]" else submitted
    if master.startswith("local"):
        # Spark starts its Python workers with this variable's program, by default whatever `python3` is.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = (
        SparkSession.builder.appName(app_name)
        .master(master)
        .config("spark.sql.extensions", DELTA_EXTENSION)
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.ansi.enabled", "true")
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        # A join hashes its smaller side instead of sorting both where every partition of that side is small: bounded, and 5 s against 15 s for
        # the dates of 12 million items' orders.
        .config("spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold", "64MB")
        # What a change touches is sent to what it is joined with up to this size: some 300,000 keys.
        .config("spark.sql.autoBroadcastJoinThreshold", "32MB")
        # A replayed log of a few hundred files needs no fifty tasks.
        .config("spark.databricks.delta.snapshotPartitions", "2")
        # An executor's heartbeats leave out what is still zero. To ask a cached DataFrame's accumulator that, while a task is just receiving it, ends them
        # for good in Spark 4.2.0 (SPARK-59451), and after two minutes the driver gives up an executor that works.
        .config("spark.executor.heartbeat.dropZeroAccumulatorUpdates", "false")
        # Spark makes this folder in the working directory unless told otherwise; nothing is ever put there.
        .config("spark.sql.warehouse.dir", (settings.local_dir / "spark-warehouse").as_uri())
        # stderr is for the job's own lines; spark-submit would start at INFO.
        .config("spark.log.level", "ERROR")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
    )
    if jars:
        builder = builder.config("spark.jars", ",".join(map(str, jars)))
    if master.startswith("local"):
        builder = (
            builder.config("spark.sql.shuffle.partitions", str(shuffle_partitions))
            # Loopback whatever the machine's name resolves to.
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
        )
    return builder.getOrCreate()


def delta_jars() -> list[Path]:
    """Delta's two jars in DELTA_JARS_DIR (default: .cache/jars of the project). Raises JobError when one is missing."""
    found = [JARS_DIR / jar_name(coordinate) for coordinate in JARS]
    for jar in found:
        if not jar.exists():
            raise JobError(f"no {jar.name} in {JARS_DIR}: install it with `make install`, or set DELTA_JARS_DIR")
    return [jar.resolve() for jar in found]


def _put_delta_on_class_path() -> list[Path]:
    """Give the running JVM Delta's classes unless spark-submit did (`--packages`, `--jars`). Returns the jars added.

    spark-submit starts the JVM before this program runs, so `spark.driver.extraClassPath` would come too late here.
    """
    jvm = SparkContext._jvm
    assert jvm is not None
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    if loader.getResource(DELTA_EXTENSION.replace(".", "/") + ".class") is not None:
        return []
    jars = delta_jars()
    for jar in jars:
        loader.addURL(jvm.java.io.File(str(jar)).toURI().toURL())
    return jars
