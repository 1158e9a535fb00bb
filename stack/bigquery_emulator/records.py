"""The emulator's records of jobs, their results, datasets and tables, kept in memory beside its own tables. Runs in the emulator's own environment.

The emulator reads a record from its database each time that it needs one, and writes a job's at each change of state: seven reads and three writes for
`select 1`, nearly half of its CPU time. It is the only process that writes them. So each is read once, and written where it has to outlive the process. What
other questions ask of the tables (INFORMATION_SCHEMA, housekeeping) finds them there, but for the start of a job. A job that is new is inserted, and one that
is known updated: the emulator's INSERT OR REPLACE, which other records are still written by, takes DuckDB four times as long.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Container
from typing import Any

import duckdb
from local_bigquery.catalog import metadata, row_access, tables
from local_bigquery.engine import database
from local_bigquery.jobs import store
from local_bigquery.models import Job, RowAccessPolicy, Table

Keys = tuple[str, ...]

INSERT_JOB = "INSERT INTO emulator.jobs VALUES (?, ?, ?, ?, ?, ?)"
# All that changes of a line.
UPDATE_JOB = "UPDATE emulator.jobs SET state = ?, resource = ? WHERE project_id = ? AND job_id = ?"
# A client asks for a job until it ended, and then for its rows; older ones are read from the table.
JOBS_IN_MEMORY = 500

_save, _delete, _write = metadata.save, metadata.delete, tables.write
_save_job, _load_job, _list_jobs, _delete_job = store.save, store.load, store.list_, store.delete
# One writer at a time: memory must end with what the table ended with.
_lock = threading.RLock()
# By kind, as text: who gets a record may change it.
_resources: dict[str, dict[Keys, str]] = {}
_jobs: OrderedDict[Keys, str] = OrderedDict()
# The jobs whose results are stored. DuckDB would list them only with all tables of all databases.
_results: set[Keys] = set()


def _of_kind(kind: str) -> dict[Keys, str]:
    """All records of a kind, by their keys; read at the first question."""
    with _lock:
        if kind not in _resources:
            keys = ", ".join(database.RESOURCES[kind])
            rows = database.fetch(f"SELECT {keys}, resource FROM emulator.{kind}")
            _resources[kind] = {tuple(row[:-1]): row[-1] for row in rows}
        return _resources[kind]


def resources(model: Any, *keys: str) -> list[Any]:
    """The resources of a model whose keys begin with these, as `metadata.list_`."""
    kind = metadata.KINDS[model]
    known = _of_kind(kind)
    if len(keys) == len(database.RESOURCES[kind]):
        # Without the lock: nobody who reads one record waits for the writing of another.
        found = [resource] if (resource := known.get(keys)) else []
    else:
        with _lock:
            found = [resource for key, resource in known.items() if key[: len(keys)] == keys]
    return [model.model_validate_json(resource) for resource in found]


def save_resource(resource: Any, *keys: str) -> Any:
    """Store a resource, as `metadata.save`."""
    with _lock:
        saved = _save(resource, *keys)
        _of_kind(metadata.KINDS[type(resource)])[keys] = json.dumps(saved.dump())
        return saved


def delete_resources(model: Any, *keys: str) -> None:
    """Delete the resources whose keys begin with these, as `metadata.delete`."""
    with _lock:
        _delete(model, *keys)
        known = _of_kind(metadata.KINDS[model])
        for key in [key for key in known if key[: len(keys)] == keys]:
            del known[key]


def secured() -> frozenset[Keys]:
    """The tables with a row access policy, as `row_access.secured`."""
    with _lock:
        return frozenset(key[:3] for key in _of_kind(metadata.KINDS[RowAccessPolicy]))


def save_job(job: Job) -> Job:
    """Remember a job, as `store.save`; that it began to run is not written: it is as unfinished as before."""
    with _lock:
        keys = (job.jobReference.projectId, job.jobReference.jobId)
        resource = json.dumps(job.dump())
        if job.status.state != "RUNNING":
            _write_job(job, keys, resource)
        _jobs[keys] = resource
        _jobs.move_to_end(keys)
        while len(_jobs) > JOBS_IN_MEMORY:
            _jobs.popitem(last=False)
        return job


def _write_job(job: Job, keys: Keys, resource: str) -> None:
    if keys in _jobs:
        database.execute(UPDATE_JOB, [job.status.state, resource, *keys])
        return
    statistics = job.statistics
    line = [*keys, statistics.parentJobId, job.status.state, int(statistics.creationTime), resource]
    try:
        database.execute(INSERT_JOB, line)
    except duckdb.ConstraintException:
        # One of those that are not in memory.
        _save_job(job)


def load_job(project_id: str, job_id: str) -> Job | None:
    """A job, or none, as `store.load`."""
    known = _jobs.get((project_id, job_id))
    return Job.model_validate_json(known) if known else _load_job(project_id, job_id)


def list_jobs(project_id: str, states: list[str] | None = None, *arguments: Any) -> list[Job]:
    """The jobs of a project, as `store.list_`."""
    # The table calls a running job pending: it is asked for both.
    asked = [*states, "PENDING"] if states and "RUNNING" in states else states
    found = [load_job(project_id, job.jobReference.jobId) or job for job in _list_jobs(project_id, asked, *arguments)]
    return [job for job in found if states is None or job.status.state in states]


def delete_job(project_id: str, job_id: str) -> None:
    """Forget a job and its children, as `store.delete`."""
    with _lock:
        _delete_job(project_id, job_id)
        # Children have a line of their own; which ones, the table knew.
        _jobs.clear()


def write(cursor: Any, query: str, parameters: Any, reference: Keys, *arguments: Any, **options: Any) -> bool:
    """Write a query's rows to a table, as `tables.write`, and remember a result."""
    is_new = bool(_write(cursor, query, parameters, reference, *arguments, **options))
    project_id, dataset_id, job_id = reference
    if dataset_id == tables.RESULTS:
        with _lock:
            _results.add((project_id, job_id))
    return is_new


def drop_results(ended_before: float, still_read: Container[str] = ()) -> None:
    """Drop the stored results of queries that had ended by then, in seconds since the epoch, but for those of the jobs that are still read."""
    with _lock:
        stored = list(_results)
    for project_id, job_id in stored:
        job = load_job(project_id, job_id)
        # With the job that a client deletes its result goes.
        is_due = job is None or (job.status.state == "DONE" and int(job.statistics.endTime) <= ended_before * 1000)
        if is_due and job_id not in still_read:
            with _lock:
                _results.discard((project_id, job_id))
            if job is not None:
                tables.delete(project_id, tables.RESULTS, job_id)


def drop_all_results() -> None:
    """Drop what an earlier process has stored: nobody reads on in it."""
    database.execute("DROP SCHEMA emulator._results CASCADE")
    database.execute("CREATE SCHEMA emulator._results")
    for project_id in database.projects():
        delete_resources(Table, project_id, tables.RESULTS)


def replace() -> None:
    """Put these in the place of the emulator's own."""
    metadata.list_, metadata.save, metadata.delete = resources, save_resource, delete_resources
    row_access.secured = secured
    store.save, store.load, store.list_, store.delete = save_job, load_job, list_jobs, delete_job
    tables.write = write
