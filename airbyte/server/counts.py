"""What a sync has carried so far, stream by stream."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
RUNNING, COMPLETE, FAILED, PENDING = "running", "complete", "failed", "pending"


@dataclass
class StreamCount:
    """One stream's records: number, bytes of their messages, seconds from its start to its end, and how it stands.

    A stream is complete when the destination has acknowledged its state, which is after the commit.
    """

    rows: int = 0
    bytes: int = 0
    status: str = PENDING
    began: float | None = None
    ended: float | None = None

    def as_json(self) -> Json:
        """Fields as the API has them."""
        end = self.ended or time.monotonic()
        seconds = round(end - self.began, 3) if self.began is not None else 0.0
        return {
            "status": self.status,
            "rowsSynced": self.rows,
            "bytesSynced": self.bytes,
            "seconds": seconds,
            "rowsPerSecond": round(self.rows / seconds) if seconds else 0,
        }


@dataclass
class Counts:
    """The counts of a sync's streams. Written by the thread that carries the records and by the one that reads the destination's answers."""

    streams: dict[str, StreamCount] = field(default_factory=dict)

    def of(self, name: str) -> StreamCount:
        """The stream's count, begun now if it has none."""
        return self.streams.setdefault(name, StreamCount())

    def add(self, name: str, rows: int, size: int) -> None:
        """So many records, of so many bytes, were carried."""
        count = self.of(name)
        count.rows += rows
        count.bytes += size

    def start(self, name: str) -> None:
        """The source begins the stream."""
        count = self.of(name)
        count.status, count.began = RUNNING, time.monotonic()

    def end(self, name: str, status: str) -> None:
        """The destination has committed the stream, or somebody has given it up."""
        count = self.of(name)
        if count.ended is None:
            count.status, count.ended = status, time.monotonic()

    @property
    def rows(self) -> int:
        """Records of all streams."""
        return sum(count.rows for count in self.streams.values())

    @property
    def bytes(self) -> int:
        """Bytes of all streams' records."""
        return sum(count.bytes for count in self.streams.values())

    def as_json(self) -> Json:
        """{stream: its count}."""
        return {name: count.as_json() for name, count in list(self.streams.items())}
