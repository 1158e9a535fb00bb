"""Kills, or suspends, the programs of Airflow's tasks while they run."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field

import psutil

from stack.__main__ import SERVICES
from tests.e2e.deployment import Deployment

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


@dataclass
class Saboteur:
    """A context manager that does something to programs of Airflow's as soon as they have run for a moment."""

    deployment: Deployment
    # task: how often
    kills: dict[str, int]
    # tasks that are suspended, once
    hangs: set[str] = field(default_factory=set)
    done: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        process = SERVICES["airflow"].process(self.deployment.settings).running()
        assert process is not None
        self._airflow = process
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
            for child in self._airflow.children(recursive=True):
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
