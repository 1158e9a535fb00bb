"""Tables as streams: what PostgreSQL has, and how each type travels."""

from __future__ import annotations

from dataclasses import dataclass
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
_SMALL = (_AS_JSON - {"text", "varchar", "bpchar", "json", "jsonb"}) | {
    *("numeric", "time", "timetz", "interval", "money", "inet", "cidr", "macaddr", "oid", "name", "char"),
}

_SHORT = 1 << 16
# Arrays of these become JSON without a number in it, or with whole ones only.
_SAFE_ELEMENTS = _AS_JSON - {"json", "jsonb"}

# A domain is what it is at its root; an array has the name of its elements' type.
_COLUMNS = """
with recursive roots (oid, root) as (
    select oid, oid from pg_type where typtype <> 'd'
    union all
    select t.oid, r.root from pg_type as t join roots as r on t.typbasetype = r.oid where t.typtype = 'd'
)
select
    c.oid::bigint as table_oid,
    c.relname as table_name,
    a.attname as column_name,
    a.attnum as number,
    coalesce(e.typname, t.typname) as type_name,
    e.oid is not null as is_array,
    case when a.atttypmod > 4 and t.typname in ('varchar', 'bpchar') then a.atttypmod - 4 else 0 end as length,
    case
        when a.attgenerated = 'v' then array[pg_get_expr(d.adbin, d.adrelid)]
        when coalesce(e.typtype, t.typtype) = 'e'
            then array(select format('%%s %%s', l.oid, l.enumlabel) from pg_enum as l where l.enumtypid = coalesce(e.oid, t.oid))
        else '{}'
    end as meaning
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join roots as r on r.oid = a.atttypid
join pg_type as t on t.oid = r.root
left join pg_type as e on e.oid = t.typelem and t.typlen = -1 and t.typcategory = 'A'
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum and a.attgenerated = 'v'
where n.nspname = %(schema)s and c.relkind in ('r', 'p', 'm')
    and not c.relispartition
    and has_table_privilege(c.oid, 'select')
order by c.relname, a.attnum
"""

# Where the rows really are: the table, and its partitions or children.
_STORED_IN = """
with recursive tree (root, oid) as (
    select c.oid, c.oid from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = %(schema)s and c.relkind in ('r', 'p', 'm')
    union
    select t.root, i.inhrelid from tree as t join pg_inherits as i on i.inhparent = t.oid
)
select root::bigint, array_agg(oid::bigint order by oid) from tree group by root
"""

# The columns of INCLUDE come last in the index, and are no part of the key.
_KEYS = """
select c.relname as table_name, a.attname as column_name
from pg_index as i
join pg_class as c on c.oid = i.indrelid
join pg_namespace as n on n.oid = c.relnamespace
cross join unnest(i.indkey) with ordinality as k (attnum, position)
join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.attnum
where i.indisprimary and k.position <= i.indnkeyatts and n.nspname = %(schema)s
order by c.relname, k.position
"""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        type_name: its type's name; of the elements, in an array.
        number: its place in the table, which a column of the same name made anew does not share.
        length: the most characters that it takes, 0 when the type sets no bound.
        meaning: what makes values of what its rows hold, and can change without a row being written: an enum's labels with their numbers, the
            expression of a virtual column.
    """

    type_name: str
    is_array: bool
    number: int
    length: int
    meaning: tuple[str, ...] = ()

    @property
    def travels_as_json(self) -> bool:
        """Whether row_to_json writes the type exactly; else the column is sent as PostgreSQL's text."""
        return self.is_array or self.type_name in _AS_JSON

    @property
    def may_break_lines(self) -> bool:
        """Whether its JSON may hold line breaks: `json` keeps the text that it was given."""
        return self.type_name == "json" or (
            self.is_array and self.type_name not in _SAFE_ELEMENTS | {"jsonb", "numeric"}
        )

    @property
    def may_hold_wide_numbers(self) -> bool:
        """Whether its JSON may hold numbers, or escapes, that a reader of JSON cannot keep."""
        return self.type_name in ("json", "jsonb") or (self.is_array and self.type_name not in _SAFE_ELEMENTS)

    @property
    def may_be_large(self) -> bool:
        """Whether a value may be longer than a record can be."""
        return self.is_array or not (self.type_name in _SMALL or 0 < self.length <= _SHORT)


@dataclass(frozen=True)
class Table:
    """A readable table: its columns, and the oids of what its rows are stored in."""

    columns: dict[str, Column]
    stored_in: tuple[int, ...]


def tables_of(connection: psycopg.Connection[Any], schema: str) -> dict[str, Table]:
    """{table: what it is} of every readable table, columns in table order."""
    stored_in = {row[0]: tuple(row[1]) for row in connection.execute(_STORED_IN, {"schema": schema})}
    tables: dict[str, Table] = {}
    found = connection.execute(_COLUMNS, {"schema": schema})
    for oid, table, name, number, type_name, is_array, length, meaning in found:
        made = tables.setdefault(table, Table({}, stored_in[oid]))
        made.columns[name] = Column(type_name, is_array, number, length, tuple(meaning))
    return tables


def json_schema(column: Column) -> Json:
    """How the column is described in the catalog."""
    return _ARRAY if column.is_array else _SCHEMAS.get(column.type_name, _TEXT)


def streams(connection: psycopg.Connection[Any], schemas: list[str]) -> list[Json]:
    """The catalog: one stream a readable table, with its key."""
    found = []
    for schema in schemas:
        keys: dict[str, list[list[str]]] = {}
        for table, column in connection.execute(_KEYS, {"schema": schema}):
            keys.setdefault(table, []).append([column])
        for name, table in tables_of(connection, schema).items():
            properties = {column: json_schema(kind) for column, kind in table.columns.items()}
            found.append(
                {
                    "name": name,
                    "namespace": schema,
                    "json_schema": {"type": "object", "properties": properties},
                    "supported_sync_modes": [FULL_REFRESH, INCREMENTAL],
                    "source_defined_cursor": True,
                    "source_defined_primary_key": keys.get(name, []),
                }
            )
    return found
