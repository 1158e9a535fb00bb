"""What a run did, in one screen: rows per layer, the engine and why, tests, and what was planted against what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.api_core.exceptions import NotFound

from stack import airflow, bigquery, dbt, layers, ledger
from stack.settings import DATASETS, Settings

CONSOLE = "https://console.cloud.google.com/bigquery"
# What the pipeline finds of each planted trap: the trap's name in the generator's ledger, and the keys of its rows as one column of text.
FOUND = {
    "replayed_payments": "select p.payment_id from staging.stg_marketplace__payments as p "
    "left join intermediate.int_payments_deduplicated as e on p.payment_id = e.payment_id where e.payment_id is null",
    "payment_events": "select event_key from intermediate.int_payments_deduplicated",
    "null_event_id": "select payment_id from intermediate.int_payments_deduplicated where event_id is null",
    "fx_missing_orders": "select order_id from quarantine.orders where reason = 'missing_fx_rate'",
    "fx_missing_order_items": "select order_item_id from quarantine.order_items where reason = 'missing_fx_rate'",
    "fx_missing_payment_events": "select e.event_key from quarantine.payments as q "
    "inner join intermediate.int_payments_deduplicated as e on q.payment_id = e.payment_id where q.reason = 'missing_fx_rate'",
    "several_currencies_orders": "select order_id from marts.fct_payment_reconciliation where is_multi_currency",
    "total_mismatch_orders": "select order_id from quarantine.orders where reason = 'total_mismatch'",
    "null_country_users": "select user_id from marts.dim_users where country_code = 'Unknown'",
    "null_shipping_country_orders": "select order_id from marts.fct_orders where is_shipping_country_missing",
    "soft_deleted_users": "select user_id from marts.dim_users where is_deleted",
    "deleted_rows": " union all ".join(
        f"select concat('{table} ', cast(id as string)) from raw.{table} where _deleted_at >= _airbyte_extracted_at"
        for table in ("users", "products", "orders", "order_items", "payments", "reviews", "seller_tier_history")
    ),
    "draft_products": "select product_id from marts.dim_products where status = 'draft'",
    "future_updated_at_products": "select product_id from marts.dim_products where is_updated_at_in_future",
    "cancelled_orders": "select order_id from marts.fct_orders where status = 'cancelled'",
    "pending_orders": "select order_id from marts.fct_orders where status = 'pending'",
    "refunded_orders": "select order_id from marts.fct_orders where is_refunded",
    "not_gmv_orders": "select order_id from marts.fct_orders where not is_gmv",
    "time_without_zone_orders": "select concat(order_id, ' ', format_timestamp('%Y-%m-%d %H:%M:%S', confirmed_at)) from marts.fct_orders "
    "where confirmed_at is not null",
    "late_committed_orders": "select order_id from marts.fct_orders where order_number like 'ORD-%-L%'",
    # Rows that begin no period, but for those that another row of the same moment replaced.
    "seller_tier_repeats": "select cast(t.tier_row_id as string) from staging.stg_marketplace__seller_tier_history as t "
    "inner join intermediate.int_seller_tier_scd2 as p on t.seller_id = p.seller_id and t.tier = p.tier "
    "and t.effective_from > p.valid_from and t.effective_from < coalesce(p.valid_to, timestamp('9999-12-31'))",
    # Rows in whose own moment the seller has another tier.
    "seller_tier_equal_start": "select cast(t.tier_row_id as string) from staging.stg_marketplace__seller_tier_history as t "
    "inner join intermediate.int_seller_tier_scd2 as p on t.seller_id = p.seller_id and t.tier <> p.tier "
    "and t.effective_from >= p.valid_from and t.effective_from < coalesce(p.valid_to, timestamp('9999-12-31'))",
    "seller_tier_closed": "select seller_id from intermediate.int_seller_tier_scd2 group by seller_id having not logical_or(is_current)",
    "closed_tier_rows": "select cast(tier_row_id as string) from staging.stg_marketplace__seller_tier_history where effective_to is not null",
    "out_of_order_events": "select cast(event_log_id as string) from staging.stg_marketplace__event_log "
    "where received_at > timestamp_add(event_timestamp, interval 1 hour)",
}


def addresses(settings: Settings) -> list[str]:
    """Where to look next. A password that somebody chose is named, not shown."""
    password = "admin" if settings.airflow_password == "admin" else "AIRFLOW_PASSWORD"  # noqa: S105 - the documented default
    bigquery_url = settings.for_people(settings.bigquery_endpoint) if settings.is_emulator else CONSOLE
    in_containers = bool(settings.public_host)
    return [
        f"Airflow   {settings.for_people(settings.airflow_url)}  ({settings.airflow_user} / {password})",
        f"Airbyte   {settings.for_people(settings.airbyte_url)}  ({'.env' if in_containers else '`make credentials`'})",
        f"BigQuery  {bigquery_url}  project {settings.bigquery_project}",
        f"Postgres  {settings.public_host or settings.postgres_host}:{settings.postgres_port}/{settings.postgres_db}"
        if not settings.source_dsn_override
        else "Postgres  SOURCE_DSN",
        f"Page      http://127.0.0.1:{settings.dashboard_port}"
        + ("" if in_containers else "  once `make dashboard` runs"),
    ]


def rows_per_layer(settings: Settings) -> dict[str, dict[str, int]]:
    """{dataset: {table: rows}} for everything that is a table; views are counted as their dataset's shape, not as rows."""
    bq = bigquery.client(settings)
    counted: dict[str, dict[str, int]] = {}
    for dataset in DATASETS:
        if tables := layers.tables(bq, dataset):
            union = " union all ".join(
                f"select '{name}' as t, count(*) as n from `{dataset}`.`{name}`" for name in tables
            )
            counted[dataset] = {row["t"]: row["n"] for row in bigquery.query(bq, union)}
    return counted


