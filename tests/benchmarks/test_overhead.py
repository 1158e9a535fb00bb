"""What is counted as a program's time, and what as beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.overhead import covered, measure, seconds, spans


def line(second: int, event: str) -> str:
    return json.dumps({"timestamp": f"2026-03-01T00:00:{second:02}Z", "event": event})


def log(start: int, *program: tuple[int, str], end: int) -> str:
    return "\n".join([line(start, "::group::Pre Execute"), *(line(*event) for event in program), line(end, "done")])


def test_spans_that_lie_over_each_other_count_once() -> None:
    assert covered([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4
    assert covered([]) == 0


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        ("Running command: ['bash']", "Command exited with return code 0"),
        ("Spark-Submit cmd: spark-submit", "::group::Post Execute"),
    ],
)
def test_a_program_is_from_its_start_to_its_end(begins: str, ends: str) -> None:
    task, program = spans(["Traceback of no JSON", *log(1, (3, begins), (7, ends), end=8).splitlines()])
    assert program is not None
    assert (task[1] - task[0], program[0] - task[0], program[1] - program[0]) == (7, 2, 4)


def test_a_task_of_airflows_own_has_no_program() -> None:
    assert spans(log(1, (2, "::group::Post Execute"), end=3).splitlines())[1] is None


def test_beside_the_programs_is_what_no_program_covers(tmp_path: Path) -> None:
    logs = {
        "sync.wait": log(0, end=10),
        "rates": log(0, (2, "Running command"), (12, "Command exited"), end=13),
        "choose": log(13, end=15),
    }
    for name, text in logs.items():
        (tmp_path / f"task_id={name}").mkdir()
        (tmp_path / f"task_id={name}" / "attempt=1.log").write_text(text)
    measured = measure((seconds("2026-03-01T00:00:00Z") - 1, seconds("2026-03-01T00:00:15Z")), tmp_path)
    assert {name: measured[f"{name}_seconds"] for name in ("wall", "programs", "beside")} == {
        "wall": 16.0,
        "programs": 12.0,
        "beside": 4.0,
    }
    assert measured["tasks"]["choose"] == {"seconds": 2.0}
    assert measured["tasks"]["rates"] == {"seconds": 13.0, "program_seconds": 10.0}


def test_a_task_that_was_tried_again_is_no_measure(tmp_path: Path) -> None:
    (tmp_path / "task_id=rates").mkdir()
    (tmp_path / "task_id=rates" / "attempt=2.log").write_text(log(0, end=1))
    with pytest.raises(SystemExit, match="rates was tried more than once"):
        measure((0, 1), tmp_path)
