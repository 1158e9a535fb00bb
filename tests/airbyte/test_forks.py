"""A fork is the program that it stands for; and workers can be had whatever was killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from faults import syncs

from airbyte.server.store import SYNC, Store
from airbyte.server.workers import Workers
from stack.settings import ROOT

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


def _serves(process: psutil.Process, folder: Path) -> bool:
    return {"airbyte.server.workers", str(folder)} <= {*syncs.words(process.info["cmdline"])}
