"""Spec, check and write."""

from __future__ import annotations

import json
import re
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import duckdb
import requests
from google.api_core.exceptions import ClientError, Forbidden, GoogleAPIError, TooManyRequests
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from airbyte.connectors.destination_bigquery import leftovers
from airbyte.connectors.destination_bigquery.batch import LINGER_SECONDS, Batch
from airbyte.connectors.destination_bigquery.landing import Landing
from airbyte.connectors.destination_bigquery.parquet import Converter
from airbyte.connectors.destination_bigquery.spec import SPEC
from airbyte.connectors.protocol import (
    ConfigError,
    ConfiguredStream,
    Json,
    Output,
    RecordRun,
    ReportedError,
    TransientError,
    blocks,
)
from stack.bigquery import ERRORS, JOB_SECONDS, RETRY, connect, create_dataset
from stack.failures import may_pass, one_line
from stack.settings import load

# Streams that are committed at once: a commit is mostly waiting for BigQuery.
COMMITTERS = 2


class DestinationBigQuery:
    """BigQuery, or the emulator that BIGQUERY_ENDPOINT names."""

    spec = SPEC

    def check(self, config: Json) -> None:
        """Raise ConfigError or TransientError unless the dataset can be made and a job can run."""
        if not re.fullmatch(r"\w{1,1024}", config["dataset_id"], re.ASCII):
            raise ConfigError(
                f"dataset_id {config['dataset_id']!r} is no name for a dataset: use letters, digits and _"
            )
        client = _client(config)
        try:
            create_dataset(client, config["dataset_id"], config["dataset_location"])
            client.query("select 1", retry=RETRY, job_retry=None, timeout=30).result(retry=RETRY, job_retry=None)
        except Forbidden as error:
            raise _refused(error, config) from None
        except (*ERRORS, OSError) as error:
            raise TransientError(f"BigQuery project {config['project_id']}: {one_line(error)}") from None

    def write(self, config: Json, streams: list[ConfiguredStream], messages: IO[bytes], output: Output) -> None:
        """Land the records of `messages`; echo each state once everything before it is committed.

        Raises ConfigError when a record's stream is unknown, TransientError when the input ends before every stream was complete.
        """
        client = _client(config)
        with _reachable(config), tempfile.TemporaryDirectory(prefix="destination_bigquery_") as folder:
            create_dataset(client, config["dataset_id"], config["dataset_location"])
            for name in leftovers.clear(client, config["dataset_id"], {s.name for s in streams}):
                output.log(f"dropped {name}, which a sync that was killed left behind")
            landings = Landings(client, config["dataset_id"], streams, Path(folder), output)
            try:
                landings.open()
                landings.land(messages)
            finally:
                landings.close()


@contextmanager
def _reachable(config: Json) -> Iterator[None]:
    """Turn what Google's client and the disk raise into an error that says what to do."""
    try:
        yield
    except Forbidden as error:
        raise _refused(error, config) from error
    except (*ERRORS, requests.RequestException) as error:
        raise TransientError(
            f"BigQuery project {config['project_id']}: {one_line(error)}: what was not committed lands at the next sync"
        ) from error
    except TimeoutError as error:
        raise TransientError(
            f"BigQuery project {config['project_id']}: a job did not end within {JOB_SECONDS / 60:.0f} minutes: what was not committed lands at "
            "the next sync"
        ) from error
    except OSError as error:
        raise TransientError(
            f"the destination's temporary folder: {one_line(error)}: free some disk space, then sync again"
        ) from error


def _refused(error: Forbidden, config: Json) -> ConfigError | TransientError:
    """What a 403 means: a permission that is missing, or a quota that is used up for now."""
    said = f"BigQuery project {config['project_id']}: {one_line(error)}"
    if _is_of_the_moment(error):
        return TransientError(f"{said}: sync again later")
    return ConfigError(
        f"{said}: grant the connection's account that right (dataset {config['dataset_id']}), or name another account"
    )


def _client(config: Json) -> bigquery.Client:
    credentials: Any = None
    if config.get("credentials_json"):
        from google.oauth2.service_account import Credentials

        try:
            credentials = Credentials.from_service_account_info(json.loads(config["credentials_json"]))
        except (ValueError, AttributeError, TypeError):
            # Not why: parts of the key would be in it.
            raise ConfigError(
                "credentials_json is not a service account key: give the JSON that Google Cloud makes for one, or leave it empty"
            ) from None
    try:
        return connect(config["project_id"], load().bigquery_endpoint, config["dataset_location"], credentials)
    except GoogleAuthError as error:
        raise ConfigError(f"no credentials for BigQuery: {one_line(error)}") from None


