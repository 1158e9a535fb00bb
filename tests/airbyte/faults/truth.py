"""Whether raw equals the source: every column of every live row, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
from psycopg import sql

from airbyte.connections.description import Stream, load
from airbyte.deletion_sweep import LIVE
from stack import bigquery
from stack.settings import Settings

Row = tuple[Any, ...]


def differences(settings: Settings) -> dict[str, list[str]]:
    """{stream: what differs, at most five lines}; empty when raw holds exactly the source's rows.

    The source is read in one snapshot; nothing may be written, landed or swept meanwhile.
    """
    found: dict[str, list[str]] = {}
    bq = bigquery.client(settings)
    with psycopg.connect(settings.admin_dsn) as source:
        for stream in load().streams:
            said = list(_compared(stream, _source_rows(source, stream), _raw_rows(settings, bq, stream)))
            if said:
                found[stream.name] = said[:5]
    return found


def _compared(stream: Stream, source: list[Row], raw: list[Row]) -> Iterator[str]:
    landed = {row[0]: row for row in raw}
    if len(landed) != len(raw):
        yield f"{len(raw) - len(landed)} keys landed twice"
    wanted = {row[0]: row for row in source}
    for key in wanted.keys() - landed.keys():
        yield f"lost: {wanted[key]}"
    for key in landed.keys() - wanted.keys():
        yield f"not at the source: {landed[key]}"
    for key in wanted.keys() & landed.keys():
        if wanted[key] != landed[key]:
            unlike = [(n, a, b) for n, a, b in zip(stream.columns, wanted[key], landed[key], strict=True) if a != b]
            yield f"{key}: (column, source, raw) {unlike}"


def _source_rows(source: psycopg.Connection[Any], stream: Stream) -> list[Row]:
    question = sql.SQL("select {} from {}").format(
        sql.SQL(", ").join(map(sql.Identifier, stream.columns)), sql.Identifier(stream.name)
    )
    return [tuple(map(_plain, row)) for row in source.execute(question)]


def _raw_rows(settings: Settings, bq: Any, stream: Stream) -> list[Row]:
    """The live rows; where changes are appended, the newest version of each key."""
    question = f"select {', '.join(f'`{c}`' for c in stream.columns)} from raw.{stream.name} where {LIVE}"
    if stream.sync_mode == "incremental_append":
        question += (
            f" qualify row_number() over (partition by {stream.primary_key[0]} order by _airbyte_extracted_at desc) = 1"
        )
    return [tuple(_plain(row[c]) for c in stream.columns) for row in bigquery.query(bq, question)]


def _plain(value: Any) -> Any:
    """A value as both clients give it; objects and lists by their text."""
    if isinstance(value, dict | list):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return str(value) if type(value).__name__ == "UUID" else value
