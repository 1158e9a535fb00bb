"""The marketplace's daily ELT: sync, gates, the heavy steps by the engine that volume or cost asks for, marts."""

from __future__ import annotations

import datetime
from pathlib import Path

from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.providers.airbyte.sensors.airbyte import AirbyteJobSensor
from airflow.sdk import DAG, Asset, Label, Param, TaskGroup, TriggerRule, task
from airflow.sdk.exceptions import AirflowFailException
from airflow.timetables.trigger import CronTriggerTimetable
from marketplace import decision as decisions
from marketplace.engine_choice import POLICIES, REQUESTS
from marketplace.fall_back import CannotGoOn
from marketplace.notifications import CancelSync
from marketplace.operators import (
    DBT,
    DEFAULT_ARGS,
    FULL_REFRESH,
    FULL_REFRESH_PARAM,
    PYTHON,
    HeavyDbt,
    HeavySpark,
    command,
)

from stack.settings import load

MARTS = Asset("bigquery://marts")

with DAG(
    dag_id="marketplace_elt_pipeline",
    doc_md=Path(__file__).with_suffix(".md").read_text(),
    # Without a start date, this means that unpausing starts nothing; `False` would, up to 2.4 hours after three o'clock.
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC", run_immediately=datetime.timedelta(0)),
    catchup=False,
    max_active_runs=1,
    tags=["marketplace"],
    params={
        "engine": Param("auto", enum=list(REQUESTS), description="auto: by the policy; dbt or spark: forced"),
        "policy": Param(load().engine_policy, enum=list(POLICIES), description="what auto goes by"),
        "spark_threshold_rows": Param(
            load().spark_threshold_rows,
            type="integer",
            minimum=0,
            description="pending rows from which policy volume chooses Spark",
        ),
        "fall_back": Param(True, type="boolean", description="the other engine steps in when the chosen one breaks"),
        "full_refresh": FULL_REFRESH_PARAM,
    },
    default_args=DEFAULT_ARGS,
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
    def decide_engine(params: dict, ti: object) -> dict:
        """The engine, the pending rows, the predictions and the reason, for the branch, the note and the ledger."""
        return decisions.decide_and_note(load(), ti, params)

    @task.branch
    def choose(decision: dict) -> str:
        """The branch label is the engine."""
        return f"heavy_{decision['engine']}"

    @task.branch(trigger_rule=TriggerRule.ALL_DONE)
    def fall_back(decision: dict, params: dict, ti: object) -> str:
        """On to the gate, or to the other engine when the chosen one failed for a reason of its own."""
        try:
            return decisions.follow_up(load(), ti, decision["engine"], params["fall_back"])
        except CannotGoOn as stop:
            raise AirflowFailException(str(stop)) from stop

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
    follow = fall_back(decision)
    [wait, rates] >> sweep >> raw_gate >> staging >> decision
    chosen = choose(decision)
    for engine, operator in {"dbt": HeavyDbt, "spark": HeavySpark}.items():
        chosen >> Label(engine) >> operator(task_id=f"heavy_{engine}") >> follow
        follow >> Label(f"{engine} instead") >> operator(task_id=f"fall_back_{engine}") >> intermediate_gate
    follow >> Label("done") >> intermediate_gate >> marts >> publish()
