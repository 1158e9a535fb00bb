"""`python -m source.day`: one business day in the marketplace, as its application would write it.

New orders with items and payments; orders and payments change in place; webhooks are replayed; sellers change tiers; users leave; rows that no day
inserted are deleted for good; a product is dated into the future; and one transaction begins before the others and commits after them. The day is
noted in its transaction with every key that it touched (`source_admin.day`), and the ledger has it from there: a kill loses neither. A late order that a
kill took comes with the next day's. A day of the same number is the same day: its choices depend on the database and the seed; on the clock depends
only what lies in the future.
"""

from __future__ import annotations

import argparse
import datetime
import random
import sys
import uuid
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from source import traps
from source.load import ADMIN, connect, held_by
from stack import settings
from stack.failures import one_line

# Later days would have no rate within seven days of the last one that the ECB's file holds.
FIRST_DATE, LAST_DATE = datetime.date(2026, 10, 31), datetime.date(2026, 11, 5)
SHARE = 0.005
CENT = Decimal("0.01")
Row = dict[str, Any]
Note = dict[str, Any]
Touched = dict[str, dict[str, set[str]]]


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    current = settings.for_command()
    parser = argparse.ArgumentParser(prog="python -m source.day", description=__doc__)
    parser.add_argument("--dsn", default=current.admin_dsn, help="the database (default: the local stack's)")
    parser.add_argument("--seed", type=int, default=42, help="another seed is another day (default 42)")
    parser.add_argument("--ledger", type=Path, default=current.local_dir / "source" / "ledger.json")
    chosen = parser.parse_args(arguments)
    try:
        note = play(chosen.dsn, chosen.seed)
        with connect(chosen.dsn) as connection:
            book = traps.of(connection, held_by(connection))
    except psycopg.errors.UndefinedTable:
        print("error: the source is empty: `make demo` fills it", file=sys.stderr)
        return 1
    except psycopg.Error as error:
        said = one_line(error)
        # Of its own errors a server gives the number, or the severity where it takes nobody in.
        is_silent = isinstance(error, psycopg.OperationalError) and not error.sqlstate and "FATAL:" not in said
        print(f"error: Postgres: {said}{': `make up` starts it' if is_silent else ''}", file=sys.stderr)
        return 1
    traps.write(chosen.ledger, book)
    print(f"played {note['date']} (day {note['number']})")
    for table, keys in note["touched"].items():
        print(f"  {table:20} " + ", ".join(f"{len(k)} {kind}" for kind, k in keys.items() if k))
    return 0


def play(dsn: str, seed: int) -> Note:
    """Play the next day. Returns its note, which the ledger has too: number, date, seed, is the late commit done, touched keys, related orders."""
    with connect(dsn, dict_row) as connection, connect(dsn, dict_row) as late:
        # One day at a time, to its last commit: the lock is the session's.
        connection.execute("select pg_advisory_lock(hashtext('source.day'))")
        connection.execute(ADMIN)
        connection.commit()
        row = connection.execute("select coalesce(max(number), 0) + 1 as number from source_admin.day").fetchone()
        assert row is not None
        number = int(row["number"])
        date = min(FIRST_DATE + datetime.timedelta(days=number - 1), LAST_DATE)
        note: Note = {"number": number, "date": date.isoformat(), "seed": seed, "late_commit": False}
        note |= {"touched": {}, "related_orders": []}
        # The late transaction writes first and commits last. What a day that was killed before that has lost comes with this one's.
        cut_off = connection.execute(
            "select note from source_admin.day where note -> 'late_commit' = 'false'"
        ).fetchall()
        slow = [(noted, _late_order(late, noted)) for noted in [*(row["note"] for row in cut_off), note]]
        day = Day(connection, random.Random(f"{seed}/{number}"), date)  # noqa: S311 - reproducible, not secret
        day.run()
        _add(note, day)
        connection.execute(
            "insert into source_admin.day (number, date, note) values (%s, %s, %s)", (number, date, Jsonb(note))
        )
        connection.commit()
        for noted, order in slow:
            _add(noted, order)
            noted["late_commit"] = True
            late.execute("update source_admin.day set note = %s where number = %s", (Jsonb(noted), noted["number"]))
        late.commit()
    return note


def _late_order(late: psycopg.Connection[Row], note: Note) -> Day:
    """Write a day's late order."""
    chance = random.Random(f"{note['seed']}/{note['number']}/late")  # noqa: S311 - reproducible, not secret
    order = Day(late, chance, datetime.date.fromisoformat(note["date"]), prefix="L")
    order.new_orders(1)
    return order


def _add(note: Note, transaction: Day) -> None:
    """Add the keys that a transaction touched."""
    for table, kinds in sorted(transaction.touched.items()):
        noted = note["touched"].setdefault(table, {})
        for kind, keys in kinds.items():
            noted[kind] = sorted({*noted.get(kind, []), *keys})
    note["related_orders"] = sorted({*note["related_orders"], *transaction.related})


