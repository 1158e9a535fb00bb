"""What a deployment forgets by itself, and that it forgets nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import pytest

from stack import airflow, bigquery, ledger, lineage, retention
from stack.settings import Settings

DAY = 86_400.0


def write(path: Path, days_old: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    at = time.time() - days_old * DAY
    os.utime(path, (at, at))


def test_old_files_go_with_their_folders_and_new_ones_stay(settings: Settings, tmp_path: Path) -> None:
    current = dataclasses.replace(settings, local_dir=tmp_path)
    assert retention.prune_files(current, 30) == 0
    logs, events = airflow.logs(current), lineage.folder(tmp_path)
    gone = [
        logs / "dag_id=a" / "run_id=1" / "task_id=x" / "attempt=1.log",
        logs / "dag_id=a" / "run_id=1" / "task_id=x" / "attempt=2.log",
        logs / "dag_id=a" / "run_id=2" / "task_id=x" / "attempt=1.log",
        events / "2020-01.jsonl",
    ]
    kept = [
        logs / "dag_id=a" / "run_id=2" / "task_id=x" / "attempt=2.log",
        events / "2020-02.jsonl",
    ]
    for path in gone:
        write(path, 31)
    for path in kept:
        write(path, 29)
    # Of nobody's log: what else is in LOCAL_DIR is not looked at, and a folder that was empty before may be in use.
    write(tmp_path / "source" / "ledger.json", 400)
    (logs / "dag_id=a" / "run_id=3").mkdir()
    # Airflow's own, to the newest of a day.
    (logs / "latest").symlink_to(logs / "dag_id=a", target_is_directory=True)
    assert retention.prune_files(current, 32) == 0
    assert retention.prune_files(current, 30) == len(gone)
    found = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {*kept, tmp_path / "source" / "ledger.json"}
    assert sorted(path.name for path in (logs / "dag_id=a").iterdir()) == ["run_id=2", "run_id=3"]
    assert (logs / "latest").is_dir()


def test_the_command_forgets_and_says_how_much(
    empty_warehouse: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.record(empty_warehouse, ledger.Entry("old", "marts", None, 1, 1.0, "success", ""))
    bq = bigquery.client(empty_warehouse)
    bigquery.query(bq, "update ops.run_ledger set recorded_at = timestamp_sub(recorded_at, interval 31 day) where true")
    write(airflow.logs(empty_warehouse) / "run_id=old" / "attempt=1.log", 31)
    monkeypatch.setattr(sys, "argv", ["retention", "--keep-days", "30"])
    assert retention.main() == 0
    outcome = json.loads(capsys.readouterr().out)
    reason = "1 entries of the ledger and 1 files older than 30 days are gone"
    assert outcome == {"rows": 1, "reason": reason}
    monkeypatch.setattr(sys, "argv", ["retention", "--keep-days", "0"])
    with pytest.raises(SystemExit):
        retention.main()
