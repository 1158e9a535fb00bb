"""What the property tests say of tables that came out wrong: which rows, and the histories that led there."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from google.cloud.bigquery import Client

from stack import bigquery
from tests.dbt.histories import Row, Universe

NAMED = re.compile(r"\bu(\d{3})-")


def report(found: Mapping[str, Mapping[str, Iterable[Any]]], universes: list[Universe]) -> str:
    """The differing rows by universe with its history; of rows that no universe's key names, only the rows."""
    by_universe: dict[str, list[str]] = defaultdict(list)
    for table, sides in found.items():
        for side, rows in sides.items():
            for row in rows:
                named = NAMED.search(str(row))
                by_universe[named[1] if named else "shared"].append(f"  {table}, {side}: {row}")
    lines = [f"universes that differ: {sorted(by_universe)}"]
    # One history is enough to understand; the first universe has the whole story.
    for name, rows in sorted(by_universe.items())[:2]:
        lines += [f"universe {name}:", *rows[:20]]
        if name != "shared":
            lines += [f"    {happened}" for happened in universes[int(name)].log]
    return "\n".join(lines)


def rows_of(bq: Client, table: str, columns: Iterable[str]) -> Counter[tuple[Any, ...]]:
    """A table as a multiset of comparable rows."""
    return Counter(
        comparable(row[column] for column in columns) for row in bigquery.query(bq, f"select * from {table}")
    )


def comparable(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(value.normalize() if isinstance(value, Decimal) else value for value in values)


def oracle_differences(bq: Client, opinions: Mapping[str, list[Row]]) -> dict[str, dict[str, list[Any]]]:
    """Per table, the rows that only the warehouse or only the oracle has, in the columns of which the oracle has an opinion."""
    found = {}
    for table, opinion in opinions.items():
        columns = sorted(opinion[0])
        expected = Counter(comparable(row[column] for column in columns) for row in opinion)
        actual = rows_of(bq, table, columns)
        if actual != expected:
            found[table] = {
                f"only the warehouse has {columns}": list((actual - expected).elements()),
                f"only the oracle has {columns}": list((expected - actual).elements()),
            }
    return found
