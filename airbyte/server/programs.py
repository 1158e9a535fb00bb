"""The connectors the server knows, and how it runs them: as the programs they are, their configuration in files that only the owner can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from airbyte.connectors.destination_bigquery.spec import SPEC as BIGQUERY
from airbyte.connectors.source_postgres.spec import SPEC as POSTGRES
from airbyte.server import secret_fields
from stack.settings import ROOT

Json = dict[str, Any]
COMMAND_SECONDS = 120


@dataclass(frozen=True)
class Definition:
    """A connector: its type in configurations, its id and name in Airbyte's registry, its module and its spec."""

    type: str
    id: str
    name: str
    module: str
    spec: Json

    @property
    def marked(self) -> frozenset[str]:
        """The fields that the spec calls secret."""
        properties = self.spec["connectionSpecification"]["properties"]
        return frozenset(name for name, schema in properties.items() if schema.get("airbyte_secret"))

    def masked(self, configuration: Json) -> Json:
        """The configuration as answers show it: without secrets."""
        shown: Json = secret_fields.masked(configuration, self.marked)
        return shown

    def secrets(self, configuration: Json) -> list[str]:
        """The configuration's secrets, to be kept out of logs."""
        return secret_fields.values(configuration, self.marked)


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


def problems(definition: Definition, configuration: Json) -> list[str]:
    """What is wrong with a configuration by the connector's spec, one sentence each, without the values: they may be secret."""
    # Not needed by the jobs, which import this module too.
    from jsonschema import Draft7Validator

    spec = definition.spec["connectionSpecification"]
    missing = [name for name in spec["required"] if configuration.get(name) in (None, "")]
    said = [f"it lacks {', '.join(missing)}"] if missing else []
    for error in sorted(Draft7Validator(spec).iter_errors(configuration), key=lambda e: [str(p) for p in e.path]):
        if error.validator != "required" and error.path and error.path[0] not in missing:
            rule = error.validator_value
            allowed = json.dumps(rule) if error.validator in ("enum", "const", "type", "minimum", "maximum") else ""
            said.append(f"{'.'.join(map(str, error.path))} must fit {error.validator} {allowed}".rstrip())
    return said


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


def said(module: str, arguments: list[str], seconds: float) -> tuple[bytes, bytes]:
    """What `python -m module arguments` writes to stdout and stderr. Raises TimeoutExpired when it takes longer than `seconds`."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    return done.stdout, done.stderr


def discover(
    definition: Definition,
    configuration: Json,
    folder: Path | None = None,
    run: Callable[[str, list[str], float], tuple[bytes, bytes]] = said,
) -> list[Json]:
    """The source's streams. The configuration's file is made below `folder`, by default the system's for temporary files.

    `run` runs the program, as `said` does. Raises ConnectorFailure with the connector's reason.
    """
    with files(folder, config=configuration) as options:
        try:
            output, errors = run(definition.module, ["discover", *options], COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            raise ConnectorFailure(f"{definition.name} did not answer within {COMMAND_SECONDS} s") from None
    reason = ""
    hidden = definition.secrets(configuration)
    for line in output.splitlines():
        message = orjson.loads(line)
        if message["type"] == "CATALOG":
            streams: list[Json] = message["catalog"]["streams"]
            return streams
        if message["type"] == "TRACE" and message["trace"]["type"] == "ERROR":
            reason = message["trace"]["error"]["message"]
    reason = reason or (errors.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    for secret in hidden:
        reason = reason.replace(secret, secret_fields.MASK)
    raise ConnectorFailure(reason)
