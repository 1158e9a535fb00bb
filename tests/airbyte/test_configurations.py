"""What cannot work is refused before it runs, in a sentence that says what to do, without a secret in it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
from broken_configurations import DESTINATIONS, SOURCES
from google.api_core.exceptions import BadGateway, BadRequest, Forbidden, GoogleAPIError, TooManyRequests
from programs import destination_config, source_config

from airbyte import deletion_sweep, raw_gate, source_check
from airbyte.connectors.destination_bigquery.connector import DestinationBigQuery, _is_of_the_request, _reachable
from airbyte.connectors.protocol import ConfigError, Output, TransientError
from airbyte.connectors.source_postgres.connector import SourcePostgres
from airbyte.server import programs
from stack import bigquery
from stack.settings import Settings
from tests.source_database import emptied


@pytest.fixture(scope="module")
def strangers(postgres: Settings) -> Iterator[Settings]:
    """A table that the user `stranger` may not read."""
    emptied(postgres)
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as db:
        db.execute("drop role if exists stranger; create role stranger login password 'stranger_secret'")
        yield postgres
        emptied(postgres)
        db.execute("drop role stranger")


def said(connector: Any, definition: programs.Definition, config: dict[str, Any], where: str) -> str:
    if where == "spec":
        return "; ".join(programs.problems(definition, config))
    with pytest.raises((ConfigError, TransientError)) as caught:
        connector.check(config)
    return str(caught.value)


@pytest.mark.parametrize(("change", "where", "message"), SOURCES)
def test_a_source_that_cannot_work_is_refused(
    strangers: Settings, change: dict[str, Any], where: str, message: str
) -> None:
    with psycopg.connect(strangers.admin_dsn) as db:
        db.execute("create table if not exists secrets (id int primary key)")
        if change.get("schemas") == [] or where == "spec":
            db.execute("drop table secrets")
    found = said(SourcePostgres(), programs.SOURCES["postgres"], source_config(strangers, **change), where)
    assert message.format(port=strangers.postgres_port) in found
    assert strangers.postgres_password not in found
    assert "\n" not in found


@pytest.mark.parametrize(("change", "where", "message"), DESTINATIONS)
def test_a_destination_that_cannot_work_is_refused(
    emulator: Settings, change: dict[str, Any], where: str, message: str
) -> None:
    config = destination_config(emulator) | change
    found = said(DestinationBigQuery(), programs.DESTINATIONS["bigquery"], config, where)
    assert message in found
    assert "no key" not in found


@pytest.mark.parametrize("password", ["50%zz-off", "zz@zz", "a[zz]"])
@pytest.mark.parametrize("program", [raw_gate, deletion_sweep, source_check])
def test_no_part_of_a_password_is_printed_that_libpq_cannot_read(
    program: ModuleType, password: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCE_DSN", f"postgresql://reader:{password}@127.0.0.1:1/marketplace")
    monkeypatch.setattr("sys.argv", ["program"])
    # What has landed is not what this is about.
    monkeypatch.setattr(program, "query", lambda *_: [{"name": "users", "n": 1}], raising=False)
    monkeypatch.setattr(program, "ensure_deleted_at", lambda _: None, raising=False)
    assert program.main() != 0
    said = "".join(capsys.readouterr())
    assert said.startswith("error: ")
    assert "zz" not in said
    assert "Connection refused" in said or "SOURCE_DSN must look like" in said


def test_a_dataset_that_is_there_need_not_be_made_and_a_right_that_is_missing_is_named(
    emulator: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(reason: str) -> None:
        error = Forbidden("Access Denied: bigquery.datasets.create", errors=[{"reason": reason}])
        monkeypatch.setattr("google.cloud.bigquery.Client.create_dataset", Mock(side_effect=error))

    bigquery.create_datasets(bigquery.client(emulator), emulator.bigquery_location)
    refuse("accessDenied")
    DestinationBigQuery().check(destination_config(emulator, "raw"))
    bigquery.create_datasets(bigquery.client(emulator), emulator.bigquery_location)
    for reason, kind in (("accessDenied", ConfigError), ("rateLimitExceeded", TransientError)):
        refuse(reason)
        with pytest.raises(kind, match=r"Access Denied: bigquery\.datasets\.create: "):
            DestinationBigQuery().check(destination_config(emulator, "elsewhere"))
        with pytest.raises(kind):
            DestinationBigQuery().write(destination_config(emulator, "elsewhere"), [], io.BytesIO(), Output())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Forbidden("no", errors=[{"reason": "accessDenied"}]), True),
        (Forbidden("later", errors=[{"reason": "quotaExceeded"}]), False),
        (TooManyRequests("later"), False),
        (BadRequest("wrong", errors=[{"reason": "invalidQuery"}]), True),
        (BadRequest("Could not serialize access to table raw.orders due to concurrent update"), False),
        (BadGateway("trouble"), False),
    ],
)
def test_what_is_of_the_moment_does_not_end_a_stream_for_good(error: GoogleAPIError, expected: bool) -> None:
    assert _is_of_the_request(error) is expected


def test_a_warehouse_that_does_not_answer_is_named(emulator: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("airbyte.connectors.destination_bigquery.connector.RETRY", None)
    with pytest.raises(TransientError, match="BigQuery project marketplace-analytics"):
        DestinationBigQuery().check(destination_config(emulator))


def test_a_job_that_does_not_end_is_not_told_as_a_full_disk() -> None:
    def sync(error: Exception) -> str:
        with pytest.raises(TransientError) as caught, _reachable({"project_id": "p"}):
            raise error
        return str(caught.value)

    assert "BigQuery project p: a job did not end within 30 minutes" in sync(TimeoutError())
    assert "No space left: free some disk space" in sync(OSError("No space left"))
