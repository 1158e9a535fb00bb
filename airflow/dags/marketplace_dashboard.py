"""The dashboard's page, built anew whenever new marts were published."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import DAG
from marketplace.operators import DEFAULT_ARGS, MARTS, MODULE, command

with DAG(
    dag_id="marketplace_dashboard",
    doc_md=Path(__file__).with_suffix(".md").read_text(),
    schedule=[MARTS],
    catchup=False,
    max_active_runs=1,
    tags=["marketplace"],
    default_args=DEFAULT_ARGS,
):
    command("build", f"{MODULE} dashboards.build")
