"""What the emulator looks up of datasets, tables and columns, asked of the one catalog that has it. Runs in the emulator's own environment.

The emulator itself lists every table and every column of every database, statistics included, dozens of times a statement: with sixty tables and the results of
a dbt build, two thirds of a statement's time, and more with every table. After each table that comes or goes the statistics of all are read
anew (decision 0023). Each function here answers what the one that it replaces answers.
"""

from __future__ import annotations

from typing import Any

import duckdb
from local_bigquery.catalog import names, tables
from local_bigquery.engine import database, types
from local_bigquery.errors import not_found
from local_bigquery.jobs import query

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
COLUMNS = """
SELECT c.column_name
FROM {catalog}.ducklake_column AS c
JOIN {catalog}.ducklake_table AS t ON t.table_id = c.table_id AND t.end_snapshot IS NULL AND t.table_name = $2
JOIN {catalog}.ducklake_schema AS d ON d.schema_id = t.schema_id AND d.end_snapshot IS NULL AND d.schema_name = $1
WHERE c.end_snapshot IS NULL AND c.parent_column IS NULL AND
"""
# What the emulator asks before each statement.
TEMPORARY_TABLES = "SELECT table_name FROM duckdb_tables() WHERE temporary"

_execute = query.execute


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


def objects(project_id: str, dataset_id: str, table_id: str | None = None) -> list[tuple[str, str, int]]:
    """The tables and views of a dataset, or the one of that name, as (name, kind, rows)."""
    if project_id != OWN:
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


def columns(project_id: str, dataset_id: str, table_id: str) -> list[Any]:
    """The table's columns as BigQuery's fields. Raises the emulator's error when there is no such table."""
    path = tables.physical(project_id, dataset_id, table_id)
    # No result has a column that must not be null.
    required = () if path[0] == OWN else _of_the_lake(path[0], f"{COLUMNS} NOT c.nulls_allowed", list(path[1:]))
    required_names = {name for (name,) in required}
    with database.cursor() as cur:
        try:
            relation = cur.sql(f"SELECT * FROM {database.quote(*path)} LIMIT 0")
        except duckdb.CatalogException:
            raise not_found("Table", names.label(project_id, dataset_id, table_id)) from None
        return [
            types.field(column, kind, column in required_names)
            for column, kind in zip(relation.columns, relation.types, strict=True)
            if column != tables.INGESTION_TIME or dataset_id == tables.RESULTS
        ]


def has_ingestion_time(table: Any) -> bool:
    """Whether a table in a statement has the hidden column of tables that are partitioned by the time of loading."""
    if not (table.catalog and table.db and table.name) or table.catalog == OWN:
        return False
    question = f"{COLUMNS} c.column_name = $3"
    return bool(_of_the_lake(table.catalog, question, [table.db, table.name, tables.INGESTION_TIME]))


def _of_the_lake(project_id: str, question: str, parameters: list[Any]) -> list[Any]:
    """The answer of the project's own catalog; nothing when there is no such project."""
    catalog = database.quote(f"__ducklake_metadata_{project_id}")
    try:
        return list(database.fetch(question.format(catalog=catalog), parameters))
    except duckdb.CatalogException:
        return []
