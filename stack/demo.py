"""The whole pipeline, once: stack up, source filled, connection applied, DAG run in Airflow and followed, summary printed."""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import fcntl
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from stack import airflow, ledger, postgres, summary
from stack.local_dir import claim, locked
from stack.processes import StackError, interrupted
from stack.settings import ROOT, Settings

ENGINES = ("auto", "dbt", "spark")
# Of the runs that a demo began.
RUN_PREFIX = "demo__"
# What was measured: disk_needed.
DISK_BYTES_FIXED = 1_000_000_000
DISK_BYTES_PER_SCALE = 450_000_000
# How long an interrupt waits for the starts under way to end: a service that has not stopped by then is recorded, and `down` stops it.
LET_GO_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The demo's options."""
    parser.add_argument(
        "--scale",
        help="scale factor of the generated source, from 0.01 (default: what the source holds already, else 1: 0.4 million rows)",
    )
    parser.add_argument("--engine", default="auto", help="auto (by data volume, the default), dbt or spark")
    parser.add_argument(
        "--source-sql", type=Path, help="a folder of *.sql files to fill the empty Postgres with, instead of generating"
    )
    parser.add_argument("--no-start", action="store_true", help="the services run already, as containers do")


def run(settings: Settings, arguments: argparse.Namespace, services: dict[str, Any]) -> int:
    """Run the demo. Returns 0 when every gate and test passed. Raises StackError with one line of why."""
    scale = _scale(arguments.scale) if arguments.scale else 1.0
    if arguments.engine not in ENGINES:
        raise StackError(f"ENGINE={arguments.engine}: it must be one of {', '.join(ENGINES)}")
    if arguments.source_sql and settings.source_dsn_override:
        raise StackError("SOURCE_SQL fills the local Postgres, SOURCE_DSN uses one of yours: give only one of them")
    if arguments.source_sql and not any(arguments.source_sql.glob("*.sql")):
        raise StackError(f"SOURCE_SQL={arguments.source_sql}: no *.sql file there")
    claim(settings)
    _require_disk(settings, scale)
    timer = Timer()
    with _only_one(settings):
        if settings.source_dsn_override:
            _module(settings, "airbyte.source_check")
        _fill_and_start(settings, arguments, services, timer)
        with timer.step("apply connection"):
            _module(settings, "airbyte.connections.apply")
        state, run_id, tasks = _run_dag(settings, arguments.engine, timer)
    if state != "success":
        raise StackError(_why(settings, run_id, tasks))
    print(summary.of_run(settings, run_id, timer.seconds, _ledger_path(settings)))
    return 0


class Timer:
    """Wall seconds of each named step, in order, printed as they end."""

    def __init__(self) -> None:
        """Start with no step."""
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the body."""
        started = time.monotonic()
        yield
        self.add(name, time.monotonic() - started)

    def add(self, name: str, seconds: float) -> None:
        """Note a finished step and print it."""
        self.seconds[name] = seconds
        print(f"  {name:22} {seconds:6.1f} s", flush=True)


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0.01 <= scale <= 10_000:
        raise StackError(f"SCALE={text}: it must be a number from 0.01 on, such as 0.1, 1, 10 or 100")
    return scale


def disk_needed(scale: float) -> int:
    """Bytes of free disk to ask for, for a first run of that scale by either engine.

    At scale 100, source, warehouse, lake and all that is temporary took 31 GB by dbt and 35 by Spark (benchmarks/results/pipeline_scale_100_*.json). A third
    more is reserve. The fixed part is mostly reserve: at scale 0.05 it all took 0.3 GB.
    """
    return DISK_BYTES_FIXED + int(DISK_BYTES_PER_SCALE * scale)


def _require_disk(settings: Settings, scale: float) -> None:
    """Raise StackError where a run of that scale would not fit. What runs before it have filled is there already."""
    homes = (postgres.home(settings) / "data", settings.local_dir / "bigquery", settings.local_dir / "lake")
    needed = disk_needed(scale)
    needed = max(needed - sum(map(_bytes_in, homes)), DISK_BYTES_FIXED // 2)
    free = shutil.disk_usage(settings.local_dir).free
    if free < needed:
        # Rounded apart, so that the two never look the same.
        raise StackError(
            f"the disk under {settings.local_dir} has {math.floor(free / 1e8) / 10:.1f} GB free, this run needs about "
            f"{math.ceil(needed / 1e8) / 10:.1f} GB more: free some, or set LOCAL_DIR to a folder on a larger disk"
        )


def _bytes_in(folder: Path) -> int:
    """The size of the files below it."""
    total = 0
    for path in folder.rglob("*"):
        # A file of a running service may be gone by now.
        with suppress(OSError):
            total += path.lstat().st_size
    return total


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Hold the demo's lock: two demos would fill the same source and follow each other's runs."""
    with (settings.local_dir / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                f"another demo is running on {settings.local_dir}: wait for it, or set LOCAL_DIR and the ports"
            ) from None
        yield


