"""Keep the lake small and quick to read: few files per table, and none that no reader can need any more."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # spark-submit runs this file by its path: imports start at the repository, not in this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from delta.tables import DeltaTable

from spark_jobs.command import fail, session_for
from spark_jobs.databases import folder
from spark_jobs.lake import Lake
from stack import settings as stack_settings
from stack.settings import DATASETS

LISTING_TASKS = "spark.sql.sources.parallelPartitionDiscovery.parallelism"
FOLDERS = ("raw", "intermediate", *map(folder, DATASETS))


def tidy(lake: Lake) -> dict[str, tuple[int, int]]:
    """OPTIMIZE and VACUUM every table of the lake. Returns {table: (its files before, after)}.

    Neither changes a row, so a job's change feed shows nothing of it. VACUUM keeps what each table's own retention says (spark_jobs/lake.py), which is as
    long as a job may rest and still continue.
    """
    # VACUUM lists a table's folder in as many tasks as this says: by default ten thousand, a minute's work for a table of three files.
    lake.spark.conf.set(LISTING_TASKS, lake.spark.sparkContext.defaultParallelism)
    names = [f"{folder_}/{name}" for folder_ in FOLDERS for name in lake.names(folder_)]
    found = {}
    for name in names:
        table = DeltaTable.forPath(lake.spark, lake.uri(name))
        before = _files(table)
        if before > 1:
            table.optimize().executeCompaction()
        table.vacuum()
        found[name] = before, _files(table)
    return found


def _files(table: DeltaTable) -> int:
    return int(table.detail().select("numFiles").collect()[0][0])


def main(argv: Sequence[str] | None = None) -> int:
    """Tidy LAKE_URI. Returns the exit status; the last line is the outcome as JSON."""
    argparse.ArgumentParser(prog="spark-submit spark_jobs/maintenance.py", description=__doc__).parse_args(argv)
    settings = stack_settings.for_command()
    try:
        with session_for(settings, "maintenance") as spark, Lake(spark, settings.lake_uri) as lake:
            found = tidy(lake)
    except Exception as error:
        return fail("maintenance: failed", error, settings)
    before, after = (sum(files[side] for files in found.values()) for side in (0, 1))
    print(json.dumps({"rows": None, "reason": f"{len(found)} Delta tables: {before:,} files before, {after:,} after"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
