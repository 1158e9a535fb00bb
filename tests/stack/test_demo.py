"""What the demo asks for and stops before it starts anything, and what it says of a run that failed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks.deployment import RESULTS
from stack import airflow, demo
from stack.demo import disk_needed
from stack.processes import StackError
from stack.settings import Settings


def test_the_disk_asked_for_is_what_was_measured_and_some_reserve() -> None:
    by_engine = {
        engine: json.loads((RESULTS / f"pipeline_scale_100_{engine}.json").read_text()) for engine in ("dbt", "spark")
    }
    disk = {engine: result["totals"]["peak_disk_megabytes"] for engine, result in by_engine.items()}
    if by_engine["spark"]["landed_before"]:
        # What had landed is not in Spark's figure.
        disk["spark"] += next(
            step["disk_megabytes"] for step in by_engine["dbt"]["steps"] if step["step"] == "raw_gate"
        )
    most = max(disk.values()) * 1_000_000
    assert 1.1 * most <= disk_needed(100) <= 1.5 * most


@pytest.mark.parametrize(
    ("fell_back", "first"), [("success", "marts"), ("failed", "heavy_spark")], ids=["fell back", "both engines failed"]
)
def test_why_a_run_failed_is_not_the_engine_whose_place_the_other_took(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fell_back: str, first: str
) -> None:
    class Api:
        def __init__(self, *_: object) -> None: ...

        def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[str]:
            return [f"error: {task_id} said so"]

    monkeypatch.setattr(airflow, "Api", Api)
    states = {"heavy_spark": "failed", "fall_back_dbt": fell_back, "marts": "failed", "staging": "success"}
    tasks = [
        {"task_id": task, "state": state, "end_date": f"2026-01-01T00:0{minute}", "try_number": 1}
        for minute, (task, state) in enumerate(states.items())
    ]
    assert demo._why(settings, "r", tasks).startswith(f"{first} failed: {first} said so")


class Service:
    """As much of one as the demo asks for."""

    def __init__(self) -> None:
        self.is_running, self.stopped = False, 0

    def process(self, _: Settings) -> Service:
        return self

    def running(self) -> bool:
        return self.is_running

    def stop(self, _: Settings) -> None:
        self.is_running = False
        self.stopped += 1


def test_what_runs_with_other_settings_is_started_anew_and_nothing_else(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service, idle = Service(), Service()
    services = {"airflow": service, "postgres": idle}
    here = dataclasses.replace(settings, local_dir=tmp_path)
    other = dataclasses.replace(here, source_dsn_override="postgresql://reader:secret@host/shop")
    # Nothing runs; nothing has changed; the source has; not again; it is the local one again.
    for now, stopped in ((here, 0), (here, 0), (other, 1), (other, 1), (here, 2)):
        demo._stop_outdated(now, services)
        assert (service.stopped, idle.stopped) == (stopped, 0)
        service.is_running = True
    assert capsys.readouterr().out == "  SOURCE_DSN changed: starting airflow anew\n" * 2
    kept = tmp_path / "run" / "settings.json"
    assert kept.stat().st_mode & 0o077 == 0
    assert "reader:secret" not in kept.read_text()


def test_the_disk_that_a_run_before_has_filled_is_not_asked_for_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = dataclasses.replace(settings, local_dir=tmp_path)
    warehouse = tmp_path / "bigquery" / "deep"
    warehouse.mkdir(parents=True)
    (warehouse / "table.parquet").write_bytes(bytes(3_000_000))
    usage = demo.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(demo.shutil, "disk_usage", lambda _: usage._replace(free=disk_needed(1) - 2_000_000))
    demo._require_disk(here, 1)
    (warehouse / "table.parquet").unlink()
    with pytest.raises(StackError, match=r"has 1\.4 GB free, this run needs about 1\.5 GB more: free some, or set"):
        demo._require_disk(here, 1)


def test_a_tiny_source_needs_little_and_a_larger_one_more() -> None:
    assert disk_needed(0.01) <= 1_100_000_000
    assert disk_needed(1) < disk_needed(10) < disk_needed(100)
