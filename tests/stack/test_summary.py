"""What the summary of a run says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from stack import dbt, summary
from stack.settings import Settings


def test_only_the_tests_of_the_runs_own_steps_are_counted(settings: Settings, tmp_path: Path) -> None:
    """`python -m stack.dbt build` leaves its outcome beside those of the DAG's steps: the same tests, judged once more."""
    current = dataclasses.replace(settings, local_dir=tmp_path)
    for step, passed in {"staging": 16, "heavy-gate": 11, "marts": 78, "build": 104, "unit-tests": 17}.items():
        path = dbt.results_path(current, step)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"tests_passed": passed, "warned": ["a"] if step == "marts" else []}))
    assert summary._tests(current) == "105 passed, 1 warned, 0 failed"


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
