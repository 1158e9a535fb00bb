"""The connectors the server knows, and how it runs them: as the programs they are, their configuration in files that only the owner can read."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from airbyte.connectors.destination_bigquery.connector import SPEC as BIGQUERY
from airbyte.connectors.source_postgres.connection import SPEC as POSTGRES
from stack.settings import ROOT

Json = dict[str, Any]
MASK = "**********"
COMMAND_SECONDS = 120


@dataclass(frozen=True)
class Definition:
    """A connector: its type in configurations, its id and name in Airbyte's registry, its module and its spec."""

    type: str
    id: str
    name: str
    module: str
    spec: Json

    def masked(self, configuration: Json) -> Json:
        """The configuration as answers show it: without secrets."""
        properties = self.spec["connectionSpecification"]["properties"]
        secret = {name for name, schema in properties.items() if schema.get("airbyte_secret")}
        return {name: MASK if name in secret and value else value for name, value in configuration.items()}


SOURCES = {
    "postgres": Definition(
        "postgres",
        "decd338e-5647-4c0b-adf4-da0e75f5a750",
        "Postgres",
        "airbyte.connectors.source_postgres",
        POSTGRES,
    )
}
DESTINATIONS = {
    "bigquery": Definition(
        "bigquery",
        "22f6c74f-5699-40ff-833c-4a879ea40133",
        "BigQuery",
        "airbyte.connectors.destination_bigquery",
        BIGQUERY,
    )
}


class ConnectorFailure(Exception):
    """A connector could not do what it was asked; the message is its own."""


def environment() -> dict[str, str]:
    """What a connector's process gets."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@contextmanager
def files(folder: Path | None = None, **contents: Any) -> Iterator[list[str]]:
    """Command-line options that name one JSON file for each content; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="connector_", dir=folder) as made:
        options = []
        for name, content in contents.items():
            path = Path(made) / f"{name}.json"
            path.touch(mode=0o600)
            path.write_bytes(orjson.dumps(content))
            options += [f"--{name}", str(path)]
        yield options


def command(definition: Definition, name: str, options: list[str]) -> list[str]:
    """The command line of a connector."""
    return [sys.executable, "-m", definition.module, name, *options]


def discover(definition: Definition, configuration: Json) -> list[Json]:
    """The source's streams. Raises ConnectorFailure with the connector's reason."""
    with files(config=configuration) as options:
        try:
            done = subprocess.run(
                command(definition, "discover", options),
                cwd=ROOT,
                env=environment(),
                capture_output=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ConnectorFailure(f"{definition.name} did not answer within {COMMAND_SECONDS} s") from None
    reason = ""
    for line in done.stdout.splitlines():
        message = orjson.loads(line)
        if message["type"] == "CATALOG":
            streams: list[Json] = message["catalog"]["streams"]
            return streams
        if message["type"] == "TRACE" and message["trace"]["type"] == "ERROR":
            reason = message["trace"]["error"]["message"]
    raise ConnectorFailure(reason or done.stderr.decode(errors="replace").strip().splitlines()[-1])
