"""Readers see all marts of one run or all of the other, whatever is killed meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api_core.exceptions import GoogleAPIError
from google.cloud import bigquery as google

from stack import bigquery, dbt, lineage, publish
from stack import emulator as emulator_service
from stack.failures import FINAL
from stack.publish import NEXT, PUBLISHED
from stack.settings import Settings

MARTS = ("a", "b", "c")
# Enough that a transaction takes a while.
ROWS = 200_000


@pytest.fixture
def warehouse(empty_warehouse: Settings) -> Iterator[Settings]:
    """A warehouse with an empty `marts`, and a `marts_next` for the test to fill."""
    bq = bigquery.client(empty_warehouse)
    for dataset in (NEXT, PUBLISHED):
        bq.delete_dataset(dataset, delete_contents=True, not_found_ok=True)
        bigquery.create_dataset(bq, dataset, empty_warehouse.bigquery_location)
    yield empty_warehouse
    bq.delete_dataset(NEXT, delete_contents=True, not_found_ok=True)


def build(settings: Settings, run: int, rows: int = 3) -> None:
    """What dbt would: every mart's rows are of this run."""
    for mart in MARTS:
        bigquery.query(
            bigquery.client(settings),
            f"create or replace table {NEXT}.{mart} cluster by id as "
            f"select id, {run} as run, numeric '1.50' as amount from unnest(generate_array(1, {rows})) as id",
        )


def runs_seen(settings: Settings) -> set[int]:
    """The runs of all rows of all marts, as one statement sees them."""
    union = " union distinct ".join(f"select run from {PUBLISHED}.{mart}" for mart in MARTS)
    return {row["run"] for row in bigquery.query(bigquery.client(settings), union)}


def test_a_first_publish_makes_the_tables_as_dbt_made_them(warehouse: Settings) -> None:
    build(warehouse, 1)
    assert publish.publish(warehouse) == dict.fromkeys(MARTS, 3)
    made = bigquery.client(warehouse).get_table(f"{PUBLISHED}.a")
    assert made.clustering_fields == ["id"]
    assert [(field.name, field.field_type) for field in made.schema] == [
        ("id", "INTEGER"),
        ("run", "INTEGER"),
        ("amount", "NUMERIC"),
    ]


