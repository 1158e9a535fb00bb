"""The audit's verdict on tables made by hand in the places where the engines would have put theirs."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest

from spark_jobs import tables
from stack import bigquery, parity_audit
from stack.parity_audit import DBT_DATASET, SPARK_DATASET, Difference
from stack.settings import Settings

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def warehouse(emulator: Settings) -> Iterator[Settings]:
    """The session's warehouse with the audit's datasets, empty, and none of them afterwards."""
    bq = bigquery.client(emulator)
    parity_audit.prepare(emulator)
    bigquery.create_dataset(bq, DBT_DATASET, emulator.bigquery_location)
    yield emulator
    parity_audit.remove(emulator)
    bq.delete_table(parity_audit.TABLE, not_found_ok=True)


def make(settings: Settings, table: str, by_dbt: str, by_spark: str) -> None:
    for dataset, rows in ((DBT_DATASET, by_dbt), (SPARK_DATASET, by_spark)):
        bigquery.query(bigquery.client(settings), f"create table {dataset}.{table} as {rows}")


def test_every_table_that_spark_makes_is_compared() -> None:
    made = {found.name for found in vars(tables).values() if isinstance(found, tables.ResultTable)}
    assert set(parity_audit.HEAVY_TABLES) == made


def test_the_same_rows_in_another_order_of_rows_and_columns_are_equal(warehouse: Settings) -> None:
    make(
        warehouse,
        "t",
        "select 1 as id, numeric '1.50' as amount union all select 2, null",
        "select cast(null as numeric) as amount, 2 as id union all select numeric '1.5', 1",
    )
    assert parity_audit.compare(warehouse, ["t"]) == [Difference("t", 2, 2, 0, 0, None)]


def test_a_cent_more_is_one_row_of_each_and_shown(warehouse: Settings) -> None:
    make(warehouse, "t", "select 1 as id, numeric '1.50' as amount", "select 1 as id, numeric '1.51' as amount")
    found = parity_audit.compare(warehouse, ["t"])[0]
    assert (found.only_dbt, found.only_spark, found.is_equal) == (1, 1, False)
    assert found.example is not None
    assert "1.5" in found.example


def test_a_row_twice_is_a_difference(warehouse: Settings) -> None:
    make(warehouse, "t", "select 1 as id", "select 1 as id union all select 1")
    assert not parity_audit.compare(warehouse, ["t"])[0].is_equal


def test_the_result_is_kept_and_a_difference_is_an_error(
    warehouse: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity_audit, "raw_changed_since", lambda *_: True)
    for table in parity_audit.HEAVY_TABLES:
        make(warehouse, table, "select 1 as id", "select 2 as id" if table == "int_orders_usd" else "select 1 as id")
    assert parity_audit.audit(warehouse, "one", LONG_AGO) == 1
    said = capsys.readouterr().err
    assert 'error: int_orders_usd: dbt 1 rows, Spark 1; only dbt has 1, only Spark 1, such as {"id":1}' in said
    assert "raw changed while the engines worked" in said
    bq = bigquery.client(warehouse)
    bigquery.query(bq, f"drop table {SPARK_DATASET}.int_orders_usd")
    bigquery.query(bq, f"create table {SPARK_DATASET}.int_orders_usd as select 1 as id")
    assert parity_audit.audit(warehouse, "two", LONG_AGO) == 0
    kept = bigquery.query(
        bq,
        "select run_id, countif(only_dbt + only_spark > 0) as differing, count(*) as n "
        f"from {parity_audit.TABLE} group by run_id order by run_id",
    )
    # Equal tables are of no use to anybody.
    assert not [found.dataset_id for found in bq.list_datasets() if found.dataset_id.startswith("audit")]
    assert [tuple(row.values()) for row in kept] == [("one", 1, 5), ("two", 0, 5)]
