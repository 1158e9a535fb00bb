"""`marketplace.yaml` as Python values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parent / "marketplace.yaml"
Json = dict[str, Any]


@dataclass(frozen=True)
class Stream:
    """One table: its key, the columns that the pipeline needs (more may be there), Airbyte's sync mode, and why."""

    name: str
    sync_mode: str
    primary_key: tuple[str, ...]
    columns: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Description:
    """The connection: the parts that Airbyte gets as they are, and the streams."""

    name: str
    source: Json
    destination: Json
    settings: Json
    streams: tuple[Stream, ...]


@cache
def load(path: Path = FILE) -> Description:
    """The description in `path`."""
    document = yaml.safe_load(path.read_text())
    return Description(
        name=document["name"],
        source=document["source"],
        destination=document["destination"],
        settings={
            name: document[name] for name in ("namespaceDefinition", "nonBreakingSchemaUpdatesBehavior", "schedule")
        },
        streams=tuple(
            Stream(
                stream["name"],
                stream["syncMode"],
                tuple(path[0] for path in stream["primaryKey"]),
                tuple(stream["columns"]),
                stream["reason"],
            )
            for stream in document["streams"]
        ),
    )