class Landings:
    """The streams of one sync. One that cannot land is given up with its reason; the others go on."""

    def __init__(
        self, client: bigquery.Client, dataset: str, streams: list[ConfiguredStream], folder: Path, output: Output
    ) -> None:
        """Messages go to `output`, files to `folder`."""
        self._client = client
        self._dataset = dataset
        self._folder = folder
        self._streams = {stream.name: stream for stream in streams}
        self._output = output
        self._landings: dict[str, Landing] = {}
        self._failed: set[str] = set()
        # Streams whose source has said itself that they are not complete.
        self._incomplete: set[str] = set()
        self._converter = Converter()
        self._loader = ThreadPoolExecutor(1, "load")
        # In the source's order, while the next streams are read.
        self._committer = ThreadPoolExecutor(COMMITTERS, "commit")
        self._commits: deque[Future[None]] = deque()
        self._batch: Batch | None = None
        self._last_batch: Batch | None = None

    def open(self) -> None:
        """Make each stream's way; a stream whose columns or modes cannot be landed fails here."""
        for name, stream in self._streams.items():
            try:
                self._landings[name] = Landing(
                    self._client, self._dataset, stream, self._folder, self._converter, self._loader
                )
            except ConfigError as error:
                self._fail(name, error)

    def close(self) -> None:
        """Drop what is only temporary. A commit that still runs, because the sync is being cancelled or has failed, is ended first."""
        threads = (self._committer, self._loader, self._converter)
        for thread in threads:
            thread.shutdown(wait=False, cancel_futures=True)
        if any(not commit.done() for commit in self._commits):
            for landing in self._landings.values():
                landing.abort()
        for thread in threads:
            thread.shutdown()
        for landing in self._landings.values():
            landing.close()

    def land(self, messages: IO[bytes]) -> None:
        """Land the messages to their end. Raises ReportedError when a stream failed, TransientError when the source ended too early."""
        run = RecordRun()
        for block in blocks(messages, idle=LINGER_SECONDS / 4):
            if self._batch is not None and self._batch.is_due(self._waiting):
                self._load_batch()
            if self._commits and self._commits[0].done():
                self._commits.popleft().result()
            for lines, number, message in run.parts(block):
                if message is None:
                    self._add(run.stream, lines, number)
                else:
                    self._read(message, lines)
        self._load_batch()
        for commit in self._commits:
            commit.result()
        ended = self._failed | self._incomplete
        unfinished = [name for name, landing in self._landings.items() if not (landing.is_committed or name in ended)]
        if unfinished:
            raise TransientError(
                f"the source ended before {', '.join(unfinished)} was complete: what came of it is not landed"
            )
        if self._failed:
            raise ReportedError(f"not landed: {', '.join(sorted(self._failed))}")

    @property
    def _waiting(self) -> int:
        """How many streams wait until others are committed; below zero where more could be committed at once."""
        return sum(not commit.done() for commit in self._commits) - COMMITTERS

    def _known(self, name: str) -> bool:
        """Whether the stream is being landed. Raises ConfigError when the catalog does not have it."""
        if name not in self._streams:
            raise ConfigError(f"a message names the stream {name}, which the catalog does not have")
        return name not in self._failed

    def _add(self, name: str, lines: bytes, number: int) -> None:
        if self._known(name):
            landing = self._landings[name]
            with self._failing_alone(name):
                landing.add(lines, number)
            if landing.is_large:
                # It takes its time; nothing waits for it.
                self._load_batch()

    def _read(self, message: Json, line: bytes) -> None:
        if message["type"] == "STATE":
            name = message["state"]["stream"]["stream_descriptor"]["name"]
            if self._known(name):
                self._landings[name].states.append(line)
        elif message["type"] == "TRACE" and message["trace"]["type"] == "STREAM_STATUS":
            status = message["trace"]["stream_status"]
            self._status(status["stream_descriptor"]["name"], status["status"])

    def _status(self, name: str, status: str) -> None:
        if status == "INCOMPLETE":
            self._incomplete.add(name)
        if status != "COMPLETE" or not self._known(name):
            return
        landing = self._landings[name]
        if landing.rows and not landing.is_large:
            self._batch = self._batch or Batch(
                self._client, self._dataset, self._folder, self._converter, self._loader, self._last_batch
            )
            self._batch.add(landing)
            return
        with self._failing_alone(name):
            landing.finish()
        if self._known(name):
            self._commit_later(name)

    def _load_batch(self) -> None:
        """Load the small streams that are complete, and commit them then."""
        if self._batch is not None:
            batch, self._batch, self._last_batch = self._batch, None, self._batch
            for landing in batch.load():
                self._commit_later(landing.stream.name)

    def _commit_later(self, name: str) -> None:
        self._commits.append(self._committer.submit(self._commit, name))

    def _commit(self, name: str) -> None:
        """Runs beside the reading of the next streams; what it writes is whole lines."""
        landing = self._landings[name]
        with self._failing_alone(name):
            rows = landing.commit()
        if landing.is_committed:
            for state in landing.states:
                self._output.raw(state)
            self._output.flush()
            self._output.log(f"{name}: {rows:,} rows committed")

    @contextmanager
    def _failing_alone(self, name: str) -> Iterator[None]:
        """What is wrong with this stream's records or table ends this stream only."""
        try:
            yield
        except ConfigError as error:
            self._fail(name, error)
        except duckdb.Error as error:
            self._fail(name, ConfigError(f"stream {name}: a record cannot be converted: {one_line(error)}"))
        except GoogleAPIError as error:
            if not _is_of_the_request(error):
                raise
            self._fail(name, ConfigError(f"stream {name}: BigQuery refuses it: {one_line(error)}"))

    def _fail(self, name: str, error: Exception) -> None:
        self._failed.add(name)
        self._output.error(error, name)
        if name in self._landings:
            self._landings[name].close()


def _is_of_the_request(error: GoogleAPIError) -> bool:
    """Whether asking again would be answered the same."""
    return isinstance(error, ClientError) and not _is_of_the_moment(error)


def _is_of_the_moment(error: ClientError) -> bool:
    """Whether a quota is used up for now, for which BigQuery has two statuses, or another statement was at the same table."""
    reasons = (str(detail.get("reason", "")) for detail in error.errors)
    is_used_up = isinstance(error, TooManyRequests) or any(reason.endswith("Exceeded") for reason in reasons)
    return is_used_up or may_pass(str(error))
