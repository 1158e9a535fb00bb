"""The errors that a job raises on purpose."""

from __future__ import annotations


class JobError(Exception):
    """What went wrong and what to do next, in one line. It ends the job with the status FINAL of stack/failures.py."""


class TryAgain(JobError):
    """Something else was at work meanwhile: the same job may find it otherwise. It ends the job with status 1."""
