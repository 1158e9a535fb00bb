"""What the warehouse holds: the tables of each dataset, and the rows that are set aside."""

from __future__ import annotations

from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud.bigquery import Client

from stack import bigquery


def tables(bq: Client, dataset: str) -> list[str]:
    """The dataset's tables by name, without views and what is there for a moment (with an underscore); none where it is not there yet."""
    try:
        listed = [table for table in bq.list_tables(dataset) if table.table_type == "TABLE"]
    except NotFound:
        return []
    return sorted(table.table_id for table in listed if not table.table_id.startswith("_"))


def quarantined(bq: Client) -> list[dict[str, Any]]:
    """How many rows are in quarantine by entity and reason, since when and until when, with an example; the most first, none before the first run."""
    union = " union all ".join(
        f"select '{name}' as entity, reason, first_seen_at, last_seen_at, detail from quarantine.`{name}`"
        for name in tables(bq, "quarantine")
    )
    if not union:
        return []
    return bigquery.query(
        bq,
        f"select entity, reason, count(*) as n, min(first_seen_at) as first_seen_at, max(last_seen_at) as last_seen_at, "
        f"min(detail) as example from ({union}) group by entity, reason order by n desc, entity, reason",
    )
