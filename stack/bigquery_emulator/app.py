"""The BigQuery emulator with the one field that dbt needs and it lacks, and with the housekeeping of the real one. Runs in the emulator's own environment.

dbt reads the table that a CREATE TABLE AS made from `configuration.query.destinationTable` of the finished job, as the real BigQuery reports it;
the emulator reports it as `statistics.query.ddlTargetTable` only. An ASGI wrapper copies it on the way out; no client is patched.

The emulator keeps every query's result as a table, and every version of every table, for ever: each call gets slower with each query (measured:
from 0.07 s to 0.19 s after 1,700), and each rebuild fills the disk anew. BigQuery keeps results for a day and versions for a week; here results go after a
minute in which nobody read them, old versions as versions.py says, and all of them when it starts.

What the emulator looks up by listing the whole catalog, the records that it reads anew at each step, and the MERGE that it takes apart into seven statements
are replaced (catalog.py, records.py, merge.py), and so are its PARSE_JSON, the place of tables that expire (temporary.py),
how it takes a request with a file apart (uploads.py), and the rounding of a product (rounding.py).
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import re
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Milliseconds that a job stays known after it was made.
JOB_LIFETIME = 24 * 60 * 60 * 1000
# Seconds between two rounds in which old versions and old jobs go.
FORGET_EVERY = 60.0
JOB = re.compile(r"/projects/[^/]+/jobs(/[^/]+)?$")
PAGE = re.compile(r"/projects/[^/]+/queries/([^/]+)$")
# What a server binds to be reached at every address of the machine.
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with
# DuckLake's options for its files.
FILES = {"parquet_version": "2", "parquet_compression": "lz4"}
# The emulator's own parses the text three times, twice of them to see whether it is a number, which shows at its beginning.
PARSE_JSON = """
CREATE OR REPLACE MACRO bq.main.parse_json(s) AS bq.main._parse_json_exact(s),
(s, mode) AS CASE lower(mode)
    WHEN 'exact' THEN bq.main._parse_json_exact(s)
    WHEN 'round' THEN CASE
        WHEN regexp_matches(s, '^\\s*[-0-9]') AND json_type(json(s)) IN ('DOUBLE', 'UBIGINT', 'HUGEINT') THEN to_json(CAST(json(s) AS DOUBLE))
        ELSE json(s) END
    ELSE _raise('Invalid wide_number_mode: ' || mode)
END
"""


class CtasDestination:
    """ASGI middleware: gives a job its `destinationTable` from `ddlTargetTable` where it has none."""

    def __init__(self, app: Any) -> None:
        """Wrap an ASGI application."""
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on; rewrite the answer where it is a job."""
        if (
            scope["type"] != "http"
            or not JOB.search(scope["path"])
            or (scope["method"], scope["path"][-5:]) == ("GET", "/jobs")
        ):
            await self.app(scope, receive, send)
            return
        start: dict[str, Any] = {}
        body = b""

        async def buffer(message: dict[str, Any]) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = with_destination(body)
            start["headers"] = [h for h in start["headers"] if h[0].lower() != b"content-length"]
            start["headers"].append((b"content-length", str(len(body)).encode()))
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, buffer)


def with_destination(body: bytes) -> bytes:
    """The job resource with its destination table; any other body as it is."""
    if b'"ddlTargetTable"' not in body:
        return body
    job = json.loads(body)
    target = job.get("statistics", {}).get("query", {}).get("ddlTargetTable")
    query = job.get("configuration", {}).get("query")
    if target is None or query is None or query.get("destinationTable"):
        return body
    query["destinationTable"] = target
    return json.dumps(job).encode()


