"""An application that writes to the marketplace while it is read: every habit that loses rows of a naive reader.

Equal timestamps, in-place changes without one, keys that change, subtransactions, rollbacks, deletes, rows that change back, and transactions that
commit long after later ones.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg

PAUSE_SECONDS = 0.02

# Each takes one random number from 0 to 1. Rows are picked by the position of a key, so that no statement scans for long.
INSERTS: tuple[LiteralString, ...] = (
    # All of a minute's rows carry the same times.
    "insert into payments select (jsonb_populate_record(p, jsonb_build_object('id', gen_random_uuid(), 'created_at', date_trunc('minute', now()), "
    "'event_timestamp', date_trunc('minute', now())))).* from payments as p where id in "
    "(select id from payments where id >= {pick} order by id limit 5)",
    "insert into event_log (event_type, entity_type, entity_id, event_data, event_timestamp, received_at, processed) "
    "select 'viewed', 'order', gen_random_uuid(), jsonb_build_object('n', {chance}), date_trunc('minute', now()) - interval '1 day' * {chance}, "
    "date_trunc('minute', now()), false from generate_series(1, 5)",
    "insert into seller_tier_history (user_id, tier, effective_from, is_current, created_at) "
    "select user_id, 'gold', date_trunc('minute', now()), true, date_trunc('minute', now()) from seller_tier_history "
    "where user_id >= {pick} order by user_id limit 2",
)
UPDATES: tuple[LiteralString, ...] = (
    "update payments set status = case status when 'completed' then 'refunded' else 'completed' end where id in "
    "(select id from payments where id >= {pick} order by id limit 7 for update skip locked)",
    "update event_log set processed = not processed where id in "
    "(select id from event_log where id >= {chance} * (select max(id) from event_log) order by id limit 7 for update skip locked)",
    "update seller_tier_history set effective_to = date_trunc('minute', now()), is_current = false where id in "
    "(select id from seller_tier_history where id >= {chance} * (select max(id) from seller_tier_history) order by id limit 2 for update skip locked)",
    "update orders set status = 'delivered', confirmed_at = date_trunc('minute', now()), total_amount = total_amount + 0.01 where id in "
    "(select id from orders where id >= {pick} order by id limit 5 for update skip locked)",
    "update users set updated_at = now() + interval '1 year', country_code = null where id in "
    "(select id from users where id >= {pick} order by id limit 2 for update skip locked)",
    "update payments set id = gen_random_uuid() where id in (select id from payments where id >= {pick} order by id limit 1 for update skip locked)",
)
DELETES: tuple[LiteralString, ...] = (
    "delete from payments where id in (select id from payments where id >= {pick} order by id limit 3 for update skip locked)",
    "delete from event_log where id in "
    "(select id from event_log where id >= {chance} * (select max(id) from event_log) order by id limit 3 for update skip locked)",
    "delete from reviews where id in (select id from reviews where id >= {pick} order by id limit 1 for update skip locked)",
)


class Application:
    """Some writers, each a connection and a thread, that can be made to rest."""

    def __init__(self, dsn: str, seed: int, writers: int = 3) -> None:
        """Nothing is written until `writing`."""
        self._dsn = dsn
        self._chances = [random.Random(f"{seed}/{number}") for number in range(writers)]
        self._go = threading.Event()
        self._failures: list[Exception] = []
        self.committed = 0
        self.rolled_back = 0

    @contextmanager
    def writing(self, hold: bool = True) -> Iterator[None]:
        """Write for as long as the block runs; every transaction has ended when it returns. `hold`: one commits last of all, and began first."""
        self._go.set()
        threads = [threading.Thread(target=self._write, args=(chance,)) for chance in self._chances]
        with psycopg.connect(self._dsn) as late:
            if hold:
                self._transaction(late, self._chances[0])
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                self._go.clear()
                for thread in threads:
                    thread.join()
                late.commit()
        if self._failures:
            raise self._failures[0]

    def _write(self, chance: random.Random) -> None:
        try:
            with psycopg.connect(self._dsn) as connection:
                while self._go.is_set():
                    self._transaction(connection, chance)
                    time.sleep(PAUSE_SECONDS * chance.random())
                    if chance.random() < 0.2:
                        connection.rollback()
                        self.rolled_back += 1
                    else:
                        connection.commit()
                        self.committed += 1
        except Exception as error:
            self._failures.append(error)

    def _transaction(self, connection: psycopg.Connection[Any], chance: random.Random) -> None:
        """One to four statements, some in subtransactions, some of which are undone."""
        for _ in range(chance.randint(1, 4)):
            statement = chance.choice(chance.choice((INSERTS, UPDATES, DELETES)))
            with connection.transaction(force_rollback=chance.random() < 0.1):
                connection.execute(_filled(statement, chance))


def _filled(statement: LiteralString, chance: random.Random) -> bytes:
    pick = f"'{chance.getrandbits(32):08x}-0000-4000-8000-000000000000'::uuid"
    return statement.format(pick=pick, chance=f"{chance.random():.6f}").encode()
