"""The ledger of planted traps: which rows of each a source database holds, asked there, and what each business day touched.

The keys are the expectation of the pipeline's tests. They are asked of Postgres, in words of their own: nothing here is shared with the pipeline.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg

from source.tables import UNQUOTED_CURRENCY

_UNQUOTED = f"currency = '{UNQUOTED_CURRENCY}'"
_EVENT = "coalesce(event_id, 'payment:' || id)"
# Of a seller's rows that start at the same moment, the one that was made last is what counts.
_COUNTED_TIERS = (
    "select distinct on (user_id, effective_from) * from seller_tier_history "
    "order by user_id, effective_from, created_at desc nulls last, id desc"
)
# {trap: (what it is, the keys of its rows as one column of text)}
TRAPS: dict[str, tuple[str, str]] = {
    "replayed_payments": (
        "payment rows beyond the first of their event_id",
        "select id::text from (select id, row_number() over (partition by event_id order by event_timestamp, created_at, id) as place "
        "from payments where event_id is not null) as t where place > 1",
    ),
    "payment_events": ("events; a row without event_id is one", f"select distinct {_EVENT} from payments"),
    "null_event_id": ("payments without event_id", "select id::text from payments where event_id is null"),
    "future_updated_at_products": (
        "products whose updated_at lies in the future",
        "select id::text from products where updated_at > now()",
    ),
    "soft_deleted_users": ("users with deleted_at", "select id::text from users where deleted_at is not null"),
    "null_country_users": ("users without a country", "select id::text from users where country_code is null"),
    "null_shipping_country_orders": (
        "orders without a shipping country",
        "select id::text from orders where shipping_country is null",
    ),
    "draft_products": ("products never published", "select id::text from products where status = 'draft'"),
    "cancelled_orders": ("cancelled orders", "select id::text from orders where status = 'cancelled'"),
    "pending_orders": ("pending orders", "select id::text from orders where status = 'pending'"),
    "refunded_orders": ("refunded orders", "select id::text from orders where status = 'refunded'"),
    "not_gmv_orders": (
        "orders that are no merchandise value",
        "select id::text from orders where status = any(array['pending', 'cancelled'])",
    ),
    "fx_missing_orders": ("orders in a currency without a rate", f"select id::text from orders where {_UNQUOTED}"),
    "fx_missing_order_items": ("items of such orders", f"select id::text from order_items where {_UNQUOTED}"),
    "fx_missing_payment_events": (
        "payment events in such a currency",
        f"select distinct {_EVENT} from payments where {_UNQUOTED}",
    ),
    "several_currencies_orders": (
        "orders with a payment in another currency",
        "select distinct o.id::text from orders as o join payments as p on p.order_id = o.id where p.currency <> o.currency",
    ),
    "total_mismatch_orders": (
        "orders whose total is not subtotal + shipping + tax - discount",
        "select id::text from orders where total_amount <> subtotal_amount + coalesce(shipping_amount, 0) "
        "+ coalesce(tax_amount, 0) - coalesce(discount_amount, 0)",
    ),
    "time_without_zone_orders": (
        "confirmed orders, with the wall time that is UTC",
        "select id || ' ' || to_char(confirmed_at, 'YYYY-MM-DD HH24:MI:SS') from orders where confirmed_at is not null",
    ),
    "late_committed_orders": (
        "orders of transactions that committed after younger ones",
        "select id::text from orders where order_number like 'ORD-%-L%'",
    ),
    "seller_tier_repeats": (
        "tier rows that name the tier that the seller already has",
        "select id::text from (select id, tier = lag(tier) over (partition by user_id order by effective_from) as repeats "
        f"from ({_COUNTED_TIERS}) as c) as t where repeats",
    ),
    "seller_tier_equal_start": (
        "tier rows of which another one, made later, starts at the same moment",
        f"select id::text from seller_tier_history except select id::text from ({_COUNTED_TIERS}) as c",
    ),
    "seller_tier_closed": (
        "sellers whose last tier row is closed",
        "select user_id::text from seller_tier_history group by user_id having not bool_or(effective_to is null)",
    ),
    "closed_tier_rows": (
        "tier rows that have an end, most of them given in place",
        "select id::text from seller_tier_history where effective_to is not null",
    ),
    "out_of_order_events": (
        "log events received more than an hour after they happened",
        "select id::text from event_log where received_at > event_timestamp + interval '1 hour'",
    ),
}


def count(connection: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    """{trap: {"what": words, "count": rows}} of the database as it is now."""
    counted = {}
    for trap, (what, question) in TRAPS.items():
        row = connection.execute(f"select count(*) from ({question}) as planted".encode()).fetchone()
        counted[trap] = {"what": what, "count": row[0] if row else 0}
    return counted


def of(connection: psycopg.Connection[Any], source: str | None) -> dict[str, Any]:
    """The ledger of the database as it is now, which holds `source`.

    What was planted in a source that the generator did not fill, nobody knows: its ledger has days and no traps.
    """
    ledger: dict[str, Any] = {"source": source, "traps": {}, "days": days(connection)}
    if is_generated(source):
        ledger["traps"] = count(connection)
        if ledger["days"]:
            ledger["traps"]["deleted_rows"] = {"what": "rows deleted for good", "count": len(deleted(ledger))}
    return ledger


def is_generated(source: str | None) -> bool:
    """Whether what `source.load` recorded of a database is the generator's."""
    return source is not None and source.startswith("scale ")


def days(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """What each business day noted in the database."""
    return [note for (note,) in connection.execute("select note from source_admin.day order by number").fetchall()]


def keys(connection: psycopg.Connection[Any]) -> dict[str, set[str]]:
    """{trap: keys of its rows} of the database as it is now. Every key in memory: for small scales."""
    return {trap: {row[0] for row in connection.execute(question.encode())} for trap, (_, question) in TRAPS.items()}


def deleted(ledger: dict[str, Any]) -> set[str]:
    """ "table id" of each row that the days deleted for good."""
    return {
        f"{table} {key}"
        for day in ledger.get("days", [])
        for table, touched in day["touched"].items()
        for key in touched["deleted"]
    }


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
