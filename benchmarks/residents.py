"""Which service of a deployment a process belongs to, and so how much memory each of them holds."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# What the stack calls its processes, in fewer letters.
SERVICES = {"bigquery-emulator": "emulator", "postgres": "postgres", "airbyte-server": "airbyte", "airflow": "airflow"}
# Programs that a service or the demo starts and that count for themselves, by their command line.
PROGRAMS = {
    "spark": re.compile(r"^\S*\bjava |\bspark_jobs/|-m pyspark\."),
    "dbt": re.compile(r"-m stack\.dbt\b|/bin/dbt( |$)"),
    "airbyte": re.compile(r"-m airbyte\."),
}


@dataclass(frozen=True)
class Seen:
    """A process at one moment: its parent, its session's leader, its command line and its resident bytes."""

    pid: int
    parent: int
    session: int
    command: str
    resident: int


def group(process: Seen, everybody: dict[int, Seen], roots: dict[int, str]) -> str | None:
    """The group of a process: that of the nearest program among it and its ancestors, else its root's; None when it is none of the deployment's.

    Args:
        process: the process.
        everybody: all processes by pid.
        roots: what the deployment started, by pid: the group of each.
    """
    line = [process]
    while line[-1].pid not in roots:
        parent = everybody.get(line[-1].parent)
        # An orphan is nobody's child any more, but still of its service's session.
        if parent is None or parent in line:
            break
        line.append(parent)
    root = roots.get(line[-1].pid) or roots.get(process.session)
    if root is None:
        return None
    programs = (name for member in line for name, said in PROGRAMS.items() if said.search(member.command))
    return next(programs, root)


def megabytes(processes: Iterable[Seen], roots: dict[int, str]) -> dict[str, int]:
    """{group: resident megabytes}, of 10^6 bytes; a page that several processes share counts in each."""
    everybody = {process.pid: process for process in processes}
    found: dict[str, int] = {}
    for process in everybody.values():
        name = group(process, everybody, roots)
        if name:
            found[name] = found.get(name, 0) + process.resident
    return {name: round(found[name] / 1e6) for name in sorted(found)}


def running() -> list[Seen]:
    """Every process of the machine that can be looked at."""
    found = []
    for process in psutil.process_iter(["ppid", "cmdline", "memory_info"]):
        about = process.info
        if about["memory_info"] is not None:
            with suppress(OSError):
                command = " ".join(about["cmdline"] or [])
                session = os.getsid(process.pid)
                found.append(Seen(process.pid, about["ppid"], session, command, about["memory_info"].rss))
    return found


def services(run_dir: Path) -> dict[int, str]:
    """{pid: group} of the services whose pid files are there."""
    found = {}
    for path in run_dir.glob("*.pid"):
        with suppress(OSError, ValueError, KeyError):
            found[int(json.loads(path.read_text())["pid"])] = SERVICES.get(path.stem, path.stem)
    return found
