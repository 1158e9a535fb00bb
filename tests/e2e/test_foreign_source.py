"""A database that the generator never saw: SOURCE_SQL on its first day, and SOURCE_DSN by the page about it (docs/how-to/your-postgres.md).

The tests of this module are the steps of one story and run in order on one deployment. `make faults` adds a comparison of the two and a business day.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from stack import bigquery
from stack.settings import ROOT
from tests.content import content, differences
from tests.e2e.deployment import Deployment
from tests.pages import Player, sections

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment(tmp_path_factory.mktemp("foreign"))
    yield made
    made.run("stack", "clean-data")


@pytest.fixture(scope="module")
def sql_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sql")
    shutil.copy(ROOT / "source" / "schema.sql", folder / "00_schema.sql")
    shutil.copy(HERE / "foreign" / "10_young.sql", folder)
    return folder


def test_a_marketplace_without_a_sale_passes_every_gate(deployment: Deployment, sql_folder: Path) -> None:
    """Seven of nine tables are empty, for Spark and for the marts."""
    deployment.demo("--source-sql", str(sql_folder), "--engine", "spark")
    bq = bigquery.client(deployment.settings)
    counted = bigquery.query(
        bq, "select (select count(*) from marts.dim_users) as users, (select count(*) from marts.fct_orders) as orders"
    )
    assert dict(counted[0]) == {"users": 2, "orders": 0}


@pytest.fixture(scope="module")
def reader(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    """Another deployment, to which the first one's Postgres is somebody else's."""
    made = Deployment(tmp_path_factory.mktemp("reader"))
    port = psycopg.conninfo.conninfo_to_dict(deployment.settings.source_dsn)["port"]
    yield Player(made, replaced={"db.example.com:5432": f"127.0.0.1:{port}"})
    made.run("stack", "clean-data")


def test_its_first_sales_arrive_to_the_cent_in_a_warehouse_that_only_reads_it(
    deployment: Deployment, reader: Player
) -> None:
    with psycopg.connect(deployment.settings.admin_dsn) as owner:
        owner.execute((HERE / "foreign" / "20_grown.sql").read_bytes())
    page, (make_a_reader, *rest) = "how-to/your-postgres.md", sections("how-to/your-postgres.md")
    Player(deployment).play(page, make_a_reader)
    for section in rest:
        reader.play(page, section, ENGINE="dbt")
    bq = bigquery.client(reader.deployment.settings)
    orders = bigquery.query(
        bq,
        "select o.order_number, o.total_amount_usd, u.fx_rate_date from marts.fct_orders as o "
        "left join intermediate.int_orders_usd as u using (order_id) order by o.order_number",
    )
    # The ECB's units per EUR of Friday 2022-01-07: USD 1.1298, GBP 0.83430; of 2022-03-01: USD 1.1162.
    assert [(row["order_number"], row["total_amount_usd"]) for row in orders] == [
        ("ORD-20220108-00001", (Decimal("85.00") * Decimal("1.1298") / Decimal("0.8343")).quantize(Decimal("0.01"))),
        ("ORD-20220301-00001", (Decimal("10.50") * Decimal("1.1162")).quantize(Decimal("0.01"))),
        ("ORD-20230301-00001", Decimal("0.00")),
    ]
    assert str(orders[0]["fx_rate_date"]) == "2022-01-07"
    reconciled = bigquery.query(
        bq, "select reconciliation_status as status from marts.fct_payment_reconciliation order by order_id"
    )
    assert [row["status"] for row in reconciled] == ["matched", "no_payment", "no_payment"]


if "FAULT_HISTORIES" in os.environ:

    def test_what_spark_makes_step_by_step_is_what_dbt_makes_from_scratch(
        deployment: Deployment, reader: Player
    ) -> None:
        """Landed in two syncs here, in one there."""
        deployment.demo("--engine", "spark")
        assert differences(content(deployment.settings), content(reader.deployment.settings)) == {}

    def test_a_business_day_and_the_other_engine(deployment: Deployment) -> None:
        """Spark here; dbt alone, from all of raw, aside."""
        day = deployment.run("source.day")
        assert day.returncode == 0, day.stderr
        deployment.demo("--engine", "spark")
        by_spark = content(deployment.settings)
        assert differences(by_spark, deployment.rebuilt()) == {}
