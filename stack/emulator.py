"""The embedded BigQuery: start, health and stop of the emulator."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from stack import bigquery
from stack.processes import Process
from stack.settings import ROOT, Settings


def process(settings: Settings) -> Process:
    """The emulator as a process of the stack."""
    return Process(
        name="bigquery-emulator",
        command=[
            str(ROOT / ".venv" / "emulator" / "bin" / "python"),
            *("-m", "stack.bigquery_emulator.app"),
            *("--host", settings.bind_host),
            *("--name", urlsplit(settings.bigquery_endpoint).hostname or "localhost"),
            *("--port", str(settings.bigquery_port), "--grpc-port", str(settings.bigquery_grpc_port)),
            *("--project", settings.bigquery_project, "--data-dir", str(settings.local_dir / "bigquery")),
            f"--memory={settings.bigquery_emulator_memory}",
        ],
        run_dir=settings.local_dir / "run",
        env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        ports={"BIGQUERY_PORT": settings.bigquery_port, "BIGQUERY_GRPC_PORT": settings.bigquery_grpc_port},
    )


def is_healthy(settings: Settings) -> bool:
    """Whether the REST service lists its datasets."""
    return bigquery.is_answering(settings)


def start(settings: Settings) -> bool:
    """Start the emulator and make the datasets. Returns whether it was started now."""
    started = process(settings).start(lambda: is_healthy(settings), timeout=90)
    prepare(settings)
    return started


def prepare(settings: Settings) -> None:
    """The project's datasets, each made if missing."""
    bigquery.create_datasets(bigquery.client(settings), settings.bigquery_location)


def stop(settings: Settings) -> bool:
    """Stop the emulator that this stack started. Returns whether it ran."""
    return process(settings).stop()
