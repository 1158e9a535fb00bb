"""Random numbers by address: the value of (seed, column, row) is the same whoever asks, in whatever order.

The mixer is splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: Bits) -> Bits:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class Randomness:
    """All random columns of one seed."""

    def __init__(self, seed: int) -> None:
        """Any whole number is a seed."""
        self._seed = np.uint64(seed % (1 << 64))

    def bits(self, column: str, rows: Rows) -> Bits:
        """64 random bits for each row. `column` is any name, such as "orders.currency"."""
        with np.errstate(over="ignore"):
            key = _mix(np.array([self._seed ^ (np.uint64(zlib.crc32(column.encode())) << np.uint64(20))]))[0]
            return _mix(key + (rows.astype(np.uint64) + np.uint64(1)) * _GOLDEN)

    def uniform(self, column: str, rows: Rows) -> npt.NDArray[np.float64]:
        """A number in [0, 1) for each row."""
        return (self.bits(column, rows) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def below(self, column: str, rows: Rows, limit: int) -> Rows:
        """A whole number in [0, limit) for each row."""
        return (self.uniform(column, rows) * limit).astype(np.int64)

    def weighted(self, column: str, rows: Rows, weights: list[float]) -> Rows:
        """An index into `weights`, each as likely as its weight says."""
        edges = np.cumsum(np.array(weights) / sum(weights))
        return np.searchsorted(edges, self.uniform(column, rows), side="right").clip(max=len(weights) - 1)

    def uuids(self, table: str, rows: Rows) -> npt.NDArray[np.uint8]:
        """A version 4 UUID for each row, as rows by 16 bytes."""
        words = np.stack([self.bits(f"{table}.id.high", rows), self.bits(f"{table}.id.low", rows)], axis=1)
        data = words.astype(">u8").view(np.uint8).reshape(len(rows), 16)
        data[:, 6] = (data[:, 6] & 0x0F) | 0x40
        data[:, 8] = (data[:, 8] & 0x3F) | 0x80
        return data
