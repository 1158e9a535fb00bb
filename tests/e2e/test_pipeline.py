"""The whole pipeline as a user runs it: both engines, repeated, after business days, and from somebody else's Postgres.

The tests of this module are the steps of one story and run in order on one deployment.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stack import airflow, bigquery
from stack import ledger as run_ledger
from stack.__main__ import SERVICES
from stack.settings import ROOT
from tests.content import Content, content, differences
from tests.e2e import traps
from tests.e2e.deployment import Deployment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SCALE = "0.05"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment(tmp_path_factory.mktemp("pipeline"))
    yield made
    made.run("stack", "clean-data")


@pytest.fixture(scope="module")
def story() -> dict[str, Content]:
    """What the steps hand on: the content of the warehouse after each of them."""
    return {}


def ledger(deployment: Deployment) -> dict:
    return json.loads((deployment.local_dir / "source" / "ledger.json").read_text())


def test_a_fresh_demo_by_dbt_finds_exactly_what_was_planted(deployment: Deployment, story: dict[str, Content]) -> None:
    printed = deployment.demo("--scale", SCALE, "--engine", "dbt")
    assert "engine        dbt: asked for by the run's parameter" in printed
    assert "DIFFERENT" not in printed
    counted = {
        name: int(n.replace(",", "")) for name, n, _ in re.findall(r"^  (\w+) +([\d,]+) +([\d,]+)$", printed, re.M)
    }
    planted = {trap: value["count"] for trap, value in ledger(deployment)["traps"].items()}
    assert len(counted) >= 23
    assert counted == {trap: planted[trap] for trap in counted}
    story["fresh"] = content(deployment.settings)
    assert len(story["fresh"]) >= 12


# Traps that only a business day sets.
OF_THE_DAYS = {"deleted_rows", "late_committed_orders"}


def demand_that_traps_are_found_exactly(deployment: Deployment) -> list[traps.Trap]:
    """Print a table, and fail on a trap of which a planted row is not found or another one is."""
    compared = traps.compare(deployment.settings, ledger(deployment))
    print(f"\n{traps.table(compared)}")
    assert [str(trap) for trap in compared if not trap.is_exact] == []
    return compared


def test_every_trap_is_found_with_precision_and_recall_1(deployment: Deployment) -> None:
    compared = demand_that_traps_are_found_exactly(deployment)
    assert {trap.name for trap in compared if not trap.planted} == OF_THE_DAYS


def test_a_second_demo_after_kill_9_of_the_whole_stack_changes_no_row(
    deployment: Deployment, story: dict[str, Content]
) -> None:
    killed = []
    for service in SERVICES.values():
        running = service.process(deployment.settings).running()
        assert running is not None
        killed += [running, *running.children(recursive=True)]
    for process in killed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deployment.demo("--scale", SCALE, "--engine", "auto")
    assert differences(story["fresh"], content(deployment.settings)) == {}


def test_nothing_is_pending_after_a_run(deployment: Deployment) -> None:
    bq = bigquery.client(deployment.settings)
    pending = bigquery.query(bq, "select sum(pending_rows) as n from ops.pending_rows")[0]["n"]
    assert pending == 0


def test_after_a_day_spark_changes_only_what_the_day_touched(deployment: Deployment, story: dict[str, Content]) -> None:
    day = deployment.run("source.day", "--ledger", str(deployment.local_dir / "source" / "ledger.json"))
    assert day.returncode == 0, day.stderr
    printed = deployment.demo("--scale", SCALE, "--engine", "spark")
    assert "engine        spark: asked for by the run's parameter" in printed
    story["day 1"] = content(deployment.settings)
    changed = differences(story["fresh"], story["day 1"])
    assert "marts.fct_orders" in changed
    touched = touched_orders(deployment)
    for side in ("only left", "only right"):
        orders = {re.search(r"order_id=(\S+)", " ".join(row))[1] for row in changed["marts.fct_orders"][side]}
        assert orders <= touched
    assert changed["marts.fct_orders"]["only right"]
    compared = demand_that_traps_are_found_exactly(deployment)
    assert [trap.name for trap in compared if not trap.planted] == []


def touched_orders(deployment: Deployment) -> set[str]:
    """Orders that the day inserted, updated or deleted, itself or through an item, a payment or a user's country."""
    touched: set[str] = set()
    for day in ledger(deployment)["days"]:
        for keys in day["touched"]["orders"].values():
            touched |= set(keys)
        touched |= set(day["touched"].get("related_orders", []))
    return touched


def kill_spark(deployment: Deployment, into_the_step: float) -> None:
    """Kill -9 the driver's JVM once it has worked for so many seconds."""
    airflow_process = SERVICES["airflow"].process(deployment.settings).running()
    assert airflow_process is not None
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in airflow_process.children(recursive=True):
                if child.name() == "java" and time.time() - child.create_time() > into_the_step:
                    child.kill()
                    return
        time.sleep(0.5)


def test_after_a_second_day_spark_is_killed_and_dbt_does_its_step_from_what_spark_wrote_the_day_before(
    deployment: Deployment, story: dict[str, Content]
) -> None:
    day = deployment.run("source.day", "--ledger", str(deployment.local_dir / "source" / "ledger.json"))
    assert day.returncode == 0, day.stderr
    killer = threading.Thread(target=kill_spark, args=(deployment, 15.0))
    killer.start()
    printed = deployment.demo("--scale", SCALE, "--engine", "spark")
    killer.join()
    assert "fell back to dbt: spark failed, killed" in printed
    story["day 2"] = content(deployment.settings)
    assert differences(story["day 1"], story["day 2"])
    demand_that_traps_are_found_exactly(deployment)


