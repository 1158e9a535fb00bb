"""A limit on a process' own memory, for engines that know none themselves."""

from __future__ import annotations

import resource

from benchmarks.memory import size_in_bytes


def limit_own_memory(memory: str | None) -> None:
    """Let this process have at most `memory` ("2g") of private writable memory (RLIMIT_DATA); files that are only mapped do not count. None: no limit."""
    if memory:
        size = size_in_bytes(memory)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
