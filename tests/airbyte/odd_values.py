"""Values that readers, JSON, Parquet or a warehouse are known to damage, each with what must become of it."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

UTC = datetime.UTC
NESTED = 300


@dataclass(frozen=True)
class Nulled:
    """The value lands as null, with this reason in `_airbyte_meta.changes`."""

    reason: str


@dataclass(frozen=True)
class Json:
    """The value lands as JSON of this text (numbers compared by their digits)."""

    text: str


TYPECAST = Nulled("DESTINATION_TYPECAST_ERROR")
UNREPRESENTABLE = Nulled("SOURCE_SERIALIZATION_ERROR")
TOO_LARGE = Nulled("SOURCE_FIELD_SIZE_LIMITATION")
INF = float("inf")
DEEP = "[" * NESTED + "1" + "]" * NESTED
WIDE = r'["[\"' + "[{" * 600 + '"' + ",[]" * 600 + "]"
LARGE = json.dumps({"text": 'ä"\\\n' * 150_000}, ensure_ascii=False)


def at(*parts: int) -> datetime.datetime:
    return datetime.datetime(*parts)  # type: ignore[arg-type]


def at_utc(*parts: int) -> datetime.datetime:
    return at(*parts).replace(tzinfo=UTC)


# (PostgreSQL type, SQL expression of the value, what lands)
VALUES: list[tuple[str, str, Any]] = [
    # whole numbers
    ("smallint", "-32768", -32768),
    ("bigint", "9223372036854775807", 9223372036854775807),
    ("bigint", "9007199254740993", 9007199254740993),
    # decimals
    ("numeric", "99999999999999999999999999999.999999999", Decimal("99999999999999999999999999999.999999999")),
    ("numeric", "-0.000000001", Decimal("-0.000000001")),
    ("numeric", "100000000000000000000000000000", TYPECAST),
    ("numeric", "0.1234567891", TYPECAST),
    ("numeric", "-1.00000000000000000001", TYPECAST),
    ("numeric(30,15)", "12.500000000000000", Decimal("12.5")),
    ("numeric", "'NaN'", TYPECAST),
    ("numeric", "'-Infinity'", TYPECAST),
    ("numeric(12,2)", "0.00", Decimal("0.00")),
    # floats
    ("float8", "0.1", 0.1),
    ("float8", "1e308", 1e308),
    ("float8", "5e-324", 5e-324),
    ("float8", "'Infinity'", INF),
    ("float8", "'-Infinity'", -INF),
    ("float8", "'NaN'", float("nan")),
    # Equal to zero: its sign is not kept.
    ("float8", "'-0'", 0.0),
    ("float4", "0.1", 0.1),
    ("money", "-1234.56", "-$1,234.56"),
    # dates and times
    ("date", "'0001-01-01'", datetime.date(1, 1, 1)),
    ("date", "'9999-12-31'", datetime.date(9999, 12, 31)),
    ("date", "'0044-03-15 BC'", TYPECAST),
    ("date", "'10000-01-01'", TYPECAST),
    ("date", "'infinity'", TYPECAST),
    ("timestamp", "'2024-02-29 23:59:59.999999'", at(2024, 2, 29, 23, 59, 59, 999999)),
    ("timestamp", "'0001-01-01'", at(1, 1, 1)),
    ("timestamp", "'-infinity'", TYPECAST),
    ("timestamp", "'0044-03-15 BC'", TYPECAST),
    ("timestamp", "'294276-12-31'", TYPECAST),
    ("timestamptz", "'2024-02-29 23:59:59.123456+05:45'", at_utc(2024, 2, 29, 18, 14, 59, 123456)),
    ("timestamptz", "'1883-11-18 12:00:00 America/New_York'", at_utc(1883, 11, 18, 17, 0)),
    ("timestamptz", "'infinity'", TYPECAST),
    ("timestamptz", "'9999-12-31 23:00:00-02'", TYPECAST),
    ("time", "'24:00:00'", "24:00:00"),
    ("time", "'23:59:59.999999'", "23:59:59.999999"),
    ("timetz", "'12:00:00.5+05:45'", "12:00:00.5+05:45"),
    ("interval", "'1 year -2 mons 3 days -04:05:06.789'", "P10M3DT-4H-5M-6.789S"),
    # text
    ("text", "''", ""),
    ("text", "'null'", "null"),
    ("text", "'  '", "  "),
    ("text", r"E'\x01\x02\x1f\x7f\\n'", "\x01\x02\x1f\x7f\\n"),
    ("text", r"E'line\nline\r\n\ttab\u2028end'", "line\nline\r\n\ttab\u2028end"),
    ("text", r"E'\U0001F6D2 \u00e9e\u0301 \u202e'", "\U0001f6d2 ée\u0301 \u202e"),
    ("text", """'{"type":"RECORD"}'""", '{"type":"RECORD"}'),
    ("text", "repeat('x', 3000000)", "x" * 3_000_000),
    ("text", "repeat('x', 6000000)", TOO_LARGE),
    ("varchar(10)", "'abc  '", "abc  "),
    ("char(5)", "'ab'", "ab   "),
    ("name", "'A name'", "A name"),
    ("citylike", "'Oslo'", "Oslo"),
    # bytes, ids, addresses
    ("bytea", r"'\x00ff10'", r"\x00ff10"),
    ("bytea", "''", r"\x"),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("inet", "'10.1.2.3/8'", "10.1.2.3/8"),
    ("cidr", "'2001:db8::/32'", "2001:db8::/32"),
    ("macaddr", "'08:00:2B:01:02:03'", "08:00:2b:01:02:03"),
    ("bit(5)", "B'10110'", "10110"),
    ("macaddr8", "'08:00:2b:01:02:03:04:05'", "08:00:2b:01:02:03:04:05"),
    ("boolean", "false", False),
    # types made of types
    ("mood", "'so so'", "so so"),
    ("percentage", "12.5", Decimal("12.5")),
    ("share", "0.25", Decimal("0.25")),
    ("address", "row('Main \"St\"', 5)", '("Main ""St""",5)'),
    ("int4range", "'[1,10)'", "[1,10)"),
    ("tstzrange", "'[2024-01-01,)'", '["2024-01-01 00:00:00+00",)'),
    ("point", "'(1.5,-2)'", "(1.5,-2)"),
    ("tsvector", "'a:1 b:2'", "'a':1 'b':2"),
    # arrays
    ("int[]", "'{}'", Json("[]")),
    ("int[]", "'{1,null,-3}'", Json("[1,null,-3]")),
    ("int[]", "'{{1,2},{3,null}}'", Json("[[1,2],[3,null]]")),
    ("text[]", """array['', 'null', null, 'a"b\\c', E'\\n']""", Json(r'["","null",null,"a\"b\\c","\n"]')),
    ("numeric[]", "'{1.10,99999999.99}'", Json("[1.1,99999999.99]")),
    ("numeric[]", "'{12345678901234567890.123456789}'", UNREPRESENTABLE),
    ("date[]", "'{infinity,2024-02-29}'", Json('["infinity","2024-02-29"]')),
    ("bytea[]", r"array['\x00ff'::bytea]", Json(r'["\\x00ff"]')),
    ("mood[]", "'{\"so so\",sad}'", Json('["so so","sad"]')),
    ("jsonb[]", """array['{"a":1}'::jsonb]""", Json('[{"a":1}]')),
    ("json[]", "array[E'{\"a\":\\n1}'::json]", Json('[{"a":1}]')),
    ("address[]", "array[row('x', 1)::address]", Json('[{"street":"x","number":1}]')),
    # json
    ("jsonb", "'{}'", Json("{}")),
    ("jsonb", "'null'", UNREPRESENTABLE),
    ("jsonb", "'\"text\"'", Json('"text"')),
    ("jsonb", '\'[1, "a", null, true, {"b": []}]\'', Json('[1,"a",null,true,{"b":[]}]')),
    ("jsonb", r"""'{"k\"\\\n": "\u00e9 \ud83d\uded2 \u2028"}'""", Json('{"k\\"\\\\\\n":"é \U0001f6d2 \u2028"}')),
    (
        "jsonb",
        '\'{"n": 9007199254740993, "m": -9223372036854775808}\'',
        Json('{"n":9007199254740993,"m":-9223372036854775808}'),
    ),
    ("jsonb", "'{\"n\": 0.1234567890123456789}'", UNREPRESENTABLE),
    ("jsonb", "'[1e400]'", UNREPRESENTABLE),
    ("jsonb", '\'{"n": "0.1234567890123456789"}\'', Json('{"n":"0.1234567890123456789"}')),
    ("jsonb", "'[0.30000000000000004]'", Json("[0.30000000000000004]")),
    ("jsonb", f"'{DEEP}'", Json(DEEP)),
    ("jsonb", "(repeat('[', 500) || '1' || repeat(']', 500))::jsonb", Json("[" * 500 + "1" + "]" * 500)),
    ("jsonb", """(repeat('[{"a":', 250) || '[]' || repeat('}]', 250))::jsonb""", UNREPRESENTABLE),
    ("json", "(repeat('[', 1100) || repeat(']', 1100))::json", UNREPRESENTABLE),
    ("json[]", "array[(repeat('[', 500) || repeat(']', 500))::json]", UNREPRESENTABLE),
    # Neither brackets in strings nor those beside each other nest.
    ("json", """('["[\\"' || repeat('[{', 600) || '"' || repeat(',[]', 600) || ']')::json""", Json(WIDE)),
    ("jsonb", "'" + LARGE.replace("'", "''") + "'", Json(LARGE)),
    ("json", 'E\'{\\n  "a" :\\t1,\\r\\n "b": [\\n]}\'', Json('{"a":1,"b":[]}')),
    ("json", r"""'{"nul": "a\u0000b"}'""", UNREPRESENTABLE),
    ("json", r"""'{"lone": "\ud83d"}'""", UNREPRESENTABLE),
    ("json", r"""'{"not one": "\\u0000"}'""", Json(r'{"not one":"\\u0000"}')),
    ("json", "'1e999999'", UNREPRESENTABLE),
    ("json", r"E' \t\r\nnull\n'", UNREPRESENTABLE),
    # nothing
    ("text", "null", None),
    ("jsonb", "null", None),
    ("int[]", "null", None),
]

TYPES = """
create type mood as enum ('sad', 'so so', 'happy');
create type address as (street text, number int);
create domain percentage as numeric(5, 2) check (value between 0 and 100);
create domain share as percentage;
create domain citylike as varchar(20) not null default '';
"""
