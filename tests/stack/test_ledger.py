"""The run ledger and the pending volume, as the engine choice reads them from a real warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.cloud.bigquery import Table

from stack import bigquery, ledger, volume
from stack.ledger import Entry
from stack.settings import Settings


@pytest.fixture
def warehouse(emulator: Settings) -> Iterator[Settings]:
    """The session's warehouse without a ledger, before and after."""
    tables = (*ledger.PRUNED, "ops.pending_rows", "raw.volume_test")
    for name in tables:
        bigquery.client(emulator).delete_table(name, not_found_ok=True)
    yield emulator
    for name in tables:
        bigquery.client(emulator).delete_table(name, not_found_ok=True)


def write(settings: Settings, *entries: tuple[str, str, int | None, float, str]) -> None:
    for run_id, step, rows, seconds, status in entries:
        ledger.record(settings, Entry(run_id, step, None, rows, seconds, status, ""))


def test_the_first_entry_makes_the_table_and_where_nobody_has_its_dataset_too(empty_warehouse: Settings) -> None:
    bigquery.client(empty_warehouse).delete_dataset("ops", delete_contents=True)
    ledger.record(empty_warehouse, ledger.Entry("first", ledger.FIRST_STEP, None, None, 1.0, "success", ""))
    assert [entry["run_id"] for entry in ledger.of_run(empty_warehouse, "first")] == ["first"]


def test_steps_that_end_at_once_are_all_in_a_ledger_that_is_not_there_yet(warehouse: Settings) -> None:
    bq = bigquery.client(warehouse)
    for attempt in range(4):
        steps = [f"{attempt} {n}" for n in range(3)]
        with ThreadPoolExecutor(len(steps)) as at_once:
            list(at_once.map(lambda step: write(warehouse, ("one", step, None, 1.0, "success")), steps))
        found = bigquery.query(bq, f"select step from {ledger.TABLE} order by step")
        assert [row["step"] for row in found] == steps
        bq.delete_table(ledger.TABLE)


def entries(*steps: tuple[str, str]) -> list[dict[str, object]]:
    return [{"step": step, "status": status, "engine": "spark"} for step, status in steps]


BROKE = [
    (ledger.FIRST_STEP, "success"),
    ("staging", "success"),
    ("decide_engine", "success"),
    ("heavy_spark", "engine failed"),
]


@pytest.mark.parametrize(
    ("steps", "outcome", "red", "engine"),
    [
        ([], "unfinished", [], None),
        (BROKE[:3], "unfinished", [], "spark"),
        (BROKE, "unfinished", [], "spark"),
        ([*BROKE, ("fall_back_dbt", "success"), ("publish", "success")], "published", [], "dbt"),
        ([*BROKE, ("fall_back_dbt", "engine failed")], "failed", ["fall_back_dbt"], "spark"),
        # Cleared: the tables are not what was published, nor is what broke still broken.
        ([*BROKE, ("fall_back_dbt", "engine failed"), *BROKE[2:3]], "unfinished", [], "spark"),
        (
            [
                *BROKE,
                ("fall_back_dbt", "engine failed"),
                *BROKE[2:3],
                ("heavy_spark", "success"),
                ("publish", "success"),
            ],
            "published",
            [],
            "spark",
        ),
        ([*BROKE, ("fall_back_dbt", "success"), ("publish", "success"), BROKE[0]], "unfinished", [], "spark"),
        # What came before the decision is as it was.
        ([*BROKE, ("staging", "failed"), BROKE[0]], "failed", ["staging"], "spark"),
        ([*BROKE[:3], ("heavy_spark", "failed")], "failed", ["heavy_spark"], "spark"),
    ],
)
def test_a_run_is_what_its_latest_decision_led_to(
    steps: list[tuple[str, str]], outcome: str, red: list[str], engine: str | None
) -> None:
    run = entries(*steps)
    assert (ledger.outcome(run), ledger.red(run), ledger.engine(run)) == (outcome, red, engine)


