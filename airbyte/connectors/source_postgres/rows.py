"""The query that writes a stream's rows as lines of JSON: each value exactly, or null with the reason beside it.

A JSON column of BigQuery holds 64-bit integers and doubles, text without NUL, and 500 levels. What PostgreSQL's json, jsonb and arrays may hold beyond
that, and single values too large for a record, are found here, where the exact text still is: past the first reader of JSON the digits are gone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from psycopg import sql

from airbyte.connectors.protocol import SUSPICIOUS_NUMBER, ConfiguredStream
from airbyte.connectors.source_postgres.catalog import Column

# A record is read as one piece, escaped: BigQuery loads rows of 100 MB at most, this destination records of 16 MiB.
MAXIMUM_FIELD_BYTES = 5 << 20
# Of all large values of a row, as JSON, in which a byte takes up to six; 2 MiB are left for the other columns.
MAXIMUM_ROW_BYTES = 14 << 20
# Arrays and objects within each other.
MAXIMUM_LEVELS = 500
TOO_LARGE, NOT_REPRESENTABLE = "SOURCE_FIELD_SIZE_LIMITATION", "SOURCE_SERIALIZATION_ERROR"

_STRING = r'"(?:[^"\\]|\\.)*"'
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_SURROGATES = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_UNREADABLE = r"\\u0000|\\u[dD][89a-fA-F]"

_WIDE = sql.SQL(
    "({text} ~ {suspicious} and exists (select from regexp_matches(regexp_replace({text}, {string}, '', 'g'), {number}, 'g') as m (token) "
    "where case when token[1] ~ '[eE][-+]?[0-9]{{4}}' then true "
    "when token[1] !~ '[.eE]' and token[1]::numeric between -9223372036854775808 and 18446744073709551615 then false "
    "when token[1]::numeric = 0 then false "
    "when abs(token[1]::numeric) not between 1e-300 and 1e300 then true "
    "else token[1]::float8::text::numeric <> token[1]::numeric end))"
)
_ESCAPES = sql.SQL(
    "(strpos({text}, {escape}) > 0 and regexp_replace(regexp_replace({text}, {backslash}, '', 'g'), {surrogates}, '', 'g') ~ {unreadable})"
)
# The brackets outside of strings, counted up and down. Nearly every value has too few, and most are too short.
_DEEP = sql.SQL(
    "(octet_length({text}) > 2 * {levels} and length({text}) - length(translate({text}, '[{{', '')) > {levels} and "
    "(select max(depth) from (select sum(case when c in ('[', '{{') then 1 else -1 end) over (order by place) as depth from "
    "string_to_table(regexp_replace(regexp_replace({text}, {string}, '', 'g'), '[^][{{}}]+', '', 'g'), null) with ordinality as b (c, place)) as d"
    ") > {levels})"
)
# Of a row's large values, the places of those that have no room beside all smaller ones. Nearly every row is so small that no length needs to be known.
_LARGEST = sql.SQL(
    "case when {bytes} > {row} / 6 then (select array_agg(place) from (select place, length, sum(length) over (order by length, place) as total "
    "from unnest(array[{lengths}]) with ordinality as u (length, place)) as s where length > 0 and total > {row}) end"
)
_OF_ROW = sql.Identifier("~largest")


def query(stream: ConfiguredStream, columns: dict[str, Column], condition: sql.Composable | None) -> sql.Composed:
    """COPY of the rows that meet `condition`, a line each: the row as JSON, then `,"meta":…` where a value had to become null."""
    table = sql.Identifier(stream.namespace or "public", stream.name)
    where = sql.SQL(" where ") + condition if condition is not None else sql.SQL("")
    # Names of ours: an identifier has 63 bytes, and a column's own may take them all.
    text_of = {name: sql.Identifier(f"~{number} text") for number, name in enumerate(columns)}
    large = [name for name, column in columns.items() if column.may_be_large]
    places = {name: place for place, name in enumerate(large, 1)}
    problems = {
        name: found for name, column in columns.items() if (found := _problem(column, text_of[name], places.get(name)))
    }
    sent = [_sent(name, column) for name, column in columns.items()]
    # `x` alone would be the column of that name, where there is one.
    line: sql.Composable = sql.SQL("row_to_json(x.*)::text")
    if any(column.may_break_lines for column in columns.values()):
        # In JSON, line breaks stand between values only, and mean what a space means.
        line = sql.SQL("translate({}, E'\\n\\r', '  ')").format(line)
    if not problems:
        rows = sql.SQL("select {line} from (select {sent} from {table}{where}) as x").format(
            line=line, sent=_list(sent), table=table, where=where
        )
    else:
        marks = {name: sql.Identifier(f"~{number}") for number, name in enumerate(problems)}
        texts = [sql.SQL("{} as {}").format(_text(name, columns[name]), text_of[name]) for name in problems]
        read = [sql.Identifier(name) for name in columns]
        texts_of_rows = sql.SQL("select {read}, {texts} from {table}{where} offset 0").format(
            read=_list(read), texts=_list(texts), table=table, where=where
        )
        if places:
            largest = _largest([(text_of[name], columns[name]) for name in large])
            texts_of_rows = sql.SQL("select w.*, {} as {} from ({}) as w offset 0").format(
                largest, _OF_ROW, texts_of_rows
            )
        noted = [sql.SQL("{} as {}").format(problem, marks[name]) for name, problem in problems.items()]
        kept = [
            sql.SQL("case when y.{0} is null then y.{1} end as {1}").format(marks[name], sql.Identifier(name))
            if name in marks
            else sql.SQL("y.{}").format(sql.Identifier(name))
            for name in columns
        ]
        changes = [
            sql.SQL("{} || y.{} || '\"}}'").format(sql.Literal(_nulled(name)), mark) for name, mark in marks.items()
        ]
        # Nearly every row is clean, and is asked nothing more. OFFSET keeps the planner from evaluating each text, and each check, once a mention.
        rows = sql.SQL(
            "select {line} || case when {clean} then '' else ',\"meta\":{{\"changes\":[' || concat_ws(',', {changes}) || ']}}' end "
            "from (select {sent}, {noted} from ({texts_of_rows}) as z offset 0) as y "
            "cross join lateral (select {kept}) as x"
        ).format(
            line=line,
            clean=sql.SQL(" and ").join(sql.SQL("y.{} is null").format(mark) for mark in marks.values()),
            changes=_list(changes),
            sent=_list(sent),
            noted=_list(noted),
            texts_of_rows=texts_of_rows,
            kept=_list(kept),
        )
    # Now no line holds a control character, so CSV with such a quote and delimiter quotes nothing.
    return sql.SQL("copy ({}) to stdout (format csv, quote E'\\x01', delimiter E'\\x02')").format(rows)


def _nulled(name: str) -> str:
    """The note of a value that became null, up to the reason."""
    return f'{{"field":{json.dumps(name, ensure_ascii=False)},"change":"NULLED","reason":"'


def _list(items: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(items)


def _sent(name: str, column: Column) -> sql.Composed:
    text = "{0}" if column.travels_as_json else "{0}::text as {0}"
    return sql.SQL(text).format(sql.Identifier(name))


def _text(name: str, column: Column) -> sql.Composed:
    """What `_problem` looks at; to make it costs more than to look."""
    return sql.SQL("to_json({})::text" if column.is_array else "{}::text").format(sql.Identifier(name))


def _largest(columns: Sequence[tuple[sql.Identifier, Column]]) -> sql.Composed:
    """Of a row's large values, (text, column): the places, counted from 1, of those that become null for the row's size."""
    lengths = [
        sql.SQL("case when octet_length({0}) <= {1} then octet_length({2}) end").format(
            text,
            sql.Literal(MAXIMUM_FIELD_BYTES),
            text
            if column.is_array or column.type_name in ("json", "jsonb")
            else sql.SQL("to_json({})::text").format(text),
        )
        for text, column in columns
    ]
    sizes = [sql.SQL("coalesce(octet_length({}), 0)").format(text) for text, _ in columns]
    return _LARGEST.format(
        bytes=sql.SQL(" + ").join(sizes),
        lengths=_list(lengths),
        row=sql.Literal(MAXIMUM_ROW_BYTES),
    )


def _problem(column: Column, text: sql.Identifier, place: int | None) -> sql.Composed | None:
    """The reason why a value of that `text` cannot be sent, null when it can; None when every value of the type can. `place` is that among the large values."""
    tests = []
    if column.may_be_large:
        test = sql.SQL("octet_length({}) > {}").format(text, sql.Literal(MAXIMUM_FIELD_BYTES))
        tests.append((test, TOO_LARGE))
    if place is not None:
        tests.append((sql.SQL("{} = any({})").format(sql.Literal(place), _OF_ROW), TOO_LARGE))
    if column.type_name in ("json", "jsonb") and not column.is_array:
        # A record says null for JSON's null as for no value at all. `json` keeps the white space that it was given.
        test = sql.SQL("{} = 'null'" if column.type_name == "jsonb" else r"btrim({}, E' \t\n\r') = 'null'").format(text)
        tests.append((test, NOT_REPRESENTABLE))
    if column.may_hold_wide_numbers:
        test = _WIDE.format(
            text=text,
            suspicious=sql.Literal(SUSPICIOUS_NUMBER),
            string=sql.Literal(_STRING),
            number=sql.Literal(_NUMBER),
        )
        tests.append((test, NOT_REPRESENTABLE))
        test = _DEEP.format(text=text, string=sql.Literal(_STRING), levels=sql.Literal(MAXIMUM_LEVELS))
        tests.append((test, NOT_REPRESENTABLE))
    if column.may_break_lines:
        test = _ESCAPES.format(
            text=text,
            escape=sql.Literal("\\u"),
            backslash=sql.Literal(r"\\\\"),
            surrogates=sql.Literal(_SURROGATES),
            unreadable=sql.Literal(_UNREADABLE),
        )
        tests.append((test, NOT_REPRESENTABLE))
    if not tests:
        return None
    cases = [sql.SQL("when {} then {}").format(test, sql.Literal(reason)) for test, reason in tests]
    return sql.SQL("case {} end").format(sql.SQL(" ").join(cases))
