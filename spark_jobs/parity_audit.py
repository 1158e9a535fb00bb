"""The heavy steps from all of raw, in a lake and a dataset of their own: Spark's side of the parity audit (stack/parity_audit.py)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # spark-submit runs this file by its path: imports start at the repository, not in this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from google.cloud import bigquery

from spark_jobs.command import fail, session_for
from spark_jobs.heavy_steps import STEPS
from spark_jobs.incremental import Run
from spark_jobs.lake import Lake
from spark_jobs.progress import Progress
from spark_jobs.warehouse import Warehouse
from stack import settings as stack_settings
from stack.parity_audit import SPARK_DATASET, lake_uri


class WarehouseBeside(Warehouse):
    """Reads raw like any job; what a job publishes goes into the audit's dataset, and what it asks of `intermediate` is answered from there."""

    def _table(self, dataset: str, name: str) -> bigquery.Table | None:
        return super()._table(_beside(dataset), name)

    def _name(self, dataset: str, table: str) -> str:
        # The staged rows of a publish are a temporary table in `intermediate`, under a name that no reader asks for.
        return super()._name(dataset if "__spark_" in table else _beside(dataset), table)


def _beside(dataset: str) -> str:
    return SPARK_DATASET if dataset == "intermediate" else dataset


def main(argv: Sequence[str] | None = None) -> int:
    """Make the audit's tables. Returns the exit status."""
    argparse.ArgumentParser(prog="spark-submit spark_jobs/parity_audit.py", description=__doc__).parse_args(argv)
    settings, progress = stack_settings.for_command(), Progress()
    # What is compared and dropped is nobody's lineage; dbt's side tells nothing either.
    os.environ["OPENLINEAGE_DISABLED"] = "true"
    try:
        warehouse = WarehouseBeside(settings)
        warehouse.check()
        with session_for(settings, "parity_audit") as spark, Lake(spark, lake_uri(settings)) as lake:
            Run(lake, warehouse, progress, full_refresh=True).carry_out(STEPS)
    except Exception as error:
        return fail("parity_audit: failed", error, settings)
    progress.say("parity_audit: done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
