"""`python -m airbyte.connections.jobs`: the described connection's jobs. `sync` and `refresh` run one and show how it goes; `show` tells of one that ran,
`cancel` ends one.

Plain HTTP, like `find`: the SDK takes four seconds to import. What only this project's server has (streams, log) is left out against another Airbyte.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table

from airbyte.connections import find
from airbyte.connections.description import load
from stack import settings
from stack.failures import one_line
from stack.processes import StackError
from stack.settings import Settings

Json = dict[str, Any]
ENDED = ("succeeded", "failed", "cancelled")
POLL_SECONDS = 0.5
LISTED = 20


class JobError(RuntimeError):
    """The command cannot do what it was asked; the message is one line that says what to do."""


@contextmanager
def _reached(current: Settings) -> Iterator[tuple[httpx.Client, str]]:
    """A client that is logged in, and the id of the described connection. Raises JobError."""
    name = load().name
    try:
        with find.session(current) as api:
            connection = find.named(api, name)
            if connection is None:
                raise JobError(f"Airbyte has no connection {name!r}: `python -m airbyte.connections.apply` makes it")
            yield api, connection
    except (StackError, ValueError) as error:
        raise JobError(str(error)) from None
    except httpx.HTTPError as error:
        raise JobError(f"Airbyte at {current.airbyte_url}: {error}: `make up` starts the embedded one") from None


def run(current: Settings, job_type: str, console: Console) -> Json:
    """Run a job to its end, shown as it goes. Returns the job; Ctrl-C cancels it. Raises JobError when it cannot start."""
    with _reached(current) as (api, connection):
        answer = api.post("jobs", json={"connectionId": connection, "jobType": job_type})
        if answer.is_error:
            raise JobError(_reason(answer))
        job: Json = answer.json()
        try:
            with Live(console=console, refresh_per_second=4, transient=False) as live:
                while job["status"] not in ENDED:
                    time.sleep(POLL_SECONDS)
                    job = api.get(f"jobs/{job['jobId']}").raise_for_status().json()
                    live.update(_progress(job, _streams(api, job["jobId"])))
        except KeyboardInterrupt:
            job = api.delete(f"jobs/{job['jobId']}").raise_for_status().json()
            console.print(f"job {job['jobId']} cancelled")
        if job["status"] == "failed":
            _print_errors(api, job["jobId"], console)
        return job


def show(current: Settings, job_id: int, console: Console) -> None:
    """Tell of one job: its streams and its log. Raises JobError when there is none."""
    with _reached(current) as (api, _):
        answer = api.get(f"jobs/{job_id}")
        if answer.is_error:
            raise JobError(_reason(answer))
        console.print(_progress(answer.json(), _streams(api, job_id)))
        for line in _log(api, job_id):
            console.print(line, highlight=False, markup=False)


def cancel(current: Settings, job_id: int, console: Console) -> None:
    """End a job; one that has ended stays as it is. Raises JobError when there is none."""
    with _reached(current) as (api, _):
        answer = api.delete(f"jobs/{job_id}")
        if answer.is_error:
            raise JobError(_reason(answer))
        console.print(f"job {job_id}: {answer.json()['status']}")


def listed(current: Settings, console: Console) -> None:
    """The last jobs, newest first; and why the newest failed, if it did."""
    with _reached(current) as (api, connection):
        page = api.get("jobs", params={"connectionId": connection, "limit": LISTED}).raise_for_status().json()["data"]
        table = _table("job", "type", "status", "started", "rows", "bytes")
        for job in page:
            cells = (job["jobId"], job["jobType"], job["status"], job["startTime"])
            table.add_row(*map(str, cells), *_volume(job))
        console.print(table)
        if page and page[0]["status"] == "failed":
            _print_errors(api, page[0]["jobId"], console)


def _print_errors(api: httpx.Client, job_id: int, console: Console) -> None:
    """Why a job failed, as its log says."""
    for line in _log(api, job_id):
        if " error: " in line:
            console.print(line, highlight=False, markup=False)


def _progress(job: Json, streams: list[Json]) -> Table:
    table = _table(f"job {job['jobId']}: {job['status']}", "", "rows", "bytes", "rows/s", "seconds")
    for stream in streams:
        numbers = (stream["rowsSynced"], stream["bytesSynced"], stream["rowsPerSecond"])
        cells = [f"{number:,}" for number in numbers]
        table.add_row(stream["streamName"], stream["status"], *cells, f"{stream['seconds']:.1f}")
    table.add_row("all", "", *_volume(job), "", "")
    return table


def _volume(job: Json) -> tuple[str, str]:
    """Rows and bytes, which the API leaves out of a job that has none yet."""
    return f"{job.get('rowsSynced') or 0:,}", f"{job.get('bytesSynced') or 0:,}"


def _table(*columns: str) -> Table:
    table = Table(box=None)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < 2 else "right")
    return table


def _streams(api: httpx.Client, job_id: int) -> list[Json]:
    answer = api.get(f"jobs/{job_id}/streams")
    found: list[Json] = answer.json() if answer.is_success else []
    return found


def _log(api: httpx.Client, job_id: int) -> list[str]:
    answer = api.get(f"jobs/{job_id}/log")
    return answer.text.splitlines() if answer.is_success else []


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("detail") or answer.text)
    except (ValueError, AttributeError):
        return answer.text or str(answer.status_code)


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status: 1 when the job failed or was cancelled."""
    parser = argparse.ArgumentParser(prog="python -m airbyte.connections.jobs", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("list", help="the last jobs (the default)")
    commands.add_parser("sync", help="land what is new")
    commands.add_parser("refresh", help="read every stream from its beginning, and land it")
    commands.add_parser("show", help="streams and log of a job").add_argument("job", type=int)
    commands.add_parser("cancel", help="end a job that runs; what it has committed stays").add_argument("job", type=int)
    chosen = parser.parse_args(arguments)
    current, console = settings.for_command(), Console()
    try:
        if chosen.command in ("sync", "refresh"):
            return 0 if run(current, chosen.command, console)["status"] == "succeeded" else 1
        if chosen.command == "show":
            show(current, chosen.job, console)
        elif chosen.command == "cancel":
            cancel(current, chosen.job, console)
        else:
            listed(current, console)
    except JobError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