def test_heavy_runs_are_the_heavy_steps_with_what_was_pending_oldest_first(warehouse: Settings) -> None:
    assert ledger.heavy_runs(warehouse) == []
    write(
        warehouse,
        ("one", "decide_engine", 100, 1.0, "success"),
        ("one", "heavy_spark", None, 60.0, "engine failed"),
        ("one", "fall_back_dbt", 90, 12.0, "success"),
        ("one", "marts", 5, 30.0, "success"),
        ("two", "heavy_dbt", 1, 9.0, "success"),
        # Cleared and run again: nothing was left to do.
        ("one", "fall_back_dbt", 0, 2.0, "success"),
    )
    assert ledger.heavy_runs(warehouse) == [
        {"step": "heavy_spark", "seconds": 60.0, "status": "engine failed", "rows": 100},
        {"step": "fall_back_dbt", "seconds": 12.0, "status": "success", "rows": 100},
        {"step": "heavy_dbt", "seconds": 9.0, "status": "success", "rows": None},
    ]


def test_a_run_that_decided_anew_has_each_heavy_step_with_its_own_decision(warehouse: Settings) -> None:
    write(
        warehouse,
        ("one", "decide_engine", 2_000_000, 1.0, "success"),
        ("one", "heavy_spark", None, 60.0, "engine failed"),
        ("one", "fall_back_dbt", None, 300.0, "success"),
        # The gate was red; mended, and cleared from the sync on.
        ("one", "decide_engine", 50, 1.0, "success"),
        ("one", "heavy_dbt", None, 9.0, "success"),
        ("one", "fall_back_dbt", None, 8.0, "success"),
    )
    assert [(run["step"], run["seconds"], run["rows"]) for run in ledger.heavy_runs(warehouse)] == [
        ("heavy_spark", 60.0, 2_000_000),
        ("fall_back_dbt", 300.0, 2_000_000),
        ("heavy_dbt", 9.0, 50),
        ("fall_back_dbt", 8.0, 50),
    ]


def test_a_try_that_failed_is_no_success(warehouse: Settings) -> None:
    assert ledger.last_success(warehouse, "publish") is None
    write(warehouse, ("one", "publish", None, 1.0, "failed"), ("one", "marts", None, 1.0, "success"))
    assert ledger.last_success(warehouse, "publish") is None
    write(warehouse, ("one", "publish", None, 1.0, "success"))
    published = ledger.last_success(warehouse, "publish")
    write(warehouse, ("two", "publish", None, 1.0, "failed"))
    assert published == ledger.last_success(warehouse, "publish") is not None


def test_pruning_forgets_what_is_too_old_and_nothing_else(warehouse: Settings) -> None:
    assert ledger.prune(warehouse, 30) == 0
    write(warehouse, ("old", "marts", 1, 1.0, "success"), ("new", "marts", 1, 1.0, "success"))
    bq = bigquery.client(warehouse)
    age = "update ops.run_ledger set recorded_at = timestamp_sub(recorded_at, interval 31 day) where run_id = 'old'"
    bigquery.query(bq, age)
    assert ledger.prune(warehouse, 32) == 0
    assert ledger.prune(warehouse, 30) == 1
    assert [row["run_id"] for row in bigquery.query(bq, "select run_id from ops.run_ledger")] == ["new"]


def test_the_volume_is_rows_and_bytes_by_heavy_table_and_unknown_without_the_view(
    warehouse: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert volume.pending(warehouse) is None
    bq = bigquery.client(warehouse)
    bigquery.query(bq, "create table raw.volume_test as select n from unnest([1, 2, 3, 4]) as n")
    bigquery.query(
        bq,
        "create view ops.pending_rows as select 'int_x' as heavy_model, 'volume_test' as raw_table, 1 as pending_rows",
    )
    size = bq.get_table("raw.volume_test").num_bytes
    assert volume.pending(warehouse) == {"int_x": (1, round(size / 4))}
    assert volume.pending(warehouse, is_full_refresh=True) == {"int_x": (4, size)}
    # A table may have rows that it does not tell of yet.
    with monkeypatch.context() as patch:
        patch.setattr(Table, "num_rows", 0)
        assert volume.pending(warehouse) == {"int_x": (1, 0)}
    # What was changed is not there twice, whatever the table says it holds.
    bigquery.query(bq, "update raw.volume_test set n = n + 1 where true")
    bigquery.query(bq, "delete from raw.volume_test where n = 2")
    assert volume.pending(warehouse, is_full_refresh=True)["int_x"][0] == 3
