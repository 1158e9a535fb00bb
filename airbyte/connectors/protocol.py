"""The Airbyte protocol (v0): messages, catalogs and the command line that every connector has.

Source of the rules: https://docs.airbyte.com/platform/understanding-airbyte/airbyte-protocol. A message is one line of JSON on stdout.
Tests validate what is written here against the official models.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import orjson

from stack.failures import one_line

FULL_REFRESH, INCREMENTAL = "full_refresh", "incremental"
OVERWRITE, APPEND, APPEND_DEDUP = "overwrite", "append", "append_dedup"
# A number in a text of JSON that a double may not hold: sixteen digits, or an exponent of three. Text without one holds none.
SUSPICIOUS_NUMBER = r"[0-9.]{16}|[0-9][eE][-+]?[0-9]{3}"

Json = dict[str, Any]


class ConfigError(Exception):
    """The user can repair this: the message is one sentence that says what is wrong and what to do."""


class TransientError(Exception):
    """Trying again may help: a server that does not answer, a connection that broke."""


class ReportedError(Exception):
    """A connector's failure whose reasons were already written, one a stream."""


class Output:
    """Where a connector writes its messages: stdout, one JSON line each."""

    def __init__(self, stream: IO[bytes] | None = None) -> None:
        """Write to `stream`, by default to stdout."""
        self._stream = stream or sys.stdout.buffer

    def message(self, kind: str, body: Json) -> None:
        """Write one message and flush it."""
        self._stream.write(orjson.dumps({"type": kind, _BODY[kind]: body}) + b"\n")
        self._stream.flush()

    def raw(self, lines: bytes) -> None:
        """Write whole lines that are messages already."""
        self._stream.write(lines)

    def flush(self) -> None:
        """Hand everything to the reader."""
        self._stream.flush()

    def log(self, text: str, level: str = "INFO") -> None:
        """A line for people."""
        self.message("LOG", {"level": level, "message": text})

    def error(self, error: BaseException, stream: str | None = None) -> None:
        """Say why the connector ends with a failure."""
        kinds: dict[type, str] = {ConfigError: "config_error", TransientError: "transient_error"}
        kind = kinds.get(type(error), "system_error")
        body: Json = {"message": one_line(error), "failure_type": kind, "internal_message": repr(error)}
        if stream:
            body["stream_descriptor"] = {"name": stream}
        self.message("TRACE", {"type": "ERROR", "emitted_at": time.time() * 1000, "error": body})

    def stream_status(self, stream: Json, status: str) -> None:
        """STARTED, RUNNING, COMPLETE or INCOMPLETE for one stream."""
        descriptor = {"name": stream["name"], "namespace": stream.get("namespace")}
        body = {"stream_descriptor": descriptor, "status": status}
        self.message("TRACE", {"type": "STREAM_STATUS", "emitted_at": time.time() * 1000, "stream_status": body})

    def state(self, stream: Json, state: Json, records: int) -> None:
        """A stream's checkpoint: everything up to here was emitted before this message."""
        descriptor = {"name": stream["name"], "namespace": stream.get("namespace")}
        body = {"stream_descriptor": descriptor, "stream_state": state}
        self.message("STATE", {"type": "STREAM", "stream": body, "sourceStats": {"recordCount": float(records)}})


_BODY = {
    "SPEC": "spec",
    "CONNECTION_STATUS": "connectionStatus",
    "CATALOG": "catalog",
    "RECORD": "record",
    "STATE": "state",
    "LOG": "log",
    "TRACE": "trace",
}


