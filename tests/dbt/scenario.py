"""A marketplace of a few rows with every trap in it, as it looks after a first sync and after a second one."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

Row = dict[str, Any]
Tables = dict[str, list[Row]]

FIRST_SYNC = "2026-10-28T03:00:00Z"
SECOND_SYNC = "2026-10-29T03:00:00Z"
# Long before the first sync.
LONG_AGO = "2026-10-23T00:00:00Z"

# Units per euro. Friday; the weekend has none; Monday. The Argentine peso is never quoted. A dollar is then 0.0075 per yen and 1.2 per euro on the Friday.
RATES = [
    {"rate_date": rate_date, "currency": currency, "units_per_eur": units, "_airbyte_extracted_at": FIRST_SYNC}
    for rate_date, currency, units in (
        ("2026-09-15", "USD", "1.10"),
        ("2026-10-23", "USD", "1.20"),
        ("2026-10-23", "JPY", "160"),
        ("2026-10-26", "USD", "1.25"),
        ("2026-10-26", "JPY", "200"),
    )
]

USERS = [
    {"id": "berta", "user_type": "buyer", "country_code": "DE"},
    {"id": "nobody", "user_type": "buyer", "country_code": " "},
    {"id": "sam", "user_type": "seller", "country_code": "BR", "seller_tier": "bronze"},
    {"id": "gone", "user_type": "both", "country_code": "US", "deleted_at": "2026-10-01T00:00:00Z"},
    {"id": "empty", "user_type": "seller", "country_code": "JP", "seller_tier": "silver"},
    {"id": "ghost", "user_type": "seller", "country_code": "JP", "_deleted_at": FIRST_SYNC},
]

CATEGORIES = [
    {"id": 1, "name": "Electronics", "level": 0},
    {"id": 2, "name": "Phones", "parent_id": 1, "level": 1},
    {"id": 3, "name": "Cases", "parent_id": 2, "level": 2},
    {"id": 9, "name": "Ghosts", "level": 0, "_deleted_at": FIRST_SYNC},
]

PRODUCTS: list[Row] = [
    {"id": "case", "seller_id": "sam", "category_id": 3, "title": "Case", "status": "active"},
    # Its category was deleted.
    {"id": "thing", "seller_id": "gone", "category_id": 9, "title": "Thing", "status": "active"},
    # Its seller has not landed.
    {"id": "lost", "seller_id": "stranger", "title": "Lost", "status": "active"},
    {"id": "ghost", "seller_id": "sam", "title": "Ghost", "status": "active", "_deleted_at": FIRST_SYNC},
    {
        "id": "idea",
        "seller_id": "sam",
        "category_id": 1,
        "title": "Idea",
        "status": "draft",
        "updated_at": "2027-05-05T00:00:00Z",
    },
]


def order(id: str, created_at: str | None, status: str, currency: str, subtotal: str, **columns: Any) -> Row:
    """An order of berta's whose total is its subtotal, unless said otherwise."""
    defaults = {"order_number": f"ORD-{id}", "buyer_id": "berta", "subtotal_amount": subtotal, "total_amount": subtotal}
    return defaults | {"id": id, "created_at": created_at, "status": status, "currency": currency} | columns


def item(id: str, order_id: str, product: str, quantity: int, total: str, currency: str) -> Row:
    """An item; its seller is the product's."""
    seller = next(row["seller_id"] for row in PRODUCTS if row["id"] == product)
    names = {"id": id, "order_id": order_id, "product_id": product, "seller_id": seller}
    price = str(Decimal(total) / quantity)
    return names | {"quantity": quantity, "unit_price": price, "total_price": total, "currency": currency}


def payment(id: str, order_id: str, status: str, amount: str, currency: str, at: str, **columns: Any) -> Row:
    """A payment row without an event id, created `at`."""
    names = {"id": id, "order_id": order_id, "payment_provider": "stripe", "status": status}
    return names | {"amount": amount, "currency": currency, "created_at": at} | columns


def tier(id: int, user_id: str, tier: str, start: str, end: str | None = None, created: str | None = None) -> Row:
    """A tier row from the start of a day to the start of another, or open."""
    times = {"effective_from": f"{start}T00:00:00Z", "effective_to": end and f"{end}T00:00:00Z"}
    return times | {"id": id, "user_id": user_id, "tier": tier, "created_at": f"{created or start}T00:00:00Z"}