def found(settings: Settings) -> dict[str, int]:
    """How many rows of each planted trap the pipeline found; every trap in `FOUND`, by its ledger name."""
    union = " union all ".join(
        f"select '{trap}' as trap, (select count(*) from ({question})) as n" for trap, question in FOUND.items()
    )
    rows = bigquery.query(bigquery.client(settings), union)
    return {row["trap"]: int(row["n"]) for row in rows}


def found_keys(settings: Settings) -> dict[str, list[str]]:
    """The keys of what `found` counts, by trap, as they come: a key found twice is there twice. Every key in memory: for small scales."""
    bq = bigquery.client(settings)
    return {
        trap: [key for row in bigquery.query(bq, question) for key in row.values()] for trap, question in FOUND.items()
    }


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
    for dataset, tables in rows_per_layer(settings).items():
        lines.append(f"{dataset:13} {sum(tables.values()):>12,} rows")
        if dataset != "ops":
            lines += [f"  {name:36} {rows:>12,}" for name, rows in tables.items()]
    lines += _engine(ledger.of_run(settings, run_id))
    lines.append("tests         " + _tests(settings))
    lines += ["", *_traps(found(settings), planted(ledger_file))]
    lines += ["", "seconds"]
    lines += [f"  {name:22} {value:6.1f}" for name, value in seconds.items()]
    lines += ["", *addresses(settings)]
    return "\n".join(lines)


def _engine(entries: list[dict[str, Any]]) -> list[str]:
    """The engine and why, and the other one's turn when the first failed."""
    reasons = {step: str(entry["reason"]) for step, entry in ledger.latest(entries).items()}
    lines = [f"engine        {reasons.get(ledger.DECISION_STEP, 'not recorded')}"]
    fell_back = reasons.get("fall_back", "")
    return lines + ([f"              {fell_back}"] if fell_back.startswith("fell back") else [])


def _tests(settings: Settings) -> str:
    passed = warned = failed = 0
    for step in dbt.LAYERS:
        try:
            outcome: dict[str, Any] = json.loads(dbt.results_path(settings, step).read_text())
        except OSError:
            continue
        passed += outcome["tests_passed"]
        warned += len(outcome["warned"])
        failed += len(outcome["failed"])
    return f"{passed} passed, {warned} warned, {failed} failed"


def _traps(seen: dict[str, int], expected: dict[str, int]) -> list[str]:
    lines = [f"{'trap':30} {'found':>9}" + (f" {'planted':>9}" if expected else "")]
    for trap, count in seen.items():
        line = f"  {trap:28} {count:>9,}"
        if trap in expected:
            line += f" {expected[trap]:>9,}" + ("" if expected[trap] == count else "  DIFFERENT")
        lines.append(line)
    return lines


def last_run(settings: Settings) -> list[str]:
    """The pipeline's newest run in the ledger: its outcome, each step's latest try, engine and reason; one line when there is none."""
    entries = _asked(
        settings,
        f"select * from {ledger.TABLE} where run_id = (select run_id from {ledger.TABLE} where step = '{ledger.FIRST_STEP}' "
        "order by recorded_at desc limit 1) order by recorded_at",
    )
    if not entries:
        return ["no run yet: `make demo`"]
    outcome = {"failed": f"red: {', '.join(ledger.red(entries))}", "unfinished": "not over"}
    ended = ledger.outcome(entries)
    lines = [f"last run {entries[0]['run_id']} ({airflow.DAG_ID}): {outcome.get(ended, ended)}"]
    for step, entry in ledger.latest(entries).items():
        rows = "" if entry["rows"] is None else f"{entry['rows']:,} rows"
        reason = " ".join(str(entry["reason"]).split())
        lines.append(f"  {step:22} {entry['status']:13} {entry['seconds']:7.1f} s  {rows:>15}  {reason}")
    return lines


def freshness(settings: Settings) -> list[str]:
    """When the source was last landed and the marts last shown, as the ledger knows; nothing before the first run."""
    moments = {
        name: ledger.last_success(settings, step) for name, step in (("landed", "sync.wait"), ("published", "publish"))
    }
    return [f"{name:10} {at:%Y-%m-%d %H:%M:%S} UTC" for name, at in moments.items() if at]


def quarantined(settings: Settings) -> list[str]:
    """How many rows are set aside, by entity and reason; nothing before the first run."""
    bq = bigquery.client(settings)
    if not layers.tables(bq, "quarantine"):
        return []
    rows = sorted(layers.quarantined(bq), key=lambda row: str(row["entity"]))
    lines = [f"  {row['entity']:22} {row['n']:>7,}  {row['reason']}" for row in rows]
    return [f"quarantine {sum(row['n'] for row in rows):,} rows", *lines]


def _asked(settings: Settings, question: str) -> list[dict[str, Any]]:
    """The rows; none where a table is not there yet."""
    try:
        return bigquery.query(bigquery.client(settings), question)
    except NotFound:
        return []
