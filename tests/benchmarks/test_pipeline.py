"""What is made of a demo's lines and of samples: each step's figures, the summary's numbers, and whose memory it is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import pipeline, residents
from benchmarks.pipeline import Line, Sample, Step
from benchmarks.residents import Seen
from stack import settings

PRINTED = """\
     2.0 starting the stack
     4.0   start postgres            1.5 s
     9.0     orders                  5,000 rows    4.0 s
    10.0   start airflow             7.5 s
    12.0   fill source               8.0 s
    12.5     source       marketplace Postgres: create
    13.0 running marketplace_elt_pipeline in Airflow: http://127.0.0.1:1/dags
    20.0   sync.wait                 6.0 s
    30.0   heavy_dbt                 9.0 s
    31.9
    32.0 === summary ==============
    32.0 raw              5,100 rows
    32.0   orders                                   5,000
    32.0 ops                 12 rows
    32.0 engine        dbt: asked for by the run's parameter (5,000 rows pending)
    32.0 tests         105 passed, 1 warned, 0 failed
    32.0
    32.0 trap                               found   planted
    32.0   replayed_payments              300       300
    32.0   deleted_rows                     0
    32.0   draft_products                  25        26  DIFFERENT
    32.0
    32.0 seconds
    32.0   heavy_dbt                 9.0
