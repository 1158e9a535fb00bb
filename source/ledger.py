"""The ledger of planted traps: how many rows of each a source database holds, counted there, and what each business day touched.

The counts are the expectation of the pipeline's tests. They are asked of Postgres, in words of their own: nothing here is shared with the pipeline.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg

from source.tables import UNQUOTED_CURRENCY

_UNQUOTED = f"currency = '{UNQUOTED_CURRENCY}'"
# {trap: (what it is, how many rows)}
TRAPS: dict[str, tuple[str, str]] = {
    "replayed_payments": (
        "payment rows beyond the first of their event_id",
        "select count(event_id) - count(distinct event_id) from payments",
    ),
    "payment_events": (
        "distinct events; a row without event_id is one",
        "select count(distinct event_id) + count(*) filter (where event_id is null) from payments",
    ),
    "null_event_id": ("payments without event_id", "select count(*) from payments where event_id is null"),
    "future_updated_at_products": (
        "products whose updated_at lies in the future",
        "select count(*) from products where updated_at > now()",
    ),
    "soft_deleted_users": ("users with deleted_at", "select count(*) from users where deleted_at is not null"),
    "null_country_users": ("users without a country", "select count(*) from users where country_code is null"),
    "null_shipping_country_orders": (
        "orders without a shipping country",
        "select count(*) from orders where shipping_country is null",
    ),
    "draft_products": ("products never published", "select count(*) from products where status = 'draft'"),
    "cancelled_orders": ("cancelled orders", "select count(*) from orders where status = 'cancelled'"),
    "pending_orders": ("pending orders", "select count(*) from orders where status = 'pending'"),
    "refunded_orders": ("refunded orders", "select count(*) from orders where status = 'refunded'"),
    "fx_missing_orders": ("orders in a currency without a rate", f"select count(*) from orders where {_UNQUOTED}"),
    "fx_missing_order_items": ("items of such orders", f"select count(*) from order_items where {_UNQUOTED}"),
    "fx_missing_payment_events": (
        "payment events in such a currency",
        f"select count(distinct event_id) + count(*) filter (where event_id is null) from payments where {_UNQUOTED}",
    ),
    "total_mismatch_orders": (
        "orders whose total is not subtotal + shipping + tax - discount",
        "select count(*) from orders where total_amount <> subtotal_amount + coalesce(shipping_amount, 0) "
        "+ coalesce(tax_amount, 0) - coalesce(discount_amount, 0)",
    ),
    "seller_tier_repeats": (
        "tier rows that name the tier that the seller already has",
        "select count(*) from (select tier = lag(tier) over (partition by user_id order by effective_from, id) as repeats "
        "from seller_tier_history) as t where repeats",
    ),
    "seller_tier_equal_start": (
        "tier rows that start when the seller's row before them does",
        "select count(*) - count(distinct (user_id, effective_from)) from seller_tier_history",
    ),
    "seller_tier_closed": (
        "sellers whose last tier row is closed",
        "select count(*) from (select bool_or(effective_to is null) as is_open from seller_tier_history group by user_id) as s "
        "where not is_open",
    ),
    "out_of_order_events": (
        "log events received more than an hour after they happened",
        "select count(*) from event_log where received_at > event_timestamp + interval '1 hour'",
    ),
}


def count(connection: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    """{trap: {"what": words, "count": rows}} of the database as it is now."""
    counted = {}
    for trap, (what, question) in TRAPS.items():
        row = connection.execute(question.encode()).fetchone()
        counted[trap] = {"what": what, "count": row[0] if row else 0}
    return counted


def read(path: Path) -> dict[str, Any]:
    """The ledger; an empty one when there is none."""
    if not path.exists():
        return {"traps": {}, "days": []}
    ledger: dict[str, Any] = json.loads(path.read_text())
    return ledger


def write(path: Path, ledger: dict[str, Any]) -> None:
    """Replace the ledger at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(ledger, indent=1) + "\n")
    unfinished.replace(path)
