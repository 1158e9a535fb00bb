"""A file that is sent together with its load job. Runs in the emulator's own environment.

The emulator takes such a request apart as an e-mail, line by line, also the file, in which ends of lines mean nothing: 30 ms a megabyte.
"""

from __future__ import annotations

import re

from local_bigquery.api import uploads
from local_bigquery.models import Job

_parts = uploads._parts


def parts(content_type: str, payload: bytes) -> tuple[Job, bytes]:
    """The job and the file of a request's body, as `uploads._parts`, to which everything is left but two parts as they are."""
    boundary = re.search(r'boundary="([^"]+)"', content_type)
    # The first boundary has no end of line before it.
    pieces = (b"\r\n" + payload).split(b"\r\n--" + boundary[1].encode()) if boundary else []
    if len(pieces) == 4 and not pieces[0] and pieces[3].startswith(b"--"):
        (head, job_end, job), (other, file_end, file) = (piece.partition(b"\r\n\r\n") for piece in pieces[1:3])
        if job_end and file_end and b"-encoding:" not in (head + other).lower():
            return uploads._job(job), file
    left: tuple[Job, bytes] = _parts(content_type, payload)
    return left