def start_stack(settings: Settings, services: dict[str, Any]) -> None:
    """Start the services and print the seconds of each. Airflow needs the Airbyte server's credentials, the rest is independent."""
    print("starting the stack", flush=True)
    with _starting(settings, services, Timer()):
        pass


@contextmanager
def _starting(settings: Settings, services: dict[str, Any], timer: Timer) -> Iterator[None]:
    """Start the quick services before the body, and Airflow beside it: all is up at the end. The stack's lock is held until all is up, not longer.

    An interrupt ends what is under way: whoever does not hear of it in time is let go, and ends with the program.
    """
    under_way: list[concurrent.futures.Future[None]] = []

    def start(name: str) -> None:
        with timer.step(f"start {name}"):
            services[name].start(settings)

    lock = ExitStack()
    lock.enter_context(locked(settings))
    try:
        _stop_outdated(settings, services)
        under_way += [_beside(start, name) for name in services if name != "airflow"]
        for future in under_way:
            future.result()
        if "airflow" in services:
            under_way.append(_beside(start, "airflow"))
            under_way[-1].add_done_callback(lambda _: lock.close())
        else:
            lock.close()
        yield
        for future in under_way:
            future.result()
    except Exception:
        concurrent.futures.wait(under_way)
        raise
    except BaseException:
        interrupted.set()
        concurrent.futures.wait(under_way, LET_GO_SECONDS)
        raise
    finally:
        lock.close()


def _beside(work: Callable[[str], None], name: str) -> concurrent.futures.Future[None]:
    """Call `work` in a thread that does not keep the program from ending, as those of a pool do."""
    future: concurrent.futures.Future[None] = concurrent.futures.Future()

    def run() -> None:
        try:
            work(name)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _stop_outdated(settings: Settings, services: dict[str, Any]) -> None:
    """Stop what runs with other settings than today's: it would ask another database, or decide by another threshold, than the rest."""
    path = settings.local_dir / "run" / "settings.json"
    # Digests, as some are secrets.
    now = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in settings.environment().items()}
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        before = now
    changed = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
    running = [name for name in reversed(services) if services[name].process(settings).running()]
    if changed and running:
        print(f"  {', '.join(changed)} changed: starting {', '.join(running)} anew", flush=True)
        for name in running:
            services[name].stop(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(now, indent=1))


def _fill_and_start(settings: Settings, arguments: argparse.Namespace, services: dict[str, Any], timer: Timer) -> None:
    """Start the stack; fill the source while Airflow, the slowest, comes up."""
    if services:
        print("starting the stack", flush=True)
    with _starting(settings, services, timer):
        if not settings.source_dsn_override:
            with timer.step("fill source"):
                load = ["--sql", str(arguments.source_sql)] if arguments.source_sql else []
                load += ["--scale", arguments.scale] if arguments.scale else []
                _module(settings, "source.load", *load, "--ledger", str(_ledger_path(settings)))
                postgres.grant_reader(settings)
                _module(settings, "airbyte.source_check")


