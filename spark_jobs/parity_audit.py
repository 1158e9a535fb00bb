"""The heavy steps from all of raw, in a lake and a dataset of their own: Spark's side of the parity audit (stack/parity_audit.py)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # spark-submit runs this file by its path: imports start at the repository, not in this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from spark_jobs.command import fail, session_for
from spark_jobs.heavy_steps import STEPS
from spark_jobs.incremental import Run
from spark_jobs.lake import Lake
from spark_jobs.progress import Progress
from spark_jobs.warehouse import Warehouse
from stack import settings as stack_settings
from stack.parity_audit import SPARK_DATASET, lake_uri


def main(argv: Sequence[str] | None = None) -> int:
    """Make the audit's tables. Returns the exit status."""
    argparse.ArgumentParser(prog="spark-submit spark_jobs/parity_audit.py", description=__doc__).parse_args(argv)
    settings, progress = stack_settings.for_command(), Progress()
    # What is compared and dropped is nobody's lineage; dbt's side tells nothing either.
    os.environ["OPENLINEAGE_DISABLED"] = "true"
    try:
        warehouse = Warehouse(settings, SPARK_DATASET)
        warehouse.check()
        with session_for(settings, "parity_audit") as spark, Lake(spark, lake_uri(settings)) as lake:
            Run(lake, warehouse, progress, full_refresh=True).carry_out(STEPS)
    except Exception as error:
        return fail("parity_audit: failed", error, settings)
    progress.say("parity_audit: done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
