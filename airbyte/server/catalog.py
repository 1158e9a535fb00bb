"""From a connection's stream configurations to the configured catalog that its connectors get."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

# Airbyte's names of the combinations: (how the source reads, how the destination writes).
SYNC_MODES = {
    "full_refresh_overwrite": ("full_refresh", "overwrite"),
    "full_refresh_append": ("full_refresh", "append"),
    "incremental_append": ("incremental", "append"),
    "incremental_deduped_history": ("incremental", "append_dedup"),
}


class CatalogError(ValueError):
    """The configuration does not fit what the source has; the message says which stream and what."""


def validate(streams: list[Json], discovered: list[Json]) -> list[Json]:
    """The stream configurations with their defaults filled in; all discovered streams, full refresh, when none is given.

    Raises CatalogError.
    """
    by_name = {stream["name"]: stream for stream in discovered}
    if len(by_name) < len(discovered):
        raise CatalogError("two schemas have a table of the same name: read one schema per connection")
    completed: dict[str, Json] = {}
    for stream in streams or [{"name": name} for name in by_name]:
        name = stream["name"]
        if name not in by_name:
            raise CatalogError(
                f"stream {name} is missing at the source, or may not be read; it has: {', '.join(sorted(by_name)) or 'nothing'}"
            )
        schema = by_name[name].get("namespace")
        if stream.get("namespace") not in (None, "", schema):
            raise CatalogError(f"stream {name} is in the schema {schema}, not in {stream['namespace']}")
        if name in completed:
            raise CatalogError(f"stream {name} is given twice: a connection reads a table once")
        mode = stream.get("syncMode") or "full_refresh_overwrite"
        if mode not in SYNC_MODES:
            raise CatalogError(f"stream {name}: syncMode {mode} is not supported; these are: {', '.join(SYNC_MODES)}")
        key = stream.get("primaryKey") or by_name[name].get("source_defined_primary_key") or []
        if mode == "incremental_deduped_history" and not key:
            raise CatalogError(f"stream {name}: incremental_deduped_history needs a primaryKey")
        if len({path[0] for path in key}) < len(key):
            raise CatalogError(f"stream {name}: its primaryKey names a column twice")
        columns = by_name[name]["json_schema"]["properties"]
        wanted = [path[0] for path in key] + [_field(f) for f in stream.get("selectedFields") or []]
        absent = [column for column in wanted if column not in columns]
        if absent:
            raise CatalogError(f"stream {name} has no column {', '.join(absent)}")
        completed[name] = stream | {"syncMode": mode, "primaryKey": key}
    return list(completed.values())


def _field(selected: Json) -> str:
    return str(selected["fieldPath"][0])


def configured(
    streams: list[Json],
    columns: dict[str, list[str]],
    discovered: list[Json],
    generations: dict[str, int],
    resumed: set[str],
    sync_id: int,
) -> Json:
    """The configured catalog of one sync.

    Args:
        streams: the connection's stream configurations.
        columns: {stream: the columns that are read}; a stream that is not in it is left out.
        discovered: the source's streams.
        generations: {stream: generation id}.
        resumed: the streams whose source continues where an earlier sync ended. Not part of Airbyte's catalog: a destination that knows it can tell
            that the table which holds the rest is gone.
        sync_id: the job.
    """
    items = []
    by_name = {stream["name"]: stream for stream in discovered}
    for stream in streams:
        name = stream["name"]
        if name not in columns:
            continue
        wanted = set(columns[name])
        if stream.get("selectedFields"):
            wanted &= {_field(f) for f in stream["selectedFields"]} | {path[0] for path in stream["primaryKey"]}
        found = by_name[name]
        properties = {
            column: schema for column, schema in found["json_schema"]["properties"].items() if column in wanted
        }
        read, write = SYNC_MODES[stream["syncMode"]]
        generation = generations.get(name, 0)
        items.append(
            {
                "stream": found | {"json_schema": {"type": "object", "properties": properties}},
                "sync_mode": read,
                "destination_sync_mode": write,
                "cursor_field": stream.get("cursorField") or [],
                "primary_key": stream["primaryKey"],
                "generation_id": generation,
                "minimum_generation_id": generation if write == "overwrite" else 0,
                "sync_id": sync_id,
                "is_resumed": name in resumed and read == "incremental",
            }
        )
    return {"streams": items}
