"""`python -m airbyte.server`: serve the API until SIGTERM or Ctrl-C; running syncs are cancelled then."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvicorn

from airbyte.server.app import create
from airbyte.server.credentials import Credentials
from stack import settings

# How long requests that are being answered may take when the server is to end.
REQUEST_SECONDS = 5


def main() -> int:
    """Parse the command line and serve."""
    current = settings.for_command()
    parser = argparse.ArgumentParser(prog="python -m airbyte.server", description=__doc__)
    parser.add_argument("--host", default=current.bind_host, help="where to listen (default: loopback)")
    parser.add_argument("--port", type=int, default=current.airbyte_port)
    parser.add_argument(
        "--data-dir", type=Path, default=current.local_dir / "airbyte", help="state, jobs and credentials"
    )
    arguments = parser.parse_args()
    credentials = Credentials.load(arguments.data_dir, current.airbyte_client_id, current.airbyte_client_secret)
    application = create(arguments.data_dir, credentials)
    uvicorn.run(
        application,
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=REQUEST_SECONDS,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
