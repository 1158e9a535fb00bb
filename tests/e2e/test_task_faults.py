"""Whatever happens to a task's program, a run ends with the right tables, or with the ones of the run before.

FAULTS is the table of outcomes. `make faults` plays all of it; `make test` two of its rows, and every program killed once in one run.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil
import pytest

from stack import airflow, bigquery
from stack.__main__ import SERVICES
from tests.content import HISTORIES, Content, content, differences
from tests.e2e.deployment import Deployment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
SCALE = "0.02"
# The words by which a task's program is known among the processes of the machine.
PROGRAMS = {
    "sync.find_connection": "airbyte.connections.find",
    "load_ecb_rates": "airbyte.loaders.ecb_fx_rates",
    "sweep_deletions": "airbyte.deletion_sweep",
    "raw_gate": "airbyte.raw_gate",
    "staging": "marts_next staging",
    "heavy_dbt": "marts_next heavy ",
    "intermediate_gate": "marts_next heavy-gate",
    "marts": "marts_next marts",
    "publish": "stack.publish",
}
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
    Fault("heavy_dbt", KILLED_ALWAYS, "success", TODAYS, ("heavy_dbt",)),
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


def is_whole() -> bool:
    """Whether the whole table is played."""
    return os.environ.get("FAULT_TASKS") == "all"


def chosen() -> list[Fault]:
    """All faults for `make faults`; else one after which the other engine steps in, and one after which the run stops."""
    if is_whole():
        return FAULTS
    return [
        fault
        for fault in FAULTS
        if (fault.task, fault.kind) in (("heavy_dbt", KILLED_ALWAYS), ("publish", KILLED_ALWAYS))
    ]


@dataclass
class Saboteur:
    """A context manager that does something to programs of Airflow's as soon as they have run for a moment."""

    airflow_process: psutil.Process
    # task: how often
    kills: dict[str, int]
    hangs: set[str] = field(default_factory=set)
    done: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._met: set[int] = set()

    def __enter__(self) -> Saboteur:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for child in self.airflow_process.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    self._meet(child)

    def _meet(self, child: psutil.Process) -> None:
        words = " ".join(child.cmdline()) + " "
        task = next(
            (task for task, program in PROGRAMS.items() if f"-m {program}" in words or f" {program}" in words), None
        )
        # Airflow runs `bash -c "exec program"`: the one that has become the program.
        if task is None or child.pid in self._met or "bash" in words.split(" ", 1)[0]:
            return
        count = self.done.get(task, 0)
        if count < self.kills.get(task, 0):
            self._met.add(child.pid)
            time.sleep(0.3)
            child.kill()
            self.done[task] = count + 1
        elif task in self.hangs and not count:
            self._met.add(child.pid)
            child.suspend()
            self.done[task] = 1


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    # What hangs is ended after five minutes: more than any task takes, on a slow machine, too.
    made = Deployment(tmp_path_factory.mktemp("faults"), {"TASK_TIMEOUT_SECONDS": "300"} if is_whole() else {})
    try:
        made.demo("--scale", SCALE, "--engine", "dbt")
        yield made
    finally:
        made.run("stack", "clean-data")


def saboteur(deployment: Deployment, kills: dict[str, int], hangs: set[str]) -> Saboteur:
    process = SERVICES["airflow"].process(deployment.settings).running()
    assert process is not None
    return Saboteur(process, kills, hangs)


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


def rebuilt(deployment: Deployment) -> Content:
    """The marts of what is in raw now, made anew by dbt alone in another dataset."""
    done = deployment.run("stack.dbt", "--marts-dataset", "marts_expected", "models", "--full-refresh")
    assert done.returncode == 0, done.stderr[-3000:]
    found = content(deployment.settings, ("marts_expected",))
    bigquery.client(deployment.settings).delete_dataset("marts_expected", delete_contents=True)
    return {
        name.replace("marts_expected", "marts"): rows
        for name, rows in found.items()
        if name.replace("marts_expected", "marts") not in HISTORIES
    }


def test_every_program_killed_once_in_one_run_costs_a_try_each_and_no_row(deployment: Deployment) -> None:
    play_a_day(deployment)
    kills = dict.fromkeys(PROGRAMS.keys() - {"heavy_dbt"}, 1)
    before = alerts(deployment)
    with saboteur(deployment, kills, set()) as sabotage:
        state, tries = run(deployment)
    assert state == "success"
    assert sabotage.done == kills
    assert {task: tries[task] for task in kills} == dict.fromkeys(kills, 2)
    assert alerts(deployment) == before
    assert differences(marts(deployment), rebuilt(deployment)) == {}


@pytest.mark.parametrize("fault", chosen(), ids=lambda fault: f"{fault.task} {fault.kind}")
def test_a_fault_ends_as_the_table_says(deployment: Deployment, fault: Fault) -> None:
    play_a_day(deployment)
    before, heard = marts(deployment), len(alerts(deployment))
    kills = {fault.task: {KILLED_ONCE: 1, KILLED_ALWAYS: 99, HANGS: 0}[fault.kind]}
    with saboteur(deployment, kills, {fault.task} if fault.kind == HANGS else set()) as sabotage:
        state, tries = run(deployment)
    assert sabotage.done[fault.task] == (1 if fault.kind != KILLED_ALWAYS else tries[fault.task])
    assert state == fault.state
    assert tuple(alerts(deployment)[heard:]) == fault.alerts
    if fault.marts == YESTERDAYS:
        assert differences(marts(deployment), before) == {}
        assert run(deployment)[0] == "success"
    assert differences(marts(deployment), before) != {}
    assert differences(marts(deployment), rebuilt(deployment)) == {}
