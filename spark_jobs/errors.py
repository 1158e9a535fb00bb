"""The one error a job raises on purpose."""

from __future__ import annotations


class JobError(Exception):
    """What went wrong and what to do next, in one line. It ends the job with a non-zero status."""