ORDERS = [
    # A Saturday: Friday's rate. 27.99 EUR are 33.588 USD.
    order(
        *("weekend", "2026-10-24T10:00:00Z", "delivered", "EUR", "20.00"),
        **{"shipping_amount": "5.00", "tax_amount": "3.99", "discount_amount": "1.00", "total_amount": "27.99"},
        shipping_country="US",
        confirmed_at="2026-10-24T10:05:00",
    ),
    # 1001 JPY are 7.5075 USD.
    order("yen", "2026-10-23T23:59:59Z", "refunded", "JPY", "1001"),
    order("cancelled", "2026-10-26T09:00:00Z", "cancelled", "USD", "50.00", buyer_id="nobody"),
    order("pending", "2026-10-26T09:00:00Z", "pending", "USD", "60.00", buyer_id="nobody"),
    order("peso", "2026-10-26T09:00:00Z", "confirmed", "ARS", "9000.00", shipping_country="AR"),
    order("mismatch", "2026-10-26T09:00:00Z", "confirmed", "USD", "10.00", total_amount="11.00"),
    # Neither the order nor its buyer has a country. September: berta's cohort is older than October.
    order("nowhere", "2026-09-15T12:00:00Z", "shipped", "USD", "20.00", buyer_id="nobody"),
    order("september", "2026-09-16T12:00:00Z", "delivered", "eur ", "10.00"),
    order("undone", "2026-10-26T09:00:00Z", "delivered", "USD", "10.00"),
    # NaN at the source: landed as null, as are an item's price and a payment.
    order("unknown", "2026-10-26T09:00:00Z", "confirmed", "USD", "10.00", subtotal_amount=None, total_amount=None),
    order("dateless", None, "pending", "USD", "1.00"),
    # Of no day that has been, of a buyer who has not landed, without items, and of less than nothing. A dollar is a dollar all the same.
    order("broken", "2099-01-01T00:00:00Z", "cancelled", "USD", "-10.00", buyer_id="stranger"),
    # Of no known currency: no rate, and no dollar.
    order("nocurrency", "2026-10-26T09:00:00Z", "pending", "USD", "3.00", buyer_id="nobody") | {"currency": None},
    # Charged twice; the second charge was paid back.
    order("double", "2026-10-26T09:00:00Z", "pending", "USD", "10.00", buyer_id="nobody"),
    # Paid in dollars, to the cent: that a cent is more than a yen is no difference.
    order("rounded", "2026-10-23T09:00:00Z", "pending", "JPY", "1001", buyer_id="nobody"),
]
LATE_ORDER = order("late", "2026-10-26T00:00:00Z", "processing", "EUR", "8.00")

ITEMS = [
    item("i-weekend", "weekend", "case", 1, "10.00", "EUR"),
    item("i-weekend-2", "weekend", "case", 1, "10.00", "EUR"),
    item("i-yen", "yen", "thing", 1, "1001", "JPY"),
    # Of a refunded order, at less than nothing: without it there would be more than with it. -7.50 USD.
    item("i-minus", "yen", "case", 1, "-1000", "JPY"),
    item("i-cancelled", "cancelled", "case", 1, "50.00", "USD"),
    item("i-pending", "pending", "case", 1, "60.00", "USD"),
    # The dollars alone would be half of the order's value.
    item("i-peso", "peso", "case", 3, "9000.00", "ARS"),
    item("i-peso-2", "peso", "case", 1, "4.00", "USD"),
    item("i-mismatch", "mismatch", "thing", 1, "10.00", "USD"),
    item("i-nowhere", "nowhere", "thing", 4, "20.00", "USD"),
    item("i-september", "september", "case", 1, "10.00", "EUR"),
    item("i-late", "late", "case", 1, "8.00", "EUR"),
    item("i-known", "unknown", "case", 1, "4.00", "USD"),
    item("i-unknown", "unknown", "case", 1, "6.00", "USD") | {"unit_price": None, "total_price": None},
    # None of a product that has not landed, sold by nobody that is known.
    item("i-broken", "cancelled", "lost", 1, "5.00", "USD") | {"quantity": 0, "product_id": "unknown"},
    item("i-nocurrency", "nocurrency", "case", 1, "3.00", "USD") | {"currency": None},
]