@dataclass(frozen=True)
class ConfiguredStream:
    """One stream of a configured catalog.

    Attributes:
        name, namespace: table and schema.
        properties: JSON schema of each column.
        sync_mode, destination_sync_mode: how it is read and written.
        primary_key: column names; nested keys are not supported.
        generation_id: rises with every refresh; sync_id: one a job.
        is_resumed: the source sends what changed since an earlier sync, not everything. False where a platform does not say.
    """

    name: str
    namespace: str | None
    properties: Mapping[str, Json]
    sync_mode: str
    destination_sync_mode: str
    primary_key: tuple[str, ...]
    generation_id: int
    sync_id: int
    is_resumed: bool = False

    @property
    def descriptor(self) -> Json:
        """What messages name the stream by."""
        return {"name": self.name, "namespace": self.namespace}

    @property
    def is_compared(self) -> bool:
        """Whether a row is compared with those of its key that landed before: upserted, or appended when it has changed."""
        by_key = self.destination_sync_mode == APPEND_DEDUP or (
            self.destination_sync_mode == APPEND and self.sync_mode == INCREMENTAL
        )
        return by_key and bool(self.primary_key)


def configured_streams(catalog: Json) -> list[ConfiguredStream]:
    """The streams of a configured catalog, in its order. Raises ConfigError on a nested key."""
    streams = []
    for item in catalog["streams"]:
        stream = item["stream"]
        paths = item.get("primary_key") or stream.get("source_defined_primary_key") or []
        if any(len(path) != 1 for path in paths):
            raise ConfigError(f"stream {stream['name']}: a primary key inside an object is not supported")
        streams.append(
            ConfiguredStream(
                name=stream["name"],
                namespace=stream.get("namespace"),
                properties=stream["json_schema"].get("properties", {}),
                sync_mode=item["sync_mode"],
                destination_sync_mode=item["destination_sync_mode"],
                primary_key=tuple(path[0] for path in paths),
                generation_id=item.get("generation_id") or 0,
                sync_id=item.get("sync_id") or 0,
                is_resumed=bool(item.get("is_resumed")),
            )
        )
    return streams


class RecordRun:
    """Tells the records of one stream from other messages without parsing them, where the source writes what they are of before their data."""

    def __init__(self) -> None:
        """No record was seen yet."""
        # Of the last record that was seen.
        self.stream = ""
        # What no line starts with.
        self._lines = _lines_with(b"\x00")

    def parts(self, block: bytes) -> Iterator[tuple[bytes, int, Json | None]]:
        """A block of whole lines, in their order: records of one `stream` as (lines, their number, None), another message as (line, 1, message)."""
        start = 0
        while start < len(block):
            if found := self._lines.match(block, start):
                yield found[0], found[0].count(b"\n"), None
                start = found.end()
                continue
            end = block.index(b"\n", start) + 1
            line, start = block[start:end], end
            if head := _HEAD.match(line):
                # Its data may be nested deeper than any parser goes: that is a matter of its stream alone. Those that begin like it belong to the same run.
                self.stream = orjson.loads(b"{%s}" % head["names"])["stream"]
                self._lines = _lines_with(head[0])
                yield line, 1, None
                continue
            message = orjson.loads(line)
            if message["type"] != "RECORD":
                yield line, 1, message
                continue
            self.stream = message["record"]["stream"]
            self._lines = _lines_with(b"\x00")
            yield line, 1, None


# A record up to its data, in which its stream and perhaps its namespace are named.
_NAMED = rb'\s*"(?:%s)"\s*:\s*(?:null|"(?:[^"\\]|\\.)*")\s*'
_STREAM, _NAMESPACE = _NAMED % b"stream", _NAMED % b"namespace"
_HEAD = re.compile(
    rb'\{\s*"type"\s*:\s*"RECORD"\s*,\s*"record"\s*:\s*\{(?P<names>%s(?:,%s)?|%s,%s),\s*"data"\s*:'
    % (_STREAM, _NAMESPACE, _NAMESPACE, _STREAM)
)


def _lines_with(prefix: bytes) -> re.Pattern[bytes]:
    """Whole lines, each of which starts with that."""
    return re.compile(rb"(?:%s[^\n]*+\n)++" % re.escape(prefix))


