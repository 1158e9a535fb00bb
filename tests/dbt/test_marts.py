"""What dbt makes of a small marketplace with every trap in it: first run, the same again, a second sync, from scratch, and with no row at all.

The rounds share one warehouse and build on each other, so the file runs as a whole, in its order.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest

from stack import bigquery, dbt, lineage
from stack.settings import ROOT, Settings
from tests.content import content, differences
from tests.dbt import metrics as semantic_layer
from tests.dbt import raw_tables, scenario

pytestmark = pytest.mark.slow

LAYERS = ("intermediate", "marts", "quarantine")
Warehouse = Callable[[str], list[tuple[Any, ...]]]


def run(settings: Settings, *steps: str, full_refresh: bool = False) -> None:
    """Run dbt as the DAG does; every model and every test must succeed."""
    with mock.patch.dict(os.environ):
        for step in steps:
            assert dbt.run(settings, step, full_refresh) == 0, f"dbt {step} failed: see its output"


def land(settings: Settings, tables: scenario.Tables) -> None:
    raw_tables.replace(bigquery.client(settings), tables)


@pytest.fixture(scope="module")
def warehouse(empty_warehouse: Settings) -> Warehouse:
    """Rows of a query, as tuples of text; money without a cent more or less than it says."""
    client = bigquery.client(empty_warehouse)

    return lambda sql: as_text(bigquery.query(client, sql))


def as_text(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(map(_text, row.values())) for row in rows]


def _text(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value) if isinstance(value, datetime.date) else value


def pending(warehouse: Warehouse) -> dict[str, int]:
    return dict(warehouse("select raw_table, pending_rows from ops.pending_rows"))


@pytest.fixture(scope="module")
def first_run(emulator: Settings, warehouse: Warehouse) -> dict[str, int]:
    """The steps of the DAG. Returns what was pending after staging."""
    land(emulator, scenario.first_sync())
    run(emulator, "staging")
    before = pending(warehouse)
    run(emulator, "heavy", "heavy-gate", "marts")
    return before


@pytest.fixture(scope="module")
def second_run(emulator: Settings, warehouse: Warehouse, first_run: dict[str, int]) -> dict[str, int]:
    """The whole project at once. Returns what was pending before it."""
    land(emulator, scenario.second_sync())
    before = pending(warehouse)
    run(emulator, "build")
    return before


@pytest.mark.usefixtures("first_run")
class TestFirstRun:
    def test_all_rows_are_pending_until_the_heavy_tables_exist(self, first_run: dict[str, int]) -> None:
        assert first_run == {"payments": 24, "orders": 15, "order_items": 16, "seller_tier_history": 11}

    def test_none_is_pending_afterwards(self, warehouse: Warehouse) -> None:
        assert pending(warehouse) == {"payments": 0, "orders": 0, "order_items": 0, "seller_tier_history": 0}

    def test_a_replayed_payment_is_one_event_named_by_its_first_row_in_the_state_of_its_last(
        self, warehouse: Warehouse
    ) -> None:
        assert warehouse("""
            select event_key, payment_id, status, amount, duplicate_count, first_seen_at, last_seen_at
            from intermediate.int_payments_deduplicated where order_id = 'weekend'
        """) == [("evt-1", "replay-0", "completed", "27.99", 2, "2026-10-24 10:00:20", "2026-10-24 10:00:40")]

    def test_payments_without_an_event_id_are_events_of_their_own(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select event_key, event_id, duplicate_count
            from intermediate.int_payments_deduplicated where order_id in ('nowhere', 'pending') order by event_key
        """) == [("payment:half-1", None, 0), ("payment:half-2", None, 0), ("payment:p-open", None, 0)]

    def test_tiers_of_equal_starts_repeats_and_empty_rows(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select seller_id, tier, previous_tier, valid_from, valid_to, is_current
            from intermediate.int_seller_tier_scd2 order by seller_id, valid_from
        """) == [
            ("gone", "silver", None, "2026-01-01 00:00:00", "2026-10-01 00:00:00", False),
            ("sam", "bronze", None, "2026-01-01 00:00:00", "2026-02-01 00:00:00", False),
            ("sam", "silver", "bronze", "2026-02-01 00:00:00", "2026-04-01 00:00:00", False),
            ("sam", "gold", "silver", "2026-04-01 00:00:00", None, True),
            ("stranger", None, None, "2026-01-01 00:00:00", None, True),
        ]

    def test_orders(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select order_id, order_date, region, total_amount_usd, gmv_usd, is_gmv, is_refunded, is_shipping_country_missing
            from marts.fct_orders order by order_id
        """) == [
            ("broken", None, "Unknown", "-10", "0", False, False, True),
            ("cancelled", "2026-10-26", "Unknown", "50", "55", False, False, True),
            ("dateless", None, "Europe", "1", "0", False, False, True),
            ("double", "2026-10-26", "Unknown", "10", "0", False, False, True),
            ("mismatch", "2026-10-26", "Europe", "11", "10", True, False, True),
            ("nocurrency", "2026-10-26", "Unknown", None, None, False, False, True),
            ("nowhere", "2026-09-15", "Unknown", "20", "20", True, False, True),
            ("pending", "2026-10-26", "Unknown", "60", "60", False, False, True),
            ("peso", "2026-10-26", "Americas", None, None, True, False, False),
            ("rounded", "2026-10-23", "Unknown", "7.51", "0", False, False, True),
            ("september", "2026-09-16", "Europe", "11", "11", True, False, True),
            ("undone", "2026-10-26", "Europe", "10", "0", True, False, True),
            # Half of its items' value would look like all of it.
            ("unknown", "2026-10-26", "Europe", None, None, True, False, True),
            ("weekend", "2026-10-24", "Americas", "33.59", "24", True, False, False),
            ("yen", "2026-10-23", "Europe", "7.51", "0.01", True, True, True),
        ]

    def test_the_time_without_zone_is_utc(self, warehouse: Warehouse) -> None:
        assert warehouse("select confirmed_at from marts.fct_orders where order_id = 'weekend'") == [
            ("2026-10-24 10:05:00",)
        ]

    def test_daily_sales(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select order_date, region, category_name, gmv_usd, net_gmv_usd, order_count, units
            from marts.fct_daily_sales order by order_date, region, category_name
        """) == [
            ("2026-09-15", "Unknown", "Uncategorized", "20", "20", 1, 4),
            ("2026-09-16", "Europe", "Cases", "11", "11", 1, 1),
            ("2026-10-23", "Europe", "Cases", "-7.5", "0", 1, 1),
            ("2026-10-23", "Europe", "Uncategorized", "7.51", "0", 1, 1),
            ("2026-10-24", "Americas", "Cases", "24", "24", 1, 2),
            ("2026-10-26", "Americas", "Cases", "0", "0", 1, 4),
            ("2026-10-26", "Europe", "Cases", "0", "0", 1, 2),
            ("2026-10-26", "Europe", "Uncategorized", "10", "10", 1, 1),
        ]

    def test_products_have_their_path_and_future_times_are_flagged(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select product_id, category_id, category_path, root_category, status, updated_at, is_updated_at_in_future
            from marts.dim_products order by product_id
        """) == [
            ("case", 3, "Electronics > Phones > Cases", "Electronics", "active", None, False),
            ("idea", 1, "Electronics", "Electronics", "draft", None, True),
            ("lost", -1, "Uncategorized", "Uncategorized", "active", None, False),
            ("thing", -1, "Uncategorized", "Uncategorized", "active", None, False),
        ]

    def test_users(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select user_id, user_type, country_code, region, seller_tier, is_deleted from marts.dim_users order by user_id
        """) == [
            ("berta", "buyer", "DE", "Europe", None, False),
            ("empty", "seller", "JP", "Asia", "silver", False),
            ("gone", "both", "US", "Americas", None, True),
            ("nobody", "buyer", "Unknown", "Unknown", None, False),
            ("sam", "seller", "BR", "Americas", "gold", False),
        ]

    def test_seller_performance(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select
                seller_id, gmv_usd, order_count, average_order_value_usd, average_rating, review_count, current_tier, tier_since
            from marts.fct_seller_performance order by seller_id
        """) == [
            ("empty", "0", 0, None, None, 0, None, None),
            # A review of seven stars is one, and says nothing.
            ("gone", "37.51", 3, "12.5", None, 1, None, None),
            # The order in pesos and the one of unknown prices count as orders, but have no value yet that could be averaged.
            ("sam", "27.5", 5, "9.17", "4.5", 3, "gold", "2026-04-01 00:00:00"),
            # Sold something, and is no user. Of no known tier since the first of January.
            ("stranger", "0", 0, None, None, 0, None, "2026-01-01 00:00:00"),
        ]

    def test_seller_tier_progression(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select seller_id, tier, movement, days_in_tier, order_count, gmv_usd, net_gmv_usd
            from marts.fct_seller_tier_progression order by seller_id, valid_from
        """) == [
            ("gone", "silver", "first", 273, 1, "20", "20"),
            ("sam", "bronze", "first", 31, 0, "0", "0"),
            ("sam", "silver", "upgrade", 59, 0, "0", "0"),
            ("sam", "gold", "upgrade", 208, 5, "27.5", "35"),
            ("stranger", None, "first", 298, 0, "0", "0"),
        ]
        assert warehouse("""
            select seller_id, previous_tier, tier_upgrades, tier_downgrades, net_gmv_usd from marts.fct_seller_performance order by seller_id
        """) == [
            ("empty", None, 0, 0, "0"),
            ("gone", None, 0, 0, "30"),
            ("sam", "silver", 2, 0, "35"),
            ("stranger", None, 0, 0, "0"),
        ]

    def test_the_tier_of_an_item_is_that_of_its_orders_moment(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select order_item_id, seller_tier_at_order from marts.fct_order_items where seller_id = 'gone' order by order_item_id
        """) == [("i-mismatch", None), ("i-nowhere", "silver"), ("i-yen", None)]

    def test_events_by_the_day_on_which_they_happened(self, warehouse: Warehouse) -> None:
        assert warehouse(
            "select event_date, event_count, late_event_count from marts.fct_daily_events order by event_date"
        ) == [("2026-10-26", 1, 1), ("2026-10-27", 1, 0)]

    def test_the_calendar_reaches_from_the_first_order_to_the_last(self, warehouse: Warehouse) -> None:
        assert warehouse("select min(date_day) as a, max(date_day) as b, count(*) as n from marts.dim_dates") == [
            ("2026-09-15", "2026-10-26", 42)
        ]

    def test_payment_reconciliation(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select order_id, order_total, paid_amount, refunded_amount, difference, difference_usd, reconciliation_status, reconciliation_reason
            from marts.fct_payment_reconciliation order by order_id
        """) == [
            ("broken", "-10", "0", "0", "-10", "-10", "failed", "cancelled_unpaid"),
            ("cancelled", "50", "0", "0", "50", "50", "failed", "cancelled_unpaid"),
            ("dateless", "1", "0", "0", "1", "1", "no_payment", "awaiting_payment"),
            ("double", "10", "20", "10", "-10", "-10", "overpaid", "excess_refunded"),
            # Paid for an order that has not landed.
            ("late", None, "8.5", "0", None, None, "no_order", "order_missing"),
            ("mismatch", "11", "0", "0", "11", "11", "no_payment", "payment_missing"),
            ("nocurrency", "3", None, None, None, None, "unconverted", "rate_missing"),
            ("nowhere", "20", "20", "0", "0", "0", "matched", "payout_mismatch"),
            ("pending", "60", "0", "0", "60", "60", "pending", "capture_open"),
            ("peso", "9000", "9000", "0", "0", None, "matched", "payout_mismatch"),
            ("rounded", "1001", "1001.33", "0", "0", "0", "matched", "paid_in_full"),
            ("september", "10", "10", "0", "0", "0", "matched", "disputed"),
            ("undone", "10", "5", "-5", "5", "5", "underpaid", "amount_fault"),
            ("unknown", None, None, None, None, None, "unconverted", "amount_fault"),
            ("weekend", "27.99", "27.99", "0", "0", "0", "matched", "paid_in_full"),
            ("yen", "1001", "1001", "1001", "0", "0", "refunded", "refunded_in_full"),
        ]

    def test_flags_of_the_ledgers(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select order_id, has_order, has_payment, has_capture, has_refund, has_dispute, has_fee, has_payout, is_multi_currency, is_reconciled
            from marts.fct_payment_reconciliation where order_id in ('late', 'mismatch', 'september', 'weekend', 'yen') order by order_id
        """) == [
            ("late", False, True, True, False, False, False, False, False, False),
            ("mismatch", True, False, False, False, False, False, False, False, False),
            ("september", True, True, True, False, True, False, False, True, False),
            ("weekend", True, True, True, False, False, True, True, False, True),
            ("yen", True, True, True, True, False, False, False, False, True),
        ]

    def test_payment_ageing_on_the_newest_day_of_the_data(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select order_id, as_of_date, open_since_date, days_open, ageing_bucket from marts.fct_payment_ageing order by order_id
        """) == [
            # Since when it is open, nobody knows.
            ("dateless", "2026-10-26", None, None, "unknown"),
            ("late", "2026-10-26", "2026-10-26", 0, "0-7 days"),
            ("mismatch", "2026-10-26", "2026-10-26", 0, "0-7 days"),
            ("nocurrency", "2026-10-26", "2026-10-26", 0, "0-7 days"),
            ("nowhere", "2026-10-26", "2026-09-15", 41, "31-90 days"),
            ("pending", "2026-10-26", "2026-10-26", 0, "0-7 days"),
            ("peso", "2026-10-26", "2026-10-26", 0, "0-7 days"),
            ("september", "2026-10-26", "2026-09-16", 40, "31-90 days"),
            ("undone", "2026-10-26", "2026-10-26", 0, "0-7 days"),
            ("unknown", "2026-10-26", "2026-10-26", 0, "0-7 days"),
        ]

    def test_customer_cohorts(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select cohort_month, months_since_first_order, customers, orders, gmv_usd, retention_rate
            from marts.fct_customer_cohorts order by cohort_month, months_since_first_order
        """) == [("2026-09-01", 0, 2, 2, "31", "1"), ("2026-09-01", 1, 1, 6, "34.01", "0.5")]

    def test_quarantine(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select order_id, reason, detail from quarantine.orders
            union all select order_item_id, reason, detail from quarantine.order_items
            union all select payment_id, reason, detail from quarantine.payments
            union all select product_id, reason, detail from quarantine.products
            union all select review_id, reason, detail from quarantine.reviews
            union all select cast(tier_row_id as string), reason, detail from quarantine.seller_tier_history
            order by 1, 2
        """) == [
            ("21", "unknown_start", "effective_from is null: the row is in no period"),
            ("22", "unknown_start", "effective_from is null: the row is in no period"),
            ("31", "orphan_seller", "seller stranger has not landed"),
            ("31", "unknown_tier", "tier unknown"),
            ("32", "orphan_seller", "seller stranger has not landed"),
            ("32", "unknown_tier", "tier unknown"),
            (
                "broken",
                "future_order_date",
                "created_at is 2099-01-01, after it was read: the order is on no day and in no month",
            ),
            ("broken", "negative_amount", "total -10.00 USD"),
            ("dateless", "missing_order_date", "created_at is null: the order is on no day and in no month"),
            ("i-broken", "no_quantity", "0 x 5.00 = 5.00 USD"),
            ("i-late", "orphan_order", "order late has not landed"),
            ("i-minus", "negative_amount", "1 x -1000.00 = -1000.00 JPY"),
            ("i-nocurrency", "missing_fx_rate", "unknown currency has no rate on 2026-10-26"),
            ("i-peso", "missing_fx_rate", "ARS has no rate on 2026-10-26"),
            ("i-unknown", "unknown_amount", "1 x unknown = unknown USD"),
            ("idea", "future_updated_at", "updated_at is on 2027-05-05"),
            ("lost", "orphan_seller", "seller stranger has not landed"),
            (
                "mismatch",
                "total_mismatch",
                "total 11.00 is not subtotal 10.00 + shipping 0.00 + tax 0.00 - discount 0.00",
            ),
            ("nocurrency", "missing_fx_rate", "unknown currency has no rate on 2026-10-26"),
            ("p-broken", "zero_amount", "0.00 USD"),
            ("p-late", "orphan_order", "order late has not landed"),
            ("p-minus", "negative_amount", "-5.00 USD"),
            ("p-nocurrency", "missing_fx_rate", "unknown currency has no rate on 2026-10-26"),
            ("p-peso", "missing_fx_rate", "ARS has no rate on 2026-10-26"),
            ("p-unknown", "unknown_amount", "unknown USD"),
            ("peso", "missing_fx_rate", "ARS has no rate on 2026-10-26"),
            ("r-seven", "rating_out_of_range", "rating 7"),
            ("r-zero", "rating_out_of_range", "rating 0"),
            ("thing", "orphan_category", "category 9 has not landed"),
            ("unknown", "unknown_amount", "total unknown USD"),
        ]

    def test_a_payment_in_quarantine_shows_the_row_with_the_fault(self, warehouse: Warehouse) -> None:
        found = warehouse(
            "select payment_id, raw_row from quarantine.payments where payment_id in ('p-late', 'p-peso')"
        )
        assert {name: json.loads(row)["id"] for name, row in found} == {"p-late": "p-late-2", "p-peso": "p-peso"}


@pytest.mark.usefixtures("first_run")
def test_what_was_made_of_what_and_judged_how_is_told_as_lineage(emulator: Settings) -> None:
    def table(name: str) -> lineage.Table:
        return lineage.warehouse_table(emulator.bigquery_project, name)

    made = lineage.recorded(emulator.local_dir)
    assert made[table("marts.fct_orders")].job == "dbt.fct_orders"
    assert table("intermediate.int_orders_enriched") in made[table("marts.fct_orders")].inputs
    assert made[table("staging.stg_marketplace__orders")].inputs == (table("raw.orders"),)
    lines = next((emulator.local_dir / "lineage").iterdir()).read_text().splitlines()
    ended = [event for event in map(json.loads, lines) if event["eventType"] == "COMPLETE"]
    judged = [event for event in ended if event["job"]["name"] == "dbt.marts.tests"][-1]
    said = [
        assertion
        for table in judged["inputs"]
        for assertion in table["inputFacets"]["dataQualityAssertions"]["assertions"]
    ]
    outcome = json.loads(dbt.results_path(emulator, "marts").read_text())
    assert len(said) == outcome["tests"]
    assert all(assertion["success"] for assertion in said)


def documented_queries() -> list[Any]:
    """The SQL blocks of the pages that quote them, each named by its page and heading."""
    found = []
    for page in ("example-queries", "data-quality"):
        for section in re.split(r"^## ", (ROOT / "docs" / f"{page}.md").read_text(), flags=re.MULTILINE)[1:]:
            blocks = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
            assert blocks, f"{page}: a section without a query: {section.splitlines()[0]}"
            found += [pytest.param(sql, id=f"{page}: {section.splitlines()[0]}") for sql in blocks]
    return found


@pytest.mark.usefixtures("first_run")
@pytest.mark.parametrize("sql", documented_queries())
def test_a_documented_query_finds_rows(warehouse: Warehouse, sql: str) -> None:
    """The scenario has every trap, so a query that finds nothing does not find its trap."""
    assert warehouse(sql)


@pytest.mark.usefixtures("first_run")
@pytest.mark.parametrize(
    ("metrics", "group_by", "by_hand"),
    [
        (["gmv"], ["order_id__region"], "select region, sum(gmv_usd) from marts.fct_orders where is_gmv group by 1"),
        (
            ["orders"],
            ["metric_time__month"],
            "select date_trunc(order_date, month), count(*) from marts.fct_orders where is_gmv group by 1",
        ),
        (
            ["net_gmv"],
            [],
            "select sum(gmv_usd) from marts.fct_orders where is_gmv and not is_refunded",
        ),
        (
            ["average_order_value"],
            ["order_id__region"],
            """select region, cast(sum(gmv_usd) as float64) / nullif(countif(gmv_usd is not null), 0)
            from marts.fct_orders where is_gmv group by 1""",
        ),
        (
            ["take_rate"],
            [],
            """select cast((select sum(platform_fee_usd) from marts.fct_payment_reconciliation) as float64)
                / cast(sum(gmv_usd) as float64) from marts.fct_orders where is_gmv""",
        ),
        (
            ["retention"],
            ["cohort__months_since_first_order"],
            """select months_since_first_order, cast(sum(customers) as float64) / sum(cohort_customers)
            from marts.fct_customer_cohorts group by 1""",
        ),
    ],
)
def test_a_metric_says_what_the_marts_say(
    emulator: Settings, warehouse: Warehouse, metrics: list[str], group_by: list[str], by_hand: str
) -> None:
    target = dbt.results_path(emulator, "marts").parent / "target"
    found = as_text(semantic_layer.values(bigquery.client(emulator), target, metrics, group_by))
    assert found
    assert [_day(row) for row in found] == sorted(map(_day, warehouse(by_hand)), key=str)


def _day(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """MetricFlow gives a month as a timestamp."""
    return tuple(value.removesuffix(" 00:00:00") if isinstance(value, str) else value for value in row)


@pytest.mark.usefixtures("first_run")
def test_the_projects_pages_know_every_table_and_its_columns(emulator: Settings) -> None:
    with mock.patch.dict(os.environ):
        page = dbt.write_docs(emulator)
    catalog = json.loads((page.parent / "catalog.json").read_text())
    manifest = json.loads((page.parent / "manifest.json").read_text())
    described = {
        name: set(node["columns"])
        for name, node in (manifest["nodes"] | manifest["sources"]).items()
        if node["resource_type"] in ("model", "seed", "snapshot", "source")
    }
    found = {name: set(node["columns"]) for name, node in (catalog["nodes"] | catalog["sources"]).items()}
    assert set(described) - set(found) == set()
    assert {name: columns - found[name] for name, columns in described.items() if columns - found[name]} == {}
    assert "fct_payment_reconciliation" in page.read_text()


@pytest.mark.usefixtures("first_run")
def test_a_second_run_without_change_changes_nothing(emulator: Settings) -> None:
    before = content(emulator, LAYERS, with_landing=True)
    run(emulator, "models")
    assert differences(before, content(emulator, LAYERS, with_landing=True)) == {}


# {test of the heavy gate: (table, updates that make one row wrong each)}. What no key, no flag and no sum of rows shows.
TAMPERINGS = {
    "dollars_of_int_orders_usd": (
        "int_orders_usd",
        "total_amount_usd = total_amount_usd * 2 where order_id = 'weekend'",
        "subtotal_amount_usd = null where order_id = 'mismatch'",
        "shipping_amount_usd = 0 where order_id = 'pending'",
        "currency = 'EUR' where order_id = 'undone'",
        "order_date = '2026-10-24', fx_rate_date = '2026-10-23' where order_id = 'yen'",
    ),
    "dollars_of_int_order_items_usd": (
        "int_order_items_usd",
        "unit_price_usd = unit_price_usd * 2 where order_item_id = 'i-weekend'",
        "total_price_usd = total_price_usd * 2 where order_item_id = 'i-weekend-2'",
        "order_id = 'pending' where order_item_id = 'i-cancelled'",
        "fx_rate_usd = 0.0076 where order_item_id = 'i-yen'",
    ),
    "every_payment_is_counted_once_int_payments_deduplicated_": (
        "int_payments_deduplicated",
        "order_id = 'yen' where event_key = 'evt-1'",
        "currency = 'GBP' where event_key = 'evt-2'",
        "amount = 8.5001 where event_key = 'evt-8'",
        "event_id = null where event_key = 'evt-9'",
        "platform_fee = 1 where event_key = 'payment:half-1'",
        "seller_payout = 1 where event_key = 'payment:half-2'",
        "created_at = timestamp '2026-10-25 09:00:00+00' where event_key = 'payment:p-failed'",
        "processed_at = timestamp '2026-10-25 09:00:00+00' where event_key = 'payment:p-known'",
        "payment_provider = 'paypal' where event_key = 'payment:p-minus'",
        "payment_id = 'p-open-2' where event_key = 'payment:p-open'",
        "duplicate_count = 1 where event_key = 'payment:p-peso'",
        "first_seen_at = timestamp '2026-10-25 09:00:00+00' where event_key = 'payment:p-september'",
        # In the state of its first row.
        "status = 'pending' where event_key = 'payment:p-undone'",
        "last_seen_at = timestamp '2026-10-25 09:00:00+00' where event_key = 'payment:p-unknown'",
    ),
    "dollars_of_int_payments_usd": (
        "int_payments_usd",
        "amount_usd = amount_usd * 2 where event_key = 'evt-1'",
        "order_id = 'weekend' where event_key = 'evt-2'",
        "platform_fee_usd = 1 where event_key = 'evt-8'",
        "seller_payout_usd = null where event_key = 'payment:p-undone'",
        "payment_date = '2026-10-25' where event_key = 'payment:p-failed'",
    ),
    "periods_follow_from_the_history_int_seller_tier_scd2_": (
        "int_seller_tier_scd2",
        "tier = 'platinum' where seller_id = 'sam' and tier = 'silver'",
        "valid_to = null where seller_id = 'gone'",
        "change_reason = 'rating' where seller_id = 'sam' and tier = 'gold'",
    ),
}


@pytest.mark.usefixtures("first_run")
@pytest.mark.parametrize("gate", TAMPERINGS)
def test_the_gate_notices_every_row_that_is_not_what_raw_says(
    emulator: Settings, warehouse: Warehouse, gate: str
) -> None:
    name, *updates = TAMPERINGS[gate]
    table = f"intermediate.{name}"
    before = content(emulator, ("intermediate",), with_landing=True)
    warehouse(f"create table ops.kept as select * from {table}")
    with mock.patch.dict(os.environ):
        try:
            for update in updates:
                warehouse(f"update {table} set {update}")
            assert dbt.run(emulator, "heavy-gate", select=[gate]) != 0
            assert failing_rows(emulator) == {gate: len(updates)}
        finally:
            # Not the table of the copy: it would have no key.
            warehouse(f"delete from {table} where true")
            warehouse(f"insert into {table} select * from ops.kept")
            warehouse("drop table ops.kept")
        assert differences(before, content(emulator, ("intermediate",), with_landing=True)) == {}
        assert dbt.run(emulator, "heavy-gate", select=[gate]) == 0


def failing_rows(settings: Settings) -> dict[str, int]:
    """Of dbt's last call, {test: rows that it returned}."""
    results = json.loads((dbt.results_path(settings, "heavy-gate").parent / "target" / "run_results.json").read_text())
    return {result["unique_id"].split(".")[2]: result["failures"] for result in results["results"]}


def in_a_row(*row_counts: int) -> dict[int, int]:
    """{day of October: orders}, from the first on."""
    return dict(enumerate(row_counts, start=1))


@pytest.mark.usefixtures("first_run")
@pytest.mark.parametrize(
    ("orders", "unusual"),
    [
        pytest.param(in_a_row(*[40] * 8, 40, 1), False, id="the newest day has only begun"),
        pytest.param(in_a_row(*[40] * 8, 9, 40), True, id="few, of eight days"),
        pytest.param(in_a_row(*[40] * 8, 11, 40), False, id="not few, of eight days"),
        pytest.param(in_a_row(*[10] * 7, 71, 10), False, id="many, of seven days"),
        pytest.param(in_a_row(*[10] * 7, 101, 10), True, id="too many, of seven days"),
        pytest.param(in_a_row(*[10] * 6, 200, 10), False, id="too young to be judged"),
        pytest.param(in_a_row(*[40] * 8) | {10: 40}, True, id="no order on the last complete day"),
        # 400 orders in 28 days; what is older counts no more.
        pytest.param(
            {1: 9999} | dict.fromkeys(range(2, 22, 2), 40) | {30: 4, 31: 1}, False, id="days without an order"
        ),
        pytest.param({1: 9999} | dict.fromkeys(range(2, 22, 2), 40) | {30: 3, 31: 1}, True, id="few, of 28 days"),
    ],
)
def test_the_volume_of_the_last_complete_day_is_judged(
    emulator: Settings, warehouse: Warehouse, orders: dict[int, int], unusual: bool
) -> None:
    compiled = dbt.results_path(emulator, "marts").parent / "target/compiled/marketplace/models/marts/fct_orders.yml"
    sql = (compiled / "volume_is_usual_fct_orders_order_date.sql").read_text()
    days = " union all ".join(
        f"select date '2026-10-{day:02}' as order_date from unnest(generate_array(1, {count}))"
        for day, count in orders.items()
    )
    replaced = re.sub(r"`[^`]+`\.`marts`\.`fct_orders`", f"({days})", sql)
    assert replaced != sql
    assert bool(warehouse(replaced)) is unusual


@pytest.mark.usefixtures("first_run")
def test_the_rules_hold_on_rows_of_their_own(emulator: Settings) -> None:
    """dbt's unit tests; they take the types of their inputs from the tables of the first run."""
    run(emulator, "unit-tests")


@pytest.mark.usefixtures("second_run")
class TestSecondSync:
    def test_new_and_deleted_rows_are_pending(self, second_run: dict[str, int]) -> None:
        # The late order, the two deleted ones and the one read again; the deleted item; the deleted payments, the replay and the two that changed;
        # the closed tier row and the new one.
        assert second_run == {"orders": 4, "order_items": 1, "payments": 5, "seller_tier_history": 2}

    def test_none_is_pending_afterwards(self, warehouse: Warehouse) -> None:
        assert set(pending(warehouse).values()) == {0}

    def test_an_early_replay_renames_the_event_and_leaves_its_state(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select payment_id, status, duplicate_count, first_seen_at
            from intermediate.int_payments_deduplicated where event_key = 'evt-1'
        """) == [("replay-3", "completed", 3, "2026-10-24 10:00:10")]

    def test_the_orphans_left_quarantine_with_their_order(self, warehouse: Warehouse) -> None:
        assert warehouse("select order_item_id, reason from quarantine.order_items order by order_item_id") == [
            ("i-broken", "no_quantity"),
            ("i-minus", "negative_amount"),
            # Its order was deleted.
            ("i-mismatch", "orphan_order"),
            ("i-nocurrency", "missing_fx_rate"),
            ("i-peso", "missing_fx_rate"),
            ("i-unknown", "unknown_amount"),
        ]
        assert warehouse("select payment_id from quarantine.payments order by payment_id") == [
            ("p-broken",),
            ("p-minus",),
            ("p-nocurrency",),
            ("p-peso",),
            ("p-unknown",),
        ]
        assert warehouse("select gmv_usd, region from marts.fct_orders where order_id = 'late'") == [("10", "Europe")]
        assert warehouse("""
            select paid_amount, difference, difference_usd, reconciliation_status
            from marts.fct_payment_reconciliation where order_id = 'late'
        """) == [("8.5", "-0.5", "-0.63", "overpaid")]

    def test_deleted_rows_are_in_no_mart(self, warehouse: Warehouse) -> None:
        assert (
            warehouse("""
            select order_id from marts.fct_orders where order_id = 'nowhere'
            union all select order_id from marts.fct_payment_reconciliation where order_id = 'nowhere'
            union all select order_id from marts.fct_order_items where order_id in ('nowhere', 'mismatch')
            union all select region from marts.fct_daily_sales where region = 'Unknown'
            union all select order_id from intermediate.int_payments_usd where order_id = 'nowhere'
            union all select order_id from intermediate.int_order_items_usd where order_id = 'nowhere'
        """)
            == []
        )
        assert warehouse("select customers from marts.fct_customer_cohorts order by months_since_first_order") == [
            (1,),
            (1,),
        ]

    def test_a_row_that_left_its_event_or_changed_in_place_reopens_the_event(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select event_key, payment_id, status, duplicate_count from intermediate.int_payments_deduplicated
            where order_id in ('cancelled', 'pending') order by event_key
        """) == [
            ("evt-9", "pair-1", "failed", 0),
            ("payment:p-failed", "p-failed", "failed", 0),
            ("payment:p-open", "p-open", "processing", 0),
            ("payment:pair-2", "pair-2", "failed", 0),
        ]
        assert warehouse(
            "select reconciliation_status, payment_events from marts.fct_payment_reconciliation where order_id = 'cancelled'"
        ) == [("failed", 3)]

    def test_a_corrected_rate_reaches_what_was_converted_before(self, warehouse: Warehouse) -> None:
        assert warehouse("select total_amount_usd, gmv_usd from marts.fct_orders where order_id = 'september'") == [
            ("11.2", "11.2")
        ]
        assert warehouse("select gmv_usd from marts.fct_order_items where order_item_id = 'i-september'") == [("11.2",)]
        # 5.005 USD: half a cent, away from zero.
        assert warehouse("select amount_usd from intermediate.int_payments_usd where payment_id = 'p-yen'") == [
            ("5.01",)
        ]

    def test_quarantine_remembers_since_when_a_row_is_there(self, warehouse: Warehouse) -> None:
        assert warehouse("select first_seen_at, last_seen_at from quarantine.orders where order_id = 'peso'") == [
            ("2026-10-28 03:00:00", "2026-10-29 03:00:00")
        ]

    def test_a_tier_closed_by_an_empty_row_is_not_current(self, warehouse: Warehouse) -> None:
        assert warehouse("""
            select tier, valid_to, is_current from intermediate.int_seller_tier_scd2
            where seller_id = 'sam' and valid_from >= '2026-04-01'
        """) == [("gold", "2026-10-28 00:00:00", False)]
        assert warehouse("select seller_tier from marts.dim_users where user_id = 'sam'") == [("bronze",)]


@pytest.mark.usefixtures("second_run")
def test_a_full_refresh_makes_the_same_tables(emulator: Settings) -> None:
    before = content(emulator, LAYERS, with_landing=True)
    run(emulator, "models", full_refresh=True)
    assert differences(before, content(emulator, LAYERS, with_landing=True)) == {}


def test_a_marketplace_without_a_row_makes_empty_tables(emulator: Settings) -> None:
    land(emulator, scenario.nothing())
    run(emulator, "build", full_refresh=True)
    filled = {table for table, rows in content(emulator, LAYERS).items() if rows}
    assert filled == {"intermediate.int_fx_rates_daily"}
