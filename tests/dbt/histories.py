"""Random histories of small marketplaces, packed into one set of raw tables: what the property tests run the dbt project on.

A universe is a marketplace of two orders, a handful of payments and tier rows, and a currency of its own. All its keys start with its prefix, so hundreds of
universes share the raw tables without touching each other (only the euro and the dollar are everybody's), and a row that comes out wrong names the universe
whose history led there. A universe is a pure function of (seed, number).

Values come from pools of two to five, so that what is rare in life is common here: equal timestamps, rows that change places, keys that come back.
"""

from __future__ import annotations

import copy
import datetime
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from tests.dbt.oracle import is_live

Row = dict[str, Any]
Tables = dict[str, list[Row]]

UTC = datetime.UTC
# Nights on which the pipeline reads the source; each finds what happened since the one before.
SYNCS = tuple(datetime.datetime(2026, 10, 20 + night, 3, tzinfo=UTC) for night in range(6))
# A Thursday to the Wednesday after next: weekends, and gaps of more than 7 days where a rate is late.
DAYS = tuple(datetime.date(2026, 9, 3) + datetime.timedelta(days=n) for n in range(14))
TABLES = (
    "users",
    "categories",
    "products",
    "orders",
    "order_items",
    "payments",
    "reviews",
    "seller_tier_history",
    "event_log",
)
# What a history must be able to contain; test_incremental.py demands that the seeds it runs contain all of it.
KINDS = frozenset(
    {
        "late order",
        "orders.total_amount corrected",
        "orders.currency corrected",
        "orders.created_at corrected",
        "orders.created_at to null",
        "orders.status corrected",
        "replay with an equal time",
        "replay with an earlier time",
        "payments.event_id corrected",
        "payments.event_id to null",
        "orders deleted",
        "orders came back",
        "order_items deleted",
        "order_items came back",
        "order_items.order_id corrected",
        "payments deleted",
        "payments came back",
        "payments.status corrected",
        "seller_tier_history.tier corrected",
        "tier row with an equal start",
        "tier row in the past",
        "tier row without a start",
        "payments.amount to null",
        "seller_tier_history.effective_to corrected",
        "seller_tier_history deleted",
        "every tier row of a seller deleted",
        "rate of an old day corrected",
        "rate of an old day arrived late",
        "rate of an old day corrected back",
        "users.country_code corrected",
        "users deleted",
        "products.category_id corrected",
        "products deleted",
        "categories deleted",
        "categories.parent_id corrected",
        "reviews.status corrected",
    }
)


def at(day: datetime.date, hour: int = 12) -> datetime.datetime:
    """An hour of a day, UTC."""
    return datetime.datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