def blocks(stream: Any, size: int = 1 << 20, idle: float | None = None) -> Iterator[bytes]:
    """What a buffered binary stream holds, cut at the ends of lines. A last line without an end was cut off with its writer, and is no message.

    With `idle` an empty block comes each time that nothing came for so many seconds; the stream must be a pipe, a socket or a file then.
    """
    rest: list[bytes] = []
    while True:
        # So large a read leaves nothing in the stream's own buffer, which select does not see.
        if idle is not None and not select.select([stream], [], [], idle)[0]:
            yield b""
            continue
        chunk = stream.read1(size)
        if not chunk:
            return
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join((*rest, chunk[:end]))
            rest = [chunk[end:]] if end < len(chunk) else []
        else:
            rest.append(chunk)


class Connector(Protocol):
    """What every connector has; a source also has discover and read, a destination write."""

    spec: Json

    def check(self, config: Json) -> None:
        """Raise ConfigError or TransientError when the configuration does not work."""


def main(connector: Any, arguments: list[str] | None = None) -> int:
    """The connector's command line. Returns the exit status: 1 after a TRACE message said why."""
    name = type(connector).__module__.rsplit(".", 1)[0]
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=connector.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, needs in (
        ("spec", ()),
        ("check", ("config",)),
        ("discover", ("config",)),
        ("read", ("config", "catalog")),
        ("write", ("config", "catalog")),
    ):
        if command in ("spec", "check") or hasattr(connector, command):
            sub = commands.add_parser(command)
            for need in needs:
                sub.add_argument(f"--{need}", required=True, type=Path)
            if command == "read":
                sub.add_argument("--state", type=Path)
    chosen = parser.parse_args(arguments)
    output = Output()
    # A cancelled sync still clears away what is only temporary.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        _run(connector, chosen, output)
    except BrokenPipeError:
        # The reader is gone; there is nobody to tell, and the interpreter must not try again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except ReportedError:
        return 1
    except Exception as error:
        output.error(error)
        return 1
    return 0


def _terminate(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _run(connector: Any, chosen: argparse.Namespace, output: Output) -> None:
    if chosen.command == "spec":
        output.message("SPEC", connector.spec)
        return
    config = read_json(chosen.config)
    if chosen.command == "check":
        _check(connector, config, output)
        return
    require(connector.spec, config)
    if chosen.command == "discover":
        output.message("CATALOG", {"streams": connector.discover(config)})
    elif chosen.command == "read":
        state = read_json(chosen.state) if chosen.state and chosen.state.stat().st_size else []
        connector.read(config, configured_streams(read_json(chosen.catalog)), states_by_stream(state), output)
    else:
        connector.write(config, configured_streams(read_json(chosen.catalog)), sys.stdin.buffer, output)


def _check(connector: Connector, config: Json, output: Output) -> None:
    try:
        require(connector.spec, config)
        connector.check(config)
    except (ConfigError, TransientError) as error:
        output.message("CONNECTION_STATUS", {"status": "FAILED", "message": one_line(error)})
    else:
        output.message("CONNECTION_STATUS", {"status": "SUCCEEDED"})


def require(spec: Json, config: Json) -> None:
    """Raise ConfigError when a field that the spec requires is missing."""
    missing = [name for name in spec["connectionSpecification"]["required"] if config.get(name) in (None, "")]
    if missing:
        raise ConfigError(f"the configuration lacks {', '.join(missing)}")


def read_json(path: Path) -> Any:
    """A JSON file. Raises ConfigError, naming it, when it cannot be read."""
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from None


def states_by_stream(states: list[Json]) -> dict[str, Json]:
    """{stream name: its state} of the state messages that a connection kept."""
    return {
        item["stream"]["stream_descriptor"]["name"]: item["stream"].get("stream_state") or {}
        for item in states
        if item.get("type", "STREAM") == "STREAM"
    }