class Day:
    """The writes of one transaction, and the keys that they touched."""

    def __init__(
        self, connection: psycopg.Connection[Row], chance: random.Random, date: datetime.date, prefix: str = ""
    ) -> None:
        """Nothing is written yet. `prefix` keeps the order numbers of transactions that run at once apart."""
        self._connection = connection
        self._chance = chance
        self._date = date
        self._prefix = prefix
        self.touched: Touched = defaultdict(lambda: {"inserted": set(), "updated": set(), "deleted": set()})
        self.related: set[str] = set()

    def run(self) -> None:
        """Everything that happens on a day but the late commit."""
        orders = self._rows("select count(*) as n from orders")[0]["n"]
        share = max(5, int(orders * SHARE))
        self.new_orders(share)
        self._orders_move_on(share)
        self._payments_move_on(share)
        self._webhooks_are_replayed(max(3, share // 4))
        self._tiers_change(max(2, share // 20))
        self._users_change(max(2, share // 20))
        self._products_change()
        self._rows_are_deleted(max(2, share // 20))
        self._events_arrive_out_of_order(share)

    # reading and writing

    def _rows(self, query: LiteralString, *values: Any) -> list[Row]:
        return self._connection.execute(query, values).fetchall()

    def _note(self, table: str, kind: str, rows: list[Row]) -> list[Row]:
        keys = {str(row["id"]) for row in rows}
        # A row that appears and changes on the same day has been inserted, one that vanishes is gone.
        if kind == "updated":
            keys -= self.touched[table]["inserted"]
        if kind == "deleted":
            self.touched[table]["updated"] -= keys
        self.touched[table][kind] |= keys
        self.related |= {str(row["order_id"]) for row in rows if row.get("order_id")}
        return rows

    def _inserted_by_days(self, table: str) -> list[str]:
        """The keys that this day and those before it inserted. Such a row may not have landed yet: if it were deleted, nobody could find that."""
        noted = self._rows(
            "select jsonb_array_elements_text(note #> array['touched', %s, 'inserted']) as id from source_admin.day",
            table,
        )
        return sorted(self.touched[table]["inserted"] | {row["id"] for row in noted})

    def _uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self._chance.getrandbits(128), version=4)

    def _moment(self) -> datetime.datetime:
        return datetime.datetime.combine(self._date, datetime.time(), datetime.UTC) + datetime.timedelta(
            microseconds=self._chance.randrange(86_400_000_000)
        )

    # what happens

    def new_orders(self, wanted: int) -> None:
        """Orders with one to four items, most of them paid for."""
        buyers = self._rows("select id, country_code from users where deleted_at is null order by id")
        products = self._rows(
            "select id, seller_id, title, price_amount from products where status = 'active' order by id"
        )
        if not buyers or not products:
            return
        base = f"ORD-{self._date:%Y%m%d}-{self._prefix}"
        # Not their count: a number in between may have been deleted.
        last = self._rows(
            "select coalesce(max(substr(order_number, %s)::int), 0) as number from orders where order_number ~ %s",
            *(len(base) + 1, f"^{base}[0-9]+$"),
        )[0]["number"]
        for index in range(wanted):
            buyer = self._chance.choice(buyers)
            currency = self._chance.choice(("USD", "EUR", "GBP"))
            moment = self._moment()
            bought = [
                (self._chance.choice(products), self._chance.randint(1, 3)) for _ in range(self._chance.randint(1, 4))
            ]
            subtotal = sum((p["price_amount"] * n for p, n in bought), Decimal(0))
            tax = (subtotal * Decimal("0.08")).quantize(CENT)
            discount = (subtotal / 10).quantize(CENT) if self._chance.random() < 0.2 else None
            total = subtotal + Decimal("4.99") + tax - (discount or 0)
            order = self._note(
                "orders",
                "inserted",
                self._rows(
                    "insert into orders (id, order_number, buyer_id, status, subtotal_amount, shipping_amount, tax_amount, discount_amount, total_amount, "
                    "currency, shipping_country, created_at, updated_at) values (%s, %s, %s, %s, %s, 4.99, %s, %s, %s, %s, %s, %s, %s) returning id",
                    *(self._uuid(), f"{base}{last + index + 1:05}", buyer["id"]),
                    *(
                        self._chance.choice(("pending", "confirmed", "confirmed")),
                        subtotal,
                        tax,
                        discount,
                        total,
                        currency,
                    ),
                    *(None if self._chance.random() < 0.05 else buyer["country_code"], moment, moment),
                ),
            )[0]["id"]
            for product, quantity in bought:
                self._new_item(order, product, quantity, currency, moment)
            if self._chance.random() < 0.9:
                self._new_payment(order, total, currency, moment)

    def _new_item(
        self, order: uuid.UUID, product: Row, quantity: int, currency: str, moment: datetime.datetime
    ) -> None:
        price = product["price_amount"]
        self._note(
            "order_items",
            "inserted",
            self._rows(
                "insert into order_items (id, order_id, product_id, seller_id, quantity, unit_price, total_price, currency, product_title, created_at) "
                "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id, order_id",
                *(self._uuid(), order, product["id"], product["seller_id"], quantity, price, price * quantity),
                *(currency, product["title"], moment),
            ),
        )

    def _new_payment(self, order: uuid.UUID, amount: Decimal, currency: str, moment: datetime.datetime) -> None:
        status = self._chance.choice(("processing", "completed", "failed"))
        fee = (amount * Decimal("0.05")).quantize(CENT)
        completed = status == "completed"
        paid_at = moment + datetime.timedelta(seconds=self._chance.randint(20, 600))
        self._note(
            "payments",
            "inserted",
            self._rows(
                "insert into payments (id, order_id, payment_provider, amount, currency, platform_fee, seller_payout, status, created_at, event_id, "
                "event_timestamp) values (%s, %s, 'stripe', %s, %s, %s, %s, %s, %s, %s, %s) returning id, order_id",
                *(
                    self._uuid(),
                    order,
                    amount,
                    currency,
                    fee if completed else None,
                    amount - fee if completed else None,
                ),
                *(status, paid_at, f"evt_{self._chance.getrandbits(64):016x}", paid_at),
            ),
        )

    def _orders_move_on(self, wanted: int) -> None:
        """Each status is followed by the next one; a few are cancelled or refunded."""
        self._note(
            "orders",
            "updated",
            self._rows(
                "update orders set updated_at = %s, "
                "confirmed_at = case when status = 'pending' then %s::timestamp else confirmed_at end, "
                "shipped_at = case when status = 'processing' then %s else shipped_at end, "
                "delivered_at = case when status = 'shipped' then %s else delivered_at end, "
                "status = case status when 'pending' then 'confirmed' when 'confirmed' then 'processing' when 'processing' then 'shipped' "
                "when 'shipped' then 'delivered' else 'refunded' end "
                "where id in (select id from orders where status not in ('cancelled', 'refunded') and created_at < %s "
                "order by (status = 'delivered'), created_at desc, id limit %s) returning id",
                *([self._moment()] * 4),
                self._date,
                wanted,
            ),
        )
        self._note(
            "orders",
            "updated",
            self._rows(
                "update orders set status = case status when 'delivered' then 'refunded' else 'cancelled' end, updated_at = %s "
                "where id in (select id from orders where status in ('delivered', 'confirmed') order by md5(id::text || %s) limit 3) returning id",
                self._moment(),
                str(self._date),
            ),
        )

    def _payments_move_on(self, wanted: int) -> None:
        """In place, with nothing in the row that says when."""
        self._note(
            "payments",
            "updated",
            self._rows(
                "update payments set status = 'completed', platform_fee = round(amount * 0.05, 2), seller_payout = amount - round(amount * 0.05, 2), "
                "processed_at = %s where id in (select id from payments where status in ('pending', 'processing') order by created_at desc, id limit %s) "
                "returning id, order_id",
                self._moment(),
                wanted,
            ),
        )
        self._note(
            "payments",
            "updated",
            self._rows(
                "update payments set status = 'refunded', seller_payout = 0 where id in "
                "(select id from payments where status = 'completed' "
                "order by md5(id::text || %s) limit 3) returning id, order_id",
                str(self._date),
            ),
        )

    def _webhooks_are_replayed(self, wanted: int) -> None:
        """The same event under another id, some seconds later; of old and of new events."""
        chosen = self._rows(
            "(select id from payments where event_id is not null order by created_at desc, id limit 2) union "
            "(select id from payments where event_id is not null order by md5(id::text || %s) limit %s) order by id",
            str(self._date),
            wanted,
        )
        for row in chosen:
            self._note(
                "payments",
                "inserted",
                self._rows(
                    "insert into payments select (jsonb_populate_record(p, jsonb_build_object('id', %s::text, 'created_at', "
                    "p.created_at + interval '7 seconds'))).* from payments as p where id = %s returning id, order_id",
                    str(self._uuid()),
                    row["id"],
                ),
            )

    def _tiers_change(self, wanted: int) -> None:
        """The open row is closed in place, a new one follows."""
        moment = self._moment()
        closed = self._note(
            "seller_tier_history",
            "updated",
            self._rows(
                "update seller_tier_history set effective_to = %s, is_current = false where id in (select max(id) from seller_tier_history "
                "where effective_to is null and effective_from < %s group by user_id order by md5(user_id::text || %s) limit %s) returning id, user_id, tier",
                *(moment, moment, str(self._date), wanted),
            ),
        )
        for row in closed:
            tier = self._chance.choice([t for t in ("bronze", "silver", "gold", "platinum") if t != row["tier"]])
            self._note(
                "seller_tier_history",
                "inserted",
                self._rows(
                    "insert into seller_tier_history (user_id, tier, effective_from, is_current, change_reason, created_at) "
                    "values (%s, %s, %s, true, 'sales volume', %s) returning id",
                    *(row["user_id"], tier, moment, moment),
                ),
            )
            self._note(
                "users",
                "updated",
                self._rows(
                    "update users set seller_tier = %s, updated_at = %s where id = %s returning id",
                    tier,
                    moment,
                    row["user_id"],
                ),
            )

    def _users_change(self, wanted: int) -> None:
        """Some leave (softly), one moves to a country that nobody knows."""
        moment = self._moment()
        self._note(
            "users",
            "updated",
            self._rows(
                "update users set deleted_at = %s, updated_at = %s, is_active = false where id in (select id from users where deleted_at is null "
                "and user_type = 'buyer' order by md5(id::text || %s) limit %s) returning id",
                *(moment, moment, str(self._date), wanted),
            ),
        )
        moved = self._note(
            "users",
            "updated",
            self._rows(
                "update users set country_code = null, updated_at = %s where id in (select id from users where country_code is not null "
                "order by md5(%s || id::text) limit 1) returning id",
                moment,
                str(self._date),
            ),
        )
        for user in moved:
            orders = self._rows("select id from orders where buyer_id = %s", user["id"])
            self.related |= {str(order["id"]) for order in orders}

    def _products_change(self) -> None:
        """One is dated a year ahead, one gets another category."""
        self._note(
            "products",
            "updated",
            self._rows(
                "update products set updated_at = now() + interval '1 year' where id in (select id from products "
                "where updated_at <= now() order by md5(id::text || %s) limit 1) returning id",
                str(self._date),
            ),
        )
        self._note(
            "products",
            "updated",
            self._rows(
                "update products set category_id = (select max(id) from categories), updated_at = %s where id in (select id from products "
                "where category_id is distinct from (select max(id) from categories) and updated_at <= now() "
                "order by md5(%s || id::text) limit 1) returning id",
                self._moment(),
                str(self._date),
            ),
        )

    def _rows_are_deleted(self, wanted: int) -> None:
        """Orders with everything that hangs on them, a payment alone, a review alone. None of them is a row that a day has inserted."""
        payments = self._inserted_by_days("payments")
        doomed = [
            row["id"]
            for row in self._rows(
                "select id from orders where id <> all(%s::uuid[]) "
                "and id not in (select order_id from payments where id = any(%s::uuid[])) order by md5(id::text || %s) limit %s",
                self._inserted_by_days("orders"),
                payments,
                str(self._date),
                wanted,
            )
        ]
        self._note(
            "reviews",
            "deleted",
            self._rows(
                "delete from reviews where order_item_id in (select id from order_items where order_id = any(%s)) returning id",
                doomed,
            ),
        )
        self._note(
            "order_items",
            "deleted",
            self._rows("delete from order_items where order_id = any(%s) returning id, order_id", doomed),
        )
        self._note(
            "payments",
            "deleted",
            self._rows("delete from payments where order_id = any(%s) returning id, order_id", doomed),
        )
        self._note("orders", "deleted", self._rows("delete from orders where id = any(%s) returning id", doomed))
        self._note(
            "payments",
            "deleted",
            self._rows(
                "delete from payments where id in (select id from payments where id <> all(%s::uuid[]) order by md5(%s || id::text) limit 1) "
                "returning id, order_id",
                payments,
                str(self._date),
            ),
        )
        self._note(
            "reviews",
            "deleted",
            self._rows(
                "delete from reviews where id in (select id from reviews order by md5(id::text || %s) limit 1) returning id",
                str(self._date),
            ),
        )

    def _events_arrive_out_of_order(self, wanted: int) -> None:
        """Each second one was received hours after it happened, so that its time lies before its predecessors'."""
        for index, order in enumerate(sorted(self.touched["orders"]["inserted"])[:wanted]):
            happened = self._moment()
            received = happened + datetime.timedelta(hours=6 * (index % 2), seconds=1)
            self._note(
                "event_log",
                "inserted",
                self._rows(
                    "insert into event_log (event_type, entity_type, entity_id, event_data, event_timestamp, received_at, processed) "
                    "values ('order_created', 'order', %s, '{}', %s, %s, false) returning id",
                    *(order, happened, received),
                ),
            )


if __name__ == "__main__":
    sys.exit(main())