"""
LOG = """\
2026-01-01T00:00:00+00:00 destination: orders: 5,000 rows committed
2026-01-01T00:00:01+00:00 source: 0.87 CPU seconds, 46 MB of memory at most
2026-01-01T00:00:02+00:00 destination: 2.08 CPU seconds, 269 MB of memory at most
2026-01-01T00:00:02+00:00 succeeded: 5,000 rows, 1,234,567 bytes in 5.9 s, 847 rows/s
"""


def lines(text: str = PRINTED) -> list[Line]:
    return [Line(float(line[:8]), line[9:]) for line in text.splitlines()]


def sample(at: float, memory: int, disk: int, **resident: int) -> Sample:
    return Sample(at, memory, disk, resident)


SAMPLES = [
    sample(1.0, 9_999, 999, airflow=1),
    sample(5.0, 1_000, 10, postgres=50),
    sample(11.0, 1_200, 40, postgres=90, airflow=700),
    sample(16.0, 1_500, 60, airflow=800),
    sample(25.0, 4_000, 90, emulator=2_500),
    sample(29.0, 3_000, 80, emulator=2_900),
    sample(40.0, 9_999, 999),
]


def test_steps_are_the_demos_and_not_those_of_the_programs_it_runs() -> None:
    before, _ = pipeline.split(lines())
    assert pipeline.steps_of(before) == [
        Step("start postgres", 1.5, 4.0),
        Step("start airflow", 7.5, 10.0),
        Step("fill source", 8.0, 12.0),
        Step("sync.wait", 6.0, 20.0),
        Step("heavy_dbt", 9.0, 30.0),
    ]


def test_each_step_has_its_memory_and_its_disk() -> None:
    steps = {step["step"]: step for step in pipeline.measured(lines(), SAMPLES, LOG)["steps"]}
    assert steps["fill source"] == {
        "step": "fill source",
        "seconds": 8.0,
        "ends_at": 10.0,
        "share_of_wall": 0.2667,
        "peak_memory_megabytes": 1_200,
        "resident_megabytes": {"postgres": 90, "airflow": 700},
        "disk_megabytes": 60,
    }
    assert (steps["heavy_dbt"]["peak_memory_megabytes"], steps["heavy_dbt"]["disk_megabytes"]) == (4_000, 80)
    # None was taken while it ran: the nearest one stands for it.
    assert steps["start postgres"]["peak_memory_megabytes"] == 1_000


def test_side_by_side_a_moment_counts_once() -> None:
    steps = [Step("long", 8.0, 10.0), Step("short", 2.0, 4.0), Step("next", 5.0, 15.0)]
    assert pipeline.shares(steps, 0.0, 20.0) == [0.4, 0.0, 0.25]
    result = pipeline.measured(lines(), SAMPLES, LOG)
    found = sum(step["share_of_wall"] for step in result["steps"])
    assert found + result["totals"]["between_steps_share"] == pytest.approx(1)
    # "start airflow" is 7.5 s long, of which "fill source", which ends later, has all but 1.5 s.
    assert next(s["share_of_wall"] for s in result["steps"] if s["step"] == "start airflow") == pytest.approx(0.05)


def test_totals_are_of_the_run_and_of_nothing_before_or_after_it() -> None:
    result = pipeline.measured(lines(), SAMPLES, LOG)
    totals = result["totals"]
    assert (totals["wall_seconds"], totals["wall_minutes"]) == (30.0, 0.5)
    assert totals["peak_memory_megabytes"] == 4_000
    assert (totals["disk_megabytes"], totals["peak_disk_megabytes"]) == (80, 90)
    assert totals["peak_resident_megabytes"] == {"airflow": 800, "emulator": 2_900, "postgres": 90}
    assert result["targets"] == {"wall_minutes": "met (<= 30)"}
    assert result["seconds"]["sync_wait"] == 6.0


def test_the_summary_is_read() -> None:
    totals = pipeline.measured(lines(), SAMPLES, LOG)["totals"]
    assert totals["rows"] == {"raw": 5_100, "ops": 12}
    assert (totals["tests_passed"], totals["tests_warned"], totals["tests_failed"]) == (105, 1, 0)
    assert (totals["traps_compared"], totals["traps_different"]) == (2, 1)
    assert not totals["found_equals_planted"]
    repaired = lines(PRINTED.replace("26  DIFFERENT", "25"))
    assert pipeline.measured(repaired, SAMPLES, LOG)["totals"]["found_equals_planted"]


def test_landing_is_the_logs() -> None:
    assert pipeline.landed(LOG) == {
        "rows": 5_000,
        "bytes": 1_234_567,
        "seconds": 5.9,
        "rows_per_second": 847,
        "source_cpu_seconds": 0.87,
        "source_megabytes": 46,
        "destination_cpu_seconds": 2.08,
        "destination_megabytes": 269,
        "rows_per_connector_cpu_second": 1_695,
    }
    assert pipeline.landed("failed") == {}


@pytest.mark.parametrize(
    ("cut", "message"),
    [("    32.0 ===", "the run printed no summary"), ("    32.0 tests", "the summary has no line of the tests")],
)
def test_a_run_that_did_not_end_is_no_result(cut: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline.measured(lines(PRINTED[: PRINTED.index(cut)]), SAMPLES, LOG)


def test_a_run_that_nobody_sampled_is_no_result() -> None:
    with pytest.raises(ValueError, match="nothing was sampled"):
        pipeline.measured(lines(), SAMPLES[:1], LOG)


ROOTS = {10: "demo", 20: "airflow", 30: "postgres", 40: "airbyte"}
PROCESSES = [
    Seen(1, 0, 1, "/sbin/init", 1_000_000),
    Seen(10, 9, 9, "/x/python -m stack demo --scale 1 --engine dbt", 2_000_000),
    Seen(11, 10, 9, "/x/python -m source.load --scale 1", 3_000_000),
    Seen(20, 10, 20, "/x/python -m stack.airflow_standalone", 4_000_000),
    Seen(21, 20, 20, "airflow worker -- 1", 5_000_000),
    Seen(22, 21, 20, "/x/python -m stack.dbt heavy", 6_000_000),
    Seen(23, 21, 20, "/usr/bin/java -cp /x/pyspark org.apache.spark.deploy.SparkSubmit", 7_000_000),
    Seen(24, 23, 20, "/x/python /y/spark_jobs/heavy_steps.py --incremental", 8_000_000),
    # An orphan of Airflow's session.
    Seen(25, 1, 20, "airflow triggerer", 9_000_000),
    Seen(31, 30, 30, "postgres: checkpointer", 10_000_000),
    Seen(30, 1, 30, "/x/postgres -D /data", 11_000_000),
    Seen(40, 1, 40, "/x/python -m airbyte.server", 12_000_000),
    # Another deployment's, and somebody else's.
    Seen(50, 1, 50, "/x/python -m stack.airflow_standalone", 90_000_000),
    Seen(51, 50, 50, "/x/python -m stack.dbt heavy", 90_000_000),
    Seen(60, 1, 60, "/usr/bin/java -jar editor.jar", 90_000_000),
]


def test_memory_is_that_of_the_deployments_own_processes_by_service() -> None:
    assert residents.megabytes(PROCESSES, ROOTS) == {
        "airbyte": 12,
        "airflow": 18,
        "dbt": 6,
        "demo": 5,
        "postgres": 21,
        "spark": 15,
    }


def test_services_are_known_by_their_pid_files(tmp_path: Path) -> None:
    (tmp_path / "bigquery-emulator.pid").write_text(json.dumps({"pid": 7, "born": "1.0"}))
    (tmp_path / "airflow.pid").write_text("")
    assert residents.services(tmp_path) == {7: "emulator"}


def test_the_disk_of_folders_is_what_their_files_take(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x" * 3_000_000)
    both = pipeline.disk([tmp_path / "one", tmp_path / "two", tmp_path / "gone"])
    assert both == 2 * pipeline.disk([tmp_path / "one"]) == pytest.approx(6, abs=1)
    assert pipeline.disk([tmp_path / "gone"]) == 0


def test_a_running_deployment_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path))
    monkeypatch.setattr(pipeline, "SAMPLE_SECONDS", 0.05)
    (tmp_path / "run").mkdir()
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeps) as demo, subprocess.Popen(sleeps, start_new_session=True) as service:
        (tmp_path / "run" / "bigquery-emulator.pid").write_text(json.dumps({"pid": service.pid, "born": "1.0"}))
        try:
            with pipeline.Sampler(settings.load(), demo.pid, time.monotonic()) as sampler:
                deadline = time.monotonic() + 120
                while len(sampler.samples) < 3 and time.monotonic() < deadline:
                    time.sleep(0.05)
        finally:
            demo.kill()
            service.kill()
    last = sampler.samples[-1]
    assert set(last.resident_megabytes) == {"demo", "emulator"}
    assert min(last.resident_megabytes.values()) > 0 and last.memory_megabytes > 0
    assert 3 <= last.disk_megabytes < 100
    assert [sample.at for sample in sampler.samples] == sorted(sample.at for sample in sampler.samples)