PAYMENTS = [
    # One event, three rows, landed out of order: `replay-0` happened first, `replay-2` last.
    payment("replay-1", "weekend", "processing", "27.99", "EUR", "2026-10-24T10:01:00Z", event_id="evt-1")
    | {"event_timestamp": "2026-10-24T10:00:30Z"},
    payment("replay-2", "weekend", "completed", "27.99", "EUR", "2026-10-24T10:02:00Z", event_id="evt-1")
    | {"event_timestamp": "2026-10-24T10:00:40Z", "platform_fee": "2.00", "seller_payout": "25.99"},
    payment("replay-0", "weekend", "pending", "27.99", "EUR", "2026-10-24T10:03:00Z", event_id=" evt-1 ")
    | {"event_timestamp": "2026-10-24T10:00:20Z"},
    payment("p-yen", "yen", "refunded", "1001", "JPY", "2026-10-26T09:00:00Z", event_id="evt-2"),
    payment("p-failed", "cancelled", "failed", "50.00", "USD", "2026-10-26T09:00:00Z"),
    payment("p-open", "pending", "pending", "60.00", "USD", "2026-10-26T09:00:00Z", event_id=""),
    payment("p-peso", "peso", "completed", "9000.00", "ARS", "2026-10-26T09:00:00Z"),
    # Same everything, no event id: two payments, not one replayed.
    payment("half-1", "nowhere", "completed", "10.00", "USD", "2026-09-15T12:00:00Z"),
    # The second one was deleted once, and came back.
    payment("half-2", "nowhere", "completed", "10.00", "USD", "2026-09-15T12:00:00Z") | {"_deleted_at": LONG_AGO},
    # Paid in dollars, owed in euros: 11.00 USD are 10.00 EUR at September's 1.10.
    payment("p-september", "september", "disputed", "11.00", "USD", "2026-09-16T12:00:00Z"),
    # Replayed: the row that says how the event stands is not the one that it is named by.
    payment("p-late", "late", "pending", "8.50", "EUR", "2026-10-26T00:00:00Z", event_id="evt-8"),
    payment("p-late-2", "late", "completed", "8.50", "EUR", "2026-10-26T00:00:05Z", event_id="evt-8"),
    payment("pair-1", "cancelled", "failed", "50.00", "USD", "2026-10-26T09:00:00Z", event_id="evt-9"),
    payment("pair-2", "cancelled", "failed", "50.00", "USD", "2026-10-26T09:00:01Z", event_id="evt-9"),
    # Paid in full, if one believes that less than nothing was refunded.
    payment("p-undone", "undone", "completed", "10.00", "USD", "2026-10-26T09:00:00Z", seller_payout="10.00"),
    payment("p-minus", "undone", "refunded", "-5.00", "USD", "2026-10-26T09:00:00Z"),
    payment("p-known", "unknown", "completed", "4.00", "USD", "2026-10-26T09:00:00Z"),
    payment("p-unknown", "unknown", "completed", "6.00", "USD", "2026-10-26T09:00:00Z") | {"amount": None},
    payment("p-broken", "broken", "failed", "0.00", "USD", "2026-10-26T09:00:00Z"),
    payment("p-nocurrency", "nocurrency", "completed", "3.00", "USD", "2026-10-26T09:00:00Z") | {"currency": None},
    payment("p-double", "double", "completed", "10.00", "USD", "2026-10-26T09:00:00Z", seller_payout="10.00"),
    payment("p-double-2", "double", "refunded", "10.00", "USD", "2026-10-26T09:00:01Z", seller_payout="0.00"),
    payment("p-rounded", "rounded", "completed", "7.51", "USD", "2026-10-23T09:00:00Z", seller_payout="7.51"),
    # Deleted before the pipeline ever saw it.
    payment("p-never", "weekend", "completed", "1.00", "EUR", "2026-10-24T10:00:00Z") | {"_deleted_at": FIRST_SYNC},
]

REVIEWS = [
    {"id": "r-1", "product_id": "case", "reviewer_id": "berta", "rating": 5, "status": "approved"},
    {"id": "r-2", "product_id": "case", "reviewer_id": "nobody", "rating": 4, "status": "approved"},
    {"id": "r-3", "product_id": "case", "reviewer_id": "nobody", "rating": 1, "status": "rejected"},
    {"id": "r-4", "product_id": "case", "reviewer_id": "nobody", "rating": 1, "status": "approved"}
    | {"_deleted_at": FIRST_SYNC},
    # Of five stars: one alone for its seller, one beside others.
    {"id": "r-seven", "product_id": "thing", "reviewer_id": "berta", "rating": 7, "status": "approved"},
    {"id": "r-zero", "product_id": "case", "reviewer_id": "berta", "rating": 0, "status": "approved"},
]

