"""What the emulator looks up of datasets, tables and columns, asked of the one catalog that has it. Runs in the emulator's own environment.

The emulator itself lists every table and every column of every database, statistics included, dozens of times a statement: with sixty tables and the results of
a dbt build, two thirds of a statement's time, and more with every table. After each table that comes or goes the statistics of all are read
anew (decision 0023). Each function here answers what the one that it replaces answers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
from local_bigquery.catalog import names, tables
from local_bigquery.engine import database, types
from local_bigquery.errors import not_found
from local_bigquery.jobs import query
from local_bigquery.models import Table, TableFieldSchema
from local_bigquery.sql import translate
from sqlglot import exp

Columns = tuple[tuple[int, int | None, str, str, bool], ...]

# The database of the emulator's own, in which jobs' results are.
OWN = "emulator"
# DuckLake's own tables of one project, as of its newest version.
OBJECTS = """
SELECT t.table_name, 'TABLE', coalesce(s.record_count, 0)
FROM {catalog}.ducklake_table AS t
JOIN {catalog}.ducklake_schema AS d ON d.schema_id = t.schema_id AND d.end_snapshot IS NULL AND d.schema_name = $1
LEFT JOIN {catalog}.ducklake_table_stats AS s ON s.table_id = t.table_id
WHERE t.end_snapshot IS NULL AND ($2 IS NULL OR t.table_name = $2)
UNION ALL
SELECT v.view_name, 'VIEW', 0
FROM {catalog}.ducklake_view AS v
JOIN {catalog}.ducklake_schema AS d ON d.schema_id = v.schema_id AND d.end_snapshot IS NULL AND d.schema_name = $1
WHERE v.end_snapshot IS NULL AND ($2 IS NULL OR v.view_name = $2)
ORDER BY 1
"""
SCHEMA = "SELECT 1 FROM {catalog}.ducklake_schema WHERE end_snapshot IS NULL AND schema_name = $1"
# A table's columns, those within columns too, each with the table's rows: what is asked of a table again and again.
DEFINITION = """
SELECT c.column_order, c.column_id, c.parent_column, c.column_name, c.column_type, c.nulls_allowed, coalesce(s.record_count, 0)
FROM {catalog}.ducklake_column AS c
JOIN {catalog}.ducklake_table AS t ON t.table_id = c.table_id AND t.end_snapshot IS NULL AND t.table_name = $2
JOIN {catalog}.ducklake_schema AS d ON d.schema_id = t.schema_id AND d.end_snapshot IS NULL AND d.schema_name = $1
LEFT JOIN {catalog}.ducklake_table_stats AS s ON s.table_id = t.table_id
WHERE c.end_snapshot IS NULL
"""
# What the emulator asks before each statement.
TEMPORARY_TABLES = "SELECT table_name FROM duckdb_tables() WHERE temporary"

# As many tables as a warehouse has; more are described anew.
DEFINITIONS_IN_MEMORY = 1000

_execute = query.execute
_load = tables.load
_rules = translate.STATEMENT_RULES
# By a table's columns, whichever table has them: their fields. To describe a table takes DuckDB longer than most statements here.
_fields: dict[Columns, list[TableFieldSchema]] = {}
_thread = threading.local()


@dataclass(frozen=True)
class Definition:
    """A table of DuckLake's: its number of rows, and of each column id, parent, name, type and whether it takes null."""

    rows: int
    columns: Columns

    @property
    def names(self) -> list[str]:
        """The columns, without those that are parts of others."""
        return [name for _, parent, name, _, _ in self.columns if parent is None]

    @property
    def required(self) -> set[str]:
        """Those that must not be null."""
        return {name for _, parent, name, _, takes_null in self.columns if parent is None and not takes_null}


class NoRows:
    """An answer without rows."""

    def fetchall(self) -> list[Any]:
        """None."""
        return []


class NewCursor:
    """A cursor of DuckDB's that was just opened, and so has no temporary tables: it knows that without looking at every table there is."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Wrap a cursor."""
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        """Everything else is the cursor's."""
        return getattr(self._cursor, name)

    def sql(self, statement: str, **arguments: Any) -> Any:
        """As the cursor's."""
        if statement == TEMPORARY_TABLES:
            return NoRows()
        return self._cursor.sql(statement, **arguments)


def execute(cursor: duckdb.DuckDBPyConnection, *arguments: Any, session: Any = None, **options: Any) -> Any:
    """Run a query job's statements, as `query.execute`. A session's cursor may have temporary tables; any other one was opened for the job."""
    return _execute(cursor if session else NewCursor(cursor), *arguments, session=session, **options)