def test_a_run_shows_what_it_has_built_and_judged_itself(
    warehouse: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build(warehouse, 1)
    monkeypatch.setenv(lineage.RUN_ID, "first")
    assert publish.main([]) == 0
    publish.claim(warehouse, "first")
    assert publish.main([]) == 0
    for run_id, by in (("second", "the run second"), ("", "hand")):
        publish.claim(warehouse, run_id)
        build(warehouse, 2)
        # The first one's task is cleared in the morning after.
        assert publish.main([]) == FINAL
        assert f"marts_next was built last by {by}, not by first" in capsys.readouterr().err
        assert runs_seen(warehouse) == {1}
    publish.claim(warehouse, "first")
    build(warehouse, 3)
    assert publish.main([]) == 0
    assert runs_seen(warehouse) == {3}


def test_the_next_one_replaces_every_row_and_a_second_one_changes_nothing(warehouse: Settings) -> None:
    build(warehouse, 1)
    publish.publish(warehouse)
    build(warehouse, 2, rows=2)
    for _ in range(2):
        assert publish.publish(warehouse) == dict.fromkeys(MARTS, 2)
        assert runs_seen(warehouse) == {2}


def test_what_no_model_makes_any_more_is_not_published_again(
    warehouse: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    build(warehouse, 1)
    manifest = tmp_path / "target" / "manifest.json"
    manifest.parent.mkdir()
    models = {name: {"alias": name, "schema": NEXT} for name in MARTS[1:]}
    # Another layer's of the same name makes no mart.
    manifest.write_text(json.dumps({"nodes": models | {"staged": {"alias": MARTS[0], "schema": "staging"}}}))
    monkeypatch.setattr(dbt, "_folder", lambda *_: tmp_path)
    dbt.drop_what_no_model_makes(warehouse)
    assert set(publish.publish(warehouse)) == set(MARTS[1:])


def test_a_published_mart_that_is_no_longer_made_stays_and_is_named(
    warehouse: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    build(warehouse, 1)
    assert publish.main([]) == 0
    assert "stale" not in capsys.readouterr().out
    bq = bigquery.client(warehouse)
    bq.delete_table(f"{NEXT}.{MARTS[0]}")
    assert publish.main([]) == 0
    assert (
        f"stale, as no model makes them any more: {MARTS[0]} (`drop table marts.{MARTS[0]}`" in capsys.readouterr().out
    )
    assert bq.get_table(f"{PUBLISHED}.{MARTS[0]}").num_rows


def test_what_a_killed_dbt_left_and_views_are_not_shown(warehouse: Settings) -> None:
    build(warehouse, 1)
    bq = bigquery.client(warehouse)
    bigquery.query(bq, f"create table {NEXT}.a__dbt_tmp as select 1 as id")
    bigquery.query(bq, f"create view {NEXT}.of_the_moment as select 1 as id")
    assert publish.publish(warehouse) == dict.fromkeys(MARTS, 3)
    assert {table.table_id for table in bq.list_tables(PUBLISHED)} == set(MARTS)


def test_a_new_mart_a_view_before_a_new_column_and_another_order_of_columns(warehouse: Settings) -> None:
    bq = bigquery.client(warehouse)
    build(warehouse, 1)
    publish.publish(warehouse)
    bigquery.query(bq, f"create or replace table {NEXT}.a as select 'x' as added, 2 as run, 7 as id")
    bigquery.query(bq, f"create or replace table {NEXT}.b as select numeric '2.5' as amount, 2 as run, 7 as id")
    bigquery.query(bq, f"create table {NEXT}.d as select 1 as id")
    bigquery.query(bq, f"create view {PUBLISHED}.d as select 0 as id")
    assert publish.publish(warehouse) == {"a": 1, "b": 1, "c": 3, "d": 1}
    assert bigquery.query(bq, f"select * from {PUBLISHED}.a") == [{"added": "x", "run": 2, "id": 7}]
    assert bigquery.query(bq, f"select id, amount from {PUBLISHED}.b")[0]["id"] == 7


def test_empty_marts_and_none_at_all(warehouse: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish.main([]) == FINAL
    assert "the marts were not published: marts_next has no table" in capsys.readouterr().err
    build(warehouse, 1, rows=0)
    assert publish.publish(warehouse) == dict.fromkeys(MARTS, 0)


def test_a_statement_that_fails_leaves_every_mart_as_it_was(warehouse: Settings) -> None:
    bq = bigquery.client(warehouse)
    build(warehouse, 1)
    publish.publish(warehouse)
    build(warehouse, 2)
    script = publish.transaction([bq.get_table(f"{NEXT}.{mart}") for mart in MARTS])
    broken = script.replace("commit transaction", f"delete from {PUBLISHED}.not_there where true;\ncommit transaction")
    with pytest.raises(GoogleAPIError):
        bigquery.query(bq, broken)
    assert runs_seen(warehouse) == {1}
    publish.publish(warehouse)
    assert runs_seen(warehouse) == {2}


def test_a_reader_never_sees_two_runs_at_once(warehouse: Settings) -> None:
    build(warehouse, 0)
    publish.publish(warehouse)
    ended, seen = threading.Event(), []

    def read() -> None:
        while not ended.is_set():
            seen.append(runs_seen(warehouse))

    reader = threading.Thread(target=read)
    reader.start()
    for run in range(1, 6):
        build(warehouse, run)
        publish.publish(warehouse)
    ended.set()
    reader.join()
    assert {len(runs) for runs in seen} == {1}
    assert len(set(map(frozenset, seen))) > 1


@pytest.mark.parametrize("after", [0.05, 0.4, 1.5])
def test_a_warehouse_killed_while_it_publishes_has_one_run_or_the_other(warehouse: Settings, after: float) -> None:
    build(warehouse, 1, ROWS)
    publish.publish(warehouse)
    build(warehouse, 2, ROWS)
    bq = bigquery.client(warehouse)
    marts: list[google.Table] = [bq.get_table(f"{NEXT}.{mart}") for mart in MARTS]
    process = emulator_service.process(warehouse).running()
    assert process is not None
    killer = threading.Timer(after, process.kill)
    killer.start()
    try:
        bigquery.query(bq, publish.transaction(marts))
    except Exception as error:
        print(f"killed meanwhile: {type(error).__name__}")
    killer.join()
    emulator_service.start(warehouse)
    assert len(runs_seen(warehouse)) == 1
    publish.publish(warehouse)
    assert runs_seen(warehouse) == {2}
