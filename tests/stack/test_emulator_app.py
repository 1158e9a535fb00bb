"""What the emulator's wrapper puts in the place of the emulator's own."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from stack.bigquery_emulator.app import ForPrograms
from stack.settings import ROOT

WHOLE = {
    "update and insert",
    "a question as the source",
    "a named argument",
    "other names",
    "no names",
    "overwrite",
    "delete and insert",
    "two keys",
    "insert what meets a condition",
    "one of each key",
    "one of each key, with a parameter",
    "one of all",
    "the second of each key",
    "columns only",
    "columns only, overwrite",
    "columns only, by two keys",
    "columns of another type",
    "no such table",
    "an error",
    "no such column",
}
# Those that only move columns from the one table to the other.
COLUMNS_ONLY = {name for name in WHOLE if name.startswith("columns")} | {"other names", "no names", "no such column"}


def command(script: str, *arguments: object) -> list[str]:
    """A script of this folder in the emulator's environment."""
    python = ROOT / ".venv" / "emulator" / "bin" / "python"
    return [str(python), str(Path(__file__).parent / script), *map(str, arguments)]


ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}


def answers_of(script: str, folder: Path, *arguments: str) -> Any:
    """What a script of this folder prints last."""
    done = subprocess.run(
        command(script, folder, *arguments),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_tables_columns_and_datasets_are_found_as_the_emulator_finds_them(tmp_path: Path) -> None:
    answers = answers_of("emulator_objects.py", tmp_path)
    assert [answer for answer in answers if answer[2] != answer[3]] == []
    assert any(answer[2] for answer in answers)


def test_statements_answer_as_the_emulators_own_do_and_list_no_tables(tmp_path: Path) -> None:
    answers = answers_of("emulator_statements.py", tmp_path)
    assert [answer for answer in answers if answer[1][0] != answer[2][0]] == []
    assert [answer[1][0] for answer in answers if not isinstance(answer[1][0], str)] == [[[n]] for n in (1, 2, 3, 1, 5)]
    listed = {answer[0]: (answer[1][1], answer[2][1]) for answer in answers}
    # Else the emulator's question has changed, and ours no longer meets it.
    assert listed.pop("a session") == (True, True)
    assert set(listed.values()) == {(True, False)}


def test_records_in_memory_are_those_of_the_tables(tmp_path: Path) -> None:
    answers = answers_of("emulator_records.py", tmp_path)
    assert [answer for answer in answers if answer[2] != answer[3]] == []
    assert any(answer[1] == "secured" and answer[2] for answer in answers)


def test_what_exceeds_the_memory_is_spilled_beside_the_data_and_remains_of_a_killed_process_go(tmp_path: Path) -> None:
    assert answers_of("emulator_spill.py", tmp_path) == {
        "settings": [str(tmp_path / "spill"), "95.3 MiB"],
        "rows": 5_000_000,
        "spilled": True,
        "remains": False,
    }


def test_a_merge_does_what_the_emulators_own_does(tmp_path: Path) -> None:
    answers = answers_of("emulator_merges.py", tmp_path)
    assert {name: a for name, a in answers.items() if a["found"] != a["expected"]} == {}
    expiring = " (expires)"
    whole = {name for name, a in answers.items() if not a["taken_apart"]}
    assert whole == WHOLE | {name + expiring for name in WHOLE}
    # The rest is copied, so that its keys are counted and no table of the lake's is read by the statement that writes one.
    assert {name for name in whole if not answers[name]["copied"]} == {
        "overwrite",
        "overwrite (expires)",
        "columns only, overwrite",
        "columns only, overwrite (expires)",
        "one of each key (expires)",
    }
    moved = {name: a["moved"] for name, a in answers.items() if a["moved"]}
    assert moved.keys() == COLUMNS_ONLY | {name + expiring for name in COLUMNS_ONLY}
    assert all(found == expected for [(expected, found)] in moved.values())


def test_a_table_that_expires_is_as_one_of_the_emulators_own_and_moves_when_it_grows(tmp_path: Path) -> None:
    answers = answers_of("emulator_temporary.py", tmp_path)
    assert answers["found"] == answers["expected"]
    assert answers["found"]["read all again"] == [[400_015, 400_015, 0, 500_000]]
    own = answers["own"]
    assert own["load more"] == own["use"] == ["p:two.small"]
    assert own["load what is too large"] == own["two loads"] == []
    assert own["rename"] == ["p:two.other"]
    assert own["drop"] == own["delete the dataset"] == own["make the dataset anew"] == []
    # One of them made it.
    assert answers["at once"] == [1, ["4", [[4, 4, 0, 3]]]]
    # Another process.
    moving = ["p:later.moved once", "p:later.moving"]
    assert answers_of("emulator_temporary.py", tmp_path, "later") == {
        "read": [[7, 7, 0, 6]],
        "own": ["p:later.left", *moving],
        "deleted": [None, moving],
        "deleted while it was moved": [None, ["moving"]],
        "moved anew": ["399997", [[400_000, 400_000, 0, 399_999]], []],
    }


def test_a_file_that_comes_with_its_job_is_what_the_emulators_own_function_takes(tmp_path: Path) -> None:
    answers = answers_of("emulator_uploads.py", tmp_path)
    assert [answer for answer in answers if answer["found"] != answer["expected"]] == []
    assert {answer["left"] for answer in answers} == {True, False}


def test_json_is_parsed_as_by_the_emulators_own_function(tmp_path: Path) -> None:
    own, found = answers_of("emulator_json.py", tmp_path)
    assert found == own
    # Rounded, exact, refused, and no JSON at all.
    assert len({*own}) > 30


def test_a_product_is_rounded_half_away_from_zero_as_by_hand(tmp_path: Path) -> None:
    answers = answers_of("emulator_rounding.py", tmp_path)
    assert answers["is ours"] == [False, True]
    assert answers["values"] > 20_000
    assert answers["differs"] == answers["own differs"] == []
    assert answers["types"] == ["DECIMAL(38,0)"] * 2
    assert answers["of quotients"] == [-3, 3, 0, 0]
    expected, taken = answers["taken"]
    assert taken == expected


def test_old_versions_go_when_nobody_reads_them_and_those_that_stood_stay(tmp_path: Path) -> None:
    assert answers_of("emulator_versions.py", tmp_path) == {
        # Three versions of the table while it is read, then one.
        "for a reader": {"rows": 300_000, "while read": [0, 3], "after": [True, 1, 1]},
        # Two passed at once, the third stood; of the two newest one passed, and goes when it is no longer recent.
        "by time": {
            "too early": 0,
            "due": [True, False],
            "stood": [True, [[2]]],
            "recent": 3,
            "again": 1,
            "after a week": [True, 1],
        },
        "together": {"told": [], "forgot": True, "left": 1},
    }


def test_no_row_is_lost_when_the_emulator_is_killed_while_it_forgets(tmp_path: Path) -> None:
    kills = random.Random(7)
    written = 0
    for _ in range(5):
        with subprocess.Popen(
            command("emulator_versions.py", tmp_path, "until killed"),
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            # What was told as committed is there; the row that was on its way may be.
            newest, rows = json.loads(process.stdout.readline())
            assert rows == newest >= written
            # On a busy machine a row takes as long as a whole moment elsewhere.
            told = [int(process.stdout.readline()) for _ in range(3)]
            time.sleep(kills.uniform(0.0, 0.9))
            process.kill()
            written = max([newest, *told, *(int(line) for line in process.stdout if line.endswith("\n"))])
    assert written > 10


@pytest.mark.parametrize(
    ("host", "bound_to", "expected"),
    [
        ("127.0.0.1:9050", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("[::1]:9050", "127.0.0.1", True),
        ("bigquery:9050", "127.0.0.1", True),
        ("192.168.1.5:9050", "192.168.1.5", True),
        ("192.168.1.5:9050", "0.0.0.0", True),
        ("[fe80::1]:9050", "::", True),
        ("192.168.1.5:9050", "127.0.0.1", False),
        ("evil.example:9050", "127.0.0.1", False),
        ("evil.example:9050", "0.0.0.0", False),
        ("127.0.0.1.evil.example", "0.0.0.0", False),
        ("bigquery.evil.example", "::", False),
        ("", "127.0.0.1", False),
    ],
)
def test_a_request_is_passed_on_where_it_calls_the_emulator_by_its_name(
    host: str, bound_to: str, expected: bool
) -> None:
    sent: list[dict[str, Any]] = []

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"status": 200})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"host", host.encode("latin-1"))]}
    asyncio.run(ForPrograms(app, [bound_to, "bigquery"])(scope, None, send))
    assert sent[0]["status"] == (200 if expected else 403)
