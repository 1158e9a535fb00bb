"""How much waits for the heavy steps: what the engine is chosen by."""

from __future__ import annotations

from collections.abc import Collection

from google.api_core.exceptions import BadRequest, NotFound
from google.cloud.bigquery import Client

from stack import bigquery
from stack.failures import one_line
from stack.settings import Settings


def pending(settings: Settings, is_full_refresh: bool = False) -> dict[str, tuple[int, int]] | None:
    """{heavy table: (raw rows that wait for it, their bytes)}, or None when that cannot be read.

    A full refresh reads every row. The bytes are the rows' share of what their raw table says it holds: rows are counted, as the emulator's tables count what
    was updated or deleted, too.
    """
    bq = bigquery.client(settings)
    try:
        waiting = bigquery.query(bq, "select heavy_model, raw_table, pending_rows from ops.pending_rows")
        tables = {row["raw_table"]: bq.get_table(f"raw.{row['raw_table']}", retry=bigquery.RETRY) for row in waiting}
    except (NotFound, BadRequest) as error:
        print(f"the pending volume cannot be read: {one_line(error)[:300]}")
        return None
    there = _counted(bq, tables) if is_full_refresh else {}
    found = {}
    for row in waiting:
        name = row["raw_table"]
        held, size = int(tables[name].num_rows or 0), int(tables[name].num_bytes or 0)
        rows = there[name] if is_full_refresh else int(row["pending_rows"])
        found[row["heavy_model"]] = (rows, round(size * rows / held) if held else 0)
    return found


def _counted(bq: Client, tables: Collection[str]) -> dict[str, int]:
    union = " union all ".join(f"select '{name}' as name, count(*) as n from raw.{name}" for name in tables)
    return {row["name"]: row["n"] for row in bigquery.query(bq, union)} if tables else {}