class ForPrograms:
    """ASGI middleware: refuses what a web page in somebody's browser asks, for which the emulator has no password to ask.

    A page of another site can post a query as a form, which a browser asks nobody about; it says so in `Origin`, which no client of BigQuery sends. A page
    whose name is resolved to this machine after it was loaded is of the same origin, but calls the emulator by that name.
    """

    def __init__(self, app: Any, names: Iterable[str]) -> None:
        """Wrap an ASGI application that goes by these names, and by the machine's own. One that listens everywhere goes by every address, too."""
        self.app = app
        self.names = {"localhost", "127.0.0.1", "::1", *(name.lower() for name in names)}
        self.is_everywhere = not self.names.isdisjoint(EVERYWHERE)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        for name, value in scope.get("headers", ()):
            if name == b"origin" or (name == b"host" and not self.is_own(value.decode("latin-1"))):
                await self.refuse(f"{name.decode()} {value.decode('latin-1')}", send)
                return
        await self.app(scope, receive, send)

    def is_own(self, host: str) -> bool:
        """Whether the emulator is known by what a Host header says, whatever the port."""
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        # Only a name can be resolved to another machine than before.
        return name.lower() in self.names or (self.is_everywhere and is_address(name))

    async def refuse(self, what: str, send: Any) -> None:
        """Answer as BigQuery does where something is not allowed."""
        message = f"Access Denied: the emulator answers no web page and goes by no other name than its own: {what}"
        errors = [{"message": message, "domain": "global", "reason": "accessDenied"}]
        error = {"code": 403, "message": message, "errors": errors, "status": "PERMISSION_DENIED"}
        body = json.dumps({"error": error}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def is_address(name: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class LastRead:
    """ASGI middleware: remembers when a page of a job's result was last asked for or answered."""

    def __init__(self, app: Any) -> None:
        """Wrap an ASGI application."""
        self.app = app
        self.times: dict[str, float] = {}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on."""
        page = PAGE.search(scope["path"]) if scope["type"] == "http" else None
        if page:
            self.times[page[1]] = time.time()
        await self.app(scope, receive, send)
        if page:
            self.times[page[1]] = time.time()

    def since(self, moment: float) -> set[str]:
        """The jobs whose results were read after that; the others are forgotten."""
        known = list(self.times.items())
        for job, read in known:
            if read <= moment:
                self.times.pop(job, None)
        return {job for job, read in known if read > moment}


def replace() -> None:
    """Put what is quicker in the place of the emulator's own functions."""
    from local_bigquery.api import uploads
    from local_bigquery.catalog import datasets, tabledata, tables
    from local_bigquery.engine import database
    from local_bigquery.jobs import merge, query
    from local_bigquery.sql import dialect, translate
    from local_bigquery.sql.rules import partitions

    from stack.bigquery_emulator import catalog as our_catalog
    from stack.bigquery_emulator import merge as our_merge
    from stack.bigquery_emulator import records as our_records
    from stack.bigquery_emulator import rounding as our_rounding
    from stack.bigquery_emulator import temporary as our_temporary
    from stack.bigquery_emulator import uploads as our_uploads
    from stack.bigquery_emulator import versions as our_versions

    our_records.replace()
    our_temporary.replace()
    our_versions.replace()
    database.objects = our_catalog.objects
    datasets.exists = our_catalog.has_dataset
    tables.load = our_catalog.load
    tables.columns = tabledata.columns = our_catalog.columns
    partitions._hidden = our_catalog.has_ingestion_time
    merge.run = our_merge.run
    query.execute = our_catalog.execute
    translate.STATEMENT_RULES = [our_catalog.apply_rules]
    dialect.DuckDBDialect.generate = generate
    uploads._parts = our_uploads.parts
    translate.NODE_RULES.append(our_rounding.round_product)
    for macro in (PARSE_JSON, *our_rounding.MACROS):
        database.execute(macro)


def generate(dialect: Any, tree: Any, copy: bool = True, **options: Any) -> str:
    """A translated statement's text, as `Dialect.generate`, without another copy of the tree: the translation has made one."""
    return str(dialect.generator(**options).generate(tree, copy=False))


def write_what_is_read_quickly() -> None:
    """Let new files of the lake hold text as lengths and letters apart, which DuckDB reads in half of the time: most columns here are ids."""
    from local_bigquery.engine import database

    for project_id in database.projects():
        for option, value in FILES.items():
            database.execute(f"CALL {database.quote(project_id)}.set_option('{option}', '{value}')")


def end_unfinished_jobs() -> None:
    """Mark failed the jobs that ran when the emulator was killed: nobody runs them any more, and their clients would wait for ever. Their files go."""
    from local_bigquery.jobs import store
    from local_bigquery.settings import settings

    error = {"reason": "stopped", "message": "the emulator was stopped while the job ran"}
    for job in store.list_(settings.default_project_id, ["PENDING", "RUNNING"]):
        store.save(job.replace(status={"state": "DONE", "errorResult": error, "errors": [error]}))
    shutil.rmtree(settings.data_dir / "uploads", ignore_errors=True)


def forget_old_jobs() -> None:
    """Forget the jobs of days gone by."""
    from local_bigquery.engine import database

    database.execute("DELETE FROM emulator.jobs WHERE creation_time < ?", [int(time.time() * 1000) - JOB_LIFETIME])


def bound_memory(spill: Path, memory: str = "") -> None:
    """Let queries have `memory` ("4GB"; "": 80 % of what the machine or the container has) and put what is more into a folder.

    The folder is emptied of what a killed process left. By itself DuckDB would use the working directory: the user's, and in a container a read-only one.
    """
    from local_bigquery.engine import database

    shutil.rmtree(spill, ignore_errors=True)
    for name, value in {"temp_directory": str(spill), "memory_limit": memory}.items():
        if value:
            database.execute(f"SET GLOBAL {name} = '{value.replace("'", "''")}'")


def keep_house(lifetime: float, last_read: LastRead) -> None:
    """Drop results as they get old, and old versions of tables, for as long as the process lives."""
    from stack.bigquery_emulator import records as our_records
    from stack.bigquery_emulator import versions as our_versions

    past = our_versions.Past()
    next_forgetting = time.monotonic()
    while True:
        time.sleep(lifetime / 10)
        moment = time.time() - lifetime
        try:
            our_records.drop_results(moment, last_read.since(moment))
            if time.monotonic() >= next_forgetting:
                next_forgetting = time.monotonic() + FORGET_EVERY
                forget_old_jobs()
                past.forget()
        except Exception:
            # A client may have deleted a job meanwhile; the next round takes the rest.
            traceback.print_exc()


def import_extensions(home: Path) -> None:
    """Give DuckDB its extensions, before it is imported: it looks for them under HOME, and would download what it does not find there."""
    os.environ["HOME"] = str(home)
    from duckdb_extensions import import_extension

    for extension in ("icu", "avro", "spatial", "ducklake"):
        import_extension(extension)


def main() -> None:
    """Serve REST and gRPC until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--name", action="append", default=[], help="another name that clients call this host by")
    parser.add_argument("--port", type=int, default=9050)
    parser.add_argument("--grpc-port", type=int, default=9060)
    parser.add_argument("--project", required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    # A client that reads page by page asks for the next one long before a minute has gone.
    parser.add_argument("--result-seconds", type=float, default=60, help="how long a result that nobody reads is kept")
    parser.add_argument(
        "--memory", default="", help="what queries may take before they spill, such as 4GB (default 80 %%)"
    )
    arguments = parser.parse_args()
    arguments.data_dir.mkdir(parents=True, exist_ok=True)

    # DuckDB tries to import pandas at each value that it is given, and Python looks for it anew each time.
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]
    home = arguments.data_dir / "home"
    home.mkdir(exist_ok=True)
    import_extensions(home)

    import uvicorn
    from local_bigquery import app
    from local_bigquery.grpc import server
    from local_bigquery.settings import settings

    from stack.bigquery_emulator import records as our_records
    from stack.bigquery_emulator import versions as our_versions

    settings.bigquery_host = arguments.host
    settings.bigquery_port = arguments.port
    settings.grpc_port = arguments.grpc_port
    settings.default_project_id = arguments.project
    settings.default_dataset_id = "raw"
    settings.data_dir = arguments.data_dir / "data"
    replace()
    bound_memory(arguments.data_dir / "spill", arguments.memory)
    write_what_is_read_quickly()
    end_unfinished_jobs()
    our_records.drop_all_results()
    forget_old_jobs()
    our_versions.forget_all()
    served = LastRead(CtasDestination(app))
    threading.Thread(
        target=keep_house, args=(arguments.result_seconds, served), name="housekeeping", daemon=True
    ).start()
    grpc_server, _ = server.start(arguments.host, arguments.grpc_port)
    application = ForPrograms(served, [arguments.host, *arguments.name])
    uvicorn.run(application, host=arguments.host, port=arguments.port, access_log=False)
    grpc_server.stop(None)


if __name__ == "__main__":
    main()