def _ledger_path(settings: Settings) -> Path:
    return settings.local_dir / "source" / "ledger.json"


def _module(settings: Settings, module: str, *arguments: str) -> None:
    """Run one of the project's programs with its output shown; raise StackError with its last line when it fails."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **settings.environment(), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    last = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"    {line.rstrip()}", flush=True)
            last = line.strip() or last
    except BaseException:
        process.terminate()
        raise
    finally:
        process.wait()
    if process.returncode:
        raise StackError(last.removeprefix("error: ") or f"{module} ended with status {process.returncode}")


def _run_dag(settings: Settings, engine: str, timer: Timer) -> tuple[str, str, list[dict[str, Any]]]:
    """Trigger the pipeline and follow it to its end. Returns its state, its run id and its task instances."""
    api = airflow.Api(settings)
    api.wait_for_dag(airflow.DAG_ID)
    for active in api.active_runs(airflow.DAG_ID):
        # Left over from a demo that was interrupted: it might hold the only run slot for ever. A run that somebody else began is waited for.
        if active.startswith(RUN_PREFIX):
            print(f"  ending the interrupted run {active}", flush=True)
            api.fail_run(airflow.DAG_ID, active)
    now = datetime.datetime.now(datetime.UTC).isoformat()
    run_id = api.trigger(airflow.DAG_ID, {"engine": engine}, f"{RUN_PREFIX}{now}")
    url = f"{settings.for_people(settings.airflow_url)}/dags/{airflow.DAG_ID}/runs/{run_id}"
    print(f"running {airflow.DAG_ID} in Airflow: {url}", flush=True)
    try:
        return _follow(api, run_id, timer)
    except BaseException:
        api.fail_run(airflow.DAG_ID, run_id)
        raise


def _follow(api: airflow.Api, run_id: str, timer: Timer) -> tuple[str, str, list[dict[str, Any]]]:
    shown = ""
    for state, tasks, ended in api.follow(airflow.DAG_ID, run_id):
        if state == "queued":
            for other in api.active_runs(airflow.DAG_ID, "running"):
                print(f"  first {other}, which runs already:", flush=True)
                _follow(api, other, Timer())
        for task in ended:
            timer.add(task["task_id"] + ("" if task["state"] == "success" else " FAILED"), task["duration"] or 0.0)
        running = ", ".join(task["task_id"] for task in tasks if task["state"] == "running")
        if sys.stdout.isatty() and running != shown:
            print(f"  … {running}", end="\r", flush=True)
            shown = running
    return state, run_id, tasks


def _why(settings: Settings, run_id: str, tasks: list[dict[str, Any]]) -> str:
    """One line: the first task that failed and the last line it said that names an error."""
    done = {task["task_id"] for task in tasks if task["state"] == "success"}
    # In the place of a heavy step that failed the other engine's may have succeeded.
    made_good = ledger.HEAVY_STEPS.keys() if done & ledger.HEAVY_STEPS.keys() else set()
    failed = [task for task in tasks if task["state"] == "failed" and task["task_id"] not in made_good]
    failed.sort(key=lambda task: task["end_date"] or "")
    if not failed:
        return f"the run {run_id} did not succeed and no task failed: see {settings.for_people(settings.airflow_url)}"
    task = failed[0]
    lines = airflow.Api(settings).log(airflow.DAG_ID, run_id, task["task_id"], task["try_number"])
    said = [line.strip() for line in lines if "error" in line.lower() and "ALERT" not in line]
    reason = next((line for line in said if line.lower().startswith("error:")), said[0] if said else "see its log")
    url = settings.for_people(settings.airflow_url)
    return f"{task['task_id']} failed: {reason.removeprefix('error: ')[:500]} (`make status`; {url})"
