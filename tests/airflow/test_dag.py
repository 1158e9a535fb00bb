"""The DAG imports under Airflow's own environment, and has exactly the wiring that docs/architecture.md promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack import ledger
from stack.settings import ROOT, Settings
from tests.airflow import airflow_python

PIPELINE = "marketplace_elt_pipeline"


def parsed(**variables: str) -> dict:
    """Every DAG's structure, as Airflow parses it with these variables."""
    return airflow_python.run(Path(__file__).parent / "dag_structure.py", ROOT / "airflow" / "dags", **variables)


@pytest.fixture(scope="module")
def dags(settings: Settings) -> dict:
    return parsed(SPARK_MASTER="local[*]")


def test_every_dag_imports(dags: dict) -> None:
    assert dags["errors"] == {}
    assert PIPELINE in dags["dags"]


def test_only_the_files_that_hold_a_dag_are_parsed(dags: dict) -> None:
    assert dags["files"] == sorted(f"{name}.py" for name in dags["dags"])


def test_the_pipelines_wiring(dags: dict) -> None:
    assert dags["dags"][PIPELINE]["tasks"] == {
        "sync.find_connection": ["sync.trigger"],
        "sync.trigger": ["sync.wait"],
        "sync.wait": ["sweep_deletions"],
        "load_ecb_rates": ["sweep_deletions"],
        "sweep_deletions": ["raw_gate"],
        "raw_gate": ["staging"],
        "staging": ["decide_engine"],
        "decide_engine": ["choose", "fall_back"],
        "choose": ["heavy_dbt", "heavy_spark"],
        "heavy_dbt": ["fall_back"],
        "heavy_spark": ["fall_back"],
        "fall_back": ["fall_back_dbt", "fall_back_spark", "intermediate_gate"],
        "fall_back_dbt": ["intermediate_gate"],
        "fall_back_spark": ["intermediate_gate"],
        "intermediate_gate": ["marts"],
        "marts": ["review"],
        "review": ["approve", "publish"],
        "approve": ["publish"],
        "publish": [],
    }


def test_what_follows_from_a_decision_is_what_the_ledger_takes_for_that(dags: dict) -> None:
    tasks, found = dags["dags"][PIPELINE]["tasks"], set()
    reached = [ledger.DECISION_STEP]
    while reached:
        following = {*tasks[reached.pop()]} - found
        found |= following
        reached += following
    assert found == ledger.DECIDED


def test_new_marts_make_a_new_page(dags: dict) -> None:
    assert dags["dags"][PIPELINE]["outlets"] == {"publish": ["bigquery://marts"]}
    assert dags["dags"]["marketplace_dashboard"]["assets"] == ["bigquery://marts"]
    assert dags["dags"]["marketplace_dashboard"]["tasks"] == {"build": []}


def test_the_other_dags_wait_for_the_pipeline_and_leave_what_is_published_alone(dags: dict) -> None:
    assert dags["dags"]["marketplace_parity_audit"]["tasks"] == {
        "pipeline_rests": ["prepare"],
        "prepare": ["dbt", "spark"],
        "dbt": ["compare"],
        "spark": ["compare"],
        "compare": [],
    }
    assert dags["dags"]["marketplace_maintenance"]["tasks"] == {
        "pipeline_rests": ["compact_lake", "erase_on_request", "forget_old_runs"],
        "compact_lake": [],
        "forget_old_runs": [],
        "erase_on_request": ["sweep_deletions"],
        "sweep_deletions": [],
    }
    assert dags["dags"]["marketplace_parity_audit"]["first_run"] == "2026-03-01T07:00:00+00:00"
    assert dags["dags"]["marketplace_maintenance"]["first_run"] == "2026-03-01T05:00:00+00:00"


def test_dag_files_are_thin_and_parse_in_a_second_each(dags: dict) -> None:
    files = list((ROOT / "airflow" / "dags").glob("*.py"))
    assert len(files) == len(dags["dags"]) == 4
    assert {file.name: n for file in files if (n := len(file.read_text().splitlines())) > 120} == {}


def test_unpausing_starts_nothing_before_the_next_three_o_clock(dags: dict) -> None:
    assert dags["dags"][PIPELINE]["first_run"] == "2026-03-02T03:00:00+00:00"


def test_only_the_fall_back_sees_a_failure_and_only_the_joins_accept_a_skipped_branch(dags: dict) -> None:
    assert dags["dags"][PIPELINE]["triggers"] == {
        "fall_back": "all_done",
        "intermediate_gate": "none_failed_min_one_success",
        "publish": "none_failed_min_one_success",
    }


def test_every_task_is_recorded_and_alerts(dags: dict) -> None:
    assert [dag["unnotified"] for dag in dags["dags"].values()] == [[]] * len(dags["dags"])


def test_sparks_driver_is_on_loopback_unless_the_workers_of_a_cluster_have_to_find_it(
    settings: Settings, dags: dict
) -> None:
    spark_steps = {
        PIPELINE: ["fall_back_spark", "heavy_spark"],
        "marketplace_dashboard": [],
        "marketplace_maintenance": ["compact_lake"],
        "marketplace_parity_audit": ["spark"],
    }
    assert {name: dag["on_loopback"] for name, dag in dags["dags"].items()} == spark_steps
    on_a_cluster = parsed(SPARK_MASTER="spark://spark-master:7077")["dags"]
    assert {name: dag["on_loopback"] for name, dag in on_a_cluster.items()} == {name: [] for name in spark_steps}


def test_parameters_and_documentation(dags: dict) -> None:
    pipeline = dags["dags"][PIPELINE]
    assert pipeline["params"] == [
        "ask_on_warnings",
        "engine",
        "fall_back",
        "full_refresh",
        "policy",
        "spark_threshold_rows",
    ]
    assert all(dag["doc"] for dag in dags["dags"].values())
