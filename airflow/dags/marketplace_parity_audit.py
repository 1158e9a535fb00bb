"""Do both engines still make the same heavy tables of the same raw? Weekly, beside what is published."""

from __future__ import annotations

import datetime
from pathlib import Path

from airflow.sdk import DAG
from airflow.timetables.trigger import CronTriggerTimetable
from marketplace.operators import DEFAULT_ARGS, MODULE, command, pipeline_rests, spark_submit

AUDIT = f"{MODULE} stack.parity_audit"

with DAG(
    dag_id="marketplace_parity_audit",
    doc_md=Path(__file__).with_suffix(".md").read_text(),
    schedule=CronTriggerTimetable("0 7 * * 0", timezone="UTC", run_immediately=datetime.timedelta(0)),
    catchup=False,
    max_active_runs=1,
    tags=["marketplace"],
    default_args=DEFAULT_ARGS,
):
    prepare = command("prepare", f"{AUDIT} prepare")
    # What landed while it waited for the pipeline to rest, both engines have read.
    began = "{{ ti.xcom_pull(task_ids='prepare') }}"
    compare = command("compare", f"{AUDIT} compare --run-id '{{{{ run_id }}}}' --since '{began}'", retries=0)
    by_engine = [command("dbt", f"{AUDIT} dbt"), spark_submit("spark", "parity_audit")]
    pipeline_rests() >> prepare >> by_engine >> compare
