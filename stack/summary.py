"""What a run did, in one screen: rows per layer, the engine and why, tests, and what was planted against what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.api_core.exceptions import NotFound

from stack import airflow, bigquery, dbt, ledger
from stack.settings import DATASETS, Settings

# What the pipeline finds of each planted trap: the trap's name in the generator's ledger, and the question to the warehouse.
FOUND = {
    "replayed_payments": "select sum(duplicate_count) from intermediate.int_payments_deduplicated",
    "payment_events": "select count(*) from intermediate.int_payments_deduplicated",
    "null_event_id": "select count(*) from staging.stg_marketplace__payments where event_id is null",
    "fx_missing_orders": "select count(*) from quarantine.orders where reason = 'missing_fx_rate'",
    "fx_missing_order_items": "select count(*) from quarantine.order_items where reason = 'missing_fx_rate'",
    "fx_missing_payment_events": "select count(*) from quarantine.payments where reason = 'missing_fx_rate'",
    "total_mismatch_orders": "select count(*) from quarantine.orders where reason = 'total_mismatch'",
    "null_country_users": "select count(*) from marts.dim_users where country_code = 'Unknown'",
    "null_shipping_country_orders": "select count(*) from marts.fct_orders where is_shipping_country_missing",
    "soft_deleted_users": "select count(*) from marts.dim_users where is_deleted",
    "draft_products": "select count(*) from marts.dim_products where status = 'draft'",
    "future_updated_at_products": "select count(*) from marts.dim_products where is_updated_at_in_future",
    "cancelled_orders": "select count(*) from marts.fct_orders where status = 'cancelled'",
    "pending_orders": "select count(*) from marts.fct_orders where status = 'pending'",
    "refunded_orders": "select count(*) from marts.fct_orders where is_refunded",
}


def addresses(settings: Settings) -> list[str]:
    """Where to look next."""
    return [
        f"Airflow   {settings.airflow_url}  ({settings.airflow_user} / {settings.airflow_password})",
        f"Airbyte   {settings.airbyte_url}  (`make credentials`)",
        f"BigQuery  {settings.bigquery_endpoint or 'https://console.cloud.google.com/bigquery'}  project {settings.bigquery_project}",
        f"Postgres  {settings.postgres_host}:{settings.postgres_port}/{settings.postgres_db}"
        if not settings.source_dsn_override
        else "Postgres  SOURCE_DSN",
    ]


def rows_per_layer(settings: Settings) -> dict[str, dict[str, int]]:
    """{dataset: {table: rows}} for everything that is a table; views are counted as their dataset's shape, not as rows."""
    bq = bigquery.client(settings)
    layers: dict[str, dict[str, int]] = {}
    for dataset in DATASETS:
        tables = sorted(
            t.table_id for t in bq.list_tables(dataset) if t.table_type == "TABLE" and not t.table_id.startswith("_")
        )
        if tables:
            union = " union all ".join(
                f"select '{name}' as t, count(*) as n from `{dataset}`.`{name}`" for name in tables
            )
            layers[dataset] = {row["t"]: row["n"] for row in bigquery.query(bq, union)}
    return layers


def found(settings: Settings) -> dict[str, int]:
    """How many rows of each planted trap the pipeline found; every trap in `FOUND`, by its ledger name."""
    union = " union all ".join(f"select '{trap}' as trap, ({question}) as n" for trap, question in FOUND.items())
    rows = bigquery.query(bigquery.client(settings), union)
    return {row["trap"]: int(row["n"] or 0) for row in rows}


def planted(ledger_file: Path) -> dict[str, int]:
    """The generator's counts by trap; empty for a source that the generator did not fill."""
    try:
        return {trap: int(value["count"]) for trap, value in json.loads(ledger_file.read_text())["traps"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def of_run(settings: Settings, run_id: str, seconds: dict[str, float], ledger_file: Path) -> str:
    """The whole summary of a successful run as text.

    Args:
        settings: the deployment.
        run_id: Airflow's run id.
        seconds: wall seconds of each step, in order.
        ledger_file: the generator's ledger; it may be missing.
    """
    lines = ["", "=== summary " + "=" * 60]
    layers = rows_per_layer(settings)
    for dataset, tables in layers.items():
        lines.append(f"{dataset:13} {sum(tables.values()):>12,} rows")
        if dataset != "ops":
            lines += [f"  {name:36} {rows:>12,}" for name, rows in tables.items()]
    decision = next((e for e in ledger.of_run(settings, run_id) if e["step"] == "decide_engine"), None)
    lines.append(f"engine        {decision['reason'] if decision else 'not recorded'}")
    lines.append("tests         " + _tests(settings))
    lines += ["", *_traps(found(settings), planted(ledger_file))]
    lines += ["", "seconds"]
    lines += [f"  {name:22} {value:6.1f}" for name, value in seconds.items()]
    lines += ["", *addresses(settings)]
    return "\n".join(lines)


def _tests(settings: Settings) -> str:
    passed = warned = 0
    for step in dbt.STEPS:
        try:
            outcome: dict[str, Any] = json.loads(dbt.results_path(settings, step).read_text())
        except OSError:
            continue
        passed += outcome["tests_passed"]
        warned += len(outcome["warned"])
    return f"{passed} passed, {warned} warned, 0 failed"


def _traps(seen: dict[str, int], expected: dict[str, int]) -> list[str]:
    lines = [f"{'trap':30} {'found':>9}" + (f" {'planted':>9}" if expected else "")]
    for trap, count in seen.items():
        line = f"  {trap:28} {count:>9,}"
        if trap in expected:
            line += f" {expected[trap]:>9,}" + ("" if expected[trap] == count else "  DIFFERENT")
        lines.append(line)
    return lines


def last_run(settings: Settings) -> list[str]:
    """The newest run in the ledger: its steps, engine and reason; one line when there is none."""
    bq = bigquery.client(settings)
    try:
        newest = bigquery.query(bq, f"select run_id from {ledger.TABLE} order by recorded_at desc limit 1")
    except NotFound:
        newest = []
    if not newest:
        return ["no run yet: `make demo`"]
    lines = [f"last run {newest[0]['run_id']} ({airflow.DAG_ID})"]
    for entry in ledger.of_run(settings, newest[0]["run_id"]):
        rows = "" if entry["rows"] is None else f"{entry['rows']:,} rows"
        lines.append(
            f"  {entry['step']:22} {entry['status']:8} {entry['seconds']:7.1f} s  {rows:>15}  {entry['reason']}"
        )
    return lines
