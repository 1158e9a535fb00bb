"""`ops.run_ledger`: what every step of every run did, with which engine, how long it took and why."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import GoogleAPIError, NotFound
from google.cloud import bigquery as bigquery_api

from stack import bigquery
from stack.settings import Settings

TABLE = "ops.run_ledger"
# What a run of the pipeline begins with, and one of another DAG does not.
FIRST_STEP = "sync.find_connection"
DECISION_STEP = "decide_engine"
# The heavy step by its engine: as chosen, or after the other one failed.
HEAVY_STEPS = {f"{kind}_{engine}": engine for kind in ("heavy", "fall_back") for engine in ("dbt", "spark")}
# What a run does once it has decided, and anew when it decides anew.
DECIDED = frozenset({*HEAVY_STEPS, "choose", "fall_back", "intermediate_gate", "marts", "review", "approve", "publish"})
# What history is read for the engine choice.
HISTORY_STEPS = 200
# What is pruned, and by which column.
PRUNED = {TABLE: "recorded_at", "ops.parity_audit": "audited_at"}


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


def record(current: Settings, entry: Entry) -> None:
    """Append one entry. Statement time, not the caller's clock, orders the entries."""
    bq = bigquery.client(current)
    try:
        _append(bq, entry)
    except NotFound:
        _make(bq, current.bigquery_location)
        _append(bq, entry)


def _make(bq: bigquery_api.Client, location: str) -> None:
    bigquery.create_dataset(bq, TABLE.partition(".")[0], location)
    try:
        bigquery.query(
            bq,
            f"create table if not exists {TABLE} (run_id string, step string, engine string, `rows` int64,"
            " seconds float64, status string, reason string, recorded_at timestamp)",
        )
    except GoogleAPIError:
        # Of two that make it at once, the emulator refuses one: then it is there.
        bq.get_table(TABLE, retry=bigquery.RETRY)


def _append(bq: bigquery_api.Client, entry: Entry) -> None:
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
    ).result(retry=bigquery.RETRY, job_retry=None)


def of_run(current: Settings, run_id: str) -> list[dict[str, object]]:
    """The entries of one run, oldest first; none for a run that recorded nothing."""
    return bigquery.query(
        bigquery.client(current),
        f"select * from {TABLE} where run_id = @run_id order by recorded_at",
        {"run_id": run_id},
    )


def latest(entries: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Each step's latest try, of a run of these entries, oldest first. After a run is cleared, entries recorded before its new decision are ignored."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        if entry["step"] in (FIRST_STEP, DECISION_STEP):
            found = {step: tried for step, tried in found.items() if step not in DECIDED}
        found[entry["step"]] = entry
    return found


def red(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """The steps that stopped a run of these entries, oldest first: whose last try failed. Where the chosen engine broke, the other one's turn tells."""
    return [
        step
        for step, entry in latest(entries).items()
        if entry["status"] == "failed" or (entry["status"] != "success" and step.startswith("fall_back"))
    ]


def outcome(entries: Sequence[Mapping[str, Any]]) -> str:
    """How a run of these entries, oldest first, ended: "failed", "published", or "unfinished" as yet."""
    if red(entries):
        return "failed"
    return "published" if "publish" in latest(entries) else "unfinished"


def engine(entries: Iterable[Mapping[str, Any]]) -> str | None:
    """Who did the heavy step of a run of these entries, oldest first; whom it chose, while nobody has; None before that."""
    tried = latest(entries)
    done = [name for step, name in HEAVY_STEPS.items() if step in tried and tried[step]["status"] == "success"]
    return done[0] if done else tried.get(DECISION_STEP, {}).get("engine")


def heavy_runs(current: Settings) -> list[dict[str, object]]:
    """The latest heavy steps, oldest first, as {"step", "seconds", "status", "rows"}; `rows` waited when the run's engine was decided.

    Of a step that was cleared and run again, the first success after a decision counts: a second one finds the work done. A run that was cleared further
    up decided anew. None before the first run.
    """
    try:
        newest_first = bigquery.query(
            bigquery.client(current),
            f"""
            with decisions as (
                select
                    run_id, `rows`, recorded_at,
                    lead(recorded_at) over (partition by run_id order by recorded_at) as next_one_at
                from {TABLE} where step = '{DECISION_STEP}'
            )
            select heavy.step, heavy.seconds, heavy.status, decisions.`rows`
            from {TABLE} as heavy
            left join decisions
                on heavy.run_id = decisions.run_id and heavy.recorded_at >= decisions.recorded_at
                and (decisions.next_one_at is null or heavy.recorded_at < decisions.next_one_at)
            where heavy.step in ({", ".join(f"'{step}'" for step in HEAVY_STEPS)})
            qualify row_number() over (
                partition by heavy.run_id, heavy.step, heavy.status, decisions.recorded_at order by heavy.recorded_at
            ) = 1
            order by heavy.recorded_at desc limit {HISTORY_STEPS}
            """,
        )
    except NotFound:
        return []
    return newest_first[::-1]


def last_success(current: Settings, step: str) -> datetime.datetime | None:
    """When a run last did `step`, in UTC; None before the first one that did."""
    try:
        question = f"select max(recorded_at) as at from {TABLE} where step = @step and status = 'success'"
        newest: datetime.datetime | None = bigquery.query(bigquery.client(current), question, {"step": step})[0]["at"]
    except NotFound:
        return None
    return newest


def prune(current: Settings, keep_days: int) -> int:
    """Forget what is older than `keep_days`. Returns the number of entries that went; a table that does not exist yet has none."""
    bq = bigquery.client(current)
    limit = {"limit": datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=keep_days)}
    gone = 0
    for table, column in PRUNED.items():
        try:
            gone += bigquery.query(bq, f"select count(*) as n from {table} where {column} < @limit", limit)[0]["n"]
        except NotFound:
            continue
        bigquery.query(bq, f"delete from {table} where {column} < @limit", limit)
    return gone
