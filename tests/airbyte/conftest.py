"""A running Airbyte server over the tests' Postgres and emulator, with the generated marketplace in its source."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airbyte.connections.api import Airbyte
from source import load
from stack import airbyte as server
from stack import bigquery
from stack.settings import Settings
from tests.source_database import emptied


@pytest.fixture
def empty_raw(emulator: Settings) -> Iterator[Settings]:
    """The emulator with a raw dataset without tables, whatever the tests of other rooms have left there."""
    bq = bigquery.client(emulator)
    bigquery.create_datasets(bq, emulator.bigquery_location)

    def empty() -> None:
        for table in bq.list_tables("raw"):
            bq.delete_table(table)

    empty()
    yield emulator
    empty()


@pytest.fixture
def marketplace(request: pytest.FixtureRequest, postgres: Settings, empty_raw: Settings) -> Iterator[Settings]:
    """The schema and some thousand rows, or those of the scale that is the fixture's parameter; raw is empty."""
    scale = getattr(request, "param", "0.01")
    ledger = empty_raw.local_dir / "ledger.json"
    emptied(postgres)
    assert load.main(["--scale", scale, "--dsn", postgres.admin_dsn, "--ledger", str(ledger)]) == 0
    yield empty_raw
    emptied(postgres)


@pytest.fixture(scope="session")
def airbyte_server(settings: Settings) -> Iterator[Settings]:
    """The server as a process."""
    server.start(settings)
    yield settings
    server.stop(settings)


@pytest.fixture
def sdk(airbyte_server: Settings) -> Airbyte:
    """The official SDK, logged in."""
    return Airbyte(airbyte_server)
