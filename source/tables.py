"""The tables in loading order with their column types for COPY, and the constants of the catalog and the currencies."""

from __future__ import annotations

from dataclasses import dataclass

_USERS = "id uuid, email text, username text, user_type text, first_name text, last_name text, country_code text, seller_tier text"
_ORDERS = "id uuid, order_number text, buyer_id uuid, status text, subtotal_amount money, shipping_amount money, tax_amount money"
_TYPES = {
    "users": f"{_USERS}, seller_rating money, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz, is_active bool",
    "categories": "id int4, name text, slug text, parent_id int4, level int4, is_active bool, created_at timestamptz",
    "products": "id uuid, seller_id uuid, category_id int4, title text, description text, price_amount money, price_currency text, "
    "quantity_available int4, status text, tags text[], attributes jsonb, created_at timestamptz, updated_at timestamptz, published_at timestamptz",
    "orders": f"{_ORDERS}, discount_amount money, total_amount money, currency text, shipping_country text, shipping_city text, "
    "shipping_postal_code text, created_at timestamptz, updated_at timestamptz, confirmed_at timestamp, shipped_at timestamptz, delivered_at timestamptz",
    "order_items": "id uuid, order_id uuid, product_id uuid, seller_id uuid, quantity int4, unit_price money, total_price money, currency text, "
    "product_title text, product_snapshot jsonb, created_at timestamptz",
    "payments": "id uuid, order_id uuid, payment_provider text, payment_provider_id text, amount money, currency text, platform_fee money, "
    "seller_payout money, status text, created_at timestamptz, processed_at timestamptz, event_id text, event_timestamp timestamptz",
    "reviews": "id uuid, product_id uuid, order_item_id uuid, reviewer_id uuid, rating int4, title text, body text, is_verified_purchase bool, "
    "helpful_votes int4, status text, moderated_at timestamptz, created_at timestamptz, updated_at timestamptz",
    "seller_tier_history": "id int4, user_id uuid, tier text, effective_from timestamptz, effective_to timestamptz, is_current bool, "
    "change_reason text, created_at timestamptz",
    "event_log": "id int8, event_type text, entity_type text, entity_id uuid, event_data jsonb, "
    "event_timestamp timestamptz, received_at timestamptz, processed bool",
}
# {table: {column: type for COPY}}; parents before their children.
TYPES: dict[str, dict[str, str]] = {
    table: dict(column.split(" ", 1) for column in columns.split(", ")) for table, columns in _TYPES.items()
}
SERIALS = ("categories", "seller_tier_history", "event_log")


@dataclass(frozen=True)
class Currency:
    """A currency of orders: how often it occurs, about how many of it a dollar is, and whether it has no minor unit."""

    code: str
    weight: float
    per_dollar: float
    is_whole: bool = False


# The last one has no ECB rate.
CURRENCIES = (
    Currency("USD", 45, 1.0),
    Currency("EUR", 25, 0.92),
    Currency("GBP", 12, 0.79),
    Currency("JPY", 4, 150.0, is_whole=True),
    Currency("CAD", 3, 1.36),
    Currency("AUD", 3, 1.5),
    Currency("BRL", 2, 5.2),
    Currency("MXN", 2, 18.0),
    Currency("CHF", 2, 0.88),
    Currency("SEK", 1, 10.5),
    Currency("INR", 1, 83.0),
    Currency("ARS", 0, 900.0),
)
UNQUOTED_CURRENCY = CURRENCIES[-1].code


@dataclass(frozen=True)
class Category:
    """A node of the category tree; roots have level 1."""

    name: str
    slug: str
    parent_id: int | None
    level: int


def _tree() -> tuple[Category, ...]:
    """Six roots with three children each, two grandchildren below each of those, and four of a fourth level."""
    nodes: list[Category] = []

    def add(name: str, parent: int | None, level: int) -> int:
        slug = f"{nodes[parent - 1].slug}-{name.lower()}" if parent else name.lower()
        nodes.append(Category(name, slug, parent, level))
        return len(nodes)

    roots = [add(name, None, 1) for name in ("Home", "Fashion", "Electronics", "Books", "Sports", "Toys")]
    children = [add(name, root, 2) for root in roots for name in ("New", "Used", "Vintage")]
    grandchildren = [add(name, child, 3) for child in children for name in ("Small", "Large")]
    for parent in grandchildren[:4]:
        add("Rare", parent, 4)
    return tuple(nodes)


CATEGORIES = _tree()