@contextmanager
def looked_up_once() -> Iterator[None]:
    """While this lasts, what a table is stands as it was at the first question."""
    if getattr(_thread, "known", None) is not None:
        yield
        return
    _thread.known = {}
    try:
        yield
    finally:
        _thread.known = None


def apply_rules(tree: exp.Expression, context: translate.Context) -> exp.Expression:
    """The emulator's rules on whole statements, one after the other; several ask the same of the same tables."""
    with looked_up_once():
        for rule in _rules:
            tree = rule(tree, context)
        return tree


def load(*path: str) -> Table:
    """A table's resource, as `tables.load`."""
    with looked_up_once():
        loaded: Table = _load(*path)
        return loaded


def objects(project_id: str, dataset_id: str, table_id: str | None = None) -> list[tuple[str, str, int]]:
    """The tables and views of a dataset, or the one of that name, as (name, kind, rows)."""
    if project_id != OWN:
        if table_id is not None and (found := _definition(project_id, dataset_id, table_id)):
            return [(table_id, "TABLE", found.rows)]
        return _of_the_lake(project_id, OBJECTS, [dataset_id, table_id])
    assert table_id is not None, "nobody asks for all of them"
    try:
        (count,) = database.fetch(f"SELECT count(*) FROM {database.quote(project_id, dataset_id, table_id)}")
    except duckdb.CatalogException:
        return []
    return [(table_id, "TABLE", count[0])]


def has_dataset(project_id: str, dataset_id: str) -> bool:
    """Whether the project has the dataset."""
    return bool(_of_the_lake(project_id, SCHEMA, [dataset_id]))


def columns(project_id: str, dataset_id: str, table_id: str) -> list[TableFieldSchema]:
    """The table's columns as BigQuery's fields. Raises the emulator's error when there is no such table."""
    path = tables.physical(project_id, dataset_id, table_id)
    found = _definition(*path)
    known = _fields.get(found.columns) if found else None
    if known is None:
        try:
            known = _described(path, found)
        except duckdb.CatalogException:
            raise not_found("Table", names.label(project_id, dataset_id, table_id)) from None
        # Only what was described without a change meanwhile.
        if found and found.columns == getattr(_ask(*path), "columns", None):
            if len(_fields) >= DEFINITIONS_IN_MEMORY:
                _fields.clear()
            _fields[found.columns] = known
    return [field for field in known if field.name != tables.INGESTION_TIME or dataset_id == tables.RESULTS]


def has_ingestion_time(table: exp.Table) -> bool:
    """Whether a table in a statement has the hidden column of tables that are partitioned by the time of loading."""
    if not (table.catalog and table.db and table.name):
        return False
    found = _definition(table.catalog, table.db, table.name)
    return found is not None and tables.INGESTION_TIME in found.names


def _described(path: tuple[str, str, str], found: Definition | None) -> list[TableFieldSchema]:
    with database.cursor() as cur:
        relation = cur.sql(f"SELECT * FROM {database.quote(*path)} LIMIT 0")
        # No result of a job, and no view, has a column that must not be null.
        required = found.required if found else set()
        return [types.field(c, kind, c in required) for c, kind in zip(relation.columns, relation.types, strict=True)]


def _definition(project_id: str, dataset_id: str, table_id: str) -> Definition | None:
    """The table's definition; None when DuckLake has no table of that name."""
    known = getattr(_thread, "known", None)
    if known is None:
        return _ask(project_id, dataset_id, table_id)
    path = (project_id, dataset_id, table_id)
    if path not in known:
        known[path] = _ask(*path)
    found: Definition | None = known[path]
    return found


def _ask(project_id: str, dataset_id: str, table_id: str) -> Definition | None:
    found = [] if project_id == OWN else _of_the_lake(project_id, DEFINITION, [dataset_id, table_id])
    # Sorted here: for DuckDB that would be nearly half of the work.
    return Definition(found[0][-1], tuple(row[1:-1] for row in sorted(found))) if found else None


def _of_the_lake(project_id: str, question: str, parameters: list[Any]) -> list[Any]:
    """The answer of the project's own catalog; nothing when there is no such project."""
    catalog = database.quote(f"__ducklake_metadata_{project_id}")
    try:
        return list(database.fetch(question.format(catalog=catalog), parameters))
    except duckdb.CatalogException:
        return []
