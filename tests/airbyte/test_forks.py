"""A fork is the program that it stands for; and workers can be had whatever was killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from faults import syncs

from airbyte.server import __main__ as server
from airbyte.server.jobs import CLEANUP_SECONDS, KILL_SECONDS, Jobs
from airbyte.server.store import CONNECTION, DESTINATION, SOURCE, SYNC, Store
from airbyte.server.workers import Workers
from stack import airbyte, processes
from stack.settings import ROOT, Settings

PROGRAMS = {
    "spec of the source": ["airbyte.connectors.source_postgres", "spec"],
    "spec of the destination": ["airbyte.connectors.destination_bigquery", "spec"],
    "help": ["airbyte.connectors.source_postgres", "--help"],
    "no command": ["airbyte.connectors.source_postgres"],
    "no configuration": ["airbyte.connectors.source_postgres", "discover", "--config", "/nowhere.json"],
}


@pytest.fixture(scope="module")
def forked() -> dict[str, list[object]]:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error:This process:DeprecationWarning",
            str(Path(__file__).with_name("forked.py")),
            json.dumps(PROGRAMS),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, _, answers = done.stdout.partition(" ")
    assert before == "before", "a child has written what its parent was about to"
    return dict(json.loads(answers))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_fork_says_and_ends_as_the_program_does(forked: dict[str, list[object]], name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *PROGRAMS[name]],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = [done.returncode, done.stdout, done.stderr]
    assert _timeless(forked[name]) == _timeless(said)


def _timeless(said: list[object]) -> str:
    return re.sub(r'"emitted_at":[0-9.]+', "", json.dumps(said).replace("\\", ""))


def test_a_child_has_nothing_of_its_parents_open_and_ends_as_programs_end(forked: dict[str, list[object]]) -> None:
    # 3 is the folder that is being listed.
    assert forked["open files"] == [0, "['0', '1', '2', '3']\n", ""]
    assert forked["command line"] == [0, "python -m a.name\n", ""]
    status, said, errors = forked["an exception"]
    assert (status, said) == (1, "")
    assert str(errors).endswith("ValueError: on purpose\n")
    assert forked["a reason"] == [1, "", "a reason\n"]
    assert forked["nobody reads"] == 1, "what it said is lost"
    assert forked["killed"][0] == -9
    assert forked["terminated"][0] == -15


def test_workers_are_had_after_their_origin_was_killed_and_a_job_is_done_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "jobs").mkdir()
    jobs = [store.create_job(name, SYNC) for name in ("one", "two", "cancelled before it began")]
    logs = [tmp_path / "jobs" / f"{job}.log" for job in jobs]
    for log in logs:
        log.touch()
    store.update_job(jobs[2], status="cancelled")
    workers = Workers(tmp_path)
    workers.warm()
    pids = [workers.start(jobs[0]), workers.start(jobs[0])]
    (origin,) = [p for p in psutil.process_iter(["cmdline"]) if _serves(p, tmp_path)]
    origin.kill()
    pids += [workers.start(job) for job in jobs[1:]]
    assert len({*pids}) == 4
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(30)
    assert [log.read_text().count("error: the connection was deleted") for log in logs] == [1, 1, 0]
    assert [job["status"] for job in map(store.job, jobs) if job] == ["failed", "failed", "cancelled"]
    workers.close()
    assert not [p for p in psutil.process_iter(["cmdline"]) if _serves(p, tmp_path)]


@contextlib.contextmanager
def job_that_takes_long(folder: Path) -> Iterator[tuple[Store, str]]:
    """A connection whose database takes connections and says nothing, which a worker bears for ten seconds."""
    store = Store(folder)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = {"host": "127.0.0.1", "port": silent.getsockname()[1], "database": "x", "username": "x"}
        source = store.create(SOURCE, {"sourceType": "postgres", "configuration": address})
        destination = store.create(DESTINATION, {"destinationType": "bigquery", "configuration": {}})
        yield store, store.create(CONNECTION, {"sourceId": source, "destinationId": destination})


def test_a_job_is_its_first_workers_also_when_nobody_heard_of_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with job_that_takes_long(tmp_path) as (store, connection):
        jobs = Jobs(store, tmp_path)
        answers: list[int] = []
        start = Workers.start

        def start_twice(workers: Workers, job_id: int) -> int:
            """As when the forking process is killed after a fork and before its answer."""
            answers.append(start(workers, job_id))
            _until(lambda: _status(store, job_id) == "running")
            answers.append(start(workers, job_id))
            return answers[-1]

        monkeypatch.setattr(Workers, "start", start_twice)
        job = jobs.start(connection, SYNC)
        first, second = answers
        _until(lambda: not psutil.pid_exists(second))
        time.sleep(0.5)
        found = store.job(job)
        assert found
        assert (jobs.refresh(found)["status"], found["pid"]) == ("running", first)
        # And it is watched: nobody asks for it.
        psutil.Process(first).kill()
        _until(lambda: _status(store, job) == "failed")
        jobs.close()


def test_a_job_whose_worker_ends_before_it_began_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(Store(tmp_path), tmp_path)
    with subprocess.Popen(["sleep", "60"]) as worker:
        monkeypatch.setattr(Workers, "start", lambda *_: worker.pid)
        job = jobs.start("any", SYNC)
        found = Store(tmp_path).job(job)
        assert found
        assert jobs.refresh(found)["status"] == "pending"
        worker.kill()
    _until(lambda: _status(Store(tmp_path), job) == "failed")
    assert not Store(tmp_path).begin_job(job, 1, "a birth")


def test_a_job_that_is_taken_while_it_is_cancelled_ends(tmp_path: Path) -> None:
    with job_that_takes_long(tmp_path) as (store, connection):
        jobs = Jobs(store, tmp_path)
        job = jobs.start(connection, SYNC)
        pending = store.job(job)
        assert pending
        _until(lambda: _status(store, job) == "running")
        running = store.job(job)
        assert running
        assert jobs.cancel({**pending, "status": "pending", "pid": None})["status"] == "cancelled"
        # Ended; whoever forked it has yet to ask.
        _until(lambda: not psutil.pid_exists(running["pid"]))
        jobs.close()


def test_a_clock_that_is_set_kills_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    jobs = Jobs(store, tmp_path)
    with subprocess.Popen(["sleep", "60"]) as worker:
        job = store.create_job("any", SYNC)
        assert store.begin_job(job, worker.pid, processes.birth(worker.pid))
        running = store.job(job)
        assert running
        with monkeypatch.context() as patch:
            boot = psutil.boot_time()
            patch.setattr(psutil._pslinux, "boot_time", lambda: boot + 1)
            assert jobs.refresh(running)["status"] == "running"
        worker.kill()
        # A zombie until it is waited for, which whoever forked it may never do.
        _until(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_ZOMBIE)
        assert jobs.refresh(running)["status"] == "failed"


def test_the_stores_file_is_its_owners_alone_and_the_end_of_a_job_is_final(tmp_path: Path) -> None:
    """It holds the passwords of sources."""
    before = os.umask(0o022)
    try:
        store = Store(tmp_path)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("airbyte.db*")} == {0}
    job = store.create_job("any", SYNC)
    assert store.begin_job(job, 1, "a birth")
    assert not store.begin_job(job, 2, "another birth")
    assert store.update_job(job, status="cancelled")
    # A worker that did not hear of it.
    assert not store.update_job(job, status="succeeded", rows_synced=7)
    ended = store.job(job)
    assert ended
    assert (ended["status"], ended["rows_synced"], ended["pid"]) == ("cancelled", 0, 1)


def test_jobs_are_ended_at_once_when_the_server_is_and_within_the_time_that_it_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    store = Store(tmp_path)
    jobs = Jobs(store, tmp_path)
    (tmp_path / "airbyte.deaf.py").write_text(
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr("airbyte.server.jobs.CLEANUP_SECONDS", 3.0)
    numbers = [store.create_job(f"connection {n}", SYNC) for n in range(3)]
    workers: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as stack:
        for job in numbers:
            ready = tmp_path / f"ready {job}"
            command = [sys.executable, str(tmp_path / "airbyte.deaf.py"), str(ready)]
            worker = stack.enter_context(subprocess.Popen(command, process_group=0))
            stack.callback(worker.kill)
            workers.append(worker)
            _until(ready.exists)
            assert store.begin_job(job, worker.pid, processes.birth(worker.pid))
        began = time.monotonic()
        jobs.close()
        assert time.monotonic() - began < 2 * 3.0, "one after another would take three times"
        assert all(worker.poll() is not None for worker in workers), "what does not hear is killed"
    assert [_status(store, job) for job in numbers] == ["cancelled"] * 3
    late = jobs.start("connection 4", SYNC)
    assert _status(store, late) == "failed"
    needed = server.REQUEST_SECONDS + CLEANUP_SECONDS + KILL_SECONDS
    assert airbyte.process(settings).stop_seconds > needed + 10


def test_a_job_that_a_server_left_pending_has_failed_for_the_next_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    job = store.create_job("any", SYNC)
    jobs = Jobs(store, tmp_path)
    jobs.open()
    jobs.close()
    assert _status(store, job) == "failed"


def test_a_job_that_ended_long_ago_is_forgotten_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    jobs = Jobs(store, tmp_path)
    names = ("long ago", "long ago", "newer", "long ago, and not ended")
    old, again, newer, active = (store.create_job(f"{name} {n}", SYNC) for n, name in enumerate(names))
    for job in (old, again, newer):
        store.update_job(job, status="succeeded")
    ages = {old: 366, again: 400, newer: 364, active: 400}
    with sqlite3.connect(store.path) as db:
        for job, days in ages.items():
            db.execute("update jobs set updated_at = ? where id = ?", (time.time() - days * 86_400, job))
            (tmp_path / "jobs" / f"{job}.log").touch()
    with subprocess.Popen(["sleep", "60"]) as worker:
        monkeypatch.setattr(Workers, "start", lambda *_: worker.pid)
        latest = jobs.start("any", SYNC)
        assert {job["id"] for job in store.jobs()} == {newer, active, latest}
        logs = {path.name for path in (tmp_path / "jobs").iterdir()}
        assert logs == {f"{job}.log" for job in (newer, active, latest)}
        worker.kill()
    _until(lambda: _status(store, latest) == "failed")


def _status(store: Store, job: int) -> str:
    found = store.job(job)
    return found["status"] if found else "none"


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _serves(process: psutil.Process, folder: Path) -> bool:
    return {"airbyte.server.workers", str(folder)} <= {*syncs.words(process.info["cmdline"])}
