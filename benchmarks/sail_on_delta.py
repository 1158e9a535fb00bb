"""`python -m benchmarks.sail_on_delta`: what Sail can do of what the jobs ask of Delta, tried one by one; the basis of decision 0020.

Spark makes a table as the jobs do (change feed and deletion vectors on, a row deleted); then Sail, in its own environment and process, tries each
thing on it and on tables of its own. Results: results/sail_on_delta.json, a "works" with what was seen, or Sail's error, for each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROWS = 1000
MERGE = (
    "merge into delta.`{table}` t using (select cast(2 as bigint) as id, 'merged' as name union all select 5000, 'new') s on t.id = s.id "
    "when matched and not (t.name <=> s.name) then update set name = s.name when not matched then insert (id, name) values (s.id, s.name)"
)


def by_spark(folder: Path) -> None:
    """The tables that Sail is to read: `marked` has deletion vectors and a change feed, `vectors_only` no feed, `plain` neither."""
    from delta.tables import DeltaTable
    from pyspark.sql import functions as F

    from spark_jobs.lake import PROPERTIES
    from spark_jobs.session import open_session
    from stack import settings

    os.environ["LOCAL_DIR"] = str(folder / "local")
    spark = open_session(settings.for_command(), "tables for Sail")
    rows = spark.range(ROWS).withColumn("name", F.concat(F.lit("name "), F.col("id")))
    rows.coalesce(1).write.format("delta").options(**PROPERTIES).save(str(folder / "marked"))
    vectors = {"delta.enableDeletionVectors": "true"}
    rows.coalesce(1).write.format("delta").options(**vectors).save(str(folder / "vectors_only"))
    for name in ("marked", "vectors_only"):
        DeltaTable.forPath(spark, str(folder / name)).delete("id = 1")
    rows.coalesce(1).write.format("delta").save(str(folder / "plain"))
    spark.stop()


def attempts(spark: Any, folder: Path) -> dict[str, Callable[[], object]]:
    """By name, what is tried; each returns what was seen, or raises."""

    def path(name: str) -> str:
        return str(folder / name)

    def read(name: str, **options: object) -> Any:
        return spark.read.format("delta").options(**options).load(path(name))

    def make(name: str, **options: object) -> str:
        rows = spark.sql(f"select id, concat('name ', id) as name from range({ROWS})")
        rows.write.format("delta").options(**options).save(path(name))
        return f"{read(name).count()} rows"

    def names_of(name: str) -> list[str]:
        return [row[0] for row in read(name).where("id in (2, 5000)").orderBy("id").select("name").collect()]

    def files(name: str, pattern: str) -> int:
        return len(list((folder / name).glob(pattern)))

    def merge(name: str) -> object:
        before, marked_before = files(name, "*.parquet"), files(name, "deletion_vector*")
        spark.sql(MERGE.format(table=path(name))).collect()
        written = files(name, "*.parquet") - before
        found = names_of(name)
        if found != ["merged", "new"]:
            raise AssertionError(f"rows after the merge: {found}")
        marked = files(name, "deletion_vector*") - marked_before
        return f"{read(name).count()} rows; {written} data files and {marked} files of deletion vectors written"

    def merge_own() -> object:
        make("own")
        return merge("own")

    def through_api() -> object:
        from delta.tables import DeltaTable

        target = DeltaTable.forPath(spark, path("plain"))
        source = spark.sql("select cast(3 as bigint) as id, 'by api' as name")
        target.alias("t").merge(source.alias("s"), "t.id = s.id").whenMatchedUpdateAll().execute()
        return read("plain").where("id = 3").first()[1]

    def delete() -> object:
        make("shrinking")
        spark.sql(f"delete from delta.`{path('shrinking')}` where id < 10").collect()
        return f"{read('shrinking').count()} rows left"

    def change_feed() -> object:
        found = read("marked", readChangeFeed="true", startingVersion=0)
        if "_change_type" not in found.columns:
            raise AssertionError(
                f"no change feed but the table itself, {found.count()} rows of {ROWS + 1} changes, without an error"
            )
        return f"{found.count()} changes"

    def overwrite() -> object:
        make("replaced")
        rows = spark.sql("select 1 as other")
        rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path("replaced"))
        return f"columns {read('replaced').columns}"

    return {
        "write and read": lambda: make("simple"),
        "overwrite with another schema": overwrite,
        "time travel (versionAsOf)": lambda: f"{read('marked', versionAsOf=0).count()} rows",
        "read deletion vectors written by Spark": lambda: f"{read('marked').count()} rows",
        "read the change feed": change_feed,
        "MERGE by SQL into a table of its own": merge_own,
        "MERGE by SQL into a table without deletion vectors, written by Spark": lambda: merge("plain"),
        "MERGE by SQL into a table with deletion vectors, written by Spark": lambda: merge("vectors_only"),
        "MERGE by SQL into a table with deletion vectors and a change feed, written by Spark": lambda: merge("marked"),
        "MERGE by DeltaTable (delta-spark)": through_api,
        "DELETE by SQL": delete,
        "make a table with deletion vectors": lambda: make("vectors", **{"delta.enableDeletionVectors": "true"}),
        "make a table with a change feed": lambda: make("feed", **{"delta.enableChangeDataFeed": "true"}),
        "DESCRIBE HISTORY": lambda: (
            f"{len(spark.sql(f'describe history delta.`{path("marked")}`').collect())} versions"
        ),
        "OPTIMIZE": lambda: spark.sql(f"optimize delta.`{path('simple')}`").collect(),
        "VACUUM": lambda: spark.sql(f"vacuum delta.`{path('simple')}`").collect(),
        "Delta's log by way of the JVM (spark_jobs/lake.py)": lambda: str(spark._jvm),
    }


def by_sail(folder: Path) -> dict[str, str]:
    """What came of each attempt."""
    from benchmarks.engines.in_pysail import PySail

    found = {}
    with PySail(None, folder) as sail:
        for name, attempt in attempts(sail._spark, folder).items():
            try:
                found[name] = f"works: {attempt()}"
            # Whatever it raises is the answer.
            except Exception as error:
                found[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            print(f"{name}: {found[name][:150]}", flush=True)
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sail_on_delta",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "sail_on_delta.json")
    chosen = parser.parse_args(arguments)
    if chosen.folder:  # Sail's process
        found = {"pysail": version("pysail"), "pyspark": version("pyspark"), "tried": by_sail(chosen.folder)}
        chosen.output.write_text(json.dumps(found, indent=1) + "\n")
        return 0
    python = ROOT / ".venv" / "bench" / "bin" / "python"
    if not python.exists():
        print("error: Sail needs the environment that `make bench` installs", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name:
        by_spark(Path(name))
        command = [str(python), "-m", "benchmarks.sail_on_delta", "--folder", name, "--output", str(chosen.output)]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
