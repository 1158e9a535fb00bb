"""One sync job, as a process of its own: `python -m airbyte.server.worker --data-dir DIR --job N`.

It starts source and destination in its process group, carries the records from one to the other, keeps every state that the destination
acknowledges, counts, and writes the job's log. A worker that is killed leaves a job that the server marks failed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import orjson
import psutil

from airbyte.server import catalog, programs
from airbyte.server.store import CONNECTION, DESTINATION, SOURCE, Store

Json = dict[str, Any]
READ_BYTES = 1 << 20
REPORT_SECONDS = 1.0


class Cancelled(Exception):
    """The job was cancelled while it ran."""


class Job:
    """The sync of one connection."""

    def __init__(self, store: Store, job_id: int, folder: Path) -> None:
        """Logs go to `folder`/<job id>.log, temporary files below `folder`/<job id>."""
        self._store = store
        self._id = job_id
        self._log_file = (folder / f"{job_id}.log").open("a", buffering=1)
        self._folder = folder / str(job_id)
        self._rows: dict[str, int] = {}
        self._bytes = 0
        self._failures: list[str] = []
        self._reported = 0.0

    def run(self) -> None:
        """Run to the end and record it."""
        self._store.update_job(
            self._id, status="running", pid=os.getpid(), process_created=psutil.Process().create_time()
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        try:
            self._sync()
        except Exception as error:
            self._fail(str(error) or type(error).__name__)
        status = "failed" if self._failures else "succeeded"
        if self._failures:
            self._log(f"error: {self._failures[0]}")
        seconds = time.monotonic() - started
        rows = sum(self._rows.values())
        self._log(f"{status}: {rows:,} rows, {self._bytes:,} bytes in {seconds:.1f} s")
        self._report(status=status, message=self._failures[0] if self._failures else "")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _sync(self) -> None:
        job = self._store.job(self._id)
        assert job is not None
        connection = self._store.get(CONNECTION, job["connection_id"])
        if connection is None:
            raise RuntimeError("the connection was deleted")
        source = self._store.get(SOURCE, connection["sourceId"])
        destination = self._store.get(DESTINATION, connection["destinationId"])
        if source is None or destination is None:
            raise RuntimeError("the connection's source or destination was deleted")
        reader = programs.SOURCES[source["sourceType"]]
        writer = programs.DESTINATIONS[destination["destinationType"]]
        discovered = programs.discover(reader, source["configuration"])
        generations = self._next_generations(connection)
        configured = catalog.configured(connection, discovered, generations, self._id)
        self._store.update(
            CONNECTION, connection["id"], {"generations": generations, "catalog": catalog.columns(discovered)}
        )
        states = self._store.states(connection["id"])
        with (
            programs.files(self._folder, config=source["configuration"], catalog=configured, state=states) as read,
            programs.files(self._folder, config=destination["configuration"], catalog=configured) as write,
        ):
            self._pipe(
                programs.command(reader, "read", read), programs.command(writer, "write", write), connection["id"]
            )

    def _next_generations(self, connection: Json) -> dict[str, int]:
        """A full refresh begins a new generation of its stream."""
        generations: dict[str, int] = dict(connection.get("generations", {}))
        for stream in connection["streams"]:
            if stream["syncMode"].startswith("full_refresh") or stream["name"] not in generations:
                generations[stream["name"]] = generations.get(stream["name"], 0) + 1
        return generations

    def _pipe(self, read: list[str], write: list[str], connection_id: str) -> None:
        environment = programs.environment() | {"TMPDIR": str(self._folder)}
        with (
            self._folder.joinpath("source.stderr").open("w+b") as source_errors,
            self._folder.joinpath("destination.stderr").open("w+b") as destination_errors,
        ):
            source = subprocess.Popen(read, stdout=subprocess.PIPE, stderr=source_errors, env=environment)
            destination = subprocess.Popen(
                write, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=destination_errors, env=environment
            )
            assert source.stdout and destination.stdin and destination.stdout
            answers = threading.Thread(target=self._answers, args=(destination.stdout, connection_id), daemon=True)
            answers.start()
            try:
                self._carry(source.stdout, destination.stdin)
            finally:
                # Nobody reads what the source still writes: it ends by the broken pipe.
                source.stdout.close()
                with contextlib.suppress(BrokenPipeError):
                    destination.stdin.close()
                source.wait()
                destination.wait()
                answers.join()
            for name, process, errors in (
                ("source", source, source_errors),
                ("destination", destination, destination_errors),
            ):
                if process.returncode and not self._failures:
                    errors.seek(0)
                    text = errors.read().decode(errors="replace").strip().splitlines()
                    self._fail(
                        f"the {name} ended with status {process.returncode}: {text[-1] if text else 'it said nothing'}"
                    )

    def _carry(self, source: IO[bytes], destination: IO[bytes]) -> None:
        """Hand the source's messages on, counting records and reading what is for people."""
        rest = b""
        prefix, stream = b"\x00", ""
        while chunk := source.read1(READ_BYTES):  # type: ignore[attr-defined]
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            if not lines:
                continue
            for line in lines:
                if line.startswith(prefix):
                    self._rows[stream] += 1
                    continue
                message = orjson.loads(line)
                if message["type"] == "RECORD":
                    stream = message["record"]["stream"]
                    self._rows[stream] = self._rows.get(stream, 0) + 1
                    head = line.split(b',"data":', 1)[0] + b',"data":'
                    prefix = head if head.startswith(b'{"type":"RECORD","record":{"stream":') else b"\x00"
                else:
                    self._read(message, "source")
            self._bytes += sum(map(len, lines))
            try:
                destination.write(b"\n".join(lines) + b"\n")
                destination.flush()
            except BrokenPipeError:
                # The destination has ended; its own last words say why.
                return
            if time.monotonic() - self._reported > REPORT_SECONDS:
                self._report()

    def _answers(self, destination: IO[bytes], connection_id: str) -> None:
        """Keep each state as it is acknowledged."""
        for line in destination:
            message = orjson.loads(line)
            if message["type"] == "STATE":
                self._store.save_state(connection_id, message["state"])
            else:
                self._read(message, "destination")

    def _read(self, message: Json, speaker: str) -> None:
        if message["type"] == "LOG":
            self._log(f"{speaker}: {message['log']['message']}")
        elif message["type"] == "TRACE" and message["trace"]["type"] == "ERROR":
            self._fail(message["trace"]["error"]["message"])

    def _fail(self, reason: str) -> None:
        self._failures.append(reason)

    def _log(self, text: str) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        self._log_file.write(f"{now} {text}\n")

    def _report(self, **fields: Any) -> None:
        self._reported = time.monotonic()
        rows = dict(self._rows)
        self._store.update_job(
            self._id, rows_synced=sum(rows.values()), bytes_synced=self._bytes, streams=json.dumps(rows), **fields
        )


def main() -> int:
    """Run the job that the command line names."""
    parser = argparse.ArgumentParser(description="Run one sync job; the server starts this.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--job", type=int, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Job(Store(arguments.data_dir), arguments.job, arguments.data_dir / "jobs").run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
