"""`ops.run_ledger`: what every step of every run did, with which engine, how long it took and why."""

from __future__ import annotations

from dataclasses import dataclass

from google.cloud import bigquery as bigquery_api

from stack import bigquery
from stack.settings import Settings

TABLE = "ops.run_ledger"


@dataclass(frozen=True)
class Entry:
    """One step of one run. `rows` and `engine` are None where they mean nothing; `seconds` is wall time."""

    run_id: str
    step: str
    engine: str | None
    rows: int | None
    seconds: float
    status: str
    reason: str


def record(settings: Settings, entry: Entry) -> None:
    """Append one entry. Statement time, not the caller's clock, orders the entries."""
    bq = bigquery.client(settings)
    bigquery.query(
        bq,
        f"create table if not exists {TABLE} (run_id string, step string, engine string, `rows` int64,"
        " seconds float64, status string, reason string, recorded_at timestamp)",
    )
    parameters = [
        bigquery_api.ScalarQueryParameter("run_id", "STRING", entry.run_id),
        bigquery_api.ScalarQueryParameter("step", "STRING", entry.step),
        bigquery_api.ScalarQueryParameter("engine", "STRING", entry.engine),
        bigquery_api.ScalarQueryParameter("rows", "INT64", entry.rows),
        bigquery_api.ScalarQueryParameter("seconds", "FLOAT64", entry.seconds),
        bigquery_api.ScalarQueryParameter("status", "STRING", entry.status),
        bigquery_api.ScalarQueryParameter("reason", "STRING", entry.reason),
    ]
    bq.query(
        f"insert into {TABLE} (run_id, step, engine, `rows`, seconds, status, reason, recorded_at)"
        " values (@run_id, @step, @engine, @rows, @seconds, @status, @reason, current_timestamp())",
        job_config=bigquery_api.QueryJobConfig(query_parameters=parameters),
        retry=bigquery.RETRY,
        job_retry=None,
    ).result(retry=bigquery.RETRY)


def of_run(settings: Settings, run_id: str) -> list[dict[str, object]]:
    """The entries of one run, oldest first; none for a run that recorded nothing."""
    return bigquery.query(
        bigquery.client(settings),
        f"select * from {TABLE} where run_id = @run_id order by recorded_at",
        {"run_id": run_id},
    )
