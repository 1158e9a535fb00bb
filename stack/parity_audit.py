"""`python -m stack.parity_audit prepare|dbt|compare`: do both engines make the same heavy tables of the same raw? Judged by content, in places of their own.

Each engine makes its tables anew from all of raw: dbt in datasets `audit_dbt_*`, Spark (spark_jobs/parity_audit.py) in `audit_spark` with a lake of its own.
What is published is neither read nor written. The result is `ops.parity_audit`, a row a table; tables that differ are kept to look at, until the next audit.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from stack import bigquery, dbt, settings
from stack.bigquery import RETRY
from stack.failures import one_line
from stack.settings import Settings

PREFIX = "audit_dbt_"
DBT_DATASETS = (f"{PREFIX}staging", f"{PREFIX}intermediate")
DBT_DATASET = f"{PREFIX}intermediate"
SPARK_DATASET = "audit_spark"
HEAVY_TABLES = (
    "int_payments_deduplicated",
    "int_orders_usd",
    "int_order_items_usd",
    "int_payments_usd",
    "int_seller_tier_scd2",
)
TABLE = "ops.parity_audit"
RAW_TABLES = ("payments", "orders", "order_items", "seller_tier_history", "ecb_fx_rates")


@dataclass(frozen=True)
class Difference:
    """One heavy table: its rows by each engine, how many distinct rows only one of them has, and one of those as JSON."""

    table: str
    dbt_rows: int
    spark_rows: int
    only_dbt: int
    only_spark: int
    example: str | None

    @property
    def is_equal(self) -> bool:
        """Whether both engines made the same rows."""
        return self.dbt_rows == self.spark_rows and not self.only_dbt and not self.only_spark


def lake_uri(current: Settings) -> str:
    """Where Spark keeps the audit's Delta tables: beside the lake, as nothing of it may be read by the jobs."""
    return f"{current.lake_uri.rstrip('/')}-audit"


def prepare(current: Settings) -> None:
    """A place for each engine, with nothing in it."""
    remove(current)
    bigquery.create_dataset(bigquery.client(current), SPARK_DATASET, current.bigquery_location)


def remove(current: Settings) -> None:
    """Remove what an audit made, but for its result."""
    bq = bigquery.client(current)
    for name in (*DBT_DATASETS, SPARK_DATASET):
        bq.delete_dataset(name, delete_contents=True, not_found_ok=True, retry=RETRY)
    lake = urlparse(lake_uri(current))
    # A full refresh overwrites tables wherever they are; only a local lake can also be removed with what it was.
    if lake.scheme == "file":
        shutil.rmtree(Path(unquote(lake.path)), ignore_errors=True)


def compare(
    current: Settings, tables: Sequence[str] = HEAVY_TABLES, spark_dataset: str = SPARK_DATASET
) -> list[Difference]:
    """Each table's rows by dbt against its rows by Spark, in `spark_dataset`, all columns of the contract."""
    bq = bigquery.client(current)
    found = []
    for table in tables:
        columns = ", ".join(f"`{field.name}`" for field in bq.get_table(f"{DBT_DATASET}.{table}", retry=RETRY).schema)
        left, right = (f"select {columns} from {dataset}.{table}" for dataset in (DBT_DATASET, spark_dataset))
        row = bigquery.query(
            bq,
            f"""
            with only_dbt as ({left} except distinct {right}), only_spark as ({right} except distinct {left})
            select
                (select count(*) from {DBT_DATASET}.{table}) as dbt_rows,
                (select count(*) from {spark_dataset}.{table}) as spark_rows,
                (select count(*) from only_dbt) as only_dbt,
                (select count(*) from only_spark) as only_spark,
                coalesce(
                    (select min(to_json_string(r)) from only_dbt as r),
                    (select min(to_json_string(r)) from only_spark as r)
                ) as example
            """,
        )[0]
        found.append(Difference(table, **row))
    return found


def raw_changed_since(current: Settings, moment: datetime.datetime) -> bool:
    """Whether a row landed, or was marked as deleted, after `moment`: then each engine may have read another raw."""
    newest = " union all ".join(f"select max(_airbyte_extracted_at) as at from raw.{table}" for table in RAW_TABLES)
    latest = bigquery.query(bigquery.client(current), f"select max(at) as at from ({newest})")[0]["at"]
    return latest is not None and latest > moment


def record(current: Settings, run_id: str, found: Sequence[Difference]) -> None:
    """Append the audit to `ops.parity_audit`."""
    bq = bigquery.client(current)
    bigquery.query(
        bq,
        f"create table if not exists {TABLE} (run_id string, table_name string, dbt_rows int64, spark_rows int64,"
        " only_dbt int64, only_spark int64, example string, audited_at timestamp)",
    )
    for each in found:
        bigquery.query(
            bq,
            f"insert into {TABLE} values"
            " (@run_id, @table, @dbt_rows, @spark_rows, @only_dbt, @only_spark, nullif(@example, ''), current_timestamp())",
            {"run_id": run_id} | {**each.__dict__, "example": each.example or ""},
        )


def audit(current: Settings, run_id: str, since: datetime.datetime) -> int:
    """Compare, record and say. Returns 0 when both engines made the same rows, else 1."""
    found = compare(current)
    record(current, run_id, found)
    differing = [each for each in found if not each.is_equal]
    for each in differing:
        print(
            f"error: {each.table}: dbt {each.dbt_rows:,} rows, Spark {each.spark_rows:,}; only dbt has {each.only_dbt:,}, "
            f"only Spark {each.only_spark:,}, such as {each.example}",
            file=sys.stderr,
        )
    if differing and raw_changed_since(current, since):
        print(
            "error: raw changed while the engines worked, so this says nothing: run the audit again without a sync",
            file=sys.stderr,
        )
    if differing:
        return 1
    rows = sum(each.dbt_rows for each in found)
    print(json.dumps({"rows": rows, "reason": f"{len(found)} tables, {rows:,} rows, the same by both engines"}))
    remove(current)
    return 0


def moment(text: str) -> datetime.datetime:
    """A time with its zone as the command line has it."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time with its zone, such as 2026-03-01T07:00:00+00:00")
    return found


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m stack.parity_audit", description=__doc__)
    parser.add_argument("step", choices=("prepare", "dbt", "compare"))
    parser.add_argument("--run-id", default="by hand", help="how ops.parity_audit names this audit")
    parser.add_argument("--since", type=moment, help="when the audit began, with time zone")
    arguments = parser.parse_args()
    current = settings.for_command()
    try:
        if arguments.step == "prepare":
            began = datetime.datetime.now(datetime.UTC)
            prepare(current)
            print(began.isoformat())
            return 0
        if arguments.step == "dbt":
            return dbt.build_heavy_beside(current, PREFIX)
        return audit(current, arguments.run_id, arguments.since or datetime.datetime.now(datetime.UTC))
    except bigquery.ERRORS as error:
        print(f"error: the parity audit stopped: {one_line(error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
