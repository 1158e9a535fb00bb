"""Tables that are made to expire, such as loads are staged in, kept in the emulator's own database instead of the lake. Runs in the emulator's own environment.

In the lake, a table that comes and one that goes are a version each: what is known of all other tables is read anew, and the files stay until old versions
are forgotten. For a table that lives for seconds that is most of its cost. The emulator's own database, which has the jobs' results already, has no versions:
such a table cannot be asked for its past, and neither INFORMATION_SCHEMA nor a wildcard finds it; the API lists it. Much is written to the lake in half of the
time, though: with its first large load a table moves there.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from local_bigquery.catalog import datasets, metadata, tables
from local_bigquery.engine import database, types
from local_bigquery.errors import BigQueryError
from local_bigquery.jobs import runner
from local_bigquery.models import Table

from stack.bigquery_emulator.catalog import OWN

Reference = tuple[str, str, str]

# Of the emulator's own database.
SCHEMA = "_temporary"
# Of the file that a job loads. What small streams share is less.
SMALL_BYTES = 8 << 20

_physical, _create, _rename = tables.physical, tables.create, tables.rename
_check_empty, _load = datasets.check_empty, runner.HANDLERS["load"]
_lock = threading.Lock()
# Held by a load into one of these, so that none of them moves meanwhile.
_loading = threading.Lock()
_known: set[Reference] = set()


def physical(project_id: str, dataset_id: str, table_id: str) -> Reference:
    """Where a table is in DuckDB, as `tables.physical`."""
    path = (project_id, dataset_id, table_id)
    if is_own(path):
        # Who asks for the record of what a statement names asks by this place, where there is none.
        if not tables.expired(metadata.load(Table, *path)):
            return _place(path)
        tables.forget(*path)
    place: Reference = _physical(*path)
    return place


def is_own(path: Reference) -> bool:
    """Whether the table is one of these."""
    return path in _known


def check_empty(project_id: str, dataset_id: str) -> None:
    """Raise an error unless a dataset has no table, as `datasets.check_empty`."""
    with _lock:
        is_in_use = any(path[:2] == (project_id, dataset_id) for path in _known)
    if is_in_use:
        raise BigQueryError("resourceInUse", f"Dataset {project_id}:{dataset_id} is still in use")
    _check_empty(project_id, dataset_id)


def create(project_id: str, dataset_id: str, body: Table, translate: Any) -> Table:
    """Make a table, as `tables.create`."""
    table_id = body.tableReference and body.tableReference.tableId
    if not table_id:
        return _create(project_id, dataset_id, body, translate)
    path = (project_id, dataset_id, table_id)
    # Who makes the same at once, as a client that asks again does, finds it made.
    with database.writing(*path):
        # One that is there already must keep its place; the error is the emulator's.
        if not (body.expirationTime and tables.fields(body)) or tables.exists(*path):
            return _create(project_id, dataset_id, body, translate)
        with _lock:
            _known.add(path)
        try:
            return _create(project_id, dataset_id, body, translate)
        except BaseException:
            forget(*path)
            raise


def load(cur: Any, config: Any, upload: str | None) -> Any:
    """Run a load job, as `load.run`."""
    path = tables.reference(config.destinationTable)
    # No load into the lake waits for one of these.
    if is_own(path):
        with _loading:
            if not upload or Path(upload).stat().st_size > SMALL_BYTES:
                _move(path)
            if is_own(path):
                return _load(cur, config, upload)
    return _load(cur, config, upload)


def _move(path: Reference) -> None:
    """Put a table into the lake, unless another load has done so."""
    if not is_own(path):
        return
    target = database.quote(*_physical(*path))
    columns = ", ".join(types.column(field) for field in tables.fields(tables.load(*path)))
    with database.writing(*path):
        # One transaction writes to one database: until the second has forgotten the table, it is that one's, and what the lake has of it is replaced.
        with database.cursor() as cur:
            cur.execute("BEGIN")
            cur.execute(f"CREATE OR REPLACE TABLE {target} ({columns})")
            cur.execute(f"INSERT INTO {target} SELECT * FROM {database.quote(*_place(path))}")
            cur.execute("COMMIT")
        forget(*path)


def rename(project_id: str, dataset_id: str, table_id: str, new_id: str) -> None:
    """Let a table that DuckDB has renamed have its new name, as `tables.rename`."""
    if is_own((project_id, dataset_id, table_id)):
        path = (project_id, dataset_id, new_id)
        database.execute(
            f"ALTER TABLE {database.quote(OWN, SCHEMA, new_id)} RENAME TO {database.quote(_place(path)[2])}"
        )
        with _lock:
            _known.add(path)
    _rename(project_id, dataset_id, table_id, new_id)


def forget(*keys: str) -> None:
    """Drop those whose project, dataset and name begin with these, with whose records they go."""
    with _lock:
        gone = [path for path in _known if path[: len(keys)] == keys]
        for path in gone:
            database.execute(f"DROP TABLE IF EXISTS {database.quote(*_place(path))}")
            _known.discard(path)


def replace() -> None:
    """Put these in the place of the emulator's own, and find those that an earlier process has left. After `records.replace`."""
    tables.physical, tables.create, tables.rename = physical, create, rename
    datasets.check_empty, runner.HANDLERS["load"] = check_empty, load
    delete_records = metadata.delete

    def delete(model: Any, *keys: str) -> None:
        delete_records(model, *keys)
        if model is Table:
            forget(*keys)

    metadata.delete = delete
    database.execute(f"CREATE SCHEMA IF NOT EXISTS {OWN}.{SCHEMA}")
    found = database.fetch(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = ?", [OWN, SCHEMA]
    )
    for (name,) in found:
        project_id, _, rest = name.rpartition(":")
        dataset_id, _, table_id = rest.partition(".")
        path = (project_id, dataset_id, table_id)
        _known.add(path)
        if metadata.load(Table, *path) is None:
            # The process was killed while it deleted the table.
            forget(*path)
        else:
            # Or while it moved the table: deleted here, it would be seen there.
            database.execute(f"DROP TABLE IF EXISTS {database.quote(*_physical(*path))}")


def _place(path: Reference) -> Reference:
    # Neither a dataset nor a table has a colon in its name, and a dataset has no dot.
    project_id, dataset_id, table_id = path
    return OWN, SCHEMA, f"{project_id}:{dataset_id}.{table_id}"
