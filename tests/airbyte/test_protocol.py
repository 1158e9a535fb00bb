"""What a stream of messages is taken apart into, by runs of records: however it is written, and wherever it is cut."""

from __future__ import annotations

import json
import os
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from airbyte.connectors.protocol import RecordRun, blocks

RECORDS = st.builds(
    lambda stream, namespace, data: {
        "type": "RECORD",
        "record": {"stream": stream, "namespace": namespace, "data": data, "emitted_at": 1},
    },
    # Names of which one begins with another, and with what means something to a pattern.
    st.sampled_from(["orders", "orders_2", "a.b*", '{"type":"RECORD"']),
    st.sampled_from(["public", "other", None]),
    st.dictionaries(st.text(max_size=3), st.text(max_size=8), max_size=2),
)
OTHERS = st.sampled_from(
    [
        {"type": "STATE", "state": {"stream": {"stream_descriptor": {"name": "orders"}}}},
        {"type": "LOG", "log": {"message": '{"type":"RECORD","record":{"stream":"orders"'}},
    ]
)
# As this project writes them; with spaces; with their keys in another order.
WRITTEN = st.sampled_from(
    [orjson.dumps, lambda message: json.dumps(message).encode(), lambda m: orjson.dumps(dict(reversed(m.items())))]
)
MESSAGES = st.lists(st.tuples(st.one_of(RECORDS, RECORDS, OTHERS), WRITTEN), max_size=30)


def taken_apart(parts: list[tuple[str, bytes, int, Any]]) -> list[tuple[str | None, Any]]:
    """(stream of a record, its message), (None, another message), one by one."""
    found: list[tuple[str | None, Any]] = []
    for stream, lines, number, message in parts:
        written = lines.splitlines(keepends=True) if message is None else [lines]
        assert len(written) == number
        assert all(line.endswith(b"\n") for line in written)
        read = [orjson.loads(line) for line in written]
        assert message is None or read == [message]
        found += [(stream if message is None else None, one) for one in read]
    return found


@given(MESSAGES, st.lists(st.integers(1, 400), max_size=20))
def test_every_message_comes_once_in_its_order_under_its_stream(
    messages: list[tuple[dict[str, Any], Any]], cuts: list[int]
) -> None:
    text = b"".join(write(message) + b"\n" for message, write in messages)
    reader, writer = os.pipe()
    # Less than a pipe holds.
    os.write(writer, text)
    os.close(writer)
    run, found, sizes = RecordRun(), [], iter(cuts)

    class Cut:
        """A stream that gives as much at once as it pleases."""

        def read1(self, size: int) -> bytes:
            return os.read(reader, min(size, next(sizes, size)))

    for block in blocks(Cut()):
        for lines, number, message in run.parts(block):
            found.append((run.stream, lines, number, message))
    os.close(reader)
    expected = [(m["record"]["stream"] if m["type"] == "RECORD" else None, m) for m, _ in messages]
    assert taken_apart(found) == expected


def test_a_record_is_told_by_its_head_however_deep_its_data_is() -> None:
    """No parser goes that deep; whether it can land is a matter of its stream."""
    deep = b"[" * 3000 + b"]" * 3000
    other = orjson.dumps({"type": "LOG", "log": {"message": "so far"}}) + b"\n"
    for head in (
        b'{"type":"RECORD","record":{"stream":"o\\"rders","namespace":null,"data":{"j":',
        b'{"type": "RECORD", "record": {"namespace": "public", "stream": "o\\"rders", "data": {"j": ',
        b'{"type":"RECORD","record":{"stream":"o\\"rders","data":{"j":',
    ):
        line = head + deep + b'},"emitted_at":1}}\n'
        run = RecordRun()
        assert [(run.stream, number) for _, number, _ in run.parts(line * 2 + other + line)] == [
            *([('o"rders', 1)] * 2),
            ('o"rders', 1),
            ('o"rders', 1),
        ]


def test_records_between_other_messages_come_together() -> None:
    record = {"type": "RECORD", "record": {"stream": "orders", "namespace": "public", "data": {}, "emitted_at": 1}}
    other = {"type": "LOG", "log": {"message": "so far"}}
    run = RecordRun()
    lines = [orjson.dumps(message) + b"\n" for message in [other, *[record] * 100, other, *[record] * 50]]
    assert [number for _, number, _ in run.parts(b"".join(lines))] == [1, 1, 99, 1, 50]
    assert [number for _, number, _ in run.parts(b"".join(lines[1:101]))] == [100]
