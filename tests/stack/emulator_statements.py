"""Print what the emulator's own execution of statements and this project's answer, and whether ours lists every table, as JSON: run by test_emulator_app.py
under the emulator's environment."""

import json
import sys
from pathlib import Path

from stack.bigquery_emulator.app import import_extensions

folder = Path(sys.argv[1])
import_extensions(folder)
import duckdb  # noqa: E402
from local_bigquery.engine import database, sessions  # noqa: E402
from local_bigquery.errors import BigQueryError  # noqa: E402
from local_bigquery.jobs import query  # noqa: E402
from local_bigquery.models import JobConfigurationQuery  # noqa: E402
from local_bigquery.settings import settings  # noqa: E402

from stack.bigquery_emulator import catalog as our_catalog  # noqa: E402

settings.data_dir, settings.default_project_id, settings.default_dataset_id = folder / "data", "a-project", "raw"
JOBS = {
    "a number": ["select 1 as n"],
    "a table": ["create or replace table raw.t as select 1 as n", "select n + 1 as n from raw.t"],
    "a temporary table of the script": ["create temp table x as select 3 as n; select n from x"],
    "a temporary table hides none in another job": [
        "create temp table t as select 4 as n; select n from t",
        "select n from raw.t",
    ],
    "no such table": ["select n from x"],
}


class Told:
    """A cursor that notes what it is asked."""

    def __init__(self, cursor):
        self.cursor, self.asked = cursor, []

    def __getattr__(self, name):
        return getattr(self.cursor, name)

    def sql(self, statement, **arguments):
        self.asked.append(statement)
        return self.cursor.sql(statement, **arguments)


def ran(execute, job, texts, session=None):
    """The last job's rows, or its error, and whether any job listed every table."""
    rows, asked = None, []
    for index, text in enumerate(texts):
        with database.cursor() as cursor:
            told = Told(session.cursor if session else cursor)
            config = JobConfigurationQuery(query=text)
            try:
                result = execute(told, "a-project", f"{job} {index}", config, session=session)[2]
                if result:
                    rows = database.fetch(f'SELECT n FROM emulator._results."a-project:{result.tableId}"')
            except (BigQueryError, duckdb.Error) as error:
                rows = str(error)
        asked += told.asked
    return rows, any("duckdb_tables()" in statement for statement in asked)


def of_both(what, texts, with_session=False):
    found = []
    for name, execute in (("library", query.execute), ("ours", our_catalog.execute)):
        session = sessions.create("a-project") if with_session else None
        found.append(ran(execute, f"{what} {name}", texts, session))
    return [what, *found]


answers = [of_both(what, texts) for what, texts in JOBS.items()]
answers.append(
    of_both("a session", ["create temp table kept as select 5 as n", "select n from kept"], with_session=True)
)
print(json.dumps(answers))