class Universe:
    """One small marketplace as raw holds it, sync by sync.

    `log` is what happened, in words; `kinds` the same without keys; `rows` the raw rows by table and id after the last `sync` played.
    """

    def __init__(self, seed: int, number: int) -> None:
        """Nothing has happened yet."""
        self._chance = random.Random(f"{seed}/{number}")
        self._turning_back = random.Random(f"{seed}/{number}/back")
        self.prefix = f"u{number:03}"
        self._number = number
        self._made: dict[str, int] = defaultdict(int)
        self.rows: dict[str, dict[Any, Row]] = {table: {} for table in TABLES}
        self.rates: dict[datetime.date, Row] = {}
        self._units: dict[datetime.date, list[Decimal]] = defaultdict(list)
        self.currency = f"{number:03}"
        self.log: list[str] = []
        self.kinds: set[str] = set()

    def sync(self, night: int) -> None:
        """Play what happened before this night, and land it: first what is there, then the sweep's deletions."""
        if night == 0:
            for table, rows in (("users", 4), ("categories", 3), ("products", 3), ("orders", 2), ("order_items", 3)):
                for _ in range(rows):
                    self._insert(table, night)
            for table, rows in (("payments", 3), ("seller_tier_history", 3), ("reviews", 1), ("event_log", 1)):
                for _ in range(rows):
                    self._insert(table, night)
            # Friday and Monday; the rest may arrive later.
            for day in (DAYS[1], DAYS[4]):
                self._rate(day, night)
            return
        happenings: list[tuple[Callable[[str, int], None], int]] = [
            (self._insert, 30),
            (self._correct, 40),
            (self._delete, 15),
            (self._return, 10),
            (self._seller_vanishes, 3),
            (self._late_rate, 8),
        ]
        weights = {"orders": 5, "order_items": 4, "payments": 8, "seller_tier_history": 6, "products": 2, "users": 2}
        for _ in range(self._chance.randint(0, 4)):
            happening = self._chance.choices([h for h, _ in happenings], [w for _, w in happenings])[0]
            table = self._chance.choices(TABLES, [weights.get(t, 1) for t in TABLES])[0]
            happening(table, night)
        self._rate_back(night)

    # what may happen

    def _insert(self, table: str, night: int) -> None:
        self._made[table] += 1
        row = self._fresh(table) | {"id": self._id(table, self._made[table])}
        if night and table == "orders" and row["created_at"]:
            self.kinds.add("late order")
        if table == "payments":
            self._note_replay(row)
        if table == "seller_tier_history":
            self._note_start(row)
        self._land(table, row, night, f"{table} {row['id']} inserted")

    def _correct(self, table: str, night: int) -> None:
        row = self._some(table, live=True)
        if not row:
            return
        fresh = self._fresh(table)
        for column in self._chance.sample(sorted(fresh), self._chance.choice((1, 1, 2))):
            if fresh[column] == row.get(column):
                continue
            self.kinds.add(f"{table}.{column} {'corrected' if fresh[column] is not None else 'to null'}")
            row = row | {column: fresh[column]}
            self._land(table, row, night, f"{table} {row['id']}: {column} becomes {fresh[column]}")

    def _delete(self, table: str, night: int) -> None:
        if row := self._some(table, live=True):
            self._sweep(table, row, night)
            self.kinds.add(f"{table} deleted")

    def _return(self, table: str, night: int) -> None:
        row = self._some(table, live=False)
        # What the sweep of this night marked can only come back on the next one.
        if not row or row["_airbyte_extracted_at"] >= SYNCS[night]:
            return
        changed = self._fresh(table) if self._chance.random() < 0.5 else {}
        self.kinds.add(f"{table} came back")
        # The destination leaves the mark of the deletion as it is.
        self._land(table, row | changed, night, f"{table} {row['id']} came back{' changed' if changed else ''}")

    def _seller_vanishes(self, _table: str, night: int) -> None:
        seller = self._user()
        rows = [row for row in self.rows["seller_tier_history"].values() if row["user_id"] == seller and is_live(row)]
        for row in rows:
            self._sweep("seller_tier_history", row, night)
            self.kinds.add("every tier row of a seller deleted")

    def _late_rate(self, _table: str, night: int) -> None:
        self._rate(self._chance.choice(DAYS), night)

    def _rate_back(self, night: int) -> None:
        """A rate is again what it was before its last correction: an engine that missed the turn between sees no change."""
        days = [
            day
            for day, units in self._units.items()
            if len(units) > 1 and units[-1] != units[-2] and self.rates[day]["_airbyte_extracted_at"] < SYNCS[night]
        ]
        if days and self._turning_back.random() < 0.5:
            day = self._turning_back.choice(days)
            self.kinds.add("rate of an old day corrected back")
            self._quote(day, self._units[day][-2], night)

    # rows

    def _fresh(self, table: str) -> Row:
        """Any row of the table, without its id."""
        choose, number = self._chance.choice, self._number * 10
        money = [Decimal("0.01"), Decimal("10.00"), Decimal("10.01"), Decimal("333.33"), Decimal("1000.05")]
        currencies = [self.currency, self.currency, "EUR", "USD", "eur ", "EUR\t", "XXX"]
        time = at(choose(DAYS), choose((0, 12, 23)))
        if table == "users":
            return {
                "user_type": choose(("buyer", "seller", "both")),
                "country_code": choose(("DE", "us", "JP", "", None)),
                "seller_tier": choose(("bronze", None)),
                "deleted_at": choose((None, None, time)),
                "created_at": at(DAYS[0]),
            }
        if table == "categories":
            return {"name": choose(("A", "B")), "parent_id": choose((None, number + 1, number + 2, number + 3))}
        if table == "products":
            return {
                "seller_id": self._user(),
                "category_id": choose((None, number + 1, number + 2, number + 3)),
                "title": "Thing",
                "status": choose(("active", "draft")),
                "price_amount": choose(money),
                "price_currency": choose(currencies),
                "updated_at": choose((None, time, SYNCS[-1] + datetime.timedelta(days=99))),
            }
        if table == "orders":
            subtotal = choose(money)
            return {
                "order_number": f"ORD-{self.prefix}",
                "buyer_id": self._user(),
                "status": choose(("pending", "cancelled", "confirmed", "delivered", "refunded")),
                "subtotal_amount": subtotal,
                "shipping_amount": choose((None, Decimal("1.00"))),
                # What the warehouse cannot hold lands as null.
                "total_amount": choose((subtotal, subtotal, subtotal + 1, subtotal + 1, None)),
                "currency": choose(currencies),
                "shipping_country": choose(("US", "BR", "", None)),
                "created_at": choose((time, time, None)),
                "confirmed_at": choose((None, "2026-09-05T01:00:00")),
            }
        if table == "order_items":
            price = choose((*money, *money, None))
            return {
                "order_id": self._key("o", 4),
                "product_id": self._key("p", 4),
                "seller_id": self._user(),
                "quantity": choose((1, 2)),
                "unit_price": price,
                "total_price": price,
                "currency": choose(currencies),
                "created_at": time,
            }
        if table == "payments":
            event = f"{self.prefix}-e1"
            # White space that is no space is part of an event id.
            unlike = (f"{event}\N{NO-BREAK SPACE}", f"{event}\t", f"{event}\n ")
            return {
                "order_id": self._key("o", 4),
                "payment_provider": choose(("stripe", "paypal")),
                "status": choose(("pending", "completed", "failed", "refunded", "disputed")),
                "amount": choose((*money, *money, None)),
                "currency": choose(currencies),
                "platform_fee": choose((None, Decimal("0.05"))),
                "seller_payout": choose((None, Decimal("9.95"))),
                "created_at": choose((time, at(DAYS[5]), None)),
                "event_timestamp": choose((at(DAYS[5]), at(DAYS[5], 13), at(DAYS[6]), None)),
                "event_id": choose((event, event, f" {event}", f"{self.prefix}-e2", " ", None, *unlike)),
            }
        if table == "reviews":
            return {
                "product_id": self._key("p", 4),
                "reviewer_id": self._user(),
                "rating": choose((1, 4, 5)),
                "status": choose(("approved", "approved", "rejected")),
                "created_at": time,
            }
        if table == "seller_tier_history":
            starts = [at(day) for day in DAYS[:5]]
            return {
                "user_id": self._key("u", 2),
                "tier": choose(("bronze", "silver", "gold", None)),
                "effective_from": choose((*starts, *starts, None)),
                "effective_to": choose((None, None, *starts)),
                "change_reason": choose(("rating", "sales volume", None)),
                "created_at": choose((at(DAYS[0]), at(DAYS[1]), None)),
            }
        return {
            "event_type": choose(("order_viewed", "order_changed")),
            "entity_type": "order",
            "entity_id": self._key("o", 3),
            "event_timestamp": time,
            "received_at": time + choose((datetime.timedelta(seconds=1), datetime.timedelta(days=1))),
            "processed": choose((True, False)),
        }

    def _user(self) -> str:
        return self._key("u", 4)

    def _key(self, kind: str, among: int) -> str:
        """One of the first ids of a table; with the last of them there may be no such row (yet)."""
        return f"{self.prefix}-{kind}{self._chance.randint(1, among)}"

    def _id(self, table: str, number: int) -> Any:
        if table in ("categories", "seller_tier_history", "event_log"):
            return self._number * (10 if table == "categories" else 1000) + number
        letters = {"users": "u", "products": "p", "orders": "o", "order_items": "i", "payments": "pay", "reviews": "r"}
        return f"{self.prefix}-{letters[table]}{number}"

    def _some(self, table: str, *, live: bool) -> Row | None:
        rows = [row for row in self.rows[table].values() if is_live(row) == live]
        return self._chance.choice(rows) if rows else None

    # landing

    def _land(self, table: str, row: Row, night: int, words: str) -> None:
        landed = {"_airbyte_raw_id": f"{row['id']}-{night}", "_airbyte_extracted_at": SYNCS[night]}
        self.rows[table][row["id"]] = copy.copy(row) | landed | {"_airbyte_generation_id": 0}
        self.log.append(f"night {night}: {words}")

    def _sweep(self, table: str, row: Row, night: int) -> None:
        swept = SYNCS[night] + datetime.timedelta(minutes=5)
        self.rows[table][row["id"]] = row | {"_deleted_at": swept, "_airbyte_extracted_at": swept}
        self.log.append(f"night {night}: {table} {row['id']} deleted")

    def _rate(self, day: datetime.date, night: int) -> None:
        units = self._chance.choice([Decimal("0.7"), Decimal("3"), Decimal("160.5")])
        if night and day < max(self.rates):
            self.kinds.add(f"rate of an old day {'corrected' if day in self.rates else 'arrived late'}")
        self._quote(day, units, night)

    def _quote(self, day: datetime.date, units: Decimal, night: int) -> None:
        self._units[day].append(units)
        self.rates[day] = rate(day, self.currency, units, night)
        self.log.append(f"night {night}: {units} {self.currency} per euro on {day}")

    def _note_replay(self, row: Row) -> None:
        for other in self.rows["payments"].values():
            if row["event_id"] and (row["event_id"].strip(" ") == (other["event_id"] or "").strip(" ") != ""):
                earlier, later = row["event_timestamp"], other["event_timestamp"]
                if earlier == later:
                    self.kinds.add("replay with an equal time")
                elif earlier and later and earlier < later:
                    self.kinds.add("replay with an earlier time")

    def _note_start(self, row: Row) -> None:
        if row["effective_from"] is None:
            self.kinds.add("tier row without a start")
            return
        others = [
            other
            for other in self.rows["seller_tier_history"].values()
            if other["user_id"] == row["user_id"] and other["effective_from"] is not None
        ]
        if any(other["effective_from"] == row["effective_from"] for other in others):
            self.kinds.add("tier row with an equal start")
        if any(other["effective_from"] > row["effective_from"] for other in others):
            self.kinds.add("tier row in the past")


