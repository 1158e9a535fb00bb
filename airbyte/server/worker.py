"""One job, as a process of its own: `python -m airbyte.server.worker --data-dir DIR --job N`.

It starts source and destination (as its forks) in its process group, carries the records from one to the other, keeps every state that the destination
acknowledges, counts, and writes the job's log. A worker that is killed leaves a job that the server marks failed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from airbyte.connectors.protocol import RecordRun, blocks
from airbyte.server import catalog, drift, forks, programs, secret_fields
from airbyte.server.counts import COMPLETE, FAILED, Counts
from airbyte.server.store import CONNECTION, DESTINATION, REFRESH, SOURCE, Store
from stack import lineage, processes, settings

Json = dict[str, Any]
# Larger pipes: fewer switches between the programs at either end. The most that Linux gives an unprivileged process.
PIPE_BYTES = 1 << 20
REPORT_SECONDS = 1.0


class Job:
    """The sync of one connection."""

    def __init__(self, store: Store, job_id: int, folder: Path) -> None:
        """Logs go to `folder`/<job id>.log, temporary files below `folder`/<job id>."""
        self._store = store
        self._id = job_id
        log = folder / f"{job_id}.log"
        log.touch(mode=0o600)
        self._log_file = log.open("a", buffering=1)
        self._folder = folder / str(job_id)
        self._counts = Counts()
        self._failures: list[str] = []
        self._lineage: dict[str, lineage.Step] = {}
        self._secrets: list[str] = []
        self._reported = 0.0

    def run(self) -> None:
        """Run to the end and record it; nothing where the job is another worker's, or was cancelled before it began."""
        if not self._store.begin_job(self._id, os.getpid(), processes.birth(os.getpid())):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        try:
            self._sync()
        except Exception as error:
            self._fail(str(error) or type(error).__name__)
        seconds = time.monotonic() - started
        status = "failed" if self._failures else "succeeded"
        for failure in self._failures:
            self._log(f"error: {failure}")
        counts = self._counts
        rate = f"{counts.rows / seconds:,.0f} rows/s"
        self._log(f"{status}: {counts.rows:,} rows, {counts.bytes:,} bytes in {seconds:.1f} s, {rate}")
        self._report(status=status, message=self._hidden("; ".join(self._failures)))
        shutil.rmtree(self._folder, ignore_errors=True)
        lineage.tell(settings.load(), self._told())

    def _told(self) -> Iterator[lineage.Step]:
        """The lineage of each stream that ended, well or not."""
        for name, step in self._lineage.items():
            count = self._counts.of(name)
            if count.status in (COMPLETE, FAILED):
                step.ended, step.rows = lineage.now(), count.rows
                step.error = None if count.status == COMPLETE else self._hidden("; ".join(self._failures))
                yield step

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
        self._secrets += reader.secrets(source["configuration"]) + writer.secrets(destination["configuration"])
        if job["job_type"] == REFRESH:
            self._store.clear_states(connection["id"])
            self._log("refresh: every stream is read from its beginning")
        discovered = programs.discover(reader, source["configuration"], self._folder, self._said)
        try:
            followed = drift.follow(connection, discovered)
        except drift.SchemaChanged:
            # Unless somebody has accepted the source as it is meanwhile.
            self._store.revise(
                CONNECTION,
                connection["id"],
                lambda now: {"status": "inactive"} if now["catalog"] == connection["catalog"] else {},
            )
            raise
        for warning in followed.warnings:
            self._log(f"warning: {warning}")
        for name, reason in followed.stopped.items():
            self._counts.end(name, FAILED)
            self._fail(reason)
        states = self._store.states(connection["id"])
        resumed = {state["stream"]["stream_descriptor"]["name"] for state in states}
        generations = self._next_generations(connection, followed.streams, job["job_type"] == REFRESH)
        configured = catalog.configured(followed.streams, followed.columns, discovered, generations, resumed, self._id)
        self._store.revise(
            CONNECTION,
            connection["id"],
            lambda now: {"generations": generations} | _remembered(connection, followed, now),
        )
        if not configured["streams"]:
            return
        place, landing = source["configuration"], destination["configuration"]
        for stream in configured["streams"]:
            name, schema = stream["stream"]["name"], stream["stream"].get("namespace") or "public"
            self._counts.of(name)
            origin = lineage.source_table(place["host"], place["port"], place["database"], schema, name)
            landed = lineage.warehouse_table(landing["project_id"], f"{landing['dataset_id']}.{name}")
            now = lineage.now()
            job_name = f"airbyte.{connection['name']}.{name}"
            self._lineage[name] = lineage.Step(job_name, [origin], [landed], "AIRBYTE", now, now)
        with (
            programs.files(self._folder, config=source["configuration"], catalog=configured, state=states) as read,
            programs.files(self._folder, config=destination["configuration"], catalog=configured) as write,
        ):
            self._pipe(reader, read, writer, write, connection["id"])

    def _next_generations(self, connection: Json, streams: list[Json], is_refresh: bool) -> dict[str, int]:
        """A full refresh begins a new generation of its stream."""
        generations: dict[str, int] = dict(connection.get("generations", {}))
        for stream in streams:
            name = stream["name"]
            if is_refresh or stream["syncMode"].startswith("full_refresh") or name not in generations:
                generations[name] = generations.get(name, 0) + 1
        return generations

    def _said(self, module: str, arguments: list[str], seconds: float) -> tuple[bytes, bytes]:
        """What a connector's command writes to stdout and stderr. Raises TimeoutExpired when it takes longer than `seconds`."""
        with self._folder.joinpath("said.stderr").open("w+b") as errors:
            fork = forks.program(module, arguments, errors=errors.fileno())
            assert fork.stdout
            late = threading.Timer(seconds, os.kill, (fork.pid, signal.SIGKILL))
            late.start()
            with fork.stdout:
                said = fork.stdout.read()
            fork.wait()
            is_late = not late.is_alive()
            late.cancel()
            # Forks want a process of one thread.
            late.join()
            if is_late:
                raise subprocess.TimeoutExpired(module, seconds)
            errors.seek(0)
            return said, errors.read()

    def _pipe(
        self,
        reader: programs.Definition,
        read: list[str],
        writer: programs.Definition,
        write: list[str],
        connection_id: str,
    ) -> None:
        environment = {"TMPDIR": str(self._folder)}
        with (
            self._folder.joinpath("source.stderr").open("w+b") as source_errors,
            self._folder.joinpath("destination.stderr").open("w+b") as destination_errors,
        ):
            source = forks.program(
                reader.module, ["read", *read], errors=source_errors.fileno(), environment=environment
            )
            destination = forks.program(
                writer.module,
                ["write", *write],
                errors=destination_errors.fileno(),
                reads=True,
                environment=environment,
            )
            assert source.stdout and destination.stdin and destination.stdout
            for pipe in (source.stdout, destination.stdin):
                with contextlib.suppress(AttributeError, OSError):
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            answers = threading.Thread(target=self._answers, args=(destination.stdout, connection_id), daemon=True)
            answers.start()
            try:
                self._carry(source.stdout, destination.stdin)
            finally:
                # Nobody reads what the source still writes: it ends by the broken pipe.
                source.stdout.close()
                with contextlib.suppress(BrokenPipeError):
                    destination.stdin.close()
                self._ended("source", source)
                self._ended("destination", destination)
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

    def _ended(self, name: str, fork: forks.Fork) -> None:
        """Wait for a connector's end and log what it cost."""
        usage = fork.wait()
        self._log(
            f"{name}: {usage.ru_utime + usage.ru_stime:.2f} CPU seconds, {usage.ru_maxrss / 1024:.0f} MB of memory at most"
        )

    def _carry(self, source: IO[bytes], destination: IO[bytes]) -> None:
        """Hand the source's messages on, counting records and reading what is for people."""
        run = RecordRun()
        for block in blocks(source):
            for lines, number, message in run.parts(block):
                if message is None:
                    self._counts.add(run.stream, number, len(lines))
                else:
                    self._read(message, "source")
            try:
                destination.write(block)
                destination.flush()
            except BrokenPipeError:
                # The destination has ended; its own last words say why.
                return
            if time.monotonic() - self._reported > REPORT_SECONDS:
                self._report()

    def _answers(self, destination: IO[bytes], connection_id: str) -> None:
        """Keep each state as it is acknowledged. Whatever happens, read to the end: a full pipe would stop the destination."""
        for line in destination:
            try:
                message = orjson.loads(line)
                if message["type"] == "STATE":
                    self._store.save_state(connection_id, message["state"])
                    self._counts.end(message["state"]["stream"]["stream_descriptor"]["name"], COMPLETE)
                else:
                    self._read(message, "destination")
            except Exception as error:
                self._fail(f"the destination's answer was not understood or kept: {error}")

    def _read(self, message: Json, speaker: str) -> None:
        trace = message.get("trace") or {}
        if message["type"] == "LOG":
            self._log(f"{speaker}: {message['log']['message']}")
        elif trace.get("type") == "STREAM_STATUS" and trace["stream_status"]["status"] == "STARTED":
            self._counts.start(trace["stream_status"]["stream_descriptor"]["name"])
        elif trace.get("type") == "ERROR":
            descriptor = trace["error"].get("stream_descriptor")
            if descriptor:
                self._counts.end(descriptor["name"], FAILED)
            self._fail(trace["error"]["message"])

    def _fail(self, reason: str) -> None:
        self._failures.append(reason)

    def _hidden(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, secret_fields.MASK)
        return text

    def _log(self, text: str) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        self._log_file.write(f"{now} {self._hidden(text)}\n")

    def _report(self, **fields: Any) -> None:
        self._reported = time.monotonic()
        counts = self._counts
        streams = json.dumps(counts.as_json())
        self._store.update_job(self._id, rows_synced=counts.rows, bytes_synced=counts.bytes, streams=streams, **fields)


def _remembered(before: Json, followed: drift.Followed, now: Json) -> Json:
    """What the sync, which began with the connection as it was `before`, changes of the connection as it is `now`.

    Whoever has changed the connection meanwhile has looked at the source and said what to read of it: as if the sync had come first.
    """
    if now["streams"] != before["streams"]:
        return {}
    if now["catalog"] == before["catalog"]:
        return {"streams": followed.streams, "catalog": followed.shape}
    # The source was accepted as it is, but for the tables that have become streams since.
    old = {stream["name"] for stream in before["streams"]}
    added = {s["name"]: followed.shape[s["name"]] for s in followed.streams if s["name"] not in old}
    return {"streams": followed.streams, "catalog": now["catalog"] | added}


def main(command: list[str] | None = None) -> int:
    """Run the job that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m airbyte.server.worker", description="Run one sync job; the server starts this."
    )
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--job", type=int, required=True)
    arguments = parser.parse_args(command)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Job(Store(arguments.data_dir), arguments.job, arguments.data_dir / "jobs").run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
