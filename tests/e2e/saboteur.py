"""Kills, or suspends, the programs of Airflow's tasks while they run."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

import psutil

from benchmarks.repeating import Repeating
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


class Saboteur(Repeating):
    """A context manager that does something to programs of Airflow's as soon as they run; `done` is to which tasks', how often."""

    def __init__(self, deployment: Deployment, kills: dict[str, int], hangs: Collection[str] = ()) -> None:
        """`kills` is which tasks' programs are killed, how often; `hangs` whose are suspended, once."""
        super().__init__(every=0.1)
        process = SERVICES["airflow"].process(deployment.settings).running()
        assert process is not None
        self.done: dict[str, int] = {}
        self._airflow, self._kills, self._hangs = process, kills, hangs
        self._met: set[int] = set()

    def tick(self) -> None:
        """Look at what runs now."""
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
        if count < self._kills.get(task, 0):
            self._met.add(child.pid)
            # At once: the shortest of them is over in half a second.
            child.kill()
            self.done[task] = count + 1
        elif task in self._hangs and not count:
            self._met.add(child.pid)
            child.suspend()
            self.done[task] = 1
