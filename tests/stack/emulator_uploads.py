"""Print what the emulator's own function and this project's take for the parts of requests, as JSON: run by test_emulator_app.py in its environment."""

import base64
import json
import random
import sys
from pathlib import Path

from stack.bigquery_emulator.app import import_extensions

import_extensions(Path(sys.argv[1]))
from local_bigquery.api import uploads  # noqa: E402
from local_bigquery.errors import BigQueryError  # noqa: E402

from stack.bigquery_emulator import uploads as our_uploads  # noqa: E402

JOB = json.dumps({"configuration": {"load": {"sourceFormat": "PARQUET"}}}).encode()
DICE = random.Random(7)
FILES = (
    b"",
    b"PAR1\r\n\r\n\n--==\r\n\xff\x00PAR1",
    b"\r\n",
    b"\r\n\r\nx\r\n",
    b"--==0=",
    bytes(range(256)) * 40,
    *(DICE.randbytes(DICE.randrange(5000)) for _ in range(20)),
)


def body(file, head=b"content-type: */*", end=b"--==0==--", job=JOB):
    lines = (b"--==0==", b"content-type: application/json; charset=UTF-8", b"", job, b"--==0==", head, b"", file, end)
    return b"\r\n".join(lines)


BODIES = [
    *map(body, FILES),
    body(b"x", end=b"--==0==--\r\n"),
    body(base64.b64encode(b"some bytes"), b"content-type: */*\r\nContent-Transfer-Encoding: base64"),
    body(b"some bytes", b"Content-Transfer-Encoding: binary\r\ncontent-type: */*"),
    body(b"x", job=b"{"),
    body(b"x", job=b'{"configuration": 3}'),
    body(b"one\r\n--==0==\r\ncontent-type: */*\r\n\r\ntwo"),
    b"--==0==\r\ncontent-type: application/json\r\n\r\n{}\r\n--==0==--",
    b"a preamble\r\n" + body(b"x"),
    b"",
    b"none",
]
TYPES = ('multipart/related; boundary="==0=="', 'multipart/related; boundary="other"', "text/plain")


def outcome(function, content_type, payload):
    try:
        job, file = function(content_type, payload)
    except BigQueryError as error:
        return f"{error.reason}: {error}"
    return [job.dump(), file.hex()]


own = uploads._parts
left = []
our_uploads._parts = lambda *arguments: left.append(1) or own(*arguments)
answers = []
for content_type in TYPES:
    for payload in BODIES:
        left.clear()
        found = outcome(our_uploads.parts, content_type, payload)
        answers.append({"expected": outcome(own, content_type, payload), "found": found, "left": bool(left)})
print(json.dumps(answers))
