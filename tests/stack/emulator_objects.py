"""Print what the emulator's own look-ups and this project's say of the same datasets, as JSON: run by test_emulator_app.py under the emulator's environment."""

import json
import sys
from pathlib import Path

from stack.bigquery_emulator.app import import_extensions

folder = Path(sys.argv[1])
import_extensions(folder)
import duckdb  # noqa: E402
from local_bigquery.catalog import datasets, tables  # noqa: E402
from local_bigquery.engine import database  # noqa: E402
from local_bigquery.errors import BigQueryError  # noqa: E402
from local_bigquery.settings import settings  # noqa: E402
from local_bigquery.sql.rules import partitions  # noqa: E402
from sqlglot import exp  # noqa: E402

from stack.bigquery_emulator import catalog as our_catalog  # noqa: E402

settings.data_dir, settings.default_project_id, settings.default_dataset_id = folder / "data", "a-project", "raw"
STATEMENTS = (
    "CREATE SCHEMA {0}.marts",
    "CREATE TABLE {0}.raw.orders AS SELECT range AS id FROM range(1000)",
    'CREATE TABLE {0}.raw."Odd name" (id INTEGER)',
    "CREATE VIEW {0}.raw.recent AS SELECT * FROM {0}.raw.orders",
    "DELETE FROM {0}.raw.orders WHERE id < 100",
    "UPDATE {0}.raw.orders SET id = id + 1 WHERE id > 900",
    "INSERT INTO {0}.raw.orders SELECT range FROM range(5)",
    "MERGE INTO {0}.raw.orders AS t USING (SELECT 3 AS id) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET id = -3",
    "CREATE OR REPLACE TABLE {0}.raw.orders AS SELECT 1 AS id",
    "DELETE FROM {0}.raw.orders",
    "CREATE OR REPLACE VIEW {0}.raw.recent AS SELECT 1 AS id",
    "ALTER TABLE {0}.raw.orders RENAME TO older",
    "DROP VIEW {0}.raw.recent",
    "DROP TABLE {0}.raw.older",
    "CREATE TABLE {0}.marts.orders AS SELECT 1 AS id",
    'CREATE TABLE {0}.marts.days (id BIGINT NOT NULL, day STRUCT(a INTEGER), "_PARTITIONTIME" TIMESTAMPTZ, names VARCHAR[])',
    "ALTER TABLE {0}.marts.days ALTER id DROP NOT NULL",
    "ALTER TABLE {0}.marts.days ADD COLUMN amount INTEGER DEFAULT 3",
    "ALTER TABLE {0}.marts.days ALTER amount TYPE BIGINT",
    "ALTER TABLE {0}.marts.days RENAME COLUMN amount TO total",
    "ALTER TABLE {0}.marts.days DROP COLUMN total",
    "ALTER TABLE {0}.marts.days ADD COLUMN amount DECIMAL(38, 9)",
    "ALTER TABLE {0}.marts.days ADD COLUMN day.b VARCHAR",
    'ALTER TABLE {0}.marts.days DROP COLUMN "_PARTITIONTIME"',
    "CREATE OR REPLACE TABLE {0}.marts.days (id VARCHAR, day STRUCT(b INTEGER)[])",
    'CREATE TABLE emulator._results."a-project:job" AS SELECT range AS id FROM range(7)',
)
QUESTIONS = [
    *(("a-project", dataset, None) for dataset in ("raw", "marts", "nowhere")),
    *(("a-project", "raw", name) for name in ("orders", "Odd name", "recent", "none")),
    ("emulator", "_results", "a-project:job"),
    ("emulator", "_results", "none"),
    ("no-project", "raw", "orders"),
]
NAMES = [
    *(
        ("a-project", dataset, name)
        for dataset in ("raw", "marts")
        for name in ("orders", "Odd name", "recent", "days")
    ),
    ("a-project", "_results", "job"),
    ("no-project", "raw", "orders"),
]


def fields(columns, *name):
    """The columns that a look-up finds, or its error."""
    try:
        return [field.dump() for field in columns(*name)]
    except (BigQueryError, duckdb.Error) as error:
        return str(error)


def hidden(look_up, *name):
    return bool(look_up(exp.table_(name[2], name[1], name[0], quoted=True)))


library = database.objects
database.execute("CREATE SCHEMA IF NOT EXISTS emulator._results")
answers = []
for statement in STATEMENTS:
    database.execute(statement.format('"a-project"'))
    for question in QUESTIONS:
        answers.append([statement, question, library(*question), our_catalog.objects(*question)])
    for name in NAMES:
        answers.append([statement, name, fields(tables.columns, *name), fields(our_catalog.columns, *name)])
        answers.append(
            [statement, name, hidden(partitions._hidden, *name), hidden(our_catalog.has_ingestion_time, *name)]
        )
        answers.append([statement, name, datasets.exists(*name[:2]), our_catalog.has_dataset(*name[:2])])
print(json.dumps(answers))
