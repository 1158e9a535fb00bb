"""The marketplace's daily ELT: sync, gates, the heavy steps by the engine that the volume asks for, marts."""

from __future__ import annotations

import datetime
from dataclasses import asdict

from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.providers.airbyte.sensors.airbyte import AirbyteJobSensor
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset, Param, TaskGroup, TriggerRule, task
from airflow.timetables.trigger import CronTriggerTimetable
from marketplace.engine_choice import REQUESTS, choose_engine
from marketplace.notifications import CancelSync, FailureNotifier, record_success

from stack.settings import ROOT, load

PYTHON = ROOT / ".venv" / "main" / "bin" / "python"
DBT = f"{PYTHON} -m stack.dbt"
MARTS = Asset("bigquery://marts")
FULL_REFRESH = "{{ '--full-refresh' if params.full_refresh else '' }}"

DOC = """
### What it does
Airbyte lands the marketplace's Postgres in `raw`; the ECB's rates land beside it. Gates stop whatever follows them. The heavy steps (payment
deduplication, USD normalization, SCD2 seller tiers) run in **dbt** or in **Spark**: see the reason in `decide_engine`'s log and in
`ops.run_ledger`. The same dbt tests judge the heavy tables whichever engine made them. Then dbt builds the marts.

### When it is red
Read the failed task's last log line: it says what is wrong and what to do. Every task may be cleared and run again at any time: each one writes
by key or replaces a whole table. A red gate means that the data is wrong, not the pipeline: the rows are in `quarantine` or in the
test's log line. `docs/runbook.md` goes by symptom.

### Parameters
`engine`: `auto` goes by volume, `dbt` or `spark` forces. `spark_threshold_rows`: from how many pending rows on Spark is chosen. `full_refresh`: rebuild
every table from raw.
"""


def command(task_id: str, arguments: str, **kwargs: object) -> BashOperator:
    """A program of the project's own environment; its last line is the task's result, its exit status the task's."""
    return BashOperator(task_id=task_id, bash_command=f"exec {arguments}", cwd=str(ROOT), append_env=True, **kwargs)


with DAG(
    dag_id="marketplace_elt_pipeline",
    doc_md=DOC,
    # Without a start date, this means that unpausing starts nothing; `False` would, up to 2.4 hours after three o'clock.
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC", run_immediately=datetime.timedelta(0)),
    catchup=False,
    max_active_runs=1,
    tags=["marketplace"],
    params={
        "engine": Param("auto", enum=list(REQUESTS), description="auto: by data volume; dbt or spark: forced"),
        "spark_threshold_rows": Param(
            load().spark_threshold_rows,
            type="integer",
            minimum=0,
            description="pending rows from which Spark is chosen",
        ),
        "full_refresh": Param(False, type="boolean", description="rebuild every table from raw"),
    },
    default_args={
        "retries": 1,
        "retry_delay": datetime.timedelta(seconds=20),
        "execution_timeout": datetime.timedelta(hours=2),
        "on_success_callback": record_success,
        "on_failure_callback": FailureNotifier(),
    },
):
    with TaskGroup("sync"):
        find_connection = command("find_connection", f"{PYTHON} -m airbyte.connections.find")
        trigger = AirbyteTriggerSyncOperator(
            task_id="trigger",
            airbyte_conn_id="airbyte_marketplace",
            connection_id="{{ ti.xcom_pull(task_ids='sync.find_connection') }}",
            asynchronous=True,
        )
        wait = AirbyteJobSensor(
            task_id="wait",
            airbyte_conn_id="airbyte_marketplace",
            airbyte_job_id=trigger.output,
            poke_interval=2,
            retries=0,
            on_failure_callback=CancelSync(),
        )
        find_connection >> trigger >> wait

    rates = command("load_ecb_rates", f"{PYTHON} -m airbyte.loaders.ecb_fx_rates")
    sweep = command("sweep_deletions", f"{PYTHON} -m airbyte.deletion_sweep")
    raw_gate = command("raw_gate", f"{PYTHON} -m airbyte.raw_gate", retries=0)
    staging = command("staging", f"{DBT} staging", retries=0)

    @task
    def decide_engine(params: dict) -> dict:
        """The engine, the pending rows and the reason, for the branch, the log and the ledger."""
        from stack import bigquery

        pending = bigquery.query(bigquery.client(load()), "select sum(pending_rows) as n from ops.pending_rows")[0]["n"]
        decision = choose_engine(pending, params["spark_threshold_rows"], params["engine"])
        print(decision.reason)
        return asdict(decision)

    @task.branch
    def choose(decision: dict) -> str:
        """The branch label is the engine."""
        return f"heavy_{decision['engine']}"

    heavy_dbt = command("heavy_dbt", f"{DBT} heavy {FULL_REFRESH}")
    heavy_spark = SparkSubmitOperator(
        task_id="heavy_spark",
        conn_id="spark_marketplace",
        spark_binary=str(ROOT / ".venv" / "main" / "bin" / "spark-submit"),
        application=str(ROOT / "spark_jobs" / "heavy_steps.py"),
        application_args=["{{ '--full-refresh' if params.full_refresh else '--incremental' }}"],
        driver_memory=load().spark_driver_memory,
        env_vars={"PYSPARK_PYTHON": str(PYTHON), "PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"},
        verbose=False,
    )
    intermediate_gate = command(
        "intermediate_gate", f"{DBT} heavy-gate", retries=0, trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS
    )
    marts = command("marts", f"{DBT} marts {FULL_REFRESH}", retries=0)

    @task(outlets=[MARTS])
    def publish() -> dict:
        """Reached only when every gate and test passed: consumers may read. Notes the marts' rows."""
        from stack import summary

        rows = summary.rows_per_layer(load())["marts"]
        return {"rows": sum(rows.values()), "reason": ", ".join(f"{name} {n:,}" for name, n in rows.items())}

    decision = decide_engine()
    [wait, rates] >> sweep >> raw_gate >> staging >> decision
    choose(decision) >> [heavy_dbt, heavy_spark] >> intermediate_gate >> marts >> publish()
