"""What killed syncs leave behind: jobs that still run, and temporary tables. Both are cleared away before a stream's next sync writes.

A job does not end with the program that started it. Were one of an earlier sync to finish late, its rows could appear after newer ones; so it is
cancelled and waited for.
"""

from __future__ import annotations

import datetime
import re
import secrets
import time
from collections.abc import Collection, Iterator

from google.cloud import bigquery

from airbyte.connectors.protocol import TransientError
from stack.bigquery import RETRY

PREFIX = "_airbyte_tmp_"
# BigQuery itself drops a temporary table that no later sync sweeps.
LIFETIME = datetime.timedelta(hours=24)
WAIT_SECONDS = 120.0
_TAIL = r"_[0-9]+_[0-9a-f]{8}$"


def temporary_name(stream: str, sync_id: int) -> str:
    """A name that no other sync uses, told from another stream's by its end: a number and eight hex digits."""
    return f"{PREFIX}{stream}_{sync_id}_{secrets.token_hex(4)}"


def job_prefix(dataset: str, stream: str) -> str:
    """What the ids of a stream's jobs begin with; BigQuery takes letters, digits, - and _ there."""
    return "airbyte-" + re.sub(r"[^A-Za-z0-9_-]", "-", f"{dataset}-{stream}") + "--"


def clear(client: bigquery.Client, dataset: str, streams: Collection[str]) -> list[str]:
    """End the jobs and drop the temporary tables of the streams' earlier syncs. Returns the tables' names.

    A platform runs one sync of a connection at a time, so none of them is in use. Raises TransientError when a job does not end.
    """
    for job in _running(client, dataset, streams):
        client.cancel_job(job.job_id, location=job.location, retry=RETRY)
        deadline = time.monotonic() + WAIT_SECONDS
        while client.get_job(job.job_id, location=job.location, retry=RETRY).state != "DONE":
            if time.monotonic() > deadline:
                raise TransientError(
                    f"BigQuery's job {job.job_id} of an earlier sync does not end: cancel it, or wait, and sync again"
                )
            time.sleep(0.2)
    dropped = []
    for table in client.list_tables(f"{client.project}.{dataset}", retry=RETRY):
        owner = re.sub(_TAIL, "", table.table_id.removeprefix(PREFIX))
        if table.table_id.startswith(PREFIX) and owner != table.table_id.removeprefix(PREFIX) and owner in streams:
            client.delete_table(table, not_found_ok=True, retry=RETRY)
            dropped.append(table.table_id)
    return dropped


def _running(client: bigquery.Client, dataset: str, streams: Collection[str]) -> Iterator[bigquery.QueryJob]:
    prefixes = tuple(job_prefix(dataset, stream) for stream in streams)
    since = datetime.datetime.now(datetime.UTC) - LIFETIME
    # In this order: a job that begins to run between the two questions is in the second answer. The other way round it would be in neither.
    for state in ("pending", "running"):
        for job in client.list_jobs(state_filter=state, min_creation_time=since, retry=RETRY):
            if job.job_id.startswith(prefixes):
                yield job
