"""What the summary of a run says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from stack import bigquery, dbt, ledger, summary
from stack.settings import Settings


def test_only_the_tests_of_the_runs_own_steps_are_counted(settings: Settings, tmp_path: Path) -> None:
    """`python -m stack.dbt build` leaves its outcome beside those of the DAG's steps: the same tests, judged once more."""
    current = dataclasses.replace(settings, local_dir=tmp_path)
    for step, passed in {"staging": 16, "heavy-gate": 11, "marts": 78, "build": 104, "unit-tests": 17}.items():
        path = dbt.results_path(current, step)
        path.parent.mkdir(parents=True, exist_ok=True)
        found = ["a"] if step == "marts" else []
        path.write_text(json.dumps({"tests_passed": passed, "warned": found, "failed": found * 2}))
    assert summary._tests(current) == "105 passed, 1 warned, 2 failed"


def test_the_summary_says_which_engine_stepped_in() -> None:
    decided = {"step": "decide_engine", "reason": "spark: asked for"}
    assert summary._engine([decided, {"step": "fall_back", "reason": "not needed"}]) == [
        "engine        spark: asked for"
    ]
    assert summary._engine([decided, {"step": "fall_back", "reason": "fell back to dbt: spark failed, killed"}]) == [
        "engine        spark: asked for",
        "              fell back to dbt: spark failed, killed",
    ]
    assert summary._engine([]) == ["engine        not recorded"]


def entry(step: str, status: str, reason: str = "") -> dict:
    return {"run_id": "r", "step": step, "status": status, "seconds": 1.0, "rows": None, "reason": reason}


@pytest.mark.parametrize(
    ("entries", "outcome"),
    [
        ([entry("sync.wait", "success")], "not over"),
        ([entry("sync.wait", "failed", "a\nb"), entry("fall_back", "failed")], "red: sync.wait, fall_back"),
        ([entry("heavy_spark", "engine failed"), entry("publish", "success")], "published"),
        ([entry("heavy_spark", "engine failed")], "not over"),
        (
            [entry("heavy_spark", "engine failed"), entry("fall_back_dbt", "engine failed")],
            "red: fall_back_dbt",
        ),
    ],
)
def test_the_last_run_says_how_it_ended(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, entries: list[dict], outcome: str
) -> None:
    monkeypatch.setattr(summary, "_asked", lambda *_: entries)
    heading, *steps = summary.last_run(settings)
    assert heading == f"last run r (marketplace_elt_pipeline): {outcome}"
    assert len(steps) == len(entries)


def test_of_a_step_that_ran_again_only_the_last_try_counts(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = [entry("sync.wait", "failed"), entry("sync.wait", "success"), entry("publish", "success")]
    monkeypatch.setattr(summary, "_asked", lambda *_: tries)
    assert [line.split()[:2] for line in summary.last_run(settings)[1:]] == [
        ["sync.wait", "success"],
        ["publish", "success"],
    ]


def test_a_trap_that_was_not_found_as_planted_is_marked() -> None:
    heading, *lines = summary._traps({"replays": 3, "mismatches": 4, "days": 5}, {"replays": 3, "mismatches": 5})
    assert heading.split() == ["trap", "found", "planted"]
    assert [line.split() for line in lines] == [
        ["replays", "3", "3"],
        ["mismatches", "4", "5", "DIFFERENT"],
        ["days", "5"],
    ]


def test_the_newest_run_is_told_and_fresh_is_what_a_step_that_worked_made(emulator: Settings) -> None:
    bq = bigquery.client(emulator)
    bq.delete_table(ledger.TABLE, not_found_ok=True)
    assert summary.last_run(emulator) == ["no run yet: `make demo`"]
    assert summary.freshness(emulator) == []
    for run, step, status in (
        ("one", ledger.FIRST_STEP, "success"),
        ("one", "sync.wait", "success"),
        ("one", "publish", "success"),
        ("two", ledger.FIRST_STEP, "success"),
        ("two", "sync.wait", "failed"),
        ("audit", "prepare", "success"),
    ):
        ledger.record(emulator, ledger.Entry(run, step, None, None, 1.0, status, ""))
    then = "update ops.run_ledger set recorded_at = timestamp '2026-01-02 03:04:05+00' where run_id = 'one'"
    bigquery.query(bq, then)
    assert summary.last_run(emulator)[0] == "last run two (marketplace_elt_pipeline): red: sync.wait"
    assert summary.freshness(emulator) == ["landed     2026-01-02 03:04:05 UTC", "published  2026-01-02 03:04:05 UTC"]
    bq.delete_table(ledger.TABLE)


def test_tables_of_the_moment_and_views_are_no_rows_of_a_layer(emulator: Settings) -> None:
    bq = bigquery.client(emulator)
    bigquery.create_datasets(bq, emulator.bigquery_location)
    made = {"summary_test": "table", "_airbyte_tmp_summary_test": "table", "summary_test_view": "view"}
    for name, kind in made.items():
        bigquery.query(bq, f"create {kind} raw.{name} as select 1 as n")
    found = summary.rows_per_layer(emulator)["raw"]
    assert {name: found.get(name) for name in made} == {"summary_test": 1} | dict.fromkeys([*made][1:])
    for name in made:
        bq.delete_table(f"raw.{name}")
