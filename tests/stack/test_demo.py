"""What the demo asks for before it starts anything is what runs of it took."""

from __future__ import annotations

import json

from benchmarks.deployment import RESULTS
from stack.demo import disk_needed


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


def test_a_tiny_source_needs_little_and_a_larger_one_more() -> None:
    assert disk_needed(0.01) <= 1_100_000_000
    assert disk_needed(1) < disk_needed(10) < disk_needed(100)