def played(seed: int, number: int, until: int = len(SYNCS) - 1) -> Universe:
    """The universe after a night."""
    universe = Universe(seed, number)
    for night in range(until + 1):
        universe.sync(night)
    return universe


def rate(day: datetime.date, currency: str, units_per_eur: Decimal, night: int) -> Row:
    """A row of raw.ecb_fx_rates."""
    row = {"rate_date": day, "currency": currency, "units_per_eur": units_per_eur}
    return row | {"_airbyte_extracted_at": SYNCS[night]}


def dollars(seed: int, night: int) -> list[Row]:
    """Everybody's dollar after a night: Friday's rate is corrected on the third night, and the second Thursday is late."""
    chance = random.Random(f"{seed}/dollars")
    days = [day for day in DAYS if day.weekday() < 5 and chance.random() < 0.8]
    known = [day for day in days if night >= 2 or day != DAYS[7]]
    return [rate(day, "USD", Decimal("1.19") if night >= 2 and day == DAYS[1] else Decimal("1.1"), 0) for day in known]


def packed(universes: Iterable[Universe], seed: int, night: int) -> Tables:
    """The raw tables that hold all universes after a night."""
    tables: Tables = {table: [] for table in TABLES} | {"ecb_fx_rates": dollars(seed, night)}
    for universe in universes:
        for table, rows in universe.rows.items():
            tables[table] += rows.values()
        tables["ecb_fx_rates"] += universe.rates.values()
    return tables
