"""What the summary of a run says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from stack import dbt, summary
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
