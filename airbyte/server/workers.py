"""Where the jobs' workers come from: one process that has imported all that a sync needs, and forks for each job.

The server itself has threads, and must not fork. The process ends with the server; the workers that it has started go on.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from airbyte.server import programs
from stack.settings import ROOT


class Workers:
    """The server's side."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the server's data directory. Nothing is started yet."""
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._is_sealed = False

    def warm(self) -> None:
        """Begin to import, so that the first job need not wait for it."""
        with self._lock:
            self._running()

    def start(self, job_id: int) -> int:
        """Start the worker of a job. Returns its process id, which is its process group's too. Raises RuntimeError when there is none."""
        with self._lock:
            if self._is_sealed:
                raise RuntimeError("the server is being stopped")
            for _ in range(2):
                writes, reads = self._running()
                try:
                    writes.write(b"%d\n" % job_id)
                    writes.flush()
                    if answer := reads.readline():
                        return int(answer)
                except BrokenPipeError:
                    pass
                # It was killed; another one can be started.
                self._end()
        raise RuntimeError("no worker can be started: see the server's log")

    def seal(self) -> None:
        """Start none any more. The process lives on, to take away those of its workers that end."""
        with self._lock:
            self._is_sealed = True

    def close(self) -> None:
        """End the process; workers go on."""
        with self._lock:
            self._end()

    def _running(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "airbyte.server.workers", "--data-dir", str(self._folder)],
                cwd=ROOT,
                env=programs.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Ctrl-C is for the server.
                process_group=0,
            )
        assert self._process.stdin and self._process.stdout
        return self._process.stdin, self._process.stdout

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def import_connectors() -> None:
    """Import what the connectors' processes would."""
    from airbyte.connectors.destination_bigquery import lean  # noqa: F401, I001 - the first
    from airbyte.connectors.destination_bigquery import connector as _writes  # noqa: F401
    from airbyte.connectors.source_postgres import connector as _reads  # noqa: F401


def serve(folder: Path) -> None:
    """Answer each job id on stdin with the process id of a worker for it, until stdin ends."""
    import_connectors()
    from airbyte.server import forks, worker

    # Nobody waits for a worker here; the system takes away those that have ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for line in sys.stdin.buffer:
        job_id = int(line)
        arguments = ["--data-dir", str(folder), "--job", str(job_id)]
        log = os.open(folder / "jobs" / f"{job_id}.log", os.O_WRONLY | os.O_APPEND)
        command = ["python", "-m", "airbyte.server.worker", *arguments]
        pid = forks.child(lambda: sys.exit(worker.main(arguments)), command, (nothing, log, log), own_group=True)  # noqa: B023
        os.close(log)
        print(pid, flush=True)


def main() -> int:
    """Serve the server that started this."""
    parser = argparse.ArgumentParser(description="Fork the workers of jobs; the server starts this.")
    parser.add_argument("--data-dir", type=Path, required=True)
    serve(parser.parse_args().data_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
