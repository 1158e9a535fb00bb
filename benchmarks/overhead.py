"""`python -m benchmarks.overhead --scale 1`: what Airflow adds to the programs that a run consists of, and how long the DAG takes to parse.

In a deployment of its own: `make demo`, then, from the tasks' own logs, when each task's program was under way: a command from its start to its end, the sync
while Airbyte was at work. Programs run side by side, so they are counted as the time in which at least one was under way; `beside_seconds` is the run's wall
time, from the moment it was asked for to its end, without it: the scheduler's, the tasks' processes before and after their program, and the tasks that are
Airflow's own.

A parse is that of a fresh process that has Airflow's own modules, as the DAG processor's has, with the providers' yet to be imported, and without a network
where the machine lets a program have none.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.deployment import RESULTS, Json, deployment, machine, report, save, verdicts
from stack import airflow
from stack.__main__ import SERVICES
from stack.settings import ROOT, Settings

PARSES = 5
TARGETS = {"beside_seconds": ("<=", 20.0), "parse_seconds": ("<=", 1.0)}
# The task that waits for another program than one of its own.
WAITS = "sync.wait"
STARTED = ("Running command", "Spark-Submit cmd")
ENDED = ("Command exited", "::group::Post Execute")
PARSE = """
import sys, time
import airflow.settings, airflow.dag_processing.processor
from airflow.dag_processing.dagbag import DagBag
file = sys.argv[1]
sys.path.insert(0, file.rpartition("/")[0])
began = time.monotonic()
bag = DagBag(file)
assert bag.dags and not bag.import_errors, bag.import_errors
print(time.monotonic() - began)
"""

Span = tuple[float, float]


def seconds(time: str) -> float:
    """A time of Airflow's in seconds since the epoch."""
    return datetime.datetime.fromisoformat(time).timestamp()


def spans(log: Iterable[str]) -> tuple[Span, Span | None]:
    """Of the lines of one task's log: when it was under way, and its program, if it has one; seconds since the epoch."""
    events = []
    for line in log:
        if line.startswith("{") and "timestamp" in (entry := json.loads(line)):
            events.append((seconds(entry["timestamp"]), str(entry["event"])))
    started = [at for at, event in events if event.startswith(STARTED)]
    ended = [at for at, event in events if event.startswith(ENDED)]
    return (events[0][0], events[-1][0]), (started[0], ended[0]) if started and ended else None


def covered(many: Iterable[Span]) -> float:
    """Seconds in which at least one of the spans was under way."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(many):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def measure(run: Span, logs: Path) -> Json:
    """Of a run and the folder of its logs: wall, programs and what is beside them, in seconds, and each task's share."""
    tasks, programs = {}, {}
    for file in sorted(logs.glob("task_id=*/attempt=*.log")):
        name = file.parent.name.removeprefix("task_id=")
        if file.name != "attempt=1.log":
            sys.exit(f"error: {name} was tried more than once: the run is no measure")
        tasks[name], program = spans(file.read_text().splitlines())
        if program or name == WAITS:
            programs[name] = program or tasks[name]
    wall = run[1] - run[0]
    return {
        "wall_seconds": round(wall, 1),
        "programs_seconds": round(covered(programs.values()), 1),
        "beside_seconds": round(wall - covered(programs.values()), 1),
        "tasks": {
            name: {"seconds": round(end - start, 1)}
            | ({"program_seconds": round(programs[name][1] - programs[name][0], 1)} if name in programs else {})
            for name, (start, end) in sorted(tasks.items(), key=lambda item: item[1])
        },
    }


def parse_seconds(current: Settings) -> Json:
    """The median of some parses of the pipeline's file, and whether they had no network."""
    python = ROOT / ".venv" / "airflow" / "bin" / "python"
    command = [str(python), "-c", PARSE, str(ROOT / "airflow" / "dags" / f"{airflow.DAG_ID}.py")]
    alone = ["unshare", "--map-root-user", "--net"]
    is_alone = subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0
    took = [
        float(
            subprocess.run(
                [*(alone if is_alone else []), *command],
                env=airflow.environment(current),
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()[-1]
        )
        for _ in range(PARSES)
    ]
    return {"parse_seconds": round(statistics.median(took), 2), "parsed_without_network": is_alone}


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1, help="scale factor of the source (default 1)")
    parser.add_argument(
        "--engine", choices=("auto", "dbt", "spark"), default="auto", help="default: as the DAG decides"
    )
    chosen = parser.parse_args(arguments)
    with deployment(list(SERVICES.values())) as current:
        demo = [sys.executable, "-m", "stack", "demo", "--scale", str(chosen.scale), "--engine", chosen.engine]
        if subprocess.run(demo, cwd=ROOT, check=False).returncode:
            return 1
        api = airflow.Api(current)
        run_id = api.newest_run(airflow.DAG_ID)
        run = api.run(airflow.DAG_ID, run_id)
        logs = current.local_dir / "airflow" / "logs" / f"dag_id={airflow.DAG_ID}" / f"run_id={run_id}"
        measured = measure((seconds(run["queued_at"]), seconds(run["end_date"])), logs) | parse_seconds(current)
    tasks = measured.pop("tasks")
    targets = verdicts(measured, TARGETS)
    save(
        {"scale": chosen.scale, "engine": chosen.engine, "machine": machine(), "figures": measured}
        | {"targets": targets, "tasks": tasks},
        RESULTS / f"overhead_scale_{chosen.scale:g}.json",
    )
    print(f"\n{'task':24} {'seconds':>8} {'program':>8}")
    for name, took in tasks.items():
        print(f"{name:24} {took['seconds']:8.1f} {took.get('program_seconds', ''):>8}")
    report(measured, targets)
    return 0


if __name__ == "__main__":
    sys.exit(main())
