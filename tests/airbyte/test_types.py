"""Every type that a marketplace may meet: each value lands exactly, or as null with the reason; never changed in silence."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from odd_values import TYPES, VALUES, Json, Nulled
from programs import SOURCE, Connection, configured, destination_config, source_config

from stack import bigquery
from stack.settings import Settings
from tests.source_database import emptied

COLUMNS = [f"c{number}" for number in range(len(VALUES))]


@pytest.fixture(scope="module")
def landed(
    postgres: Settings, emulator: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, dict[str, Any]]]:
    """The values, a column each, after two syncs in one row: {"landed": the row, "text": its JSON columns' text, "changes": {column: reason}}."""
    columns = ", ".join(f"{name} {kind}" for name, (kind, _, _) in zip(COLUMNS, VALUES, strict=True))
    values = ", ".join(f"{value}" for _, value, _ in VALUES)
    emptied(postgres)
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as db:
        db.execute(TYPES.encode())
        db.execute(f"create table odd (id int primary key, {columns})".encode())
        db.execute(f"insert into odd values (1, {values})".encode())
    made = Connection(
        tmp_path_factory.mktemp("types"), source_config(emulator), destination_config(emulator, "odd"), {}
    )
    discovered, _ = made.call(SOURCE, "discover", config=made.source)
    made.catalog = configured(discovered[0]["catalog"]["streams"], {"odd": ("incremental", "append_dedup")})
    assert made.sync() == 1
    bq = bigquery.client(emulator)
    row = bigquery.query(bq, "select * from odd.odd")[0]
    texts = ", ".join(
        f"to_json_string({name}) as {name}"
        for name, (_, _, expected) in zip(COLUMNS, VALUES, strict=True)
        if isinstance(expected, Json)
    )
    text = bigquery.query(bq, f"select {texts} from odd.odd")[0]
    changes = {change["field"]: change["reason"] for change in row["_airbyte_meta"]["changes"]}
    yield {"landed": row, "text": text, "changes": changes}
    bq.delete_dataset("odd", delete_contents=True)
    emptied(postgres)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        pytest.param(name, expected, id=f"{name} {kind} {value[:30]}")
        for name, (kind, value, expected) in zip(COLUMNS, VALUES, strict=True)
    ],
)
def test_the_value_lands_exactly_or_as_null_with_the_reason(
    landed: dict[str, dict[str, Any]], column: str, expected: Any
) -> None:
    found, reason = landed["landed"][column], landed["changes"].get(column)
    if isinstance(expected, Nulled):
        assert (found, reason) == (None, expected.reason)
        return
    assert reason is None
    if isinstance(expected, Json):
        assert _parsed(landed["text"][column]) == _parsed(expected.text)
    elif isinstance(expected, float) and math.isnan(expected):
        assert math.isnan(found)
    else:
        assert found == expected
        assert type(found) is type(expected)


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def test_a_database_in_another_encoding_lands_as_unicode(
    postgres: Settings, emulator: Settings, tmp_path: Path
) -> None:
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as db:
        db.execute("drop database if exists latin")
        db.execute("create database latin template template0 encoding 'LATIN1' locale 'C'")
    config = source_config(emulator, database="latin")
    dsn = postgres.admin_dsn.rsplit("/", 1)[0] + "/latin"
    with psycopg.connect(dsn, client_encoding="utf8") as db:
        db.execute("create table names (id int primary key, name text); insert into names values (1, 'Zoë Ångström')")
    made = Connection(tmp_path, config, destination_config(emulator, "latin"), {})
    discovered, _ = made.call(SOURCE, "discover", config=config)
    made.catalog = configured(discovered[0]["catalog"]["streams"], {"names": ("incremental", "append_dedup")})
    made.sync()
    bq = bigquery.client(emulator)
    assert bigquery.query(bq, "select name from latin.names") == [{"name": "Zoë Ångström"}]
    bq.delete_dataset("latin", delete_contents=True)
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as db:
        db.execute("drop database latin")