def test_the_decision_and_the_fall_back_are_in_the_ledger_and_in_the_notes(deployment: Deployment) -> None:
    api = airflow.Api(deployment.settings)
    run_id = api.active_runs(airflow.DAG_ID, "success")[-1]
    notes = {task["task_id"]: task["note"] for task in api.tasks(airflow.DAG_ID, run_id)}
    assert notes["decide_engine"].startswith("spark: asked for by the run's parameter (")
    assert re.search(r"\(expected: dbt \d+ s, spark \d+ s\)$", notes["decide_engine"])
    assert notes["fall_back"] == "fell back to dbt: spark failed, killed"
    entries = {entry["step"]: entry for entry in run_ledger.of_run(deployment.settings, run_id)}
    assert entries["decide_engine"]["reason"] == notes["decide_engine"]
    assert (entries["heavy_spark"]["status"], entries["heavy_spark"]["engine"]) == ("engine failed", "spark")
    assert (entries["fall_back_dbt"]["status"], entries["fall_back_dbt"]["engine"]) == ("success", "dbt")
    assert entries["intermediate_gate"]["engine"] == "dbt"


def test_audit_and_maintenance_work_beside_what_is_published(deployment: Deployment, story: dict[str, Content]) -> None:
    api = airflow.Api(deployment.settings)
    runs = {}
    for dag_id in ("marketplace_parity_audit", "marketplace_maintenance"):
        api.wait_for_dag(dag_id)
        runs[dag_id] = api.trigger(dag_id, {})
    deadline = time.monotonic() + 600
    while (states := {api.run(*run)["state"] for run in runs.items()}) & {"queued", "running"}:
        assert time.monotonic() < deadline, [api.tasks(*run) for run in runs.items()]
        time.sleep(1)
    assert states == {"success"}, [api.tasks(*run) for run in runs.items()]
    bq = bigquery.client(deployment.settings)
    audited = bigquery.query(bq, "select * from ops.parity_audit")
    assert len(audited) == 5
    assert all(row["dbt_rows"] == row["spark_rows"] > 0 for row in audited)
    assert all(row["only_dbt"] == row["only_spark"] == 0 for row in audited)
    assert not [found.dataset_id for found in bq.list_datasets() if found.dataset_id.startswith("audit")]
    assert differences(content(deployment.settings), story["day 2"]) == {}
    said = run_ledger.of_run(deployment.settings, runs["marketplace_maintenance"])
    assert {entry["step"]: entry["status"] for entry in said} == dict.fromkeys(
        ("pipeline_rests", "compact_lake", "sweep_deletions", "prune_ledger"), "success"
    )


def runbook(language: str) -> list[str]:
    """The runbook's blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "runbook.md").read_text(), re.DOTALL)


def test_every_query_of_the_runbook_runs(deployment: Deployment) -> None:
    bq = bigquery.client(deployment.settings)
    found = [bigquery.query(bq, sql) for sql in runbook("sql")]
    assert len(found) >= 10
    # Only what a run without late orders or missing rates has not.
    assert sum(not rows for rows in found) <= 1


def test_every_command_of_the_runbook_runs(deployment: Deployment) -> None:
    lines = [line for block in runbook("sh") for line in block.splitlines()]
    assert len(lines) >= 5
    for line in lines:
        command = line.replace("python ", f"{sys.executable} ").replace(".local", str(deployment.local_dir))
        done = subprocess.run(
            ["/bin/bash", "-c", command], cwd=ROOT, env=deployment.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def test_what_the_runbook_restores_is_what_was_lost(deployment: Deployment, story: dict[str, Content]) -> None:
    """Tables of two layers and the lake, by its own command, word by word but for the engine."""
    bq = bigquery.client(deployment.settings)
    for table in ("intermediate.int_orders_usd", "intermediate.int_seller_tier_scd2", "marts.fct_orders"):
        bigquery.query(bq, f"drop table {table}")
    shutil.rmtree(deployment.local_dir / "lake")
    command = next(line for block in runbook("text") for line in block.splitlines() if "full_refresh" in line)
    assert command == """python -m stack.airflow trigger marketplace_elt_pipeline --conf '{"full_refresh": true}'"""
    conf = '{"full_refresh": true, "engine": "spark"}'
    done = deployment.run("stack.airflow", "trigger", airflow.DAG_ID, "--conf", conf)
    assert done.returncode == 0, done.stdout + done.stderr
    assert differences(content(deployment.settings), story["day 2"]) == {}


def test_spark_alone_from_scratch_gives_the_same_rows_as_the_two_engines_by_turns(
    deployment: Deployment, story: dict[str, Content], tmp_path: Path
) -> None:
    """Also SOURCE_DSN: a second deployment reads the first one's Postgres, read only."""
    other = Deployment(tmp_path / "fresh", {"SOURCE_DSN": deployment.settings.source_dsn})
    try:
        other.demo("--engine", "spark")
        assert differences(content(other.settings), story["day 2"]) == {}
    finally:
        other.run("stack", "clean-data")
