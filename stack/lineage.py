"""Lineage as OpenLineage events: the sync, dbt, Spark's jobs and the publication of the marts each tell what they read and wrote.

The events go to LOCAL_DIR/lineage, a file a month, one JSON event a line; or where OpenLineage's own variables say (OPENLINEAGE_URL=http://marquez:5000),
or nowhere (OPENLINEAGE_DISABLED=true). A step never fails for its lineage.

`python -m stack.lineage upstream marts.fct_orders` prints what a table is made of, down to the source; `downstream raw.payments` what is made of it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stack import settings
from stack.failures import one_line
from stack.settings import Settings

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent

NAMESPACE = "marketplace-elt"
# Who says so, as every event and facet must tell: a URI.
PRODUCER = "urn:marketplace-elt"
WAREHOUSE = "bigquery"
# What Airflow tells the programs of a task.
DAG_ID, RUN_ID, TASK_ID = "AIRFLOW_CTX_DAG_ID", "AIRFLOW_CTX_DAG_RUN_ID", "AIRFLOW_CTX_TASK_ID"


@dataclass(frozen=True)
class Table:
    """A dataset by OpenLineage's naming rules: bigquery and project.dataset.table, postgres://host:port and database.schema.table, file and a path."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """For people: dataset.table in the warehouse, else all of it."""
        if self.namespace == WAREHOUSE:
            return self.name.partition(".")[2]
        return f"{self.namespace}:{self.name}" if self.name.startswith("/") else f"{self.namespace}/{self.name}"


@dataclass
class Step:
    """What one job read and wrote. `rows` were written; `checks` are the outcome of tests, by the table that they are about."""

    job: str
    inputs: Sequence[Table]
    outputs: Sequence[Table]
    integration: str
    started: datetime.datetime
    ended: datetime.datetime
    rows: int | None = None
    error: str | None = None
    checks: Mapping[Table, Mapping[str, bool]] = field(default_factory=dict)


def now() -> datetime.datetime:
    """This moment, UTC."""
    return datetime.datetime.now(datetime.UTC)


def warehouse_table(project: str, name: str) -> Table:
    """A table or view of BigQuery; `name` is dataset.table."""
    return Table(WAREHOUSE, f"{project}.{name}")


def lake_table(uri: str) -> Table:
    """A Delta table, by the URI of its folder: file:///…, gs://…, s3a://…."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Table("file", parts.path)
    return Table(f"{parts.scheme.replace('s3a', 's3')}://{parts.netloc}", parts.path.strip("/"))


def source_table(host: str, port: int, database: str, schema: str, name: str) -> Table:
    """A table of the source's Postgres."""
    return Table(f"postgres://{host}:{port}", f"{database}.{schema}.{name}")


# Something in it once this process could not tell: it does not try again.
_given_up: list[bool] = []


def tell(current: Settings, steps: Iterable[Step]) -> None:
    """Send a START and a COMPLETE or FAIL of each step. What goes wrong, also in `steps`, is one line on stderr, and ends it for this process."""
    if _given_up or os.environ.get("OPENLINEAGE_DISABLED", "").lower() == "true":
        return
    try:
        for step in steps:
            for event in events(step):
                _client(current.local_dir).emit(event)
    except Exception as error:
        _given_up.append(True)
        print(f"warning: no lineage of this run: {one_line(error)}", file=sys.stderr)


@contextmanager
def told(current: Settings, job: str, integration: str, inputs: Sequence[Table], *outputs: Table) -> Iterator[Step]:
    """Tell of one step when it ends, well or not. The caller sets its `rows`."""
    step = Step(job, inputs, outputs, integration, now(), now())
    try:
        yield step
    except BaseException as error:
        step.error = str(error) or type(error).__name__
        raise
    finally:
        step.ended = now()
        tell(current, [step])


def folder(local_dir: Path) -> Path:
    """Where the events are, a file a month."""
    return local_dir / "lineage"


@lru_cache
def _client(local_dir: Path) -> OpenLineageClient:
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport.file import FileConfig, FileTransport

    said = {name for name, value in os.environ.items() if name.startswith("OPENLINEAGE_") and value}
    if said - {"OPENLINEAGE_NAMESPACE"}:
        return OpenLineageClient()
    home = folder(local_dir)
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{now():%Y-%m}.jsonl"
    _end_half_line(path)
    return OpenLineageClient(transport=FileTransport(FileConfig(str(path), append=True)))


