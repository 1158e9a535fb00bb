"""Every table of `raw`, all columns, as Delta tables of the Spark database `raw`: what dbt's target `spark` reads."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # spark-submit runs this file by its path: imports start at the repository, not in this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from airbyte.connections import description
from spark_jobs.command import main
from spark_jobs.databases import folder
from spark_jobs.incremental import Run
from spark_jobs.tables import ECB_FX_RATES, RawTable


def keys() -> dict[str, tuple[str, ...]]:
    """{raw table: the columns that name one row of it}. None where a stream appends: a row that is again what it was before is there twice, by any name."""
    streams = {
        stream.name: () if stream.sync_mode.endswith("append") else stream.primary_key
        for stream in description.load().streams
    }
    return streams | {ECB_FX_RATES.name: ECB_FX_RATES.key}


def update(run: Run) -> None:
    """Bring every mirror up to raw: what landed since, or the whole table where that is not enough (`Job.refresh`)."""
    job = run.job("mirror_raw")
    for name, key in keys().items():
        job.refresh(RawTable(name, key, run.warehouse.raw_columns(name), folder("raw")))
    job.complete()


if __name__ == "__main__":
    sys.exit(main("mirror_raw", __doc__, [update]))
