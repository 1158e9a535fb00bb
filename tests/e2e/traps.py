"""What was planted against what was found, key by key."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import psycopg

from source import traps as source_traps
from stack import summary
from stack.settings import Settings
from tests.content import Rows


@dataclass(frozen=True)
class Trap:
    """The keys of one trap: those that the source holds, and those that the pipeline named, with how often."""

    name: str
    planted: frozenset[str]
    found: Counter[str]

    @property
    def precision(self) -> float:
        """The share of what was found that was planted; a key found twice is wrong once."""
        hits = sum(1 for key in self.found if key in self.planted)
        return hits / self.found.total() if self.found else 1.0

    @property
    def recall(self) -> float:
        """The share of what was planted that was found."""
        return sum(1 for key in self.planted if key in self.found) / len(self.planted) if self.planted else 1.0

    @property
    def is_exact(self) -> bool:
        """Every planted key once, and no other."""
        return self.found == Counter(self.planted)

    def __str__(self) -> str:
        counts = f"{self.name:30} {len(self.planted):>8,} {self.found.total():>8,} {self.precision:>9.2%} {self.recall:>8.2%}"
        strangers = sorted((self.found - Counter(self.planted)).keys())[:3]
        missing = sorted(self.planted - self.found.keys())[:3]
        return counts + ("" if self.is_exact else f"  not planted: {strangers}, not found: {missing}")


def compare(settings: Settings, days: dict[str, Any]) -> list[Trap]:
    """Every trap of the source as it is now and of the warehouse as it is now. `days` is the generator's ledger."""
    with psycopg.connect(settings.source_dsn) as connection:
        planted = source_traps.keys(connection) | {"deleted_rows": source_traps.deleted(days)}
    found = summary.found_keys(settings)
    return [
        Trap(name, frozenset(planted.get(name, ())), Counter(found.get(name, ())))
        for name in sorted(planted.keys() | found.keys())
    ]


def touched_orders(days: dict[str, Any]) -> set[str]:
    """Orders that the days inserted, updated or deleted, themselves or through an item, a payment or a user's country."""
    touched: set[str] = set()
    for day in days["days"]:
        for keys in day["touched"]["orders"].values():
            touched |= set(keys)
        touched |= set(day["touched"].get("related_orders", []))
    return touched


def orders_of(rows: Rows) -> set[str]:
    """The orders that rows of a table's content are about."""
    found = [re.search(r"order_id=(\S+)", " ".join(row)) for row in rows]
    return {match[1] for match in found if match}


def table(traps: list[Trap]) -> str:
    """A line per trap: planted, found, precision, recall."""
    head = f"{'trap':30} {'planted':>8} {'found':>8} {'precision':>9} {'recall':>8}"
    return "\n".join([head, *map(str, traps)])
