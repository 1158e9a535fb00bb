"""What the warehouse holds, as the summary, `make status` and the dashboard show it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stack import bigquery, layers, summary
from stack.settings import Settings

DATASET = "layers_test"
ROWS = """
select 'no_rate' as reason, timestamp('2026-01-02') as first_seen_at, timestamp('2026-01-03') as last_seen_at, 'b' as detail
union all select 'no_rate', timestamp('2026-01-01'), timestamp('2026-01-02'), 'a'
union all select 'no_date', timestamp('2026-01-05'), timestamp('2026-01-05'), 'c'
"""


@pytest.fixture
def warehouse(emulator: Settings) -> Iterator[Settings]:
    """The session's warehouse with a dataset of the test's own, and a table in quarantine."""
    bq = bigquery.client(emulator)
    bq.create_dataset(DATASET)
    yield emulator
    bq.delete_dataset(DATASET, delete_contents=True)
    bq.delete_table(f"quarantine.{DATASET}", not_found_ok=True)


def test_tables_are_no_views_and_nothing_that_is_there_for_a_moment(warehouse: Settings) -> None:
    bq = bigquery.client(warehouse)
    assert layers.tables(bq, DATASET) == layers.tables(bq, "nowhere") == []
    for statement in ("table orders", "table _landing", "table items", "view latest"):
        bigquery.query(bq, f"create {statement.replace(' ', f' {DATASET}.')} as select 1 as n")
    assert layers.tables(bq, DATASET) == ["items", "orders"]


def test_what_is_set_aside_is_told_by_reason_with_an_example(warehouse: Settings) -> None:
    bq = bigquery.client(warehouse)
    bigquery.query(bq, f"create table quarantine.{DATASET} as {ROWS}")
    assert f"  {DATASET:22}       2  no_rate" in summary.quarantined(warehouse)
    assert summary.rows_per_layer(warehouse)["quarantine"][DATASET] == 3
    found = [row for row in layers.quarantined(bq) if row["entity"] == DATASET]
    assert [(row["reason"], row["n"], row["example"]) for row in found] == [("no_rate", 2, "a"), ("no_date", 1, "c")]
    assert [f"{found[0][name]:%d}" for name in ("first_seen_at", "last_seen_at")] == ["01", "03"]