def _end_half_line(path: Path) -> None:
    """What a killed program left half must not take the next event along: that begins a line of its own."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.write(b"\n")


def events(step: Step) -> list[RunEvent]:
    """The events of a step that is over."""
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState, set_producer
    from openlineage.client.facet_v2 import (
        data_quality_assertions_dataset,
        error_message_run,
        job_type_job,
        output_statistics_output_dataset,
    )
    from openlineage.client.uuid import generate_new_uuid

    set_producer(PRODUCER)
    assertions = {
        table: data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
            [data_quality_assertions_dataset.Assertion(assertion=name, success=ok) for name, ok in outcomes.items()]
        )
        for table, outcomes in step.checks.items()
    }
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=step.rows)
    inputs = [
        InputDataset(
            table.namespace,
            table.name,
            inputFacets={"dataQualityAssertions": assertions[table]} if table in assertions else {},
        )
        for table in step.inputs
    ]
    outputs = [
        OutputDataset(
            table.namespace, table.name, outputFacets={} if step.rows is None else {"outputStatistics": statistics}
        )
        for table in step.outputs
    ]
    namespace = os.environ.get("OPENLINEAGE_NAMESPACE", NAMESPACE)
    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration=step.integration, jobType="TASK")
    job = Job(namespace, step.job, facets={"jobType": kind})
    run_id, of = str(generate_new_uuid()), _parent(namespace)
    ending = dict(of)
    if step.error is not None:
        ending["errorMessage"] = error_message_run.ErrorMessageRunFacet(step.error[:2000], "PYTHON")
    of_both: dict[str, Any] = {"job": job, "inputs": inputs}
    begun = RunEvent(eventTime=step.started.isoformat(), eventType=RunState.START, run=Run(run_id, of), **of_both)
    ended = RunEvent(
        eventTime=step.ended.isoformat(),
        eventType=RunState.COMPLETE if step.error is None else RunState.FAIL,
        run=Run(run_id, ending),
        outputs=outputs,
        **of_both,
    )
    return [begun, ended]


def _parent(namespace: str) -> dict[str, Any]:
    """The task of Airflow's that this program is, if it is one."""
    from openlineage.client.facet_v2 import parent_run

    dag, run, task = (os.environ.get(name) for name in (DAG_ID, RUN_ID, TASK_ID))
    if not (dag and run and task):
        return {}
    # The same for every program of one run, whoever asks.
    of_run, of_task = (str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(parts))) for parts in ((dag, run), (dag, run, task)))
    return {
        "parent": parent_run.ParentRunFacet(
            parent_run.Run(of_task),
            parent_run.Job(namespace, f"{dag}.{task}"),
            parent_run.Root(parent_run.RootRun(of_run), parent_run.RootJob(namespace, dag)),
        )
    }


# --- what the files say -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """The last time that a table was written: by which job, from what, when, and how many rows."""

    job: str
    inputs: tuple[Table, ...]
    at: str
    rows: int | None

    def __str__(self) -> str:
        """For people."""
        rows = "" if self.rows is None else f", {self.rows:,} rows"
        return f"{self.job}{rows}, {self.at[:19].replace('T', ' ')}"


def recorded(local_dir: Path) -> dict[Table, Made]:
    """How each table was last made, by the runs that ended well. A line that a killed program left half is passed over."""
    found: dict[Table, Made] = {}
    for path in sorted(folder(local_dir).glob("*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event["eventType"] != "COMPLETE":
                continue
            inputs = tuple(Table(table["namespace"], table["name"]) for table in event["inputs"])
            for written in event["outputs"]:
                rows = written.get("outputFacets", {}).get("outputStatistics", {}).get("rowCount")
                made = Made(event["job"]["name"], inputs, event["eventTime"], rows)
                found[Table(written["namespace"], written["name"])] = made
    return found


def tree(made: Mapping[Table, Made], name: str, upstream: bool) -> list[str]:
    """Lines: the table of that name and, indented, what it is made of (or what is made of it). Raises KeyError when no run told of it."""
    next_of: dict[Table, list[Table]] = {}
    for output, by in made.items():
        for table in by.inputs:
            above, below = (output, table) if upstream else (table, output)
            next_of.setdefault(above, []).append(below)
            next_of.setdefault(below, [])
    lines: list[str] = []
    seen: set[Table] = set()

    def grow(table: Table, depth: int) -> None:
        again = table in seen and bool(next_of[table])
        how = "  (see above)" if again else f"  [{made[table]}]" if table in made else ""
        lines.append("  " * depth + str(table) + how)
        if table not in seen:
            seen.add(table)
            for other in sorted(next_of[table], key=str):
                grow(other, depth + 1)

    grow({str(table): table for table in next_of}[name], 0)
    return lines


def main() -> int:
    """The command line. Returns the exit status; an error is one line."""
    parser = argparse.ArgumentParser(prog="python -m stack.lineage", description=__doc__)
    parser.add_argument("direction", choices=("upstream", "downstream"))
    parser.add_argument("table", help="dataset.table of the warehouse, or a name that the other direction printed")
    arguments = parser.parse_args()
    local_dir = settings.for_command().local_dir
    made = recorded(local_dir)
    try:
        print("\n".join(tree(made, arguments.table, arguments.direction == "upstream")))
    except KeyError:
        why = "no run has told of it" if made else f"{folder(local_dir)} has no events yet: `make demo` makes some"
        print(f"error: {arguments.table}: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
