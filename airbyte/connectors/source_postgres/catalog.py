"""Tables as streams: what PostgreSQL has, and how each type travels."""

from __future__ import annotations

from typing import Any

import psycopg

from airbyte.connectors.protocol import FULL_REFRESH, INCREMENTAL, Json

# Types whose JSON form is already exact. Every other type travels as PostgreSQL's own text, so that no digit is lost.
_NUMBER: Json = {"type": ["null", "integer"]}
_TEXT: Json = {"type": ["null", "string"]}
_SCHEMAS: dict[str, Json] = {
    "int2": _NUMBER,
    "int4": _NUMBER,
    "int8": _NUMBER,
    "bool": {"type": ["null", "boolean"]},
    "numeric": {"type": ["null", "string"], "airbyte_type": "big_number"},
    "float4": {"type": ["null", "number"]},
    "float8": {"type": ["null", "number"]},
    "date": {"type": ["null", "string"], "format": "date"},
    "timestamptz": {"type": ["null", "string"], "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
    "timestamp": {"type": ["null", "string"], "format": "date-time", "airbyte_type": "timestamp_without_timezone"},
    "json": {"type": ["null", "object"]},
    "jsonb": {"type": ["null", "object"]},
}
_ARRAY: Json = {"type": ["null", "array"]}
# What row_to_json writes without loss.
_AS_JSON = {
    "text",
    "varchar",
    "bpchar",
    "uuid",
    "float4",
    "float8",
    "int2",
    "int4",
    "int8",
    "bool",
    "date",
    "timestamptz",
    "timestamp",
    "json",
    "jsonb",
}

_COLUMNS = """
select
    c.relname as table_name,
    a.attname as column_name,
    case when t.typtype = 'd' then bt.typname else t.typname end as type_name,
    t.typcategory = 'A' as is_array
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_type as t on t.oid = a.atttypid
left join pg_type as bt on bt.oid = t.typbasetype
where n.nspname = %(schema)s and c.relkind in ('r', 'p', 'm')
    and not c.relispartition
    and has_table_privilege(c.oid, 'select')
order by c.relname, a.attnum
"""

_KEYS = """
select c.relname as table_name, a.attname as column_name
from pg_index as i
join pg_class as c on c.oid = i.indrelid
join pg_namespace as n on n.oid = c.relnamespace
cross join unnest(i.indkey) with ordinality as k (attnum, position)
join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.attnum
where i.indisprimary and n.nspname = %(schema)s
order by c.relname, k.position
"""

Columns = dict[str, tuple[str, bool]]


def columns_of(connection: psycopg.Connection[Any], schema: str) -> dict[str, Columns]:
    """{table: {column: (type name, whether an array)}} of every readable table, columns in table order."""
    tables: dict[str, Columns] = {}
    for table, column, type_name, is_array in connection.execute(_COLUMNS, {"schema": schema}):
        tables.setdefault(table, {})[column] = (type_name, is_array)
    return tables


def json_schema(type_name: str, is_array: bool) -> Json:
    """How a column of this type is described in the catalog."""
    if is_array:
        return _ARRAY
    return _SCHEMAS.get(type_name, _TEXT)


def travels_as_json(type_name: str, is_array: bool) -> bool:
    """Whether row_to_json writes the type exactly; else the column is sent as text."""
    return is_array or type_name in _AS_JSON


def streams(connection: psycopg.Connection[Any], schemas: list[str]) -> list[Json]:
    """The catalog: one stream a readable table, with its key."""
    found = []
    for schema in schemas:
        keys: dict[str, list[list[str]]] = {}
        for table, column in connection.execute(_KEYS, {"schema": schema}):
            keys.setdefault(table, []).append([column])
        for table, columns in columns_of(connection, schema).items():
            properties = {name: json_schema(*kind) for name, kind in columns.items()}
            found.append(
                {
                    "name": table,
                    "namespace": schema,
                    "json_schema": {"type": "object", "properties": properties},
                    "supported_sync_modes": [FULL_REFRESH, INCREMENTAL],
                    "source_defined_cursor": True,
                    "source_defined_primary_key": keys.get(table, []),
                }
            )
    return found
