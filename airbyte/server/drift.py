"""How a connection follows its source's schema: Airbyte's `nonBreakingSchemaUpdatesBehavior`, and what no behaviour can follow.

| at the source | ignore | disable_connection | propagate_columns | propagate_fully |
|---|---|---|---|---|
| new column | not read | no sync, connection inactive | read; rows that have a value in it land anew | as propagate_columns |
| dropped column | null in what lands from now on, a warning | no sync, connection inactive | as ignore | as ignore |
| new table | not read | no sync, connection inactive | not read | read |
| dropped table | its stream stops | no sync, connection inactive | its stream stops | leaves the connection, a warning |
| changed key | its stream stops | its stream stops | its stream stops | its stream stops |
| a table of the same name in another schema | its stream stops | its stream stops | its stream stops | its stream stops |

A changed key is followed where it changes nothing: in a full refresh, and where the stream's own `primaryKey` is the new one already. A changed type
is found by the destination, which knows what its table has (destination_bigquery/landing.py). A stream that stops does so with a sentence that says what to
do; the others go on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from airbyte.server.catalog import SYNC_MODES

Json = dict[str, Any]
IGNORE, DISABLE, COLUMNS, FULLY = "ignore", "disable_connection", "propagate_columns", "propagate_fully"
MODES = (IGNORE, DISABLE, COLUMNS, FULLY)


class SchemaChanged(Exception):
    """The connection is to be disabled; the message says what has changed and what to do."""


@dataclass
class Followed:
    """What a sync reads, and what the connection remembers after it.

    Attributes:
        streams: the connection's stream configurations; more or fewer than before where tables are propagated.
        columns: {stream: the columns that are read} of the streams that go on.
        shape: the source's shape to compare the next sync's with.
        warnings: what was followed, one sentence each.
        stopped: {stream: why it stops, and what to do}.
    """

    streams: list[Json]
    shape: Json
    columns: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    stopped: dict[str, str] = field(default_factory=dict)


def shape_of(discovered: list[Json]) -> Json:
    """{table: {"columns": names, "key": key columns}}: what a connection remembers of its source."""
    return {
        stream["name"]: {
            "columns": list(stream["json_schema"]["properties"]),
            "key": [path[0] for path in stream.get("source_defined_primary_key") or []],
        }
        for stream in discovered
    }


def accepted(known: Json, discovered: list[Json], streams: list[Json]) -> Json:
    """The shape to remember when somebody accepts the source as it is: `streams` are the connection's, `known` is what it remembered.

    A key that changed is not accepted with the rest: rows landed by the old one would collapse, or be there twice, so the stream stops until its
    own `primaryKey` is another than the old one, too.
    """
    shape = shape_of(discovered)
    for stream in streams:
        name = stream["name"]
        if name in known and name in shape and known[name]["key"] == [path[0] for path in stream["primaryKey"]]:
            shape[name] = shape[name] | {"key": known[name]["key"]}
    return shape


def follow(connection: Json, discovered: list[Json]) -> Followed:
    """Compare the source with what the connection remembers. Raises SchemaChanged under `disable_connection`."""
    behaviour = connection.get("nonBreakingSchemaUpdatesBehavior") or IGNORE
    known: Json = connection["catalog"]
    times = Counter(stream["name"] for stream in discovered)
    single = [stream for stream in discovered if times[stream["name"]] == 1]
    now = shape_of(single) | {name: shape for name, shape in known.items() if times[name] > 1}
    if behaviour == DISABLE:
        _require_unchanged(connection, known, now)
    followed = Followed(streams=[], shape=dict(now))
    for stream in connection["streams"]:
        name = stream["name"]
        before, found = known.get(name), now.get(name)
        if times[name] > 1:
            followed.stopped[name] = (
                f"stream {name} stops: more than one schema has a table of this name: rename the others, or read one schema per connection"
            )
        elif found is None:
            if behaviour == FULLY:
                followed.warnings.append(f"table {name} is gone at the source: the connection syncs it no more")
                continue
            followed.stopped[name] = (
                f"stream {name} stops: its table is missing at the source, or may not be read: create it, grant select on it, "
                "or take the stream out of the connection"
            )
            if before:
                followed.shape[name] = before
        else:
            _follow_table(name, stream, before, found, behaviour, followed)
        followed.streams.append(stream)
    if behaviour == FULLY:
        _add_tables(known, single, followed)
    return followed


def _require_unchanged(connection: Json, known: Json, now: Json) -> None:
    # Not by its key: that stops its stream, as under any behaviour.
    columns, now_columns = ({name: shape["columns"] for name, shape in shapes.items()} for shapes in (known, now))
    changed = sorted(n for n in columns.keys() | now_columns.keys() if columns.get(n) != now_columns.get(n))
    if changed:
        raise SchemaChanged(
            f"the schema of {', '.join(changed)} has changed at the source, and the connection is set to be disabled then: look at the change, "
            f"then set the connection's status to active again, which accepts it"
        )


def _follow_table(
    name: str, stream: Json, before: Json | None, found: Json, behaviour: str, followed: Followed
) -> None:
    if before is None:
        followed.columns[name] = found["columns"]
        return
    key = [path[0] for path in stream["primaryKey"]]
    lost = [column for column in key if column not in found["columns"]]
    # A full refresh tells no rows apart. What has landed by the stream's own key, which is now the table's, was told apart by it.
    is_safe = SYNC_MODES[stream["syncMode"]][0] == "full_refresh" or found["key"] in (before["key"], key)
    if lost or not is_safe:
        followed.stopped[name] = (
            f"stream {name} stops: the key of its table was ({', '.join(before['key'] or key)}) and is now ({', '.join(found['key'])}): undo the "
            "change; or set the stream's primaryKey anew, drop its table at the destination and run a refresh"
        )
        followed.shape[name] = before
        return
    gone = [column for column in before["columns"] if column not in found["columns"]]
    new = [column for column in found["columns"] if column not in before["columns"]]
    if gone:
        followed.warnings.append(
            f"column {', '.join(gone)} of {name} is gone at the source: rows that land from now on have null in it"
        )
    if new and behaviour == IGNORE:
        # Remembered as it was: the column is still new at the next sync.
        followed.warnings.append(f"column {', '.join(new)} of {name} is new at the source and ignored")
        kept = [column for column in found["columns"] if column not in new]
        followed.shape[name] = found | {"columns": kept}
        followed.columns[name] = kept
        return
    if new:
        followed.warnings.append(f"column {', '.join(new)} of {name} is new: rows that have a value in it land anew")
    followed.columns[name] = found["columns"]


def _add_tables(known: Json, discovered: list[Json], followed: Followed) -> None:
    """A table that the connection has never seen becomes a stream, incremental where it has a key."""
    for stream in discovered:
        name = stream["name"]
        if name in known:
            continue
        key = stream.get("source_defined_primary_key") or []
        mode = "incremental_deduped_history" if key else "full_refresh_overwrite"
        followed.streams.append({"name": name, "syncMode": mode, "primaryKey": key})
        followed.columns[name] = list(stream["json_schema"]["properties"])
        followed.warnings.append(f"table {name} is new at the source: the connection syncs it from now on")
