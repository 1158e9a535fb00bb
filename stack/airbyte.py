"""The embedded Airbyte server: start, health and stop."""

from __future__ import annotations

import http.client
import os
import sys
import urllib.request

from stack.processes import Process
from stack.settings import ROOT, Settings


def process(settings: Settings) -> Process:
    """The server as a process of the stack."""
    return Process(
        name="airbyte-server",
        command=[
            *(sys.executable, "-m", "airbyte.server"),
            *("--host", settings.bind_host, "--port", str(settings.airbyte_port)),
            *("--data-dir", str(settings.local_dir / "airbyte")),
        ],
        run_dir=settings.local_dir / "run",
        env={**os.environ, "PYTHONPATH": str(ROOT), "LOCAL_DIR": str(settings.local_dir)},
        cwd=ROOT,
        # It lets requests and jobs end before it does: tests/airbyte/test_forks.py compares.
        stop_seconds=60.0,
        ports={"AIRBYTE_PORT": settings.airbyte_port},
    )


def is_healthy(settings: Settings) -> bool:
    """Whether the API answers its health check."""
    try:
        with urllib.request.urlopen(f"{settings.airbyte_url}/health", timeout=5) as answer:  # noqa: S310 - our own http URL
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def start(settings: Settings) -> bool:
    """Start the server. Returns whether it was started now."""
    return process(settings).start(lambda: is_healthy(settings), timeout=60)


def stop(settings: Settings) -> bool:
    """Stop the server that this stack started, and the jobs it runs. Returns whether it ran."""
    return process(settings).stop()
