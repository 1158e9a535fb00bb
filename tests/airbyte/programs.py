"""Run the connectors as a platform does: as programs with files and pipes, their messages validated against the official models."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from airbyte_protocol.models import AirbyteMessage, ConfiguredAirbyteCatalog

from stack.settings import ROOT, Settings

SOURCE, DESTINATION = "airbyte.connectors.source_postgres", "airbyte.connectors.destination_bigquery"
Json = dict[str, Any]


def source_config(settings: Settings, **changes: Any) -> Json:
    """The source's configuration for the tests' Postgres, as its owner."""
    url = urlsplit(settings.admin_dsn)
    config = {
        "host": url.hostname,
        "port": url.port,
        "database": url.path.lstrip("/"),
        "username": settings.postgres_user,
        "password": settings.postgres_password,
        "schemas": ["public"],
        "ssl_mode": {"mode": "prefer"},
        "replication_method": {"method": "Xmin"},
    }
    return config | changes


def destination_config(settings: Settings, dataset: str = "raw") -> Json:
    """The destination's configuration for the tests' emulator."""
    return {
        "project_id": settings.bigquery_project,
        "dataset_location": settings.bigquery_location,
        "dataset_id": dataset,
    }


@dataclass
class Connection:
    """A source, a destination and the streams between them, with the state that a platform would keep."""

    folder: Path
    source: Json
    destination: Json
    catalog: Json
    state: dict[str, Json] = field(default_factory=dict)

    def call(self, module: str, command: str, **files: Any) -> tuple[list[Json], subprocess.CompletedProcess[bytes]]:
        """Run one command; returns its messages, each valid, and the finished process."""
        arguments = [command]
        for name, content in files.items():
            path = self.folder / f"{name}.json"
            path.write_bytes(orjson.dumps(content))
            arguments += [f"--{name}", str(path)]
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, timeout=120, check=False
        )
        return messages(done.stdout), done

    def read(self) -> tuple[bytes, list[Json]]:
        """What the source says from the kept state on: as bytes and as messages."""
        ConfiguredAirbyteCatalog.model_validate(self.catalog)
        found, done = self.call(
            SOURCE, "read", config=self.source, catalog=self.catalog, state=list(self.state.values())
        )
        assert done.returncode == 0, (found[-1:], done.stderr)
        return done.stdout, found

    def write(self, lines: bytes) -> tuple[list[Json], int]:
        """Hand the lines to the destination; states it acknowledges are kept. Returns its messages and exit status."""
        for name, content in (("config", self.destination), ("catalog", self.catalog)):
            (self.folder / f"{name}.json").write_bytes(orjson.dumps(content))
        files = ["--config", str(self.folder / "config.json"), "--catalog", str(self.folder / "catalog.json")]
        done = subprocess.run(
            [sys.executable, "-m", DESTINATION, "write", *files],
            input=lines,
            cwd=ROOT,
            capture_output=True,
            timeout=120,
            check=False,
        )
        said = messages(done.stdout)
        assert said or not done.stderr, done.stderr.decode()
        for message in said:
            if message["type"] == "STATE":
                self.state[message["state"]["stream"]["stream_descriptor"]["name"]] = message["state"]
        return said, done.returncode

    def sync(self) -> int:
        """Read and write everything new. Returns the number of records."""
        lines, found = self.read()
        said, status = self.write(lines)
        assert status == 0, said[-1]
        return sum(m["type"] == "RECORD" for m in found)


def messages(output: bytes) -> list[Json]:
    """The messages of a connector's output, each checked against the official model."""
    found = [orjson.loads(line) for line in output.splitlines()]
    for message in found:
        AirbyteMessage.model_validate(message)
    return found


def configured(streams: list[Json], modes: dict[str, tuple[str, str]]) -> Json:
    """A configured catalog: {stream: (sync mode, destination sync mode)} of the discovered streams."""
    by_name = {stream["name"]: stream for stream in streams}
    return {
        "streams": [
            {
                "stream": by_name[name],
                "sync_mode": read,
                "destination_sync_mode": write,
                "primary_key": by_name[name]["source_defined_primary_key"],
                "generation_id": 1,
                "minimum_generation_id": 1 if write == "overwrite" else 0,
                "sync_id": 7,
            }
            for name, (read, write) in modes.items()
        ]
    }