TIERS = [
    tier(1, "sam", "bronze", "2026-01-01", "2026-02-01"),
    # Two rows from the same moment: the later made one counts. Then the same tier again, then gold, still open.
    tier(2, "sam", "platinum", "2026-02-01", "2026-03-01", created="2026-02-01"),
    tier(3, "sam", "silver", "2026-02-01", "2026-03-01", created="2026-02-02"),
    tier(4, "sam", "silver", "2026-03-01", "2026-04-01"),
    tier(5, "sam", "gold", "2026-04-01"),
    tier(6, "gone", "silver", "2026-01-01", "2026-10-01"),
    # Closed at its own start: the seller has no period at all.
    tier(7, "empty", "silver", "2026-05-01", "2026-05-01"),
    # Since ever, which lands as null: beside a row that has a beginning, and alone.
    tier(21, "gone", "gold", "2026-01-01") | {"effective_from": None},
    tier(22, "nobody", "gold", "2026-01-01") | {"effective_from": None},
    # No tier, twice: one period, of a seller who is no user.
    tier(31, "stranger", "gold", "2026-01-01") | {"tier": None},
    tier(32, "stranger", "gold", "2026-02-01") | {"tier": None},
]


def landed(rows: Iterable[Row], sync: str = FIRST_SYNC) -> list[Row]:
    """The rows as a sync lands them."""
    return [
        {"_airbyte_raw_id": f"{sync}-{number}", "_airbyte_extracted_at": sync, "_airbyte_generation_id": 0} | row
        for number, row in enumerate(rows)
    ]


def first_sync() -> Tables:
    """All raw tables after the first sync."""
    tables: Tables = {
        "users": USERS,
        "categories": CATEGORIES,
        "products": PRODUCTS,
        "orders": ORDERS,
        "order_items": ITEMS,
        "payments": PAYMENTS,
        "reviews": REVIEWS,
        "seller_tier_history": TIERS,
        "event_log": [
            {"id": 1, "event_type": "view", "entity_type": "product", "event_timestamp": "2026-10-27T23:59:00Z"}
            | {"received_at": "2026-10-28T00:30:00Z"},
            # Happened before it, arrived after it.
            {"id": 2, "event_type": "view", "entity_type": "product", "event_timestamp": "2026-10-26T23:00:00Z"}
            | {"received_at": "2026-10-28T01:00:00Z"},
        ],
    }
    return {table: landed(rows) for table, rows in tables.items()} | {"ecb_fx_rates": RATES}


def second_sync() -> Tables:
    """The tables that a second sync changed.

    The late order landed. The order `nowhere` was deleted with all that hangs on it, `mismatch` without its item. `peso` was read again. `evt-1` was replayed
    once more, with an earlier time; `pair-2` left its event; `p-open` moved on. A sixth row ended sam's gold. Two old rates were corrected.
    """
    first = first_sync()
    read = {"_airbyte_extracted_at": SECOND_SYNC}
    deleted = read | {"_deleted_at": SECOND_SYNC}
    tables = {
        table: [row | deleted if "nowhere" in (row["id"], row.get("order_id")) else row for row in first[table]]
        for table in ("orders", "order_items", "payments")
    }
    changed = {
        "mismatch": deleted,
        "peso": read,
        "pair-2": read | {"event_id": None},
        "p-open": read | {"status": "processing"},
    }
    for table in ("orders", "payments"):
        tables[table] = [row | changed.get(row["id"], {}) for row in tables[table]]
    tables["orders"] += landed([LATE_ORDER], SECOND_SYNC)
    replay = payment("replay-3", "weekend", "failed", "27.99", "EUR", "2026-10-24T10:04:00Z", event_id="evt-1")
    tables["payments"] += landed([replay | {"event_timestamp": "2026-10-24T10:00:10Z"}], SECOND_SYNC)
    tables["seller_tier_history"] = [
        row | {"effective_to": "2026-10-28T12:00:00Z", "_airbyte_extracted_at": SECOND_SYNC} if row["id"] == 5 else row
        for row in first["seller_tier_history"]
    ]
    tables["seller_tier_history"] += landed([tier(8, "sam", "gold", "2026-10-28", "2026-10-28")], SECOND_SYNC)
    corrected = {("2026-09-15", "USD"): "1.12", ("2026-10-26", "JPY"): "250"}
    tables["ecb_fx_rates"] = [
        row | read | {"units_per_eur": corrected[row["rate_date"], row["currency"]]}
        if (row["rate_date"], row["currency"]) in corrected
        else row
        for row in RATES
    ]
    return tables


def nothing() -> Tables:
    """All raw tables without a row, beside the rates."""
    return {table: [] for table in first_sync()} | {"ecb_fx_rates": RATES}
