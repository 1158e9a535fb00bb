"""Which failures of a heavy step are the engine's own: out of memory, killed, its cluster gone. Then the other engine may do the step.

What the data or the configuration did would fail on the other engine too, or be hidden by it: an unknown failure is therefore not the engine's.
"""

from __future__ import annotations

import re

# What a program of ours ends with when the reason is the engine's own (sysexits.h: a failure that another try may not have).
EXIT_STATUS = 75

OWN = {
    "out of memory": r"OutOfMemoryError|GC overhead limit exceeded|Out of Memory Error|MemoryError\b|resourcesExceeded"
    r"|Resources exceeded during query execution|INVALID_DRIVER_MEMORY",
    "killed": r"(?:Error code is: |exit code )(?:-9|137)\b",
    "the cluster is gone": r"All masters are unresponsive|Master removed our application|ExecutorLostFailure"
    r"|SparkContext was shut down|stopped SparkContext|Answer from Java side is empty|Java gateway process exited",
    "no space for what it spills": r"No space left on device",
    "the warehouse gave up": rf"exit code {EXIT_STATUS}\b",
}


def own_failure(text: str) -> str | None:
    """Why the engine failed, in a few words, or None when the failure is not its own. `text` is what the step printed, or the error it ended with."""
    return next((why for why, pattern in OWN.items() if re.search(pattern, text)), None)
