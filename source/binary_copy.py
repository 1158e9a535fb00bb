"""Arrow batches in PostgreSQL's binary COPY format, by whole columns: no Python object is made for a value.

Format: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4 ("Binary Format"); a field is its length as int32 (-1 = null) and its bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
TRAILER = b"\xff\xff"

Bytes = npt.NDArray[np.uint8]
# Microseconds from 1970 to PostgreSQL's epoch, 2000-01-01.
_EPOCH = 946_684_800_000_000
_TEXT_OID = 25


def encode(batch: pa.Table, types: Mapping[str, str]) -> bytes:
    """The rows of `batch` without header and trailer.

    Args:
        batch: one column for each entry of `types`.
        types: uuid (16 bytes), text, jsonb (text), text[] (list of text), int4, int8, bool, money (cents, to numeric with two
            decimals), timestamptz and timestamp (microseconds).

    Raises:
        KeyError: for a type that is none of these.
    """
    rows = batch.num_rows
    fields = [_field(column, types[name]) for name, column in _columns(batch, types)]
    sizes = np.stack([np.where(valid, lengths, 0) + 4 for lengths, _, valid in fields], axis=1)
    starts = np.zeros((rows, len(fields)), np.int64)
    ends = np.cumsum(sizes.sum(axis=1) + 2)
    starts[:, 0] = np.concatenate([[0], ends[:-1]]) + 2 if rows else 0
    starts[:, 1:] = starts[:, :1] + np.cumsum(sizes, axis=1)[:, :-1]
    out = np.zeros(int(ends[-1]) if rows else 0, np.uint8)
    _put(out, starts[:, 0] - 2, _big_endian(np.full(rows, len(fields)), ">i2"))
    for index, (lengths, data, valid) in enumerate(fields):
        _put(out, starts[:, index], _big_endian(np.where(valid, lengths, -1), ">i4"))
        _scatter(out, starts[:, index] + 4, lengths, data, valid)
    return out.tobytes()


Field = tuple[npt.NDArray[np.int64], Bytes, npt.NDArray[np.bool_]]


def _columns(batch: pa.Table, types: Mapping[str, str]) -> list[tuple[str, pa.Array]]:
    return [(name, batch.column(name).combine_chunks()) for name in types]


def _field(column: pa.Array, kind: str) -> Field:
    """Lengths, the bytes of all values one after the other (nulls included, as any bytes of their length), and which are not null."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if kind in ("text", "jsonb"):
        return _text(column, valid, b"\x01" if kind == "jsonb" else b"")
    if kind == "text[]":
        return _text_array(column, valid)
    data = _fixed(column, kind)
    return np.full(len(column), data.shape[1], np.int64), data.reshape(-1), valid


def _fixed(column: pa.Array, kind: str) -> Bytes:
    """Values of one width, as rows by bytes."""
    if kind == "uuid":
        return uuid_bytes(column)
    values = pc.fill_null(column.cast(pa.int64()) if kind != "bool" else column.cast(pa.int8()), 0).to_numpy(
        zero_copy_only=False
    )
    if kind in ("timestamptz", "timestamp"):
        return _big_endian(values - _EPOCH, ">i8")
    if kind == "money":
        return _numeric(values)
    return _big_endian(values, {"int4": ">i4", "int8": ">i8", "bool": ">i1"}[kind])


def uuid_bytes(column: pa.Array) -> Bytes:
    """Values of 16 bytes as rows by bytes; null as zeros."""
    filled = pc.fill_null(column, b"\x00" * 16)
    return np.frombuffer(filled.buffers()[1], np.uint8)[filled.offset * 16 :][: len(column) * 16].reshape(-1, 16)


def _numeric(cents: npt.NDArray[np.int64]) -> Bytes:
    """Hundredths as numeric: four digits to the base 10000 from 10000², sign, two decimals. The server drops leading zeros."""
    size = np.abs(cents)
    whole = size // 100
    sign = np.where(cents < 0, 0x4000, 0)
    words = [np.full_like(size, 4), np.full_like(size, 2), sign, np.full_like(size, 2)]
    words += [whole // 10**8, whole // 10**4 % 10**4, whole % 10**4, size % 100 * 100]
    return np.stack(words, axis=1).astype(">u2").view(np.uint8).reshape(len(cents), 16)


def _text(column: pa.Array, valid: npt.NDArray[np.bool_], prefix: bytes) -> Field:
    filled = pc.fill_null(column, "")
    if prefix:
        filled = pc.binary_join_element_wise(pa.scalar(prefix.decode()), filled, "")
    filled = filled.cast(pa.large_string())
    offsets = np.frombuffer(filled.buffers()[1], np.int64)[filled.offset :][: len(filled) + 1]
    buffer = filled.buffers()[2]
    data = np.frombuffer(buffer, np.uint8)[offsets[0] : offsets[-1]] if buffer else np.zeros(0, np.uint8)
    return np.diff(offsets), data, valid


def _text_array(column: pa.Array, valid: npt.NDArray[np.bool_]) -> Field:
    """One-dimensional arrays of text without nulls inside."""
    filled = pc.fill_null(column, [])
    counts = pc.list_value_length(filled).to_numpy(zero_copy_only=False).astype(np.int64)
    items = filled.flatten()
    lengths, data, item_valid = _text(items, np.ones(len(items), np.bool_), b"")
    sizes = 4 + lengths
    ends = np.concatenate([[0], np.cumsum(sizes)])
    first = np.concatenate([[0], np.cumsum(counts)])
    body = ends[first[1:]] - ends[first[:-1]]
    elements = np.zeros(int(ends[-1]), np.uint8)
    _put(elements, ends[:-1], _big_endian(lengths, ">i4"))
    _scatter(elements, ends[:-1] + 4, lengths, data, item_valid)
    dimensions = (counts > 0).astype(np.int64)
    head = 12 + 8 * dimensions
    total = head + body
    starts = np.concatenate([[0], np.cumsum(total)])[:-1]
    out = np.zeros(int(total.sum()), np.uint8)
    _put(out, starts, _big_endian(dimensions, ">i4"))
    _put(out, starts + 8, _big_endian(np.full(len(counts), _TEXT_OID), ">i4"))
    some = dimensions == 1
    _put(out, starts[some] + 12, _big_endian(counts[some], ">i4"))
    _put(out, starts[some] + 16, _big_endian(np.ones(int(some.sum())), ">i4"))
    _scatter(out, starts + head, body, elements, np.ones(len(counts), np.bool_))
    return total, out, valid


def _big_endian(values: npt.NDArray[np.generic], kind: str) -> Bytes:
    return values.astype(kind).view(np.uint8).reshape(len(values), -1)


def _put(out: Bytes, starts: npt.NDArray[np.int64], data: Bytes) -> None:
    """Write rows of one width at their places."""
    out[starts[:, None] + np.arange(data.shape[1])] = data


def _scatter(
    out: Bytes, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], data: Bytes, valid: npt.NDArray[np.bool_]
) -> None:
    """Write the valid values of any width, which stand one after the other in `data`, at their places."""
    if not valid.all():
        keep = np.repeat(valid, lengths)
        data, starts, lengths = data[keep], starts[valid], lengths[valid]
    if len(data):
        before = np.cumsum(lengths) - lengths
        out[np.repeat(starts - before, lengths) + np.arange(len(data))] = data
