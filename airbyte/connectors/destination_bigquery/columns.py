"""From a stream's JSON schema to BigQuery columns, as Airbyte's typed tables have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from airbyte.connectors.protocol import ConfigError, Json

# What every landed row carries beside the source's columns.
AIRBYTE_COLUMNS = {
    "_airbyte_raw_id": "STRING",
    "_airbyte_extracted_at": "TIMESTAMP",
    "_airbyte_meta": "JSON",
    "_airbyte_generation_id": "INT64",
}
# BigQuery loads no JSON from Parquet: such columns are text until the last statement.
STAGED_TYPES = {"JSON": "STRING"}
# In a staging table that streams share: the place of the row's stream among them.
STREAM = "_stream"
# The deletion sweep's mark (airbyte/deletion_sweep.py): no source column, and no part of a record.
DELETED_AT = "_deleted_at"

_BY_AIRBYTE_TYPE = {
    "big_number": "NUMERIC",
    "big_integer": "NUMERIC",
    "timestamp_with_timezone": "TIMESTAMP",
    "timestamp_without_timezone": "DATETIME",
    "integer": "INT64",
}
_BY_TYPE = {
    "string": "STRING",
    "integer": "INT64",
    "boolean": "BOOL",
    "number": "FLOAT64",
    "object": "JSON",
    "array": "JSON",
}

# The text of a value as DuckDB reads it. A TIMESTAMP is read without a zone, which takes the offset into account and costs a third of the cast that
# knows zones by name.
_DUCKDB = {
    "INT64": "bigint",
    "BOOL": "boolean",
    "FLOAT64": "double",
    "NUMERIC": "decimal(38,9)",
    "DATE": "date",
    "DATETIME": "timestamp",
    "TIMESTAMP": "timestamp",
}
# BigQuery's ranges are narrower than DuckDB's.
_RANGES = {
    "DATE": "between date '0001-01-01' and date '9999-12-31'",
    "DATETIME": "between timestamp '0001-01-01' and timestamp '9999-12-31 23:59:59.999999'",
    "TIMESTAMP": "between timestamp '0001-01-01' and timestamp '9999-12-31 23:59:59.999999'",
}


@dataclass(frozen=True)
class Column:
    """A column and its BigQuery type."""

    name: str
    type: str

    @property
    def duckdb_type(self) -> str | None:
        """What the value's text is cast to; None for text and JSON, which are taken as they are."""
        return _DUCKDB.get(self.type)

    def cast(self, text: str) -> str:
        """A SQL expression: the value of the expression `text`, or null when it is none of the type."""
        if self.duckdb_type is None:
            return f"{text}::varchar"
        value = f"try_cast({text} as {self.duckdb_type})"
        if self.type == "NUMERIC":
            # 64 bits are read ten times as fast as 128, and hold nearly every amount. The cast would round a tenth decimal; the length spares nearly
            # every value the search for one.
            value = f"coalesce(try_cast({text} as decimal(18,9))::decimal(38,9), {value})"
            is_rounded = rf"length({text}) > 11 and regexp_matches({text}, '\.[0-9]{{9}}[0-9]*[1-9]')"
            return f"case when {is_rounded} then null else {value} end"
        if self.type in _RANGES:
            # The cast takes a date before Christ for the same one after.
            is_held = f"not ends_with({text}, 'BC') and {value} {_RANGES[self.type]}"
            held = f"make_timestamptz(epoch_us({value}))" if self.type == "TIMESTAMP" else value
            return f"case when {is_held} then {held} end"
        return value


def columns(stream: str, properties: Mapping[str, Json]) -> list[Column]:
    """The stream's columns. Raises ConfigError on a name that BigQuery or this destination cannot take."""
    found = []
    for name, schema in properties.items():
        if name.lower() in (*AIRBYTE_COLUMNS, DELETED_AT) or not name.isidentifier():
            raise ConfigError(f"stream {stream}: {name!r} cannot be a column name here: rename it at the source")
        found.append(Column(name, bigquery_type(schema)))
    return found


def staged(types: Mapping[str, str], place: int | None) -> dict[str, str]:
    """{column: its name in the staging table}. `place` is the stream's among those that share the table, None in one of its own.

    In a shared one the streams' columns of a type share theirs (`_airbyte_string_1`, …): a load costs by the column, also where all is null.
    """
    counts: Counter[str] = Counter()
    names = {}
    for name, kind in types.items():
        names[name] = name
        if place is not None and name not in AIRBYTE_COLUMNS:
            shared = STAGED_TYPES.get(kind, kind)
            counts[shared] += 1
            names[name] = f"_airbyte_{shared.lower()}_{counts[shared]}"
    return names


def bigquery_type(schema: Json) -> str:
    """The BigQuery type of a property."""
    if schema.get("airbyte_type") in _BY_AIRBYTE_TYPE:
        return _BY_AIRBYTE_TYPE[schema["airbyte_type"]]
    kinds = schema.get("type", "string")
    kinds = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    if kinds == ["string"]:
        return {"date": "DATE", "date-time": "TIMESTAMP"}.get(schema.get("format", ""), "STRING")
    return _BY_TYPE.get(kinds[0], "JSON") if len(kinds) == 1 else "JSON"
