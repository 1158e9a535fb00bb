"""The embedded Airbyte server: start, health and stop; and what a client of whichever Airbyte logs in with."""

from __future__ import annotations

import http.client
import os
import sys
import urllib.request
from pathlib import Path

from stack.processes import Process, StackError
from stack.settings import ROOT, Settings

# In the server's folder.
CREDENTIALS = "credentials.env"


def client_credentials(settings: Settings) -> dict[str, str]:
    """AIRBYTE_CLIENT_ID and _SECRET: the environment's, else those that the embedded server made at its first start.

    Raises StackError when there are none.
    """
    if settings.airbyte_client_id and settings.airbyte_client_secret:
        return {
            "AIRBYTE_CLIENT_ID": settings.airbyte_client_id,
            "AIRBYTE_CLIENT_SECRET": settings.airbyte_client_secret,
        }
    stored = settings.local_dir / "airbyte" / CREDENTIALS
    if not stored.exists():
        raise StackError(
            "no Airbyte credentials: start the embedded server first (`make up`) or set AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET"
        )
    return stored_credentials(stored)


def stored_credentials(path: Path) -> dict[str, str]:
    """What the embedded server has written there: a line NAME=value each."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


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
