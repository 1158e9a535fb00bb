"""How a job ends: its status tells Airflow whether another try may help, its last line why."""

from __future__ import annotations

import pytest

from spark_jobs import command
from spark_jobs.errors import JobError, TryAgain
from stack.failures import FINAL
from stack.settings import Settings


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (JobError("raw.payments does not exist: run the sync that lands it first"), FINAL),
        (TryAgain("raw.payments: 1 rows read, 2 expected: did a sync land meanwhile? Run again"), 1),
        (RuntimeError("anything else"), 1),
    ],
)
def test_only_what_another_try_cannot_mend_is_final(
    emulator: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(command, "open_session", failing)
    assert command.main("a_job", None, [], []) == status
    assert capsys.readouterr().err.splitlines()[-1].endswith(str(error))
