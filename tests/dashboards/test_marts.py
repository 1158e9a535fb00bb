"""What the views say of marts that few runs make."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from dashboards import marts
from stack import bigquery, ledger
from stack.settings import Settings

# Region and category of one sale, the two days before an order without items.
TABLES = {
    "dim_products": "select 1 as product_id, 3 as category_id, 'Bikes > Old' as category_path, 'Bikes' as root_category",
    "fct_daily_sales": "select date '2026-03-01' as order_date, 'Europe' as region, 3 as category_id, 'Old' as category_name, "
    "numeric '5.25' as gmv_usd, numeric '5.25' as net_gmv_usd, 1 as order_count, 1 as units",
    "fct_order_items": "select 'a' as order_id, 3 as category_id, 'Europe' as region, true as is_gmv, date '2026-03-01' as order_date",
    "fct_orders": "select 'a' as order_id, 'Europe' as region, true as is_gmv, date '2026-03-01' as order_date, numeric '5.25' as gmv_usd "
    "union all select 'b', 'Europe', true, date '2026-03-03', numeric '0' "
    "union all select 'c', 'Europe', false, date '2026-03-09', numeric '0' "
    "union all select 'd', 'Europe', true, null, numeric '0'",
}


def test_an_order_without_items_after_the_last_sale_has_its_day(empty_warehouse: Settings) -> None:
    bq = bigquery.client(empty_warehouse)
    for name, rows in TABLES.items():
        bigquery.query(bq, f"create or replace table marts.{name} as {rows}")
    sales = marts.sales(bq)
    assert (sales["first_day"], sales["last_day"]) == (datetime.date(2026, 3, 1), datetime.date(2026, 3, 3))
    assert sales["daily"]["orders"] == [{"region": "Europe", "orders": [1, 0, 1], "valued": [1, 0, 1]}]
    [merchandise] = sales["daily"]["merchandise"]
    assert merchandise["gmv"] == [525, 0, 0]
    bigquery.query(bq, "delete from marts.fct_daily_sales where true")
    assert marts.sales(bq) == {"last_day": None}


def test_an_order_counts_once_in_the_line_of_the_other_categories(
    empty_warehouse: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(marts.NAMED_PARAMETERS, "paths", 1)
    bq = bigquery.client(empty_warehouse)
    # One order with an item of each category; the category with the most GMV has a line of its own.
    of_category = "'a' as order_id, date '2026-03-01' as order_date, 'Europe' as region, true as is_gmv, 1 as order_count, 1 as units, "
    of_category += (
        "{n} as category_id, '{n}' as category_name, '{root}' as root_category, '{root} > {n}' as category_path, "
    )
    of_category += "numeric '{n}' as gmv_usd, numeric '{n}' as net_gmv_usd"
    roots = {1: "Bikes", 2: "Bikes", 3: "Toys", 4: "Bikes"}
    items = " union all ".join(f"select {of_category.format(n=n, root=root)}" for n, root in roots.items())
    for name in ("dim_products", "fct_daily_sales", "fct_order_items"):
        bigquery.query(bq, f"create or replace table marts.{name} as {items}")
    found = marts._categories(bq, datetime.date(2026, 3, 1))
    lines = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    assert [(line["category"], line["path"], line["units"], line["orders"]) for line in lines] == [
        ("Bikes", "Bikes > 4", 1, 1),
        ("Bikes", marts.OTHER, 2, 1),
        ("Toys", marts.OTHER, 1, 1),
    ]
    # And once of all categories together.
    assert found["others"] == [{"region": "Europe", "path": marts.OTHER, "orders": 1}]


def test_the_tiers_run_to_the_newest_order_whatever_is_dated_ahead(empty_warehouse: Settings) -> None:
    bq = bigquery.client(empty_warehouse)

    def tiers(*starts: str, newest_order: str) -> dict[str, Any]:
        rows = " union all ".join(
            f"select {n} as seller_id, 'gold' as tier, cast(null as string) as previous_tier, 'first' as movement, "
            f"timestamp '{start}' as valid_from, cast(null as timestamp) as valid_to, 1 as days_in_tier, "
            "numeric '0' as gmv_usd, numeric '0' as net_gmv_usd"
            for n, start in enumerate(starts)
        )
        bigquery.query(bq, f"create or replace table marts.fct_seller_tier_progression as {rows}")
        bigquery.query(bq, f"create or replace table marts.fct_orders as select {newest_order} as order_date")
        return marts.tiers(bq)

    found = tiers("2026-02-10", "2099-01-01", newest_order="date '2026-03-09'")
    assert found["as_of"] == found["moments"][-1] == datetime.date(2026, 3, 9)
    assert found["stock"] == {"gold": [1, 1]}
    assert tiers("2099-01-01", newest_order="date '2026-03-09'") == {"as_of": None}
    # Without an order the last start is the newest that is known.
    found = tiers("2026-02-10", "2026-04-01", newest_order="cast(null as date)")
    assert (found["as_of"], found["stock"]) == (datetime.date(2026, 4, 1), {"gold": [1, 1, 2]})


def test_the_runs_are_the_pipelines_and_end_as_make_status_says(
    empty_warehouse: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marts, "MAX_RUNS", 3)
    for run_id, steps in {
        "too old": {ledger.FIRST_STEP: "success"},
        "fell back": {
            ledger.FIRST_STEP: "success",
            ledger.DECISION_STEP: "success",
            "heavy_spark": "engine failed",
            "fall_back_dbt": "success",
            "publish": "success",
        },
        "of the page": {"build": "success"},
        "red": {ledger.FIRST_STEP: "success", "raw_gate": "failed"},
        "compacts": {"compact_lake": "success"},
        "runs": {ledger.FIRST_STEP: "success"},
        "of the page, too": {"build": "success"},
    }.items():
        for step, status in steps.items():
            engine = "spark" if step == ledger.DECISION_STEP else None
            ledger.record(empty_warehouse, ledger.Entry(run_id, step, engine, None, 1.0, status, ""))
    found = marts._runs(bigquery.client(empty_warehouse))
    assert [(run["run_id"], run["status"], run["engine"]) for run in found] == [
        ("runs", "unfinished", None),
        ("red", "failed", None),
        # By whom it was done, not whom it chose.
        ("fell back", "published", "dbt"),
    ]
