"""The one place that makes BigQuery clients: for the emulator and for the real service alike.

`python -m stack.bigquery "select …"` runs one statement and prints its rows as a table; without an argument it reads the statement from stdin.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import secrets
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import requests
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from stack import settings as stack_settings
from stack.failures import one_line
from stack.settings import DATASETS, Settings

if TYPE_CHECKING:
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient

# What the client raises when it is refused, cannot reach the service, or has no credentials.
ERRORS = (GoogleAPIError, GoogleAuthError)
# What the client itself would ask again, for seconds instead of its ten minutes: that a service is down must be told. A job that failed is begun again by
# whoever runs the program: with any `job_retry` the client asks ten minutes whatever else it is told.
RETRY = DEFAULT_RETRY.with_delay(initial=0.2, maximum=2.0).with_timeout(30.0)
# How long a job that lands rows may take.
JOB_SECONDS = 1800.0


def connect(project: str, endpoint: str = "", location: str = "US", credentials: Any | None = None) -> bigquery.Client:
    """A BigQuery client.

    Args:
        project: the Google Cloud project.
        endpoint: the emulator's REST address, "http://host:port"; empty for the real service.
        location: where jobs run and datasets are made.
        credentials: google.auth credentials; None means none for an emulator, application default ones otherwise.
    """
    if endpoint:
        return bigquery.Client(
            project=project,
            location=location,
            credentials=credentials or AnonymousCredentials(),
            client_options=ClientOptions(api_endpoint=endpoint),
        )
    return bigquery.Client(project=project, location=location, credentials=credentials)


def client(settings: Settings) -> bigquery.Client:
    """The deployment's BigQuery client."""
    return connect(settings.bigquery_project, settings.bigquery_endpoint, settings.bigquery_location)


def storage_client(storage_endpoint: str = "") -> BigQueryReadClient:
    """A Storage Read API client: `storage_endpoint` is an emulator's "host:port"; empty means the real service."""
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

    if not storage_endpoint:
        return BigQueryReadClient()
    import grpc

    channel = grpc.insecure_channel(
        storage_endpoint,
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


def query(bq: bigquery.Client, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Run one statement to its end and return its rows as dicts. `parameters` are bound by name, never pasted in."""
    bound = [bigquery.ScalarQueryParameter(name, _type(value), value) for name, value in (parameters or {}).items()]
    job = bq.query(sql, job_config=bigquery.QueryJobConfig(query_parameters=bound), retry=RETRY, job_retry=None)
    return [dict(row.items()) for row in job.result(retry=RETRY, job_retry=None)]


def _type(value: Any) -> str:
    for kind, name in (
        (bool, "BOOL"),
        (int, "INT64"),
        (float, "FLOAT64"),
        (Decimal, "NUMERIC"),
        (datetime.datetime, "TIMESTAMP"),
        (datetime.date, "DATE"),
    ):
        if isinstance(value, kind):
            return name
    return "STRING"


@contextmanager
def temporary_table(bq: bigquery.Client, prefix: str, schema: list[bigquery.SchemaField]) -> Iterator[str]:
    """An empty table until the end of the block, or for a day when the program is killed in it.

    Yields its name: `prefix`, "dataset.name", with a random end, so that it is nobody else's.
    """
    name = f"{prefix}_{secrets.token_hex(6)}"
    table = bigquery.Table(f"{bq.project}.{name}", schema)
    table.expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    bq.create_table(table, retry=RETRY)
    try:
        yield name
    finally:
        # It expires; what ended the block must not be hidden by this.
        with suppress(GoogleAPIError, requests.RequestException):
            bq.delete_table(table, not_found_ok=True, retry=RETRY)


def create_datasets(bq: bigquery.Client, location: str) -> None:
    """Make the project's six datasets if they are missing."""
    for name in DATASETS:
        create_dataset(bq, name, location)


def create_dataset(bq: bigquery.Client, name: str, location: str) -> None:
    """Make one dataset if it is missing. BigQuery refuses to whoever may not make datasets even one that is there: so that is asked first."""
    dataset = bigquery.Dataset(f"{bq.project}.{name}")
    dataset.location = location
    try:
        bq.get_dataset(dataset.reference, retry=RETRY)
    except NotFound:
        bq.create_dataset(dataset, exists_ok=True, retry=RETRY)


def is_answering(current: Settings) -> bool:
    """Whether the emulator lists its datasets, asked once and without the client's tries."""
    url = f"{current.bigquery_endpoint}/bigquery/v2/projects/{current.bigquery_project}/datasets"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own http URL
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def as_table(rows: list[dict[str, Any]]) -> str:
    """Rows as aligned text under their column names: numbers to the right, null as nothing. "no row" for none."""
    if not rows:
        return "no row"
    cells = [["" if value is None else str(value) for value in row.values()] for row in rows]
    is_number = [
        all(isinstance(v, int | float | Decimal) or v is None for v in column)
        and not any(v is True or v is False for v in column)
        for column in zip(*(row.values() for row in rows), strict=True)
    ]
    widths = [max(len(name), *(len(row[i]) for row in cells)) for i, name in enumerate(rows[0])]

    def line(values: Iterable[str]) -> str:
        aligned = (v.rjust(w) if right else v.ljust(w) for v, w, right in zip(values, widths, is_number, strict=True))
        return "  ".join(aligned).rstrip()

    return "\n".join(map(line, [list(rows[0]), *cells]))


def main() -> int:
    """The command line. Returns the exit status; an error is one line."""
    parser = argparse.ArgumentParser(prog="python -m stack.bigquery", description=__doc__)
    parser.add_argument("sql", nargs="?", help="one statement (default: read from stdin)")
    arguments = parser.parse_args()
    current = stack_settings.for_command()
    # The client would try for 20 seconds to reach an emulator that is not there.
    if current.is_emulator and not is_answering(current):
        print(f"error: no answer from {current.bigquery_endpoint}: `make up` starts it", file=sys.stderr)
        return 1
    try:
        print(as_table(query(client(current), arguments.sql or sys.stdin.read())))
    except ERRORS as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
