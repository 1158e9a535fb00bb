"""`python -m source.parquet --scale 100 DIR`: the generated marketplace as Parquet files of the shape that raw has.

For scale runs: `python -m airbyte.loaders.bulk DIR` loads them into raw without a Postgres and a sync in between. Columns and values are those of a first
sync (tests/airbyte/test_bulk_load.py compares the two), except Airbyte's own: every row landed at `LANDED_AT`, in one sync.

A file holds `ROWS_PER_FILE` rows of a table and is made from its row range alone: the same bytes for the same seed and scale, on any number of processes.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from source.binary_copy import uuid_bytes
from source.generator import DAY, LAST_DAY, Marketplace
from source.randomness import Randomness
from source.tables import TYPES

# A file is one load job's work, a chunk what memory holds, a row group of its own.
ROWS_PER_FILE = 500_000
ROWS_PER_CHUNK = 50_000
# The night after the generator's last day.
LANDED_AT = LAST_DAY + DAY
META = '{"sync_id": 0, "changes": []}'
# What a folder holds, for whoever reads its files.
MANIFEST = "marketplace.json"
# {table: {column: type}} as PostgreSQL calls them.
POSTGRES_TYPES = {
    table: {name: "numeric" if kind == "money" else kind for name, kind in columns.items()}
    for table, columns in TYPES.items()
}

_NUMERIC = pa.decimal128(38, 9)
# The place of each of a UUID's 32 digits in its text of 36 characters.
_DIGITS = np.array([i for i in range(36) if i not in (8, 13, 18, 23)])
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def landed(rows: pa.Table, table: str, start: int, seed: int) -> pa.Table:
    """Rows [start, start + n) of `Marketplace.table` as a sync lands them: exact NUMERIC, ids and JSON as text, and Airbyte's columns."""
    columns = {name: _column(rows.column(name).combine_chunks(), kind) for name, kind in TYPES[table].items()}
    numbers = np.arange(start, start + rows.num_rows, dtype=np.int64)
    columns["_airbyte_raw_id"] = _uuid_text(Randomness(seed).uuids(f"{table}.raw", numbers), None)
    stamp = pa.scalar(LANDED_AT, pa.timestamp("us", "UTC"))
    columns["_airbyte_extracted_at"] = pa.repeat(stamp, rows.num_rows)
    columns["_airbyte_meta"] = pa.repeat(pa.scalar(META), rows.num_rows)
    columns["_airbyte_generation_id"] = pa.repeat(pa.scalar(0, pa.int64()), rows.num_rows)
    return pa.table(columns)


def _column(values: pa.Array, kind: str) -> pa.Array:
    if kind == "uuid":
        return _uuid_text(uuid_bytes(values), values.is_valid() if values.null_count else None)
    if kind == "money":
        return _numeric(values)
    if kind == "text[]":
        return pa.array([None if item is None else json.dumps(item, ensure_ascii=False) for item in values.to_pylist()])
    return values.cast(pa.int64()) if kind == "int4" else values


def _uuid_text(data: npt.NDArray[np.uint8], valid: pa.Array | None) -> pa.Array:
    """Rows by 16 bytes as text with dashes."""
    text = np.full((len(data), 36), ord("-"), np.uint8)
    text[:, _DIGITS[0::2]] = _HEX[data >> 4]
    text[:, _DIGITS[1::2]] = _HEX[data & 15]
    offsets = np.arange(len(data) + 1, dtype=np.int32) * 36
    array = pa.StringArray.from_buffers(len(data), pa.py_buffer(offsets), pa.py_buffer(text))
    return array if valid is None else pc.if_else(valid, array, None)


def _numeric(cents: pa.Array) -> pa.Array:
    """Hundredths as NUMERIC. Raises OverflowError beyond 9 billion, which no amount of the generator reaches."""
    values = pc.fill_null(cents.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    if len(values) and np.abs(values).max() > np.iinfo(np.int64).max // 10**7:
        raise OverflowError("an amount does not fit 64 bits at nine decimals")
    words = np.stack([values * 10**7, values >> 63], axis=1)
    validity = None
    if cents.null_count:
        validity = pa.py_buffer(np.packbits(cents.is_valid().to_numpy(zero_copy_only=False), bitorder="little"))
    return pa.Array.from_buffers(_NUMERIC, len(values), [validity, pa.py_buffer(words)])


def write_file(scale: float, seed: int, table: str, start: int, path: Path) -> None:
    """Write rows [start, start + ROWS_PER_FILE) of a table; the file appears whole."""
    marketplace = Marketplace(scale, seed)
    stop = min(start + ROWS_PER_FILE, marketplace.rows[table])
    part, writer = path.with_suffix(".part"), None
    for first in range(start, stop, ROWS_PER_CHUNK):
        last = min(first + ROWS_PER_CHUNK, stop)
        chunk = landed(marketplace.table(table, first, last), table, first, seed)
        writer = writer or pq.ParquetWriter(part, chunk.schema, compression="lz4", write_statistics=False)
        writer.write_table(chunk)
    if writer:
        writer.close()
        part.rename(path)


def files(marketplace: Marketplace, folder: Path) -> Iterator[tuple[str, int, Path]]:
    """Every file: its table, its first row, its path."""
    for table in TYPES:
        for number, start in enumerate(range(0, marketplace.rows[table], ROWS_PER_FILE)):
            yield table, start, folder / table / f"{number:05}.parquet"


def write(scale: float, seed: int, folder: Path, processes: int) -> None:
    """Write what is missing of the marketplace in `folder`, a line of progress per table.

    Raises FileExistsError when the folder holds another marketplace, or what is none.
    """
    marketplace = Marketplace(scale, seed)
    manifest = {"scale": scale, "seed": seed, "rows": marketplace.rows, "types": POSTGRES_TYPES}
    known = folder / MANIFEST
    if folder.exists() and any(folder.iterdir()):
        held = json.loads(known.read_text()) if known.is_file() else None
        if held != manifest:
            what = f"scale {held['scale']:g}, seed {held['seed']}" if held else "other files"
            raise FileExistsError(f"{folder} holds {what}: name another folder, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps(manifest))
    missing = [task for task in files(marketplace, folder) if not task[2].exists()]
    for table in TYPES:
        (folder / table).mkdir(exist_ok=True)
    started = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        jobs = [(table, pool.submit(write_file, scale, seed, table, start, path)) for table, start, path in missing]
        for table in TYPES:
            made = [job.result() for name, job in jobs if name == table]
            what = f"{time.monotonic() - started:7.1f} s" if made else "already there"
            print(f"{table:20} {marketplace.rows[table]:>12,} rows {what}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m source.parquet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="where a folder per table is made")
    parser.add_argument("--scale", type=float, default=1.0, help="scale factor from 0.01 (default 1)")
    parser.add_argument("--seed", type=int, default=42, help="another seed is another marketplace (default 42)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="files at once (default: a core)")
    chosen = parser.parse_args(arguments)
    try:
        write(chosen.scale, chosen.seed, chosen.folder, max(1, chosen.processes))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
