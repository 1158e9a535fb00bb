"""How much waits for the heavy steps: what the engine is chosen by."""

from __future__ import annotations

from google.api_core.exceptions import BadRequest, NotFound

from stack import bigquery
from stack.settings import Settings


def pending(settings: Settings, is_full_refresh: bool = False) -> dict[str, tuple[int, int]] | None:
    """{heavy table: (raw rows that wait for it, their bytes)}, or None when that cannot be read.

    A full refresh reads every row. The bytes are the rows' share of their raw table.
    """
    bq = bigquery.client(settings)
    try:
        waiting = bigquery.query(bq, "select heavy_model, raw_table, pending_rows from ops.pending_rows")
        tables = {row["raw_table"]: bq.get_table(f"raw.{row['raw_table']}", retry=bigquery.RETRY) for row in waiting}
    except (NotFound, BadRequest) as error:
        print(f"the pending volume cannot be read: {' '.join(str(error).split())[:300]}")
        return None
    found = {}
    for row in waiting:
        held, size = int(tables[row["raw_table"]].num_rows or 0), int(tables[row["raw_table"]].num_bytes or 0)
        rows = held if is_full_refresh else int(row["pending_rows"])
        found[row["heavy_model"]] = (rows, round(size * rows / held) if held else 0)
    return found
