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

    @property
    def schema(self) -> str:
        """The schema of the source that has the streams' tables: to be named, as a login may look in others first."""
        return str(self.source["configuration"]["schemas"][0])

    def lacking(self, found: dict[str, set[str]]) -> str | None:
        """What the pipeline needs and the source, {table: its columns}, lacks: one sentence, None when nothing."""
        if not found:
            return "the source has no table that may be read: fill it (`make demo` does), or grant select to its user"
        absent = [stream.name for stream in self.streams if stream.name not in found]
        if absent:
            return f"the source lacks the table {', '.join(absent)}, or it may not be read: see source/schema.sql"
        for stream in self.streams:
            columns = [column for column in stream.columns if column not in found[stream.name]]
            if columns:
                return f"the source's table {stream.name} lacks the column {', '.join(columns)}: see source/schema.sql"
        return None


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
