"""Payment events and tier periods in plain Python, written from the words of docs/architecture.md: an opinion that no SQL engine shares.

Rows are raw rows as dicts, live ones and deleted ones. Results are rows as dicts, in no order.
"""

from __future__ import annotations

import datetime
import itertools
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]


def is_live(row: Row) -> bool:
    """Never deleted, or landed anew after the deletion."""
    return row.get("_deleted_at") is None or row["_airbyte_extracted_at"] > row["_deleted_at"]


def nulls_first(value: Any) -> tuple[bool, Any]:
    """A sort key by which null comes before every value."""
    return (value is not None, value if value is not None else 0)


def event_key(row: Row) -> str:
    """A payment without an event id is its own event."""
    return (row["event_id"] or "").strip(" ") or f"payment:{row['id']}"


def seen_at(row: Row) -> datetime.datetime | None:
    """When the event of a payment row happened; where the provider does not say, when the row was made."""
    seen: datetime.datetime | None = row["event_timestamp"] or row["created_at"]
    return seen


def payment_events(payments: Iterable[Row]) -> list[Row]:
    """The rows of int_payments_deduplicated."""
    by_event: dict[str, list[Row]] = defaultdict(list)
    for row in payments:
        by_event[event_key(row)].append(row)
    events = []
    for key, rows in by_event.items():
        live = [row for row in rows if is_live(row)]
        # Nulls first, ids as text.
        live.sort(key=lambda row: (nulls_first(seen_at(row)), nulls_first(row["created_at"]), str(row["id"])))
        if not live:
            continue
        first, last = live[0], live[-1]
        state = ("order_id", "payment_provider", "status", "amount", "platform_fee", "seller_payout")
        events.append(
            {name: last[name] for name in state}
            | {
                "event_key": key,
                "payment_id": first["id"],
                "created_at": first["created_at"],
                "event_id": (last["event_id"] or "").strip(" ") or None,
                "currency": last["currency"].strip(" ").upper(),
                "processed_at": last.get("processed_at"),
                "duplicate_count": len(live) - 1,
                "first_seen_at": seen_at(first),
                "last_seen_at": seen_at(last),
                "_raw_extracted_at": max(row["_airbyte_extracted_at"] for row in rows),
            }
        )
    return events


def tier_periods(tier_rows: Iterable[Row]) -> list[Row]:
    """The rows of int_seller_tier_scd2."""
    by_seller: dict[str, list[Row]] = defaultdict(list)
    for row in tier_rows:
        by_seller[row["user_id"]].append(row)
    return [period for seller, rows in by_seller.items() for period in _of_seller(seller, rows)]


def _of_seller(seller: str, rows: list[Row]) -> list[Row]:
    live = sorted(
        (row for row in rows if is_live(row) and row["effective_from"] is not None),
        key=lambda row: (row["effective_from"], nulls_first(row["created_at"]), row["id"]),
    )
    # Of rows with equal effective_from only the last counts.
    counted = list({row["effective_from"]: row for row in live}.values())
    spans: list[tuple[datetime.datetime, datetime.datetime | None, Row]] = [
        (row["effective_from"], following["effective_from"], row) for row, following in itertools.pairwise(counted)
    ]
    if counted:
        last = counted[-1]
        # A last row closed at or before its own start is empty, but has ended the row before it.
        if last["effective_to"] is None or last["effective_to"] > last["effective_from"]:
            spans.append((last["effective_from"], last["effective_to"], last))
    periods: list[Row] = []
    for tier, group in itertools.groupby(spans, key=lambda span: span[2]["tier"]):
        same = list(group)
        periods.append(
            {
                "seller_id": seller,
                "tier": tier,
                "previous_tier": periods[-1]["tier"] if periods else None,
                "valid_from": same[0][0],
                "valid_to": same[-1][1],
                "is_current": same[-1][1] is None,
                "change_reason": same[0][2]["change_reason"],
                "_raw_extracted_at": max(row["_airbyte_extracted_at"] for row in rows),
            }
        )
    return periods
