"""What a failed program says of its failure: by its exit status, for whoever decides what follows, and in one line, for people.

1: unknown. Another try may help: a service may have been starting, or gone for a moment.
FINAL: the data or the configuration is wrong. Another try, or the other engine, would say the same.
ENGINE: the engine's own, as out of memory, killed, its cluster gone. The same engine would fail again; the other one may do the step.

An unknown failure counts as the data's or the configuration's: the other engine would fail too, or hide it.
"""

from __future__ import annotations

import re

# By sysexits.h: data that were wrong, and a failure that another try (here: by another engine) may not have.
FINAL, ENGINE = 65, 75

OWN = {
    "out of memory": r"OutOfMemoryError|GC overhead limit exceeded|Out of Memory Error|MemoryError\b|resourcesExceeded"
    r"|Resources exceeded during query execution",
    "too little memory to start": r"INVALID_(?:DRIVER|EXECUTOR)_MEMORY",
    "killed": r"(?:Error code is: |exit code )(?:-9|137)\b",
    "the cluster is gone": r"All masters are unresponsive|Master removed our application|ExecutorLostFailure"
    r"|SparkContext was shut down|stopped SparkContext|Answer from Java side is empty|Java gateway process exited",
    "no space for what it spills": r"No space left on device",
    # dbt takes any NUMERIC.
    "a value that its tables cannot hold": r"has a value that Spark's tables cannot hold",
    "its quota is used up": r"quotaExceeded|Quota exceeded",
    "the warehouse gave up": rf"exit code {ENGINE}\b|did not complete within the designated timeout",
}

# A service that did not answer, or not now, in a client's words, in any case; and what BigQuery says where another statement wrote the same table.
PASSING = (
    r"Connection refused|Connection reset|Connection aborted|RemoteDisconnected|Max retries exceeded|server closed the connection|timed out"
    r"|Service ?Unavailable|Bad ?Gateway|backendError|internalError|encountered an internal error|Retrying (?:the job )?may solve the problem"
    r"|rateLimitExceeded|Exceeded rate limits|too many (?:DML|table update)|due to concurrent update"
)


def one_line(error: BaseException) -> str:
    """An error's message without line breaks; its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def may_pass(text: str) -> bool:
    """Whether a service did not answer or asked to be asked later, or somebody else was at the same table, so that another try may do it."""
    return re.search(PASSING, text, re.IGNORECASE) is not None


def is_final(text: str) -> bool:
    """Whether a program said, by its exit status, that another try would fail the same way. `text` is what its operator raised."""
    return re.search(rf"(?:exit code|Error code is:) {FINAL}\b", text) is not None


def own_failure(text: str) -> str | None:
    """Why the engine failed, in a few words, or None when the failure is not its own. `text` is what the step printed, or the error it ended with."""
    return next((why for why, pattern in OWN.items() if re.search(pattern, text)), None)
