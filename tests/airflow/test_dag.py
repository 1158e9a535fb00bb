"""The DAG imports under Airflow's own environment, and has exactly the wiring that docs/architecture.md promises."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from stack import airflow
from stack.settings import ROOT, Settings

PIPELINE = "marketplace_elt_pipeline"


@pytest.fixture(scope="module")
def dags(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Every DAG's structure, as Airflow parses it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRBYTE_CLIENT_ID", "client")
        patch.setenv("AIRBYTE_CLIENT_SECRET", "secret")
        from stack.settings import load

        env = airflow.environment(load())
    script = Path(__file__).parent / "dag_structure.py"
    python = ROOT / ".venv" / "airflow" / "bin" / "python"
    done = subprocess.run(
        [python, script, ROOT / "airflow" / "dags"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_every_dag_imports(dags: dict) -> None:
    assert dags["errors"] == {}
    assert PIPELINE in dags["dags"]


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
        "marts": ["publish"],
        "publish": [],
    }


def test_the_other_dags_wait_for_the_pipeline_and_leave_what_is_published_alone(dags: dict) -> None:
    assert dags["dags"]["marketplace_parity_audit"]["tasks"] == {
        "pipeline_rests": ["prepare"],
        "prepare": ["dbt", "spark"],
        "dbt": ["compare"],
        "spark": ["compare"],
        "compare": [],
    }
    assert dags["dags"]["marketplace_maintenance"]["tasks"] == {
        "pipeline_rests": ["compact_lake", "prune_ledger", "sweep_deletions"],
        "compact_lake": [],
        "prune_ledger": [],
        "sweep_deletions": [],
    }
    assert dags["dags"]["marketplace_parity_audit"]["first_run"] == "2026-03-01T07:00:00+00:00"
    assert dags["dags"]["marketplace_maintenance"]["first_run"] == "2026-03-01T05:00:00+00:00"


def test_dag_files_are_thin_and_parse_in_a_second_each(dags: dict) -> None:
    files = list((ROOT / "airflow" / "dags").glob("*.py"))
    assert len(files) == len(dags["dags"]) == 3
    assert {file.name: n for file in files if (n := len(file.read_text().splitlines())) > 120} == {}


def test_unpausing_starts_nothing_before_the_next_three_o_clock(dags: dict) -> None:
    assert dags["dags"][PIPELINE]["first_run"] == "2026-03-02T03:00:00+00:00"


def test_only_the_fall_back_sees_a_failure_and_only_the_join_accepts_a_skipped_branch(dags: dict) -> None:
    assert dags["dags"][PIPELINE]["triggers"] == {
        "fall_back": "all_done",
        "intermediate_gate": "none_failed_min_one_success",
    }


def test_every_task_is_recorded_and_alerts(dags: dict) -> None:
    assert [dag["unnotified"] for dag in dags["dags"].values()] == [[]] * len(dags["dags"])


def test_parameters_and_documentation(dags: dict) -> None:
    pipeline = dags["dags"][PIPELINE]
    assert pipeline["params"] == ["engine", "fall_back", "full_refresh", "policy", "spark_threshold_rows"]
    assert all(dag["doc"] for dag in dags["dags"].values())
