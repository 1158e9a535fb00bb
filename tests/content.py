"""The content of warehouse tables as comparable values: what "the same rows" means in the tests."""

from __future__ import annotations

from collections import Counter

from stack import bigquery
from stack.settings import Settings

DATASETS = ("intermediate", "marts")
# When a row was landed: another sync of the same source has other values here, and only here.
LANDING_COLUMNS = ("_raw_extracted_at",)

Content = dict[str, list[tuple[str, ...]]]


def content(settings: Settings, datasets: tuple[str, ...] = DATASETS, with_landing: bool = False) -> Content:
    """{"dataset.table": sorted rows} of every table of the datasets.

    Rows are tuples of the text of their values, in the order of the sorted column names, so that two engines'
    column orders and two clients' Python types do not matter while every digit does.
    """
    bq = bigquery.client(settings)
    tables: Content = {}
    for dataset in datasets:
        for item in bq.list_tables(dataset):
            if item.table_type != "TABLE" or item.table_id.startswith("_"):
                continue
            rows = bigquery.query(bq, f"select * from `{dataset}`.`{item.table_id}`")
            tables[f"{dataset}.{item.table_id}"] = sorted(
                tuple(f"{name}={row[name]}" for name in sorted(row) if with_landing or name not in LANDING_COLUMNS)
                for row in rows
            )
    return tables


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
