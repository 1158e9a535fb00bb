"""Spec, check and write."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from airbyte.connectors.destination_bigquery.landing import Landing
from airbyte.connectors.protocol import ConfigError, ConfiguredStream, Json, Output, TransientError, one_line
from stack.bigquery import RETRY, connect
from stack.settings import load

SPEC: Json = {
    "documentationUrl": "https://docs.airbyte.com/integrations/destinations/bigquery",
    "supportsIncremental": True,
    "supported_destination_sync_modes": ["overwrite", "append", "append_dedup"],
    "connectionSpecification": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "BigQuery Destination Spec",
        "type": "object",
        "required": ["project_id", "dataset_location", "dataset_id"],
        "additionalProperties": True,
        "properties": {
            "project_id": {"type": "string", "title": "Project ID", "order": 0},
            "dataset_location": {"type": "string", "title": "Dataset Location", "order": 1},
            "dataset_id": {"type": "string", "title": "Default Dataset ID", "order": 2},
            "credentials_json": {
                "type": "string",
                "title": "Service Account Key JSON",
                "description": "Application default credentials are used when this is empty.",
                "airbyte_secret": True,
                "order": 3,
            },
        },
    },
}
READ_BYTES = 1 << 20


class DestinationBigQuery:
    """BigQuery, or the emulator that BIGQUERY_ENDPOINT names."""

    spec = SPEC

    def check(self, config: Json) -> None:
        """Raise ConfigError or TransientError unless the dataset can be made and a job can run."""
        client = _client(config)
        try:
            _create_dataset(client, config)
            client.query("select 1", retry=RETRY, job_retry=None, timeout=30).result(retry=RETRY, job_retry=None)
        except (GoogleAPIError, GoogleAuthError, OSError) as error:
            raise TransientError(f"BigQuery project {config['project_id']}: {one_line(error)}") from None

    def write(self, config: Json, streams: list[ConfiguredStream], messages: IO[bytes], output: Output) -> None:
        """Land the records of `messages`; echo each state once everything before it is committed.

        Raises ConfigError when a record's stream is unknown, TransientError when the input ends before every stream was complete.
        """
        client = _client(config)
        _create_dataset(client, config)
        with tempfile.TemporaryDirectory(prefix="destination_bigquery_") as folder:
            landings = {s.name: Landing(client, config["dataset_id"], s, Path(folder)) for s in streams}
            try:
                _land(landings, messages, output)
            finally:
                for landing in landings.values():
                    landing.close()


def _client(config: Json) -> bigquery.Client:
    credentials: Any = None
    if config.get("credentials_json"):
        from google.oauth2.service_account import Credentials

        try:
            credentials = Credentials.from_service_account_info(json.loads(config["credentials_json"]))
        except ValueError as error:
            raise ConfigError(f"credentials_json is not a service account key: {error}") from None
    try:
        return connect(config["project_id"], load().bigquery_endpoint, config["dataset_location"], credentials)
    except GoogleAuthError as error:
        raise ConfigError(f"no credentials for BigQuery: {one_line(error)}") from None


def _create_dataset(client: bigquery.Client, config: Json) -> None:
    dataset = bigquery.Dataset(f"{client.project}.{config['dataset_id']}")
    dataset.location = config["dataset_location"]
    client.create_dataset(dataset, exists_ok=True, retry=RETRY)


def _land(landings: dict[str, Landing], messages: IO[bytes], output: Output) -> None:
    prefix, current = b"\x00", None
    for line in _lines(messages):
        if line.startswith(prefix) and current is not None:
            current.add(line)
            continue
        message = orjson.loads(line)
        if message["type"] == "RECORD":
            current = _landing(landings, message["record"]["stream"])
            current.add(line)
            prefix = _prefix(message["record"], line)
        elif message["type"] == "STATE":
            _landing(landings, message["state"]["stream"]["stream_descriptor"]["name"]).states.append(line)
        elif message["type"] == "TRACE" and message["trace"]["type"] == "STREAM_STATUS":
            status = message["trace"]["stream_status"]
            landing = _landing(landings, status["stream_descriptor"]["name"])
            if status["status"] == "COMPLETE":
                rows = landing.commit()
                for state in landing.states:
                    output.raw(state + b"\n")
                output.flush()
                output.log(f"{landing.stream.name}: {rows:,} rows committed")
    unfinished = [name for name, landing in landings.items() if not landing.is_committed]
    if unfinished:
        raise TransientError(
            f"the source ended before {', '.join(unfinished)} was complete: what came of it is not landed"
        )


def _landing(landings: dict[str, Landing], name: str) -> Landing:
    try:
        return landings[name]
    except KeyError:
        raise ConfigError(f"a message names the stream {name}, which the catalog does not have") from None


def _prefix(record: Json, line: bytes) -> bytes:
    """What the next records of the same stream start with too, when the source writes its keys in the usual order; else what no line starts with."""
    head = orjson.dumps({"stream": record["stream"], "namespace": record.get("namespace")})[:-1]
    expected = b'{"type":"RECORD","record":' + head + b',"data":'
    return expected if line.startswith(expected) else b"\x00"


def _lines(messages: IO[bytes]) -> Iterator[bytes]:
    """Whole lines, without their end. A last line without one was cut off with its writer, and is no message."""
    rest = b""
    source = messages if isinstance(messages, io.BufferedReader) else io.BufferedReader(messages)  # type: ignore[type-var]
    while chunk := source.read1(READ_BYTES):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if line:
                yield line
