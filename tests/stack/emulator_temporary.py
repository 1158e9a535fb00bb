"""Print what comes of tables that expire by the emulator's own functions and by this project's, as JSON: run by test_emulator_app.py in its environment.

With a second argument: what a process finds that was started on the same folder after it.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

from stack.bigquery_emulator.app import import_extensions

folder = Path(sys.argv[1])
import_extensions(folder)
import duckdb  # noqa: E402
from local_bigquery.catalog import datasets, metadata, tables  # noqa: E402
from local_bigquery.engine import database  # noqa: E402
from local_bigquery.errors import BigQueryError  # noqa: E402
from local_bigquery.jobs import query, runner  # noqa: E402
from local_bigquery.models import Dataset, JobConfigurationLoad, JobConfigurationQuery, Table  # noqa: E402
from local_bigquery.settings import settings  # noqa: E402

from stack.bigquery_emulator import records as our_records  # noqa: E402
from stack.bigquery_emulator import temporary as our_temporary  # noqa: E402

settings.data_dir, settings.default_project_id, settings.default_dataset_id = folder / "data", "p", "raw"
FIELDS = [{"name": "id", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "v", "type": "STRING"}]
HOUR = 3_600_000


def reference(name, dataset):
    return {"projectId": "p", "datasetId": dataset, "tableId": name}


def make(name, dataset, milliseconds=HOUR, **more):
    expires = {"expirationTime": str(int(time.time() * 1000) + milliseconds)} if milliseconds else {}
    body = {"tableReference": reference(name, dataset), "schema": {"fields": FIELDS}} | expires | more
    tables.create("p", dataset, Table.model_validate(body), None)


def load(name, dataset, first, last):
    """Load the rows of these numbers, as a job does."""
    file = folder / f"{dataset}.{name}.{first}.parquet"
    duckdb.sql(f"COPY (SELECT range AS id, md5(range::VARCHAR) AS v FROM range({first}, {last})) TO '{file}'")
    config = JobConfigurationLoad.model_validate(
        {
            "destinationTable": reference(name, dataset),
            "sourceFormat": "PARQUET",
            "writeDisposition": "WRITE_APPEND",
            "schema": {"fields": FIELDS},
        }
    )
    with database.cursor() as cursor:
        return runner.HANDLERS["load"](cursor, config, str(file)).outputRows


def ask(text):
    with database.cursor() as cursor:
        config = JobConfigurationQuery(query=text)
        job = f"job{time.monotonic_ns()}"
        *_, target = query.execute(cursor, "p", job, config)
        return cursor.sql(f"SELECT * FROM {tables.name(*tables.reference(target))}").fetchall() if target else None


def listed(dataset):
    return [one.tableReference.tableId for one in tables.list_("p", dataset)]


def rows(name, dataset):
    return ask(f"select count(*), count(distinct v), min(id), max(id) from `p.{dataset}.{name}`")


def both(name, dataset):
    """Rows from two jobs at once, of which one is large."""
    make(name, dataset)
    parts = [threading.Thread(target=load, args=(name, dataset, *part)) for part in ((0, 400_000), (400_000, 400_010))]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    return rows(name, dataset)


STEPS = {
    "make": lambda d: make("small", d),
    "make again": lambda d: make("small", d),
    "make without a name": lambda d: tables.create("p", d, Table.model_validate({"expirationTime": "1"}), None),
    "make nowhere": lambda d: make("small", f"{d}_nowhere"),
    "empty": lambda d: rows("small", d),
    "load": lambda d: load("small", d, 0, 10),
    "load more": lambda d: load("small", d, 10, 15),
    "read": lambda d: rows("small", d),
    "describe": lambda d: (
        [[f.name, f.type, f.mode] for f in tables.fields(tables.get("p", d, "small"))]
        + [tables.get("p", d, "small").numRows]
    ),
    "list": listed,
    "write": lambda d: ask(f"delete from `p.{d}.small` where id = 3"),
    "use": lambda d: ask(f"create table `p.{d}.kept` as select * from `p.{d}.small`"),
    "read what was made of it": lambda d: rows("kept", d),
    "load what is too large": lambda d: load("small", d, 100, 400_100),
    "read all": lambda d: rows("small", d),
    "load little again": lambda d: load("small", d, 500_000, 500_001),
    "read all again": lambda d: rows("small", d),
    "two loads": lambda d: both("two", d),
    "delete": lambda d: tables.delete("p", d, "small"),
    "read what is gone": lambda d: rows("small", d),
    "make anew": lambda d: [make("small", d), rows("small", d)],
    "load null where there must be none": lambda d: ask(f"insert into `p.{d}.small` (v) values ('x')"),
    "rename": lambda d: ask(f"alter table `p.{d}.small` rename to other"),
    "list what is renamed": listed,
    "load by the new name": lambda d: [load("other", d, 0, 3), rows("other", d), rows("small", d)],
    "drop": lambda d: [ask(f"drop table `p.{d}.other`"), listed(d)],
    "expire": lambda d: [make("short", d, 2000), time.sleep(2.2), listed(d), rows("short", d)],
    "make what had expired": lambda d: [make("short", d), load("short", d, 0, 2), rows("short", d)],
    "of a view": lambda d: [
        make("seen", d),
        ask(f"create view `p.{d}.view` as select id from `p.{d}.seen`"),
        ask(f"select * from `p.{d}.view`"),
    ],
    "one that stays": lambda d: [make("stays", d, 0), load("stays", d, 0, 5), rows("stays", d)],
    "delete the dataset when it is not empty": lambda d: [
        *(tables.delete("p", d, name) for name in ("kept", "two", "view", "stays")),
        datasets.delete("p", d, False),
    ],
    "delete the dataset": lambda d: datasets.delete("p", d, True),
    "make the dataset anew": lambda d: [
        datasets.create("p", Dataset.model_validate({"datasetReference": {"projectId": "p", "datasetId": d}})),
        listed(d),
        datasets.delete("p", d, False),
    ],
}


def outcome(step, dataset):
    """What a step returns or says."""
    try:
        return json.loads(json.dumps(step(dataset), default=lambda _: None))
    except BigQueryError as error:
        # A constraint's message has DuckDB's name of the table.
        return f"{error.reason}: {error}".replace(f"p:{dataset}.small.id", "small.id").replace(dataset, "DATASET")


def at_once(name, dataset):
    """What three makers at once of one table are told, and what becomes of it."""
    make_one, told = our_temporary._create, []

    def make_slowly(*arguments):
        time.sleep(0.2)
        return make_one(*arguments)

    our_temporary._create = make_slowly
    makers = [threading.Thread(target=lambda: told.append(outcome(lambda d: make(name, d), dataset))) for _ in range(3)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    our_temporary._create = make_one
    return [told.count(None), outcome(lambda d: [load(name, d, 0, 4), rows(name, d)], dataset)]


def own_tables():
    return sorted(
        name for (name,) in database.fetch("SELECT table_name FROM duckdb_tables() WHERE schema_name = '_temporary'")
    )


our_records.replace()
if len(sys.argv) > 2:
    # As after a kill between a table's record and the table.
    database.execute('CREATE TABLE emulator._temporary."p:later.half deleted" (id BIGINT)')
    assert own_tables() == ["p:later.half deleted", "p:later.left", "p:later.moved once", "p:later.moving"]
    our_temporary.replace()
    print(
        json.dumps(
            {
                "read": rows("left", "later"),
                "own": own_tables(),
                "deleted": [tables.delete("p", "later", "left"), own_tables()],
                "deleted while it was moved": [tables.delete("p", "later", "moved once"), listed("later")],
                "moved anew": outcome(
                    lambda d: [load("moving", d, 3, 400_000), rows("moving", d), own_tables()], "later"
                ),
            }
        )
    )
    sys.exit()
database.execute("CREATE SCHEMA p.one; CREATE SCHEMA p.two; CREATE SCHEMA p.later")
expected = {name: outcome(step, "one") for name, step in STEPS.items()}
our_temporary.replace()
found, own = {}, {}
for name, step in STEPS.items():
    found[name] = outcome(step, "two")
    own[name] = own_tables()
make("left", "later")
load("left", "later", 0, 7)
assert metadata.load(Table, "p", "later", "left")
print(json.dumps({"expected": expected, "found": found, "own": own, "at once": at_once("raced", "later")}), flush=True)
tables.delete("p", "later", "raced")
# Killed when the lake has a table already and the other place has it still.
our_temporary.forget = lambda *_: None
for name in ("moved once", "moving"):
    make(name, "later")
    load(name, "later", 0, 3)
    our_temporary._move(("p", "later", name))
os._exit(0)
