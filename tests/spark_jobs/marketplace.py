"""The rules of docs/architecture.md in plain Python, row by row: what the Spark jobs are compared with.

A row is a dict by column name; times are UTC, amounts Decimal. Written from the text alone, with none of the jobs' code.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import zip_longest
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.tables import RawTable, ResultTable, schema

Row = dict[str, Any]


def at(text: str) -> datetime:
    """ "2026-03-01 10:00" in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def frame(spark: SparkSession, table: RawTable | ResultTable, rows: list[Row]) -> DataFrame:
    """`rows` as the table's DataFrame; a column not given is null, a landing not given is one fixed moment."""
    landed = {"_airbyte_extracted_at": at("2026-01-01")}
    values = [tuple((landed | row).get(name) for name in table.columns) for row in rows]
    return spark.createDataFrame(values, schema(table.columns))


def rows_of(df: DataFrame) -> list[Row]:
    """A DataFrame's rows; times by way of microseconds, as Spark hands over the machine's own time zone."""
    times = {name for name, type_ in df.dtypes if type_ == "timestamp"}
    columns = [F.unix_micros(name).alias(name) if name in times else F.col(name) for name in df.columns]
    epoch = at("1970-01-01")
    return [
        {
            name: epoch + timedelta(microseconds=value) if name in times and value is not None else value
            for name, value in row.asDict().items()
        }
        for row in df.select(columns).collect()
    ]


def by_key(table: ResultTable, rows: list[Row]) -> dict[tuple[Any, ...], Row]:
    """The rows by key; fails on a key that is in twice."""
    found = {tuple(row[name] for name in table.key): row for row in rows}
    assert len(found) == len(rows), "a key is in twice"
    return found


def is_live(row: Row) -> bool:
    deleted = row.get("_deleted_at")
    return deleted is None or row["_airbyte_extracted_at"] > deleted


def _nulls_first(*values: Any) -> tuple[Any, ...]:
    return tuple((value is not None, value if value is not None else 0) for value in values)


def _seen_at(row: Row) -> datetime | None:
    seen: datetime | None = row["event_timestamp"] or row["created_at"]
    return seen


def deduplicated(payments: list[Row]) -> list[Row]:
    events: dict[str, list[Row]] = defaultdict(list)
    for row in payments:
        event_id = (row["event_id"] or "").strip(" ")
        events[event_id or f"payment:{row['id']}"].append(row)
    result = []
    for key, rows in events.items():
        live = [row for row in rows if is_live(row)]
        live.sort(key=lambda row: _nulls_first(_seen_at(row), row["created_at"], row["id"]))
        if not live:
            continue
        first, last = live[0], live[-1]
        result.append(
            {
                "event_key": key,
                "payment_id": first["id"],
                "event_id": (last["event_id"] or "").strip(" ") or None,
                **{name: last[name] for name in ("order_id", "payment_provider", "status", "amount")},
                "currency": _currency(last),
                **{name: last[name] for name in ("platform_fee", "seller_payout")},
                "created_at": first["created_at"],
                "processed_at": last["processed_at"],
                "duplicate_count": len(live) - 1,
                "first_seen_at": _seen_at(first),
                "last_seen_at": _seen_at(last),
                "_raw_extracted_at": max(row["_airbyte_extracted_at"] for row in rows),
            }
        )
    return result


def _currency(row: Row) -> str | None:
    return row["currency"].strip(" ").upper() if row["currency"] is not None else None


def rate(rates: list[Row], currency: str | None, day: date | None) -> tuple[date | None, Decimal | None]:
    """(fx_rate_date, fx_rate_usd) of one unit of `currency` on `day`."""
    quoted = {(row["rate_date"], row["currency"]): row["units_per_eur"] for row in rates}
    quoted |= {(when, "EUR"): Decimal(1) for when, code in list(quoted) if code == "USD"}
    found, value = None, None
    for age in range(8) if day is not None and currency is not None else ():
        business_day = day - timedelta(days=age)
        if (business_day, currency) in quoted and (business_day, "USD") in quoted:
            units = quoted[business_day, "USD"] / quoted[business_day, currency]
            found, value = business_day, units.quantize(Decimal("1e-9"), ROUND_HALF_UP)
            break
    return found, Decimal(1) if currency == "USD" else value


def _converted(row: Row, rates: list[Row], day: date | None, date_name: str, amounts: tuple[str, ...]) -> Row:
    fx_rate_date, fx_rate_usd = rate(rates, _currency(row), day)
    result: Row = {"currency": _currency(row), date_name: day, "fx_rate_date": fx_rate_date, "fx_rate_usd": fx_rate_usd}
    for name in amounts:
        known = fx_rate_usd is not None and row[name] is not None
        result[f"{name}_usd"] = (row[name] * fx_rate_usd).quantize(Decimal("0.01"), ROUND_HALF_UP) if known else None
    return result | {"is_fx_missing": fx_rate_usd is None}


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment is not None else None


def orders_usd(orders: list[Row], rates: list[Row]) -> list[Row]:
    amounts = ("subtotal_amount", "shipping_amount", "tax_amount", "discount_amount", "total_amount")
    return [
        {"order_id": row["id"]}
        | _converted(row, rates, _day(row["created_at"]), "order_date", amounts)
        | {"_raw_extracted_at": row["_airbyte_extracted_at"]}
        for row in orders
        if is_live(row)
    ]


def order_items_usd(items: list[Row], orders: list[Row], rates: list[Row]) -> list[Row]:
    days = {row["id"]: _day(row["created_at"]) for row in orders if is_live(row)}
    return [
        {"order_item_id": row["id"], "order_id": row["order_id"]}
        | _converted(row, rates, days.get(row["order_id"]), "order_date", ("unit_price", "total_price"))
        | {"_raw_extracted_at": row["_airbyte_extracted_at"]}
        for row in items
        if is_live(row)
    ]


def payments_usd(payments: list[Row], rates: list[Row]) -> list[Row]:
    amounts = ("amount", "platform_fee", "seller_payout")
    return [
        {name: row[name] for name in ("event_key", "payment_id", "order_id")}
        | _converted(row, rates, _day(row["created_at"]), "payment_date", amounts)
        | {"_raw_extracted_at": row["_raw_extracted_at"]}
        for row in deduplicated(payments)
    ]


def tier_periods(history: list[Row]) -> list[Row]:
    sellers: dict[str, list[Row]] = defaultdict(list)
    for row in history:
        sellers[row["user_id"]].append(row)
    result = []
    for seller_id, rows in sellers.items():
        live = [row for row in rows if is_live(row) and row["effective_from"] is not None]
        live.sort(key=lambda row: _nulls_first(row["effective_from"], row["created_at"], row["id"]))
        counted = list({row["effective_from"]: row for row in live}.values())
        spans = []
        for row, following in zip_longest(counted, counted[1:]):
            end = following["effective_from"] if following else row["effective_to"]
            if end is None or end > row["effective_from"]:
                spans.append((row, end))
        periods: list[Row] = []
        for row, end in spans:
            if periods and periods[-1]["tier"] == row["tier"]:
                periods[-1]["valid_to"] = end
                continue
            periods.append(
                {
                    "seller_id": seller_id,
                    "tier": row["tier"],
                    "previous_tier": periods[-1]["tier"] if periods else None,
                    "valid_from": row["effective_from"],
                    "valid_to": end,
                    "change_reason": row["change_reason"],
                    "_raw_extracted_at": max(row["_airbyte_extracted_at"] for row in rows),
                }
            )
        result += [period | {"is_current": period["valid_to"] is None} for period in periods]
    return result
