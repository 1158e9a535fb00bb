"""How a program of Spark's ends: its status tells Airflow whether another try may help, its last line why, a traceback what nobody foresaw."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from spark_jobs import command, maintenance, parity_audit
from spark_jobs.errors import JobError, TryAgain
from spark_jobs.lake import Lake
from stack import dbt
from stack.failures import FINAL
from stack.settings import Settings

PROGRAMS: dict[str, Callable[[Settings], int]] = {
    "a_job: failed": lambda _: command.main("a_job", None, [], []),
    "maintenance: failed": lambda _: maintenance.main([]),
    "parity_audit: failed": lambda _: parity_audit.main([]),
    "error": lambda settings: dbt._open_and_run_on_spark(settings, full_refresh=False),
}


@pytest.mark.parametrize("said", PROGRAMS)
@pytest.mark.parametrize(
    ("error", "status", "is_foreseen"),
    [
        (JobError("raw.payments does not exist: run the sync that lands it first"), FINAL, True),
        (TryAgain("raw.payments: 1 rows read, 2 expected: did a sync land meanwhile? Run again"), 1, True),
        (RuntimeError("anything else"), 1, False),
        # A ValueError, as other libraries' are.
        (pa.ArrowInvalid("Could not convert <x> with type int"), 1, False),
    ],
)
def test_only_what_another_try_cannot_mend_is_final_and_what_nobody_foresaw_has_a_traceback(
    emulator: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    said: str,
    error: Exception,
    status: int,
    is_foreseen: bool,
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(command, "open_session", failing)
    # The parity audit sets it.
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert PROGRAMS[said](emulator) == status
    *before, last = capsys.readouterr().err.splitlines()
    assert last == f"{said}: {error}"
    assert ("Traceback (most recent call last):" not in before) == is_foreseen


def test_a_warehouse_that_does_not_answer_is_named(
    emulator: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object) -> None:
        raise command.RetryError("Timeout of 20.0s exceeded", cause=None)

    monkeypatch.setattr(command, "open_session", failing)
    assert maintenance.main([]) == 1
    assert f"the warehouse at {emulator.bigquery_endpoint} does not answer" in capsys.readouterr().err


def test_a_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_PORT", "abc")
    for program in (command.main, maintenance.main, parity_audit.main):
        arguments = ("a_job", None, [], []) if program is command.main else ([],)
        with pytest.raises(SystemExit, match="error: AIRFLOW_PORT must be a whole number, not 'abc'"):
            program(*arguments)


def test_a_lake_without_an_address_is_a_sentence(spark: SparkSession) -> None:
    with pytest.raises(JobError, match=r"the lake cannot be at 'lake' .*: LAKE_URI is an address such as file:///"):
        Lake(spark, "lake")
