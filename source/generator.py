"""The marketplace's rows as a pure function of (seed, scale, table, row range): the same bytes in any order, on any machine.

Layout. Everything comes in blocks; scale 1 has 1,000 of them. A block is 10 users (2 of them sellers), 5 products, 50 orders with 120 items and
60 payment rows, 20 tier rows, 30 reviews and 100 log events. So the rows of an order can be addressed from the order and back, without a join.
Of floating-point operations only the exactly rounded ones are used (+ - * / sqrt): a power may differ between processors, and between chunks.

Planted traps and their rates (source/traps.py counts them in the database):

=================================  =====================================================================
replayed payments                  3 of 60 payment rows; the third one arrives with a later state
second payment events              10 of 60: a failed attempt before the one that went through
payments without an event id       1 of 100 first events that are not replayed
orders without payments            3 of 50
wrong amounts paid                 1 of 211 too little, 1 of 223 too much
paid in another currency           1 of 250 orders: in dollars, dollar orders in euros
a currency the ECB does not quote  1 of 1000 orders (ARS)
total off by a cent                1 of 2000 orders
no shipping country                1 of 40 orders; no country: 1 of 30 users
updated_at in the future           1 of 100 products; drafts: 1 of 20
soft-deleted users                 1 of 97; a deleted seller's last tier row is closed
equal starts, repeated tiers       1 of 11, and 1 of 7 sellers
events received out of order       1 of 10
=================================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from source.randomness import Randomness, Rows
from source.tables import CATEGORIES, CURRENCIES, TYPES

BLOCK = {
    "users": 10,
    "products": 5,
    "orders": 50,
    "order_items": 120,
    "payments": 60,
    "seller_tier_history": 20,
    "reviews": 30,
    "event_log": 100,
}
SECOND = 1_000_000
DAY = 86_400 * SECOND
FIRST_ORDER = 1_704_067_200 * SECOND  # 2024-01-01
LAST_DAY = 1_793_318_400 * SECOND  # 2026-10-30, the last day with a rate
SPAN = LAST_DAY + DAY - FIRST_ORDER
BEFORE = FIRST_ORDER - 730 * DAY  # users, products and tiers begin up to two years before the first order

# How many items the 50 orders of a block have: 120 together.
ITEMS = np.array([1, 3, 2, 1, 5, 1, 2, 4, 1, 2, 3, 1, 2, 1, 8, 2, 1, 3, 1, 2, 5, 1, 2, 3, 1] * 2)
ITEMS[[26, 31, 33, 37]] += 1
ITEM_ENDS = np.cumsum(ITEMS)
FIRST_EVENTS = 47
SECOND_EVENT_ORDERS = np.arange(0, 50, 5)
REPLAYED_ORDERS = np.array([2, 17, 32])
# Of 250 orders the one that is paid in another currency: paid once, never replayed.
ABROAD_ORDER = 33
DOLLAR, EURO = (next(i for i, c in enumerate(CURRENCIES) if c.code == code) for code in ("USD", "EUR"))
TIERS = ("bronze", "silver", "gold", "platinum")
STATUSES = ("delivered", "cancelled", "refunded", "shipped", "confirmed", "processing", "pending")
COUNTRIES = ("US", "DE", "GB", "FR", "JP", "CA", "AU", "BR", "MX", "CH", "SE", "IN", "ES", "IT", "AR", "NL", "KE", "NZ")
CITIES = (
    "Springfield",
    "Köln",
    "London",
    "Saint-Étienne",
    "東京",
    "Montréal",
    "Sydney",
    "São Paulo",
    "Mérida",
    "Zürich",
)


class Marketplace:
    """One marketplace: `rows` says how many rows each table has, `table` makes any range of them."""

    def __init__(self, scale: float, seed: int = 42) -> None:
        """Scale 1 is 0.4 million rows. Raises ValueError below 0.01."""
        if not scale >= 0.01:
            raise ValueError(f"the scale must be at least 0.01, not {scale}")
        self.blocks = max(1, round(1000 * scale))
        self.rows = {table: size * self.blocks for table, size in BLOCK.items()} | {"categories": len(CATEGORIES)}
        self._r = Randomness(seed)

    def table(self, name: str, start: int, stop: int) -> pa.Table:
        """Rows [start, stop) of a table, with the columns and types of `source.tables.TYPES`; money in cents."""
        makers: dict[str, Callable[[Rows], dict[str, pa.Array]]] = {
            "users": self._users,
            "categories": self._categories,
            "products": self._products,
            "orders": self._orders,
            "order_items": self._order_items,
            "payments": self._payments,
            "reviews": self._reviews,
            "seller_tier_history": self._tiers,
            "event_log": self._events,
        }
        columns = makers[name](np.arange(start, min(stop, self.rows[name]), dtype=np.int64))
        return pa.table({column: columns[column] for column in TYPES[name]})

    # users

    def _country(self, users: Rows) -> Rows:
        return self._r.weighted("users.country", users, [30, 14, 12, 8, 6, 5, 4, 4, 3, 2, 2, 4, 2, 1, 1, 1, 0.5, 0.5])

    def _user_created(self, users: Rows) -> Rows:
        return BEFORE + self._r.below("users.created", users, 600 * DAY)

    @staticmethod
    def _is_deleted(users: Rows) -> npt.NDArray[np.bool_]:
        return np.asarray(users % 97 == 10)

    def _user_deleted_at(self, users: Rows) -> Rows:
        return LAST_DAY - self._r.below("users.deleted", users, 60 * DAY)

    def _users(self, rows: Rows) -> dict[str, pa.Array]:
        r = self._r
        seller = rows % 5 == 0
        created = self._user_created(rows)
        deleted = self._is_deleted(rows)
        deleted_at = self._user_deleted_at(rows)
        tier = self._tier_matrix(rows // 5)[0][:, -1]
        number = pc.cast(pa.array(rows), pa.string())
        kind = np.where(seller, 1 + (r.below("users.kind", rows, 3) == 0), 0)
        return {
            "id": _uuid(r.uuids("users", rows)),
            "email": pc.binary_join_element_wise("user", number, "@example.com", ""),
            "username": pc.binary_join_element_wise("user_", number, ""),
            "user_type": _pick(("buyer", "seller", "both"), kind),
            "first_name": _pick(
                ("Ada", "Björn", "Chloé", "Dai", "Eva", "Femi", "Gül", "Hana"),
                r.below("users.first", rows, 8),
                r.uniform("users.no_first", rows) < 0.05,
            ),
            "last_name": _pick(
                ("Lovelace", "O'Neil", "García", "Nguyễn", "Smith", "Müller"),
                r.below("users.last", rows, 6),
                r.uniform("users.no_last", rows) < 0.05,
            ),
            "country_code": _pick(COUNTRIES, self._country(rows), rows % 30 == 7),
            "seller_tier": _pick(TIERS, tier, ~seller),
            "seller_rating": _numbers(250 + r.below("users.rating", rows, 251), ~seller),
            "created_at": _times(created),
            "updated_at": _times(np.where(deleted, deleted_at, created + r.below("users.updated", rows, 90 * DAY))),
            "deleted_at": _times(deleted_at, ~deleted),
            "is_active": pa.array(~deleted),
        }

    def user_ids(self, users: Rows) -> pa.Array:
        """The ids of these users."""
        return _uuid(self._r.uuids("users", users))

    # catalog

    def _categories(self, rows: Rows) -> dict[str, pa.Array]:
        chosen = [CATEGORIES[i] for i in rows]
        return {
            "id": pa.array(rows + 1),
            "name": pa.array([c.name for c in chosen], pa.string()),
            "slug": pa.array([c.slug for c in chosen], pa.string()),
            "parent_id": pa.array([c.parent_id for c in chosen], pa.int64()),
            "level": pa.array([c.level for c in chosen], pa.int64()),
            "is_active": pa.array(np.ones(len(rows), np.bool_)),
            "created_at": _times(np.full(len(rows), BEFORE)),
        }

    def _product_seller(self, products: Rows) -> Rows:
        """The user rows of the products' sellers; few sellers have many products."""
        chance = self._r.uniform("products.seller", products)
        return 5 * (chance * chance * (2 * self.blocks)).astype(np.int64)

    def _product_price(self, products: Rows) -> Rows:
        """Cents of a euro or dollar, from 1 to some thousands."""
        doublings = self._r.below("products.price_size", products, 10)
        return 100 + np.ldexp(100 * (1 + self._r.uniform("products.price", products)), doublings).astype(np.int64)

    def _product_title(self, products: Rows) -> pa.Array:
        words = _pick(
            ("Walnut", "Édition", 'Big "Blue"', "Tiny", "Retro", "No. 5"), self._r.below("products.word", products, 6)
        )
        things = _pick(
            ("lamp", "chair", "notebook", "bicycle", "kettle", "poster", "guitar"),
            self._r.below("products.thing", products, 7),
        )
        return pc.binary_join_element_wise(words, things, pc.cast(pa.array(products), pa.string()), " ")

    def _products(self, rows: Rows) -> dict[str, pa.Array]:
        r = self._r
        created = BEFORE + 600 * DAY + r.below("products.created", rows, 120 * DAY)
        draft = rows % 20 == 3
        status = r.weighted("products.status", rows, [85, 6, 6, 3])
        future = LAST_DAY + 200 * DAY + r.below("products.future", rows, 300 * DAY)
        updated = np.where(rows % 100 == 13, future, created + r.below("products.updated", rows, 900 * DAY))
        tags = pa.array([["new"], ["new", "sale"], ["hand made", 'x"y'], []], pa.list_(pa.string()))
        colour = _pick(("red", "blau", "緑"), r.below("products.colour", rows, 3))
        weight = pc.cast(pa.array(r.below("products.weight", rows, 20_000)), pa.string())
        return {
            "id": _uuid(r.uuids("products", rows)),
            "seller_id": self.user_ids(self._product_seller(rows)),
            "category_id": _numbers(
                1 + r.below("products.category", rows, len(CATEGORIES)), r.uniform("products.none", rows) < 0.02
            ),
            "title": self._product_title(rows),
            "description": _pick(
                ("Good as new.", "Line one\nline two", "Mit Garantie"),
                r.below("products.text", rows, 3),
                r.uniform("products.no_text", rows) < 0.1,
            ),
            "price_amount": pa.array(self._product_price(rows)),
            "price_currency": _pick(("USD", "EUR", "GBP"), r.weighted("products.currency", rows, [50, 35, 15])),
            "quantity_available": _numbers(
                r.below("products.quantity", rows, 500), r.uniform("products.no_quantity", rows) < 0.02
            ),
            "status": pc.if_else(pa.array(draft), "draft", _pick(("active", "paused", "sold_out", "deleted"), status)),
            "tags": tags.take(pa.array(r.below("products.tags", rows, 4))),
            "attributes": pc.binary_join_element_wise('{"colour": "', colour, '", "weight_g": ', weight, "}", ""),
            "created_at": _times(created),
            "updated_at": _times(updated),
            "published_at": _times(created + DAY, draft),
        }

    # orders

    @cached_property
    def _slot(self) -> float:
        return SPAN / self.rows["orders"]

    def _ordered_at(self, orders: Rows) -> Rows:
        """Orders are spread evenly; each lies somewhere in its own slot, so time rises with the row."""
        return FIRST_ORDER + ((orders + self._r.uniform("orders.jitter", orders)) * self._slot).astype(np.int64)

    def _first_order_of_day(self, day: Rows) -> Rows:
        """The first order row at or after midnight of the day."""
        begins = FIRST_ORDER + day * DAY
        candidate = np.floor((begins - FIRST_ORDER) / self._slot).astype(np.int64).clip(min=0)
        candidate = np.where(self._ordered_at((candidate - 1).clip(min=0)) >= begins, candidate - 1, candidate).clip(
            min=0
        )
        for _ in range(2):
            candidate = np.where(self._ordered_at(candidate) < begins, candidate + 1, candidate)
        return candidate

    def _currency(self, orders: Rows) -> Rows:
        """An index into CURRENCIES; the last one is the one without a rate."""
        common = self._r.weighted("orders.currency", orders, [c.weight for c in CURRENCIES[:-1]])
        return np.where(orders % 1000 == 7, len(CURRENCIES) - 1, common)

    def _status(self, orders: Rows) -> Rows:
        """An index into STATUSES. The newest orders are still on their way."""
        settled = self._r.weighted("orders.status", orders, [82, 7, 4, 3, 1.5, 1.5, 1])
        fresh = self._r.weighted("orders.fresh", orders, [10, 5, 1, 30, 20, 20, 14])
        return np.where(self._ordered_at(orders) > LAST_DAY - 10 * DAY, fresh, settled)

    def _buyer(self, orders: Rows) -> Rows:
        chance = self._r.uniform("orders.buyer", orders)
        return (chance * np.sqrt(chance) * self.rows["users"]).astype(np.int64)

    def _items_of(self, orders: Rows) -> tuple[Rows, Rows]:
        """First item row and number of items of each order."""
        place = orders % 50
        return 120 * (orders // 50) + ITEM_ENDS[place] - ITEMS[place], ITEMS[place]

    @staticmethod
    def _order_of_item(items: Rows) -> Rows:
        return 50 * (items // 120) + np.searchsorted(ITEM_ENDS, items % 120, side="right")

    def _item_amounts(self, items: Rows) -> tuple[Rows, Rows, Rows, Rows]:
        """Product row, quantity, unit price and total (cents) of each item, in its order's currency."""
        chance = self._r.uniform("order_items.product", items)
        product = (chance * chance * self.rows["products"]).astype(np.int64)
        quantity = 1 + self._r.weighted("order_items.quantity", items, [80, 14, 6])
        currency = self._currency(self._order_of_item(items))
        factors = np.array([c.per_dollar for c in CURRENCIES])
        step = np.array([100 if c.is_whole else 1 for c in CURRENCIES])[currency]
        price = np.rint(self._product_price(product) * factors[currency] / step).astype(np.int64).clip(min=1) * step
        return product, quantity, price, price * quantity

    def _amounts(self, orders: Rows) -> dict[str, Rows]:
        """Subtotal, shipping, tax, discount and true total of each order, in cents."""
        if not len(orders):
            return dict.fromkeys(("subtotal", "shipping", "tax", "discount", "total", "step"), orders)
        first, count = self._items_of(orders)
        # Any set of orders: the items of each, one after the other.
        ends = np.cumsum(count)
        items = np.arange(ends[-1]) - np.repeat(ends - count, count) + np.repeat(first, count)
        subtotal = np.add.reduceat(self._item_amounts(items)[3], ends - count)
        step = np.array([100 if c.is_whole else 1 for c in CURRENCIES])[self._currency(orders)]
        shipping = self._r.below("orders.shipping", orders, 20) * 99 // step * step
        tax = np.rint(subtotal * 0.08 / step).astype(np.int64) * step
        discount = np.where(self._r.uniform("orders.discount", orders) < 0.15, subtotal // 10 // step * step, 0)
        total = subtotal + shipping + tax - discount
        return {
            "subtotal": subtotal,
            "shipping": shipping,
            "tax": tax,
            "discount": discount,
            "total": total,
            "step": step,
        }

    def _orders(self, rows: Rows) -> dict[str, pa.Array]:
        r = self._r
        created = self._ordered_at(rows)
        day = (created - FIRST_ORDER) // DAY
        date = pc.strftime(_times(created), "%Y%m%d")
        sequence = pc.cast(pa.array(1 + rows - self._first_order_of_day(day)), pa.string())
        amounts = self._amounts(rows)
        status = self._status(rows)
        name = np.array(STATUSES)[status]
        country = self._country(self._buyer(rows))
        abroad = r.uniform("orders.abroad", rows) < 0.1
        country = np.where(abroad, r.below("orders.country", rows, len(COUNTRIES)), country)
        confirmed = np.isin(name, ("confirmed", "processing", "shipped", "delivered", "refunded"))
        shipped = np.isin(name, ("shipped", "delivered", "refunded"))
        delivered = np.isin(name, ("delivered", "refunded"))
        confirmed_at = created + SECOND * (60 + r.below("orders.confirmed", rows, 7200))
        shipped_at = confirmed_at + 3600 * SECOND * (1 + r.below("orders.shipped", rows, 72))
        delivered_at = shipped_at + 3600 * SECOND * (12 + r.below("orders.delivered", rows, 120))
        updated = np.where(
            delivered, delivered_at, np.where(shipped, shipped_at, np.where(confirmed, confirmed_at, created))
        )
        postal = pc.utf8_lpad(pc.cast(pa.array(r.below("orders.postal", rows, 99_999)), pa.string()), 5, "0")
        return {
            "id": _uuid(r.uuids("orders", rows)),
            "order_number": pc.binary_join_element_wise("ORD", date, pc.utf8_lpad(sequence, 5, "0"), "-"),
            "buyer_id": self.user_ids(self._buyer(rows)),
            "status": _pick(STATUSES, status),
            "subtotal_amount": pa.array(amounts["subtotal"]),
            "shipping_amount": _numbers(amounts["shipping"], amounts["shipping"] == 0),
            "tax_amount": pa.array(amounts["tax"]),
            "discount_amount": _numbers(amounts["discount"], amounts["discount"] == 0),
            "total_amount": pa.array(amounts["total"] + (rows % 2000 == 11)),
            "currency": _pick([c.code for c in CURRENCIES], self._currency(rows)),
            "shipping_country": _pick(COUNTRIES, country, rows % 40 == 9),
            "shipping_city": _pick(CITIES, r.below("orders.city", rows, len(CITIES)), rows % 40 == 9),
            "shipping_postal_code": pc.if_else(pa.array(rows % 40 == 9), None, postal),
            "created_at": _times(created),
            "updated_at": _times(updated),
            "confirmed_at": _times(confirmed_at, ~confirmed, zone=None),
            "shipped_at": _times(shipped_at, ~shipped),
            "delivered_at": _times(delivered_at, ~delivered),
        }

    def _order_items(self, rows: Rows) -> dict[str, pa.Array]:
        order = self._order_of_item(rows)
        product, quantity, price, total = self._item_amounts(rows)
        title = self._product_title(product)
        quoted = pc.replace_substring(title, '"', '\\"')
        number = pc.cast(pa.array(product), pa.string())
        return {
            "id": _uuid(self._r.uuids("order_items", rows)),
            "order_id": _uuid(self._r.uuids("orders", order)),
            "product_id": _uuid(self._r.uuids("products", product)),
            "seller_id": self.user_ids(self._product_seller(product)),
            "quantity": pa.array(quantity),
            "unit_price": pa.array(price),
            "total_price": pa.array(total),
            "currency": _pick([c.code for c in CURRENCIES], self._currency(order)),
            "product_title": title,
            "product_snapshot": pc.binary_join_element_wise('{"title": "', quoted, '", "sku": ', number, "}", ""),
            "created_at": _times(self._ordered_at(order)),
        }

    # payments

    def _payments(self, rows: Rows) -> dict[str, pa.Array]:
        r = self._r
        block, place = rows // 60, rows % 60
        second = (place >= FIRST_EVENTS) & (place < 57)
        replay = place >= 57
        within = np.where(
            second,
            SECOND_EVENT_ORDERS[(place - FIRST_EVENTS).clip(0, 9)],
            np.where(replay, REPLAYED_ORDERS[(place - 57).clip(0, 2)], place),
        )
        order = 50 * block + within
        # The row whose event this is: its own, or the one that a replay repeats.
        event = np.where(replay, 60 * block + within, rows)
        amounts = self._amounts(order)
        paid = (
            amounts["total"]
            + np.where(order % 211 == 5, -amounts["step"] * 5, 0)
            + np.where(order % 223 == 7, amounts["step"] * 3, 0)
        )
        currency, step = self._currency(order), amounts["step"]
        abroad = (order % 250 == ABROAD_ORDER) & ~second & ~replay
        factors = np.array([c.per_dollar for c in CURRENCIES])
        foreign = np.where(currency == DOLLAR, EURO, DOLLAR)
        paid = np.where(abroad, np.rint(paid * factors[foreign] / factors[currency]).astype(np.int64).clip(min=1), paid)
        currency, step = np.where(abroad, foreign, currency), np.where(abroad, 1, step)
        status = self._payment_status(order, second)
        # The last replay of a block brings news: what it repeats was still being processed.
        late = (place == REPLAYED_ORDERS[2]) & (status == PAYMENT_STATUSES.index("completed"))
        status = np.where(late, PAYMENT_STATUSES.index("processing"), status)
        name = np.array(PAYMENT_STATUSES)[status]
        fee = np.rint(paid * 0.05 / step).astype(np.int64) * step
        payout = np.where(name == "refunded", 0, paid - fee)
        happened = (
            self._ordered_at(order)
            + SECOND * (30 + r.below("payments.delay", event, 600))
            - np.where(second, 20 * SECOND, 0)
        )
        created = happened + np.where(replay, SECOND * (3 + r.below("payments.replay", rows, 60)), 0)
        # A replay of new state carries a new event time, a mere repetition the old one.
        stamped = np.where(place == 59, created, happened)
        no_id = self._without_event_id(order, place)
        return {
            "id": _uuid(r.uuids("payments", rows)),
            "order_id": _uuid(r.uuids("orders", order)),
            "payment_provider": _pick(("stripe", "paypal", "adyen"), r.below("payments.provider", event, 3)),
            "payment_provider_id": _hex(
                "pi_", r.bits("payments.provider_id", event), r.uniform("payments.no_provider_id", event) < 0.02
            ),
            "amount": pa.array(paid),
            "currency": _pick([c.code for c in CURRENCIES], currency),
            "platform_fee": _numbers(fee, np.isin(name, ("failed", "pending", "processing"))),
            "seller_payout": _numbers(payout, ~np.isin(name, ("completed", "refunded", "disputed"))),
            "status": _pick(PAYMENT_STATUSES, status),
            "created_at": _times(created),
            "processed_at": _times(created + 5 * SECOND, np.isin(name, ("pending", "processing"))),
            "event_id": _hex("evt_", r.bits("payments.event_id", event), no_id),
            "event_timestamp": _times(stamped),
        }

    def _payment_status(self, orders: Rows, second: npt.NDArray[np.bool_]) -> Rows:
        """An index into PAYMENT_STATUSES; a second event is an attempt that failed."""
        by_order = {"pending": "pending", "cancelled": "failed", "refunded": "refunded"}
        usual = np.array([PAYMENT_STATUSES.index(by_order.get(s, "completed")) for s in STATUSES])[self._status(orders)]
        disputed = (usual == PAYMENT_STATUSES.index("completed")) & (
            self._r.uniform("payments.disputed", orders) < 0.005
        )
        usual = np.where(disputed, PAYMENT_STATUSES.index("disputed"), usual)
        return np.where(second, PAYMENT_STATUSES.index("failed"), usual)

    def _without_event_id(self, orders: Rows, place: Rows) -> npt.NDArray[np.bool_]:
        candidate = (place < FIRST_EVENTS) & ~np.isin(place, REPLAYED_ORDERS)
        return np.asarray(candidate & (orders % 100 == 21))

    # the rest

    def _reviews(self, rows: Rows) -> dict[str, pa.Array]:
        r = self._r
        item = rows * 4
        order = self._order_of_item(item)
        product = self._item_amounts(item)[0]
        created = self._ordered_at(order) + r.below("reviews.created", rows, 20 * DAY)
        status = r.weighted("reviews.status", rows, [88, 6, 4, 2])
        body = ("Great!", "Broke after a week :(", "ok", 'He said "wow"\nand left', "👍")
        return {
            "id": _uuid(r.uuids("reviews", rows)),
            "product_id": _uuid(r.uuids("products", product)),
            "order_item_id": _uuid(r.uuids("order_items", item), rows % 20 == 5),
            "reviewer_id": self.user_ids(self._buyer(order)),
            "rating": pa.array(1 + r.weighted("reviews.rating", rows, [5, 5, 10, 30, 50])),
            "title": _pick(
                ("Good", "Bad", "So-so"), r.below("reviews.title", rows, 3), r.uniform("reviews.no_title", rows) < 0.2
            ),
            "body": _pick(body, r.below("reviews.body", rows, 5), r.uniform("reviews.no_body", rows) < 0.2),
            "is_verified_purchase": pa.array(rows % 20 != 5),
            "helpful_votes": pa.array(r.below("reviews.votes", rows, 50)),
            "status": _pick(("approved", "pending", "rejected", "flagged"), status),
            "moderated_at": _times(created + DAY, status == 1),
            "created_at": _times(created),
            "updated_at": _times(created + DAY),
        }

    def _tier_matrix(self, sellers: Rows) -> tuple[Rows, Rows]:
        """Tier (index into TIERS) and start of each seller's ten rows; one line a seller."""
        cells = sellers[:, None] * 10 + np.arange(10)
        steps = 1 + self._r.below("tiers.step", cells.reshape(-1), 3).reshape(cells.shape)
        steps[sellers % 7 == 3, 4] = 0
        tier = (self._r.below("tiers.first", sellers, 4)[:, None] + np.cumsum(steps, axis=1)) % 4
        start = (
            BEFORE
            + (np.arange(10) * 150 + 1) * DAY
            + self._r.below("tiers.start", cells.reshape(-1), 120 * DAY).reshape(cells.shape)
        )
        same = sellers % 11 == 5
        start[same, 6] = start[same, 5]
        return tier, start

    def _tiers(self, rows: Rows) -> dict[str, pa.Array]:
        seller, place = rows // 10, rows % 10
        lines, position = np.unique(seller, return_inverse=True)
        tier, start = self._tier_matrix(lines)
        ends = np.concatenate([start[:, 1:], self._user_deleted_at(lines * 5)[:, None]], axis=1)
        begins, end = start[position, place], ends[position, place]
        is_open = (place == 9) & ~self._is_deleted(seller * 5)
        reason = self._r.below("tiers.reason", rows, 3)
        return {
            "id": pa.array(rows + 1),
            "user_id": self.user_ids(seller * 5),
            "tier": _pick(TIERS, tier[position, place]),
            "effective_from": _times(begins),
            "effective_to": _times(end, is_open),
            "is_current": pa.array(is_open),
            "change_reason": _pick(
                ("sales volume", "manual review", "rating"), reason, self._r.uniform("tiers.no_reason", rows) < 0.1
            ),
            "created_at": _times(begins),
        }

    def _events(self, rows: Rows) -> dict[str, pa.Array]:
        r = self._r
        order = rows // 2
        happened = self._ordered_at(order) + SECOND * r.below("events.time", rows, 86_400)
        lag = np.where(
            rows % 10 == 4, DAY + r.below("events.late", rows, 2 * DAY), r.below("events.lag", rows, 5 * SECOND)
        )
        step = pc.cast(pa.array(r.below("events.step", rows, 9)), pa.string())
        return {
            "id": pa.array(rows + 1),
            "event_type": _pick(("order_viewed", "order_changed"), rows % 2),
            "entity_type": _pick(("order",), rows * 0),
            "entity_id": _uuid(r.uuids("orders", order)),
            "event_data": pc.binary_join_element_wise('{"step": ', step, ', "agent": "Mözilla/5.0"}', ""),
            "event_timestamp": _times(happened),
            "received_at": _times(happened + lag),
            "processed": pa.array(r.uniform("events.processed", rows) < 0.98),
        }


PAYMENT_STATUSES = ("completed", "failed", "refunded", "disputed", "processing", "pending")


# columns


def _pick(values: Sequence[str], index: Rows, null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    return pa.array(values, pa.string()).take(pa.array(index, mask=null))


def _numbers(values: Rows, null: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, mask=null)


def _times(microseconds: Rows, null: npt.NDArray[np.bool_] | None = None, zone: str | None = "UTC") -> pa.Array:
    return pa.array(microseconds, pa.int64(), mask=null).cast(pa.timestamp("us", zone))


def _uuid(data: npt.NDArray[np.uint8], null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    made = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(data), [None, pa.py_buffer(np.ascontiguousarray(data))]
    )
    return made if null is None else pc.if_else(pa.array(null), None, made)


def _hex(prefix: str, bits: npt.NDArray[np.uint64], null: npt.NDArray[np.bool_]) -> pa.Array:
    """Sixteen hexadecimal digits after a prefix."""
    nibbles = (bits[:, None] >> (np.arange(15, -1, -1, dtype=np.uint64) * np.uint64(4))) & np.uint64(15)
    text = np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles]
    digits = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(bits), [None, pa.py_buffer(np.ascontiguousarray(text))]
    )
    whole = pc.binary_join_element_wise(prefix, digits.cast(pa.binary()).cast(pa.string()), "")
    return pc.if_else(pa.array(null), None, whole)
