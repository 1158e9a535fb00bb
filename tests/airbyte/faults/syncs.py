"""Syncs through the server's API, and the processes of one, to be killed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
import psycopg
from psycopg import sql

from stack import airbyte as server
from stack.airbyte import client_credentials
from stack.settings import Settings

ENDED = ("succeeded", "failed", "cancelled")
SECONDS = 300.0


class Token(httpx.Auth):
    """A bearer token, asked for when the server wants one: the first, and another one after a quarter of an hour."""

    requires_response_body = True

    def __init__(self, settings: Settings) -> None:
        self._request = httpx.Request(
            "POST",
            f"{settings.airbyte_url}/applications/token",
            data={name.removeprefix("AIRBYTE_").lower(): value for name, value in client_credentials(settings).items()},
        )
        self._token = "none"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        answer = yield request
        if answer.status_code == 401:
            self._token = (yield self._request).json()["access_token"]
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request


@contextmanager
def client(settings: Settings) -> Iterator[httpx.Client]:
    """Plain HTTP with a token; a token lives across restarts of the server."""
    transport = httpx.HTTPTransport(retries=3)
    with httpx.Client(base_url=settings.airbyte_url, timeout=60, transport=transport, auth=Token(settings)) as made:
        yield made


def start(api: httpx.Client, connection: str) -> int:
    """Start a sync; returns its job id."""
    answer = api.post("/jobs", json={"connectionId": connection, "jobType": "sync"})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["jobId"])


def wait(api: httpx.Client, job: int) -> dict[str, Any]:
    """The job once it has ended."""
    deadline = time.monotonic() + SECONDS
    while (found := api.get(f"/jobs/{job}").json())["status"] not in ENDED:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return dict(found)


def succeed(api: httpx.Client, connection: str) -> dict[str, Any]:
    """A whole sync, which must succeed."""
    job = wait(api, start(api, connection))
    assert job["status"] == "succeeded", api.get(f"/jobs/{job['jobId']}/log").text
    return job


@contextmanager
def held_up(settings: Settings, table: str) -> Iterator[Callable[[], object]]:
    """A sync waits at the table's first row until the end of the block, or until what is given is called.

    Not by a lock on the table, for which a sync waits before it reads any: by row security, which the source's reader is subject to.
    """
    of_table = {"table": sql.Identifier(table)}
    with psycopg.connect(settings.admin_dsn, autocommit=True) as holder:
        holder.execute("select pg_advisory_lock(7)")
        holder.execute(
            sql.SQL("create policy held_up on {table} using (pg_advisory_lock_shared(7) is not null)").format(
                **of_table
            )
        )
        holder.execute(sql.SQL("alter table {table} enable row level security").format(**of_table))
        try:
            yield lambda: holder.execute("select pg_advisory_unlock(7)")
        finally:
            holder.execute("select pg_advisory_unlock_all()")
            holder.execute(
                sql.SQL("alter table {table} disable row level security; drop policy held_up on {table}").format(
                    **of_table
                )
            )


def processes(settings: Settings) -> dict[str, psutil.Process]:
    """What runs of a sync now: `server`, and as far as they live `worker`, `source` and `destination`."""
    running = server.process(settings).running()
    assert running is not None
    found = {"server": running}
    names = {
        "airbyte.server.worker": "worker",
        "airbyte.connectors.source_postgres": "source",
        "airbyte.connectors.destination_bigquery": "destination",
    }
    folder = str(settings.local_dir)
    groups = set()
    for process in psutil.process_iter(["cmdline"]):
        command = words(process.info["cmdline"])
        if "airbyte.server.worker" in command and any(word.startswith(folder) for word in command):
            groups.add(process.pid)
            found["worker"] = process
    for process in psutil.process_iter(["cmdline"]):
        try:
            if os.getpgid(process.pid) not in groups:
                continue
        except OSError:
            continue
        for word in words(process.info["cmdline"]):
            if names.get(word, "worker") != "worker":
                found[names[word]] = process
    return found


def words(command: list[str] | None) -> list[str]:
    """The command line of a process, as psutil gives it: that of one which was forked is a single text, padded with empty ones."""
    return " ".join(command or []).split()
