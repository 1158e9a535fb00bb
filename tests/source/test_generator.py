"""The generator: any range, in any order, is the same marketplace; its arithmetic and its keys are right."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from source.binary_copy import encode
from source.generator import Marketplace
from source.tables import TYPES

SMALL = Marketplace(0.02)
WHOLE = {table: SMALL.table(table, 0, rows) for table, rows in SMALL.rows.items()}
LATER = Marketplace(100)


@settings(max_examples=60, deadline=None)
@given(table=st.sampled_from(sorted(TYPES)), data=st.data())
def test_a_range_is_the_same_rows_wherever_it_is_cut(table: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, SMALL.rows[table]))
    stop = data.draw(st.integers(start, SMALL.rows[table]))
    assert SMALL.table(table, start, stop).equals(WHOLE[table].slice(start, stop - start))


@settings(max_examples=20, deadline=None)
@given(table=st.sampled_from(sorted(set(TYPES) - {"categories"})), data=st.data())
def test_a_range_far_out_at_scale_100_is_made_without_the_rows_before_it(table: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, LATER.rows[table] - 200))
    cut = data.draw(st.integers(0, 200))
    whole = LATER.table(table, start, start + 200)
    parts = [LATER.table(table, start, start + cut), LATER.table(table, start + cut, start + 200)]
    assert pa.concat_tables(parts).equals(whole)


def test_seeds_differ_and_repeat() -> None:
    orders = [Marketplace(0.02, seed).table("orders", 0, 50) for seed in (1, 1, 2)]
    assert orders[0].equals(orders[1])
    assert not orders[0].equals(orders[2])


def test_sizes() -> None:
    assert sum(Marketplace(1).rows.values()) == 395_064
    assert Marketplace(1).rows["orders"] == 50_000
    assert Marketplace(0.01).rows["orders"] == 500
    with pytest.raises(ValueError, match=r"at least 0\.01"):
        Marketplace(0.001)


def test_keys_are_unique_and_refer_to_rows_that_exist() -> None:
    for table, rows in WHOLE.items():
        assert pc.count_distinct(rows["id"]).as_py() == rows.num_rows, table
    for child, column, parent in (
        ("products", "seller_id", "users"),
        ("orders", "buyer_id", "users"),
        ("order_items", "order_id", "orders"),
        ("order_items", "product_id", "products"),
        ("order_items", "seller_id", "users"),
        ("payments", "order_id", "orders"),
        ("reviews", "product_id", "products"),
        ("reviews", "order_item_id", "order_items"),
        ("reviews", "reviewer_id", "users"),
        ("seller_tier_history", "user_id", "users"),
        ("products", "category_id", "categories"),
        ("categories", "parent_id", "categories"),
    ):
        wanted = set(WHOLE[child][column].drop_null().to_pylist())
        assert wanted <= set(WHOLE[parent]["id"].to_pylist()), (child, column)


def test_order_numbers_are_unique_and_count_up_within_their_day() -> None:
    numbers = WHOLE["orders"]["order_number"].to_pylist()
    assert len(set(numbers)) == len(numbers)
    assert numbers == sorted(numbers)
    for number, created in zip(numbers, WHOLE["orders"]["created_at"].to_pylist(), strict=True):
        assert number[4:12] == f"{created:%Y%m%d}"
    assert {number[13:] for number in numbers} >= {"00001", "00002"}


def test_totals_add_up_but_where_a_cent_was_planted() -> None:
    orders, items = WHOLE["orders"], WHOLE["order_items"]
    sums: dict[bytes, int] = {}
    for order, total, quantity, price in zip(
        *(items[c].to_pylist() for c in ("order_id", "total_price", "quantity", "unit_price")), strict=True
    ):
        assert total == quantity * price
        sums[order] = sums.get(order, 0) + total
    assert [sums[order] for order in orders["id"].to_pylist()] == orders["subtotal_amount"].to_pylist()
    zero = {
        name: np.array([v or 0 for v in orders[name].to_pylist()])
        for name in orders.column_names
        if name.endswith("_amount")
    }
    off = zero["total_amount"] - (
        zero["subtotal_amount"] + zero["shipping_amount"] + zero["tax_amount"] - zero["discount_amount"]
    )
    assert sorted(np.flatnonzero(off)) == [11]
    assert off[11] == 1


def test_one_order_in_250_is_paid_in_another_currency() -> None:
    currency = dict(zip(*(WHOLE["orders"][c].to_pylist() for c in ("id", "currency")), strict=True))
    number = {order: row for row, order in enumerate(currency)}
    payments = list(zip(*(WHOLE["payments"][c].to_pylist() for c in ("order_id", "currency", "amount")), strict=True))
    foreign = [
        (number[order], currency[order], paid_in) for order, paid_in, _ in payments if paid_in != currency[order]
    ]
    assert [order for order, _, _ in foreign] == [33, 283, 533, 783]
    assert all(paid_in == ("EUR" if owed_in == "USD" else "USD") for _, owed_in, paid_in in foreign)
    assert all(amount > 0 for _, _, amount in payments)


def test_items_carry_their_products_seller() -> None:
    sellers = dict(zip(*(WHOLE["products"][c].to_pylist() for c in ("id", "seller_id")), strict=True))
    for product, seller in zip(
        *(WHOLE["order_items"][c].to_pylist() for c in ("product_id", "seller_id")), strict=True
    ):
        assert sellers[product] == seller


def test_an_unknown_column_type_is_an_error() -> None:
    with pytest.raises(KeyError):
        encode(pa.table({"a": [1]}), {"a": "complex"})
