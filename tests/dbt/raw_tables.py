"""Tiny raw tables by hand: a test writes down the rows that matter, everything else has a plain default."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from google.cloud import bigquery

Row = Mapping[str, Any]

LANDED = {
    "_airbyte_raw_id": "STRING",
    "_airbyte_extracted_at": "TIMESTAMP",
    "_airbyte_meta": "JSON",
    "_airbyte_generation_id": "INT64",
    "_deleted_at": "TIMESTAMP",
}

# Column types of the contract in docs/architecture.md.
COLUMNS: dict[str, dict[str, str]] = {
    "users": dict.fromkeys(
        ("id", "email", "username", "user_type", "first_name", "last_name", "country_code", "seller_tier"), "STRING"
    )
    | {"seller_rating": "NUMERIC"}
    | dict.fromkeys(("created_at", "updated_at", "deleted_at"), "TIMESTAMP")
    | {"is_active": "BOOL"},
    "categories": {
        "id": "INT64",
        "name": "STRING",
        "slug": "STRING",
        "parent_id": "INT64",
        "level": "INT64",
        "is_active": "BOOL",
        "created_at": "TIMESTAMP",
    },
    "products": {
        "id": "STRING",
        "seller_id": "STRING",
        "category_id": "INT64",
        "title": "STRING",
        "description": "STRING",
    }
    | {"price_amount": "NUMERIC", "price_currency": "STRING", "quantity_available": "INT64", "status": "STRING"}
    | {"tags": "JSON", "attributes": "JSON"}
    | dict.fromkeys(("created_at", "updated_at", "published_at"), "TIMESTAMP"),
    "orders": dict.fromkeys(("id", "order_number", "buyer_id", "status"), "STRING")
    | dict.fromkeys(("subtotal_amount", "shipping_amount", "tax_amount", "discount_amount", "total_amount"), "NUMERIC")
    | dict.fromkeys(("currency", "shipping_country", "shipping_city", "shipping_postal_code"), "STRING")
    | {"created_at": "TIMESTAMP", "updated_at": "TIMESTAMP", "confirmed_at": "DATETIME"}
    | {"shipped_at": "TIMESTAMP", "delivered_at": "TIMESTAMP"},
    "order_items": dict.fromkeys(("id", "order_id", "product_id", "seller_id"), "STRING")
    | {"quantity": "INT64", "unit_price": "NUMERIC", "total_price": "NUMERIC", "currency": "STRING"}
    | {"product_title": "STRING", "product_snapshot": "JSON", "created_at": "TIMESTAMP"},
    "payments": dict.fromkeys(("id", "order_id", "payment_provider", "payment_provider_id"), "STRING")
    | {"amount": "NUMERIC", "currency": "STRING", "platform_fee": "NUMERIC", "seller_payout": "NUMERIC"}
    | {"status": "STRING", "created_at": "TIMESTAMP", "processed_at": "TIMESTAMP"}
    | {"event_id": "STRING", "event_timestamp": "TIMESTAMP"},
    "reviews": dict.fromkeys(("id", "product_id", "order_item_id", "reviewer_id"), "STRING")
    | {"rating": "INT64", "title": "STRING", "body": "STRING", "is_verified_purchase": "BOOL"}
    | {"helpful_votes": "INT64", "status": "STRING"}
    | dict.fromkeys(("moderated_at", "created_at", "updated_at"), "TIMESTAMP"),
    "seller_tier_history": {"id": "INT64", "user_id": "STRING", "tier": "STRING", "effective_from": "TIMESTAMP"}
    | {"effective_to": "TIMESTAMP", "is_current": "BOOL", "change_reason": "STRING", "created_at": "TIMESTAMP"},
    "event_log": {"id": "INT64", "event_type": "STRING", "entity_type": "STRING", "entity_id": "STRING"}
    | {"event_data": "JSON", "event_timestamp": "TIMESTAMP", "received_at": "TIMESTAMP", "processed": "BOOL"},
}
SCHEMAS = {table: columns | LANDED for table, columns in COLUMNS.items()} | {
    "ecb_fx_rates": {
        "rate_date": "DATE",
        "currency": "STRING",
        "units_per_eur": "NUMERIC",
        "_airbyte_extracted_at": "TIMESTAMP",
    }
}


def replace(client: bigquery.Client, tables: Mapping[str, Iterable[Row]]) -> None:
    """Make raw.<table> hold exactly these rows, for each table given; a column not written down is null. Raises KeyError on an unknown one."""
    for table, rows in tables.items():
        schema = SCHEMAS[table]
        lines = []
        for row in rows:
            if unknown := row.keys() - schema.keys():
                raise KeyError(f"raw.{table} has no column {sorted(unknown)}")
            lines.append(json.dumps({name: _text(row.get(name)) for name in schema}))
        config = bigquery.LoadJobConfig(
            schema=[bigquery.SchemaField(name, kind) for name, kind in schema.items()],
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
        )
        target = f"{client.project}.raw.{table}"
        client.delete_table(target, not_found_ok=True)
        client.create_table(bigquery.Table(target, schema=config.schema))
        if lines:
            client.load_table_from_file(io.BytesIO("\n".join(lines).encode()), target, job_config=config).result(
                timeout=60
            )


def _text(value: Any) -> Any:
    if isinstance(value, Decimal | datetime.date):
        return str(value)
    return value
