"""What keeps the deployment small and right when nobody looks: the lake compacted, deletions found, people forgotten who asked for it, old runs too."""

from __future__ import annotations

import datetime
from pathlib import Path

from airflow.sdk import DAG, Param
from airflow.timetables.trigger import CronTriggerTimetable
from marketplace.operators import DEFAULT_ARGS, MODULE, command, pipeline_rests, spark_submit

with DAG(
    dag_id="marketplace_maintenance",
    doc_md=Path(__file__).with_suffix(".md").read_text(),
    schedule=CronTriggerTimetable("0 5 * * 0", timezone="UTC", run_immediately=datetime.timedelta(0)),
    catchup=False,
    max_active_runs=1,
    tags=["marketplace"],
    params={"keep_days": Param(365, type="integer", minimum=1, description="how long a run is remembered")},
    default_args=DEFAULT_ARGS,
):
    erase = command("erase_on_request", f"{MODULE} airbyte.erasure run")
    # One after the other: both write raw. A sweep may refuse, and nobody who asked to be forgotten waits for that.
    erase >> command("sweep_deletions", f"{MODULE} airbyte.deletion_sweep")
    pipeline_rests() >> [
        spark_submit("compact_lake", "maintenance"),
        erase,
        command("forget_old_runs", f"{MODULE} stack.retention --keep-days {{{{ params.keep_days }}}}"),
    ]
