"""Every type that a marketplace may meet: each value lands exactly, or as null with the reason; never changed in silence."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from google.api_core.exceptions import GoogleAPIError
from google.cloud import bigquery as google
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_values import TYPES, VALUES, Json, Nulled
from programs import SOURCE, Connection, configured, destination_config, source_config

from airbyte.connectors.destination_bigquery.statements import parsed
from airbyte.connectors.source_postgres.rows import MAXIMUM_LEVELS
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
    limit = sys.getrecursionlimit()
    # The client copies a value level by level.
    sys.setrecursionlimit(10 * MAXIMUM_LEVELS)
    row = bigquery.query(bq, "select * from odd.odd")[0]
    sys.setrecursionlimit(limit)
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


# No text with NUL or half a surrogate pair: JSON columns hold neither.
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), _TEXT
)
JSON_DOCUMENTS = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4), max_leaves=12
)


def parsed_texts(emulator: Settings, texts: list[str]) -> list[tuple[str, str, str]]:
    """Each text with what its two ways of being parsed give."""
    bound = [google.ArrayQueryParameter("texts", "STRING", texts)]
    rows = bigquery.client(emulator).query(
        f"select text, to_json_string({parsed('text')}), to_json_string(parse_json(text)) from unnest(@texts) as text",
        job_config=google.QueryJobConfig(query_parameters=bound),
    )
    return [tuple(row.values()) for row in rows.result()]


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(JSON_DOCUMENTS, min_size=40, max_size=80))
def test_json_parsed_the_quick_way_is_the_same_value(emulator: Settings, documents: list[Any]) -> None:
    texts = [json.dumps(document, ensure_ascii=False) for document in documents]
    assert [row for row in parsed_texts(emulator, texts) if row[1] != row[2]] == []


# The emulator rounds decimals beyond a double either way; from PostgreSQL they come as null with the reason.
@pytest.mark.parametrize("text", ["12345678901234567890123", '{"a": 12345678901234567890123}', "{"])
def test_what_json_cannot_hold_is_refused_either_way(emulator: Settings, text: str) -> None:
    with pytest.raises(GoogleAPIError):
        parsed_texts(emulator, [text])
