"""`python -m stack.publish`: the marts that dbt built aside, and that every test has passed, become what readers see. All of them in one transaction.

The DAG's dbt builds its marts in the dataset `marts_next`, where nobody reads; a red test ends the run there, and `marts` stays as it was. This copies them to
`marts`, so that a reader sees either all of yesterday's or all of today's, whatever is killed meanwhile. Run again, it writes the same rows.

BigQuery allows no DDL in a transaction: a mart that is new is there, empty, just before it; one whose columns are others than before is copied by itself.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from collections.abc import Collection

from google.api_core.exceptions import NotFound
from google.cloud import bigquery as google

from stack import bigquery, lineage, settings
from stack.bigquery import RETRY
from stack.failures import FINAL, one_line
from stack.settings import MARTS_NEXT as NEXT
from stack.settings import Settings

PUBLISHED = "marts"
# Who builds in NEXT: one row.
CLAIM = "ops.marts_next_run"
# What dbt leaves behind when it is killed.
TEMPORARY = "__dbt_tmp"


class NothingToPublish(Exception):
    """There is no mart in NEXT, or none that may be shown."""


def publish(current: Settings) -> dict[str, int]:
    """Make `marts` hold what `marts_next` does. Returns {mart: its rows}. Raises NothingToPublish, or what BigQuery refuses."""
    bq = bigquery.client(current)
    marts = _marts(bq)
    if not marts:
        raise NothingToPublish(f"{NEXT} has no table: `python -m stack.dbt --marts-dataset {NEXT} marts` builds them")
    begun = lineage.now()
    bigquery.create_dataset(bq, PUBLISHED, current.bigquery_location)
    in_transaction = [mart for mart in marts if _is_ready(bq, mart)]
    if in_transaction:
        bigquery.query(bq, transaction(in_transaction))
    counts = " union all ".join(
        f"select '{mart.table_id}' as mart, count(*) as n from {PUBLISHED}.`{mart.table_id}`" for mart in marts
    )
    rows = {row["mart"]: row["n"] for row in bigquery.query(bq, counts)}
    lineage.tell(current, [_told(bq.project, mart, n, begun) for mart, n in rows.items()])
    return rows


def made_by_no_model(current: Settings, made: Collection[str]) -> list[str]:
    """The tables of `marts` that are not among those `made`: of models that are gone or renamed. They stay as they are, for whoever reads them."""
    bq = bigquery.client(current)
    listed = {item.table_id for item in bq.list_tables(PUBLISHED, retry=RETRY) if TEMPORARY not in item.table_id}
    return sorted(listed.difference(made))


def claim(current: Settings, run_id: str) -> None:
    """Tell whose NEXT is from now on, before anything is built there: a run of the DAG's, or nobody's ("") who builds by hand.

    A statement of its own, which the build waits for: what the ledger knows is written after a task has ended, and may be lost.
    """
    bq = bigquery.client(current)
    bigquery.create_dataset(bq, CLAIM.partition(".")[0], current.bigquery_location)
    bigquery.query(
        bq,
        f"create or replace table {CLAIM} as select @run_id as run_id, current_timestamp() as claimed_at",
        {"run_id": run_id},
    )


def require_of_run(current: Settings, run_id: str) -> None:
    """Raise NothingToPublish where somebody else has built NEXT since this run did: what that left there, this run's tests have not judged."""
    try:
        [claimed] = bigquery.query(bigquery.client(current), f"select run_id from {CLAIM}")
    except NotFound:
        return
    if claimed["run_id"] != run_id:
        by = f"the run {claimed['run_id']}" if claimed["run_id"] else "hand"
        raise NothingToPublish(f"{NEXT} was built last by {by}, not by {run_id}: clear this run's task `marts`")


def _told(project: str, mart: str, rows: int, begun: datetime.datetime) -> lineage.Step:
    aside, shown = (lineage.warehouse_table(project, f"{dataset}.{mart}") for dataset in (NEXT, PUBLISHED))
    return lineage.Step(f"publish.{mart}", [aside], [shown], "BIGQUERY", begun, lineage.now(), rows)


def transaction(marts: list[google.Table]) -> str:
    """The script that replaces the rows of `marts`, whose columns are the published ones'."""
    statements = ["begin transaction"]
    for mart in marts:
        columns = ", ".join(f"`{field.name}`" for field in mart.schema)
        statements += [
            f"truncate table {PUBLISHED}.`{mart.table_id}`",
            f"insert into {PUBLISHED}.`{mart.table_id}` ({columns}) select {columns} from {NEXT}.`{mart.table_id}`",
        ]
    return ";\n".join([*statements, "commit transaction"]) + ";"


def _marts(bq: google.Client) -> list[google.Table]:
    try:
        listed = list(bq.list_tables(NEXT, retry=RETRY))
    except NotFound:
        return []
    names = sorted(item.table_id for item in listed if item.table_type == "TABLE" and TEMPORARY not in item.table_id)
    return [bq.get_table(f"{NEXT}.{name}", retry=RETRY) for name in names]


def _is_ready(bq: google.Client, mart: google.Table) -> bool:
    """Make sure that there is a published table with this mart's columns. Returns False when that took a copy of the mart as it is."""
    name = f"{bq.project}.{PUBLISHED}.{mart.table_id}"
    try:
        published = bq.get_table(name, retry=RETRY)
    except NotFound:
        published = None
    if published is not None and published.table_type != "TABLE":
        bq.delete_table(published, retry=RETRY)
        published = None
    if published is None:
        made = google.Table(name, mart.schema)
        made.clustering_fields, made.description = mart.clustering_fields, mart.description
        made.time_partitioning, made.range_partitioning = mart.time_partitioning, mart.range_partitioning
        bq.create_table(made, retry=RETRY)
        return True
    if _columns(published) == _columns(mart):
        return True
    config = google.CopyJobConfig(write_disposition=google.WriteDisposition.WRITE_TRUNCATE)
    bq.copy_table(mart, name, job_config=config, retry=RETRY).result(retry=RETRY)
    return False


def _columns(table: google.Table) -> dict[str, tuple[str, str]]:
    return {field.name: (field.field_type, field.mode) for field in table.schema}


def main(arguments: list[str] | None = None) -> int:
    """Publish, in a run of the DAG what that run has built. Returns the exit status; the last line printed is the outcome as JSON."""
    argparse.ArgumentParser(prog="python -m stack.publish", description=__doc__).parse_args(arguments)
    current, run_id = settings.for_command(), os.environ.get(lineage.RUN_ID)
    try:
        if run_id:
            require_of_run(current, run_id)
        rows = publish(current)
        left = made_by_no_model(current, rows)
    except (*bigquery.ERRORS, NothingToPublish) as error:
        print(f"error: the marts were not published: {one_line(error)}", file=sys.stderr)
        return FINAL if isinstance(error, NothingToPublish) else 1
    said = ", ".join(f"{name} {n:,}" for name, n in rows.items())
    if left:
        said += f"; stale, as no model makes them any more: {', '.join(left)} (`drop table {PUBLISHED}.{left[0]}` when nobody reads it)"
    print(json.dumps({"rows": sum(rows.values()), "reason": said}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
