"""The marketplace's daily ELT: sync, gates, the heavy steps by the engine that volume or cost asks for, marts."""

from __future__ import annotations

import datetime
from pathlib import Path

from airflow.sdk import DAG, Label, Param, TaskGroup, TriggerRule, task
from airflow.sdk.exceptions import AirflowFailException
from airflow.timetables.trigger import CronTriggerTimetable
from marketplace import decision as decisions
from marketplace.airbyte_sync import TriggerSync, WaitForSync
from marketplace.engine_choice import POLICIES, REQUESTS
from marketplace.fall_back import CannotGoOn
from marketplace.notifications import CancelSync
from marketplace.operators import (
    DBT,
    DEFAULT_ARGS,
    FULL_REFRESH,
    FULL_REFRESH_PARAM,
    JOIN,
    MARTS,
    MODULE,
    HeavyDbt,
    HeavySpark,
    approval,
    command,
)

from stack.settings import load

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
        "ask_on_warnings": Param(False, type="boolean", description="a person decides on marts that a test warned of"),
        "full_refresh": FULL_REFRESH_PARAM,
    },
    default_args=DEFAULT_ARGS,
):
    with TaskGroup("sync"):
        find_connection = command("find_connection", f"{MODULE} airbyte.connections.find")
        trigger = TriggerSync(task_id="trigger", connection_id="{{ ti.xcom_pull(task_ids='sync.find_connection') }}")
        wait = WaitForSync(task_id="wait", airbyte_job_id=trigger.output, on_failure_callback=CancelSync())
        find_connection >> trigger >> wait

    rates = command("load_ecb_rates", f"{MODULE} airbyte.loaders.ecb_fx_rates")
    sweep = command("sweep_deletions", f"{MODULE} airbyte.deletion_sweep")
    raw_gate = command("raw_gate", f"{MODULE} airbyte.raw_gate")
    staging = command("staging", f"{DBT} staging")

    @task
    def decide_engine(params: dict, ti: object) -> dict:
        """The engine, the pending rows, the predictions and the reason, for the branch, the note and the ledger."""
        return decisions.decide_and_note(load(), ti, params)

    @task.branch
    def choose(decision: dict) -> str:
        """The branch label is the engine."""
        return f"heavy_{decision['engine']}"

    @task.branch(trigger_rule=TriggerRule.ALL_DONE)
    def fall_back(decision: dict | None, params: dict, ti: object) -> str:
        """On to the gate, or to the other engine when the chosen one failed for a reason of its own."""
        try:
            return decisions.follow_up(load(), ti, decision, params["fall_back"])
        except CannotGoOn as stop:
            raise AirflowFailException(str(stop)) from stop

    intermediate_gate = command("intermediate_gate", f"{DBT} heavy-gate", trigger_rule=JOIN)
    marts = command("marts", f"{DBT} marts {FULL_REFRESH}")

    @task.branch
    def review(params: dict, ti: object) -> str:
        """To a person where tests warned and the run asks for one; else on to the readers."""
        return decisions.review(load(), ti, params["ask_on_warnings"])

    approve = approval("approve", "review", "Publish the marts of {{ run_id }}?")
    publish = command("publish", f"{MODULE} stack.publish", outlets=[MARTS], trigger_rule=JOIN)

    decision = decide_engine()
    follow = fall_back(decision)
    [wait, rates] >> sweep >> raw_gate >> staging >> decision
    chosen = choose(decision)
    for engine, operator in {"dbt": HeavyDbt, "spark": HeavySpark}.items():
        chosen >> Label(engine) >> operator(task_id=f"heavy_{engine}") >> follow
        follow >> Label(f"{engine} instead") >> operator(task_id=f"fall_back_{engine}") >> intermediate_gate
    reviewed = review()
    follow >> Label("done") >> intermediate_gate >> marts >> reviewed >> Label("warned") >> approve >> publish
    reviewed >> Label("done") >> publish
