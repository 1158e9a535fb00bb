"""A published table is the lake's, whoever wrote to it meanwhile, though it has as many rows as before."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_jobs import currency_normalization, payment_dedup
from spark_jobs.incremental import Run
from spark_jobs.lake import Lake
from spark_jobs.progress import Progress
from spark_jobs.tables import (
    CONTENT_MODULUS,
    INT_ORDER_ITEMS_USD,
    INT_ORDERS_USD,
    INT_PAYMENTS_DEDUPLICATED,
    INT_PAYMENTS_USD,
    checksum,
)
from spark_jobs.warehouse import Content, Warehouse
from stack import bigquery
from stack.settings import Settings
from tests.dbt import histories, raw_tables
from tests.spark_jobs.nights import by_night

TABLES = (INT_PAYMENTS_DEDUPLICATED, INT_ORDERS_USD, INT_ORDER_ITEMS_USD, INT_PAYMENTS_USD)
# What dbt makes of the marketplace's night 1, of what Spark made of night 0.
BY_DBT = (
    "update intermediate.int_orders_usd set fx_rate_usd = 0.006, subtotal_amount_usd = 6.01, total_amount_usd = 6.01 where order_id = 'yen'",
    "update intermediate.int_payments_usd set fx_rate_usd = 0.006, amount_usd = 6.01 where currency = 'JPY'",
    "update intermediate.int_order_items_usd set fx_rate_usd = 0.006, unit_price_usd = 6.01, total_price_usd = 6.01 where order_id = 'yen'",
    "update intermediate.int_order_items_usd set order_date = null, fx_rate_date = null, fx_rate_usd = null, unit_price_usd = null, "
    "total_price_usd = null, is_fx_missing = true where order_id = 'euros'",
    "delete from intermediate.int_orders_usd where order_id = 'euros'",
)
# Older or wrong states of rows, of which there are as many.
BY_HAND = {
    "int_payments_deduplicated": "processed_at = created_at where true",
    "int_orders_usd": "currency = 'USD', fx_rate_usd = 1, total_amount_usd = 1, _raw_extracted_at = timestamp '2026-10-19 03:00:00+00' "
    "where order_id = 'euros'",
    # The same dates, of other rows.
    "int_order_items_usd": "order_date = if(order_id = 'yen', date '2026-09-07', date '2026-09-04') where true",
    "int_payments_usd": "is_fx_missing = true where true",
}


class Deployment:
    """A warehouse and a lake of their own."""

    def __init__(self, settings: Settings, spark: SparkSession, lake: Path) -> None:
        """Nothing is landed yet."""
        self._bq, self._spark, self._uri = bigquery.client(settings), spark, lake.as_uri()
        self.warehouse = Warehouse(settings)

    def land(self, tables: histories.Tables) -> None:
        raw_tables.replace(self._bq, tables)

    def run(self) -> dict[str, Content]:
        """Spark's jobs. Returns what they remember of the published tables."""
        with Lake(self._spark, self._uri) as lake:
            Run(lake, self.warehouse, Progress()).carry_out([payment_dedup.update, currency_normalization.update])
            known = lake.state("currency_normalization") | lake.state("payment_dedup")
            found = {table.name: known[table.lake_name] for table in TABLES}
            # By its change feeds or as a whole, in Spark's SQL.
            for table in TABLES:
                assert found[table.name].checksum == lake.content(table, lake.position(table.lake_name))
        return {name: Content(state.rows, state.checksum or 0) for name, state in found.items()}

    def published(self) -> Mapping[str, Content]:
        """As summed in BigQuery's SQL."""
        return {table.name: self.warehouse.content(table) for table in TABLES}

    def query(self, sql: str) -> list[dict[str, Any]]:
        return bigquery.query(self._bq, sql)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        return {t.name: self.query(f"select * from intermediate.{t.name} order by {t.key[0]}") for t in TABLES}


@pytest.fixture(scope="module")
def deployment(empty_warehouse: Settings, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """What Spark made of the first night."""
    made = Deployment(empty_warehouse, spark, tmp_path_factory.mktemp("lake"))
    made.land(by_night(0))
    made.run()
    return made


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_another_engine_made_of_a_state_that_is_gone_again_goes(deployment: Deployment) -> None:
    """Neither a rate nor an order's date leaves a landing in the rows that it touches, nor are there more or fewer of them."""
    right = deployment.rows()
    for change in BY_DBT:
        deployment.query(change)
    deployment.land(by_night(2))
    known = deployment.run()
    found = deployment.rows()
    for name in ("int_order_items_usd", "int_payments_usd", "int_payments_deduplicated"):
        assert found[name] == right[name]
    orders = {row["order_id"]: row["total_amount_usd"] for row in found["int_orders_usd"]}
    assert orders == {"yen": Decimal("7.51"), "euros": Decimal("120.00")}
    assert deployment.published() == known


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_rows_that_somebody_put_back_are_mended(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    right, known = deployment.rows(), deployment.published()
    for name, change in BY_HAND.items():
        deployment.query(f"update intermediate.{name} set {change}")
    seen = deployment.published()
    assert {name for name in seen if seen[name] == known[name]} == set()
    deployment.run()
    assert deployment.rows() == right
    capsys.readouterr()
    assert deployment.run() == known
    assert "compared whole" not in capsys.readouterr().err


def test_a_checksum_is_exact_and_adds_up() -> None:
    """A sum has up to 38 digits, and is null where there are no rows."""
    long = Decimal("12345678901234567890123456789.123456789")
    above = Decimal("12345678901234567890123456789.123456788")
    assert checksum([long, None]) != checksum([above, None]) != checksum([None, above])
    assert (checksum([long, 5]) + checksum([Decimal("0.25"), -7])) % CONTENT_MODULUS == checksum(
        [Decimal("12345678901234567890123456789.373456789"), -2]
    )
    assert checksum([None, None]) == 0
