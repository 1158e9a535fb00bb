"""What the real BigQuery limits and the emulator does not: how often a table may be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPIError

from airbyte.connectors.destination_bigquery import staging
from airbyte.connectors.destination_bigquery.staging import Staging
from airbyte.connectors.protocol import OVERWRITE, ConfiguredStream

LIMITED = Forbidden("Exceeded rate limits: too many table update operations", errors=[{"reason": "rateLimitExceeded"}])
STREAM = ConfiguredStream("orders", None, {"id": {"type": "integer"}}, "full_refresh", OVERWRITE, (), 1, 1)


class Warehouse(Mock):
    """A client whose loads end, one after the other, as `outcomes` say; `log` is what began and what ended."""

    outcomes: tuple[GoogleAPIError | None, ...] = ()

    def begun(self) -> list[str]:
        return [said for said in self.log if said.startswith("begins")]

    def load_table_from_file(self, file: Any, *_: Any, **__: Any) -> Mock:
        name, number = file.read().decode(), len(self.begun())
        self.log.append(f"begins {name}")

        def result(**_: Any) -> None:
            self.log.append(f"ends {name}")
            if (outcome := self.outcomes[number]) is not None:
                raise outcome

        return Mock(result=result)


def land(folder: Path, outcomes: tuple[GoogleAPIError | None, ...], is_kept: bool = False) -> list[str]:
    """Load two files. Returns what began and what ended."""
    client = Warehouse(project="p", outcomes=outcomes, log=[])
    table = Staging(client, "raw", STREAM)
    try:
        for name in ("a", "b"):
            (folder / name).write_text(name)
            table.load(folder / name, {"id": "INT64"}, is_kept)
        table.wait()
    finally:
        client.log.append(f"left: {sorted(path.name for path in folder.iterdir())}")
    return client.log


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "PAUSES", (0.0, 0.0))


def test_a_table_is_loaded_into_by_one_job_after_the_other(tmp_path: Path) -> None:
    assert land(tmp_path, (None, None)) == ["begins a", "ends a", "begins b", "ends b", "left: []"]


def test_a_file_that_is_somebody_elses_stays(tmp_path: Path) -> None:
    assert land(tmp_path, (None, None), is_kept=True)[-1] == "left: ['a', 'b']"


def test_a_load_beyond_the_tables_limit_is_begun_again_with_the_same_file(tmp_path: Path) -> None:
    said = land(tmp_path, (LIMITED, LIMITED, None, None))
    assert said == [*["begins a", "ends a"] * 3, "begins b", "ends b", "left: []"]


@pytest.mark.parametrize("outcomes", [(BadRequest("no such column"),), (LIMITED, LIMITED, LIMITED)])
def test_a_load_that_is_wrong_or_does_not_get_through_is_told(
    tmp_path: Path, outcomes: tuple[GoogleAPIError, ...]
) -> None:
    with pytest.raises(type(outcomes[0])):
        land(tmp_path, outcomes)
