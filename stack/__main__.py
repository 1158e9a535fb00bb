"""`python -m stack`: start, stop and look at the embedded stack, and run the demo. The Makefile's targets call it."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

from stack import airbyte, airflow, bigquery, demo, emulator, local_dir, postgres, settings, summary
from stack.failures import one_line
from stack.processes import StackError
from stack.settings import Settings

# Started in this order, stopped in the other.
SERVICES = {"postgres": postgres, "bigquery-emulator": emulator, "airbyte-server": airbyte, "airflow": airflow}
PATIENCE_SECONDS = 180


def services(current: Settings) -> dict[str, Any]:
    """The services that this deployment runs itself: a source of one's own or the real BigQuery needs none here."""
    wanted: dict[str, Any] = dict(SERVICES)
    if current.source_dsn_override:
        del wanted["postgres"]
    if not current.is_emulator:
        del wanted["bigquery-emulator"]
    return wanted


def up(current: Settings) -> None:
    """Start everything and wait until it is healthy."""
    demo.start_stack(current, services(current))
    for line in summary.addresses(current):
        print(line)


def down(current: Settings) -> None:
    """Stop everything that this checkout started, and nothing else."""
    # Where nothing was ever started there is nothing to wait for, and no folder to make.
    with local_dir.locked(current) if (current.local_dir / "run").exists() else nullcontext():
        stopped = [name for name, service in reversed(SERVICES.items()) if service.stop(current)]
    print(f"stopped: {', '.join(stopped) if stopped else 'nothing was running'}")


def status(current: Settings) -> None:
    """What runs, with its log, and the last run."""
    for name, service in services(current).items():
        process = service.process(current).running()
        state = "down" if process is None else "healthy" if service.is_healthy(current) else "starting or sick"
        pid = f" (pid {process.pid})" if process else ""
        print(f"{name:18} {state}{pid}  log: {current.local_dir / 'run' / name}.log")
    if current.is_emulator and not emulator.is_healthy(current):
        return
    for part in (summary.last_run, summary.freshness, summary.quarantined):
        print("\n".join(part(current)))


def clean_data(current: Settings) -> None:
    """Stop the stack and delete all its data. Raises StackError, and deletes nothing, where LOCAL_DIR held something else before."""
    local_dir.require_own(current)
    folder = current.local_dir
    if not folder.exists():
        # For root, the cluster is elsewhere.
        postgres.remove(current)
        print(f"nothing to delete: there is no {folder}")
        return
    with local_dir.locked(current):
        down(current)
        postgres.remove(current)
        local_dir.delete(current)
    print(f"deleted: {folder}")


def prepare(current: Settings) -> None:
    """Where somebody else starts the services (containers): wait for them, then make in them what `up` makes."""
    for name, service in services(current).items():
        # It comes after the others, and needs nothing to be made.
        if name == "airflow":
            continue
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not service.is_healthy(current):
            if time.monotonic() > deadline:
                raise StackError(f"{name} did not answer within {PATIENCE_SECONDS} s")
            time.sleep(1)
        if hasattr(service, "prepare"):
            service.prepare(current)
        print(f"ready: {name}", flush=True)


def credentials(current: Settings) -> None:
    """The API client's id and secret, as KEY=value lines."""
    for name, value in airbyte.client_credentials(current).items():
        print(f"{name}={value}")


def main() -> int:
    """Run one command; errors are one line on stderr and status 1, an interrupt is status 130."""
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    plain: dict[str, Callable[[Settings], None]] = {
        "up": up,
        "down": down,
        "status": status,
        "clean-data": clean_data,
        "prepare": prepare,
        "credentials": credentials,
    }
    for name, function in plain.items():
        commands.add_parser(name, help=(function.__doc__ or "").splitlines()[0])
    run = commands.add_parser("demo", help="run the whole pipeline and print a summary")
    demo.add_arguments(run)
    arguments = parser.parse_args()
    # `make` and a terminal's hang-up end us as Ctrl-C does: what is under way is ended, services stay for `make down`.
    for end in (signal.SIGTERM, signal.SIGHUP):
        # Who starts us with `nohup` has it ignored, and so it stays.
        if signal.getsignal(end) != signal.SIG_IGN:
            # Not by raising SIGINT, which a script's `make up &` ignores.
            signal.signal(end, signal.default_int_handler)
    try:
        current = settings.load()
        if arguments.command == "demo":
            return demo.run(current, arguments, {} if arguments.no_start else services(current))
        plain[arguments.command](current)
    except (StackError, ValueError, subprocess.SubprocessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except bigquery.ERRORS as error:
        print(f"error: BigQuery: {one_line(error)}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # The terminal may be gone.
        with suppress(OSError):
            print("interrupted: `make status` shows what still runs, `make down` stops it", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
