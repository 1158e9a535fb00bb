"""What the benchmarks share: a stack of their own, the machine they ran on, the memory of a process with its children, and where results are kept."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.repeating import Repeating
from stack import postgres, settings
from stack.processes import free_port
from stack.settings import ROOT, Settings

Json = dict[str, Any]
RESULTS = Path(__file__).resolve().parent / "results"
SAMPLE_SECONDS = 0.5
# What a user may set for a benchmark, too: how much of the machine it takes. Where it works is its own.
OF_THE_MACHINE = {"BIGQUERY_EMULATOR_MEMORY", "SPARK_DRIVER_MEMORY", "SPARK_DRIVER_JAVA_OPTIONS"}


@contextmanager
def deployment(services: Sequence[Any]) -> Iterator[Settings]:
    """Some of the stack's services, started in this order on free ports, in a folder that goes at the end, also when the benchmark is terminated."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    folder = Path(tempfile.mkdtemp(prefix="marketplace-elt-benchmark-"))
    for name in settings.VARIABLES - OF_THE_MACHINE:
        os.environ.pop(name, None)
    names = ("POSTGRES_PORT", "BIGQUERY_PORT", "BIGQUERY_GRPC_PORT", "AIRBYTE_PORT", "AIRFLOW_PORT")
    os.environ |= {"LOCAL_DIR": str(folder), "OPENLINEAGE_DISABLED": "true"} | {
        name: str(free_port()) for name in names
    }
    current = settings.load()
    started: list[Any] = []
    try:
        for service in services:
            started.append(service)
            service.start(current)
        yield current
    finally:
        for service in reversed(started):
            service.stop(current)
        if postgres in started:
            postgres.remove(current)
        shutil.rmtree(folder, ignore_errors=True)


def run(*arguments: str) -> str:
    """Run a module of the project as a user does; returns what it printed. Exits with its output when it fails."""
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {' '.join(arguments)} failed:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return done.stdout


def stage_marketplace(parquet: Path) -> None:
    """The marketplace of `source.parquet`'s files in raw by load jobs, the exchange rates, and the staging models of both."""
    run("airbyte.loaders.bulk", str(parquet))
    run("airbyte.loaders.ecb_fx_rates")
    run("stack.dbt", "staging")


def dag_module(name: str) -> Any:
    """A module of the package `marketplace`, whose folder is on Airflow's path, not on this program's."""
    folder = str(ROOT / "airflow" / "dags")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(f"marketplace.{name}")


class PeakMemory(Repeating):
    """A context manager that samples the resident memory of a process and all its descendants; `megabytes` is the most it saw."""

    def __init__(self, pid: int, every: float = SAMPLE_SECONDS) -> None:
        """Of the process `pid`, `every` so many seconds."""
        super().__init__(every)
        self.megabytes = 0
        self._process = psutil.Process(pid)

    def tick(self) -> None:
        """Sample once."""
        total = 0
        with suppress(psutil.NoSuchProcess):
            for process in (self._process, *self._process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
        self.megabytes = max(self.megabytes, total >> 20)


def machine() -> Json:
    """When and on what something was measured."""
    return {
        "measured_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gigabytes": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def verdicts(measured: Json, targets: dict[str, tuple[str, float]]) -> dict[str, str]:
    """{figure: "met" or "missed", with the target}, of the figures that were measured."""
    said = {}
    for name, (relation, bound) in targets.items():
        if name in measured:
            is_met = measured[name] >= bound if relation == ">=" else measured[name] <= bound
            said[name] = f"{'met' if is_met else 'missed'} ({relation} {bound:g})"
    return said


def report(measured: Json, targets: dict[str, str]) -> None:
    """Print each figure with its verdict, where it has one."""
    for name, value in measured.items():
        said = f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
        print(f"{name:44} {said:>10}   {targets.get(name, '')}".rstrip())


def save(result: Json, path: Path) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
