"""Whatever happens to a task's program, a run ends with the right tables, or with the ones of the run before.

FAULTS is the table of outcomes. It takes an hour: `make faults` plays it. In `make test` the pipeline's story has a run in which every program is killed once
(tests/e2e/test_pipeline.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from stack import airflow
from tests.content import Content, content, differences
from tests.e2e.deployment import Deployment
from tests.e2e.saboteur import Saboteur

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
SCALE = "0.02"
KILLED_ONCE, KILLED_ALWAYS, HANGS = "killed once", "killed always", "hangs"
TODAYS, YESTERDAYS = "today's", "yesterday's"


@dataclass(frozen=True)
class Fault:
    """What is done to a task's program, and how the run ends, with which marts, and who hears of it."""

    task: str
    kind: str
    state: str
    marts: str
    alerts: tuple[str, ...] = ()


FAULTS = [
    # Tried again by itself.
    *(
        Fault(task, KILLED_ONCE, "success", TODAYS)
        for task in ("marts", "publish", "staging", "raw_gate", "sweep_deletions")
    ),
    # The other engine steps in, once; the failed step has alerted.
    *(Fault("heavy_dbt", kind, "success", TODAYS, ("heavy_dbt",)) for kind in (KILLED_ALWAYS, HANGS)),
    # After three tries the run stops where it is, and readers keep what they had.
    *(
        Fault(task, KILLED_ALWAYS, "failed", YESTERDAYS, (task,))
        for task in (
            "publish",
            "marts",
            "intermediate_gate",
            "staging",
            "raw_gate",
            "sweep_deletions",
            "load_ecb_rates",
            "sync.find_connection",
        )
    ),
    # Ended after TASK_TIMEOUT_SECONDS, and tried again.
    *(Fault(task, HANGS, "success", TODAYS) for task in ("sweep_deletions", "raw_gate", "publish")),
]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    # What hangs is ended after five minutes: more than any task takes, on a slow machine, too.
    made = Deployment(tmp_path_factory.mktemp("faults"), {"TASK_TIMEOUT_SECONDS": "300"})
    try:
        made.demo("--scale", SCALE, "--engine", "dbt")
        yield made
    finally:
        made.run("stack", "clean-data")


def run(deployment: Deployment) -> tuple[str, dict[str, int]]:
    """A run by dbt: its state, and how often each task was tried."""
    api = airflow.Api(deployment.settings)
    run_id = api.trigger(airflow.DAG_ID, {"engine": "dbt"})
    *_, (state, _, _) = api.follow(airflow.DAG_ID, run_id)
    return state, {task["task_id"]: task["try_number"] for task in api.tasks(airflow.DAG_ID, run_id)}


def play_a_day(deployment: Deployment) -> None:
    day = deployment.run("source.day", "--ledger", str(deployment.local_dir / "source" / "ledger.json"))
    assert day.returncode == 0, day.stderr


def alerts(deployment: Deployment) -> list[str]:
    """The tasks alerted of so far."""
    path = deployment.local_dir / "alerts.log"
    return [json.loads(line)["task"] for line in path.read_text().splitlines()] if path.exists() else []


def marts(deployment: Deployment) -> Content:
    return content(deployment.settings, ("marts",))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.task} {fault.kind}")
def test_a_fault_ends_as_the_table_says(deployment: Deployment, fault: Fault) -> None:
    play_a_day(deployment)
    before, heard = marts(deployment), len(alerts(deployment))
    kills = {fault.task: {KILLED_ONCE: 1, KILLED_ALWAYS: 99, HANGS: 0}[fault.kind]}
    with Saboteur(deployment, kills, {fault.task} if fault.kind == HANGS else set()) as sabotage:
        state, tries = run(deployment)
    assert sabotage.done[fault.task] == (1 if fault.kind != KILLED_ALWAYS else tries[fault.task])
    assert state == fault.state
    assert tuple(alerts(deployment)[heard:]) == fault.alerts
    if fault.marts == YESTERDAYS:
        assert differences(marts(deployment), before) == {}
        assert run(deployment)[0] == "success"
    assert differences(marts(deployment), before) != {}
    assert differences(content(deployment.settings), deployment.rebuilt()) == {}
