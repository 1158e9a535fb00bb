"""The content of warehouse tables as comparable values: what "the same rows" means in the tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from stack import bigquery
from stack.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DATASETS = ("intermediate", "marts")
# When a row was landed: another sync of the same source has other values here, and only here.
LANDING_COLUMNS = ("_raw_extracted_at",)
# What each sync of one deployment saw of a product: another deployment of the same source saw it at other times.
HISTORIES = ("marts.dim_product_history",)

Rows = list[tuple[str, ...]]
Content = dict[str, Rows]


def content(
    settings: Settings, datasets: tuple[str, ...] = DATASETS, with_landing: bool = False, with_views: bool = False
) -> Content:
    """{"dataset.table": sorted rows} of every table of the datasets, and of every view if asked for.

    Rows are tuples of the text of their values, in the order of the sorted column names, so that two engines'
    column orders and two clients' Python types do not matter while every digit does.
    """
    bq = bigquery.client(settings)
    kinds = ("TABLE", "VIEW") if with_views else ("TABLE",)
    return {
        f"{dataset}.{item.table_id}": _rows(
            bigquery.query(bq, f"select * from `{dataset}`.`{item.table_id}`"), with_landing
        )
        for dataset in datasets
        for item in bq.list_tables(dataset)
        if item.table_type in kinds and not item.table_id.startswith("_")
        if with_landing or f"{dataset}.{item.table_id}" not in HISTORIES
    }


def content_on_spark(spark: SparkSession, databases: tuple[str, ...] = DATASETS) -> Content:
    """What `content` says of BigQuery, landing columns and views included, of the databases of a Spark session."""
    return {
        f"{database}.{table.name}": _rows(spark.table(f"{database}.{table.name}").toArrow().to_pylist(), True)
        for database in databases
        for table in spark.catalog.listTables(database)
        if not table.isTemporary
    }


def _rows(rows: Iterable[Mapping[str, Any]], with_landing: bool) -> Rows:
    return sorted(
        tuple(f"{name}={_text(row[name])}" for name in sorted(row) if with_landing or name not in LANDING_COLUMNS)
        for row in rows
    )


def _text(value: Any) -> str:
    """The value's text: the same for equal values, however a client or an engine spells them."""
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, dict | list):
        return json.dumps(_spelled_alike(value), sort_keys=True)
    if isinstance(value, str) and value.startswith("{"):
        return json.dumps(_spelled_alike(json.loads(value, parse_float=Decimal, parse_int=Decimal)), sort_keys=True)
    return str(value)


def _spelled_alike(value: Any) -> Any:
    """A raw row in quarantine, as JSON: times, numbers and JSON within it are spelled by each engine in its own way."""
    if isinstance(value, dict):
        return {name: _spelled_alike(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_spelled_alike(inner) for inner in value]
    if isinstance(value, str) and value.startswith(("{", "[")):
        return _spelled_alike(json.loads(value, parse_float=Decimal, parse_int=Decimal))
    if isinstance(value, str):
        try:
            return _text(datetime.fromisoformat(value))
        except ValueError:
            return value
    return _text(value) if isinstance(value, Decimal) else value


def differences(left: Content, right: Content) -> dict[str, Content]:
    """Per table, the rows that only one side has; empty when both have the same rows (as multisets)."""
    found: dict[str, Content] = {}
    for table in sorted(left.keys() | right.keys()):
        if table not in left or table not in right:
            found[table] = {"missing table": []}
            continue
        ours, theirs = Counter(left[table]), Counter(right[table])
        if ours != theirs:
            found[table] = {
                "only left": sorted((ours - theirs).elements()),
                "only right": sorted((theirs - ours).elements()),
            }
    return found
