"""What a run tells while it works: one line a step on stderr, and the same numbers as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What the metrics call the rows of each kind of step.
READ, CHANGED, PUBLISHED = "rows_read", "rows_changed", "rows_published"
_WORDS = {READ: "read", CHANGED: "changed in the lake", PUBLISHED: "published"}


@dataclass
class Step:
    """One step under way. The caller sets `rows`, and `note` where the number needs a word."""

    rows: int = 0
    note: str = ""


@dataclass
class Progress:
    """The run's steps: per table rows read, changed and published, with the seconds of each, and all its seconds."""

    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, table: str, kind: str) -> Iterator[Step]:
        """Time one step of `kind` (READ, CHANGED, PUBLISHED) on `table` and print its line when it ends well."""
        step, begin = Step(), time.monotonic()
        yield step
        seconds = time.monotonic() - begin
        numbers = self.tables.setdefault(table, {"seconds": 0.0})
        numbers[kind] = numbers.get(kind, 0) + step.rows
        numbers["seconds"] = round(numbers["seconds"] + seconds, 3)
        of_kind = kind.replace("rows", "seconds")
        numbers[of_kind] = round(numbers.get(of_kind, 0.0) + seconds, 3)
        self.say(f"{table}: {step.rows:,} rows {_WORDS[kind]}{step.note and f' ({step.note})'} in {seconds:.1f} s")

    def say(self, line: str) -> None:
        """One line on stderr."""
        print(line, file=sys.stderr, flush=True)

    def write(self, path: Path, job: str) -> None:
        """Write the numbers so far to `path` as one JSON object."""
        seconds = round(time.monotonic() - self.started, 3)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"job": job, "seconds": seconds, "tables": self.tables}, indent=2) + "\n")
