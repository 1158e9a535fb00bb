"""What the jobs read from `raw` and what they write to `intermediate`: columns, types and keys (docs/architecture.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

EXTRACTED_AT = "_airbyte_extracted_at"
DELETED_AT = "_deleted_at"
RAW_EXTRACTED_AT = "_raw_extracted_at"

# The checksum of a table of raw is the sum of its rows' EXTRACTED_AT in microseconds, each modulo this prime: exact in INT64 for 4 billion rows.
CHECKSUM_MODULUS = 2_147_483_647

# The checksum of a result: one sum a column, of these shares of a row, in the SQL that BigQuery and Spark have in common. What may be another without the row's
# landing being one are rates, dates and what follows from them, as rates and an order's date leave no landing in the rows that they touch. A date counts times
# the last letter of the row's key, so that it is seen when two rows change places, unless their keys end alike. Of texts only the length is summed: hashing
# them too would cost more than all the rest (decision 0003), and they follow from rows of raw that leave their landing.
SHARES = {
    "STRING": "coalesce(length({column}), -1)",
    "INT64": "coalesce({column}, -1)",
    "NUMERIC": "coalesce({column}, -7)",
    "BOOL": "case when {column} then 2 when {column} is null then 1 else 0 end",
    "DATE": "{letter} * coalesce(unix_date({column}), -1)",
    "TIMESTAMP": f"coalesce(mod(unix_micros({{column}}), {CHECKSUM_MODULUS}), -1)",
}
BIGQUERY_LETTER = "unicode(right({key}, 1))"
SPARK_LETTER = "cast(ascii(right({key}, 1)) as bigint)"
# The sums become one number: a prime, and any number that is none of its small roots.
CONTENT_MODULUS = 2**61 - 1
CONTENT_FACTOR = 1_000_003

# BigQuery's type names, as the contract has them, and Spark's. NUMERIC is exactly DECIMAL(38,9). The source's amounts are DECIMAL(12,2): up to 18 digits
# a decimal is a machine word to Spark, above them an object.
SPARK_TYPES = {
    "STRING": "string",
    "INT64": "bigint",
    "FLOAT64": "double",
    "NUMERIC": "decimal(38,9)",
    "NUMERIC(18,2)": "decimal(18,2)",
    "NUMERIC(18,9)": "decimal(18,9)",
    "BOOL": "boolean",
    "DATE": "date",
    "DATETIME": "timestamp_ntz",
    "TIMESTAMP": "timestamp",
    "JSON": "string",
}


def _columns(declaration: str) -> dict[str, str]:
    """ "a STRING, b NUMERIC(18,2)" as {"a": "STRING", "b": "NUMERIC(18,2)"}."""
    return dict(column.split(" ") for column in declaration.split(", "))


def field_type(type_: str) -> str:
    """The type that a table's field has in BigQuery: a number's digits are no part of it."""
    return type_.partition("(")[0]


def schema(columns: Mapping[str, str]) -> StructType:
    """Spark's schema of {name: type of SPARK_TYPES}. Needs a session."""
    found = StructType.fromDDL(", ".join(f"`{name}` {SPARK_TYPES[type_]}" for name, type_ in columns.items()))
    assert isinstance(found, StructType)
    return found


def _conform(rows: DataFrame, columns: dict[str, str]) -> DataFrame:
    return rows.select(*(F.col(name).cast(SPARK_TYPES[type_]).alias(name) for name, type_ in columns.items()))


@dataclass(frozen=True)
class RawTable:
    """A table of `raw`: the columns that are read of it, with its key; without one its rows are only added to. Mirrored to the lake as `<folder>/<name>`."""

    name: str
    key: tuple[str, ...]
    columns: dict[str, str]
    folder: str = "raw"

    @property
    def lake_name(self) -> str:
        """The mirror's place under LAKE_URI."""
        return f"{self.folder}/{self.name}"

    def conform(self, rows: DataFrame) -> DataFrame:
        """`rows` with exactly this table's columns, in its order and types."""
        return _conform(rows, self.columns)


@dataclass(frozen=True)
class ResultTable:
    """A table of `intermediate`. `scope` are the key columns by which the job recomputes: all rows of such a key at once."""

    name: str
    key: tuple[str, ...]
    scope: tuple[str, ...]
    columns: dict[str, str]

    @property
    def lake_name(self) -> str:
        """The result's place under LAKE_URI."""
        return f"intermediate/{self.name}"

    @property
    def constraints(self) -> dict[str, str]:
        """What Delta holds every row to: a key is known, and a row without a rate says so."""
        rules = {f"{name}_is_known": f"{name} is not null" for name in self.key}
        if "is_fx_missing" in self.columns:
            rules["rate_is_known_or_missing"] = "is_fx_missing = (fx_rate_usd is null)"
        return rules

    def shares(self, letter: str) -> list[str]:
        """A row's shares in the table's checksum, in SQL: BigQuery's with BIGQUERY_LETTER, Spark's with SPARK_LETTER."""
        of_key = letter.format(key=f"`{self.key[0]}`")
        return [
            SHARES[field_type(type_)].format(column=f"`{name}`", letter=of_key) for name, type_ in self.columns.items()
        ]

    def conform(self, rows: DataFrame) -> DataFrame:
        """`rows` with exactly this table's columns, in its order and types."""
        return _conform(rows, self.columns)


def checksum(sums: Iterable[int | Decimal | None]) -> int:
    """The checksum of a result whose `shares` have these sums (None: there are no rows). That of two parts is their sum, modulo CONTENT_MODULUS."""
    total = 0
    for value in sums:
        # Nine digits after the point are all that a sum has; a decimal's own arithmetic would round a long one.
        above, below = (value or 0).as_integer_ratio()
        total = total * CONTENT_FACTOR + above * 10**9 // below
    return total % CONTENT_MODULUS


def _raw(name: str, declaration: str) -> RawTable:
    landed = {EXTRACTED_AT: "TIMESTAMP", DELETED_AT: "TIMESTAMP"}
    return RawTable(name, ("id",), _columns(declaration) | landed)


PAYMENTS = _raw(
    "payments",
    "id STRING, order_id STRING, payment_provider STRING, status STRING, amount NUMERIC(18,2), currency STRING, "
    "platform_fee NUMERIC(18,2), seller_payout NUMERIC(18,2), created_at TIMESTAMP, processed_at TIMESTAMP, "
    "event_id STRING, event_timestamp TIMESTAMP",
)
ORDERS = _raw(
    "orders",
    "id STRING, created_at TIMESTAMP, currency STRING, subtotal_amount NUMERIC(18,2), shipping_amount NUMERIC(18,2), "
    "tax_amount NUMERIC(18,2), discount_amount NUMERIC(18,2), total_amount NUMERIC(18,2)",
)
ORDER_ITEMS = _raw(
    "order_items", "id STRING, order_id STRING, currency STRING, unit_price NUMERIC(18,2), total_price NUMERIC(18,2)"
)
SELLER_TIER_HISTORY = _raw(
    "seller_tier_history",
    "id INT64, user_id STRING, tier STRING, effective_from TIMESTAMP, effective_to TIMESTAMP, "
    "change_reason STRING, created_at TIMESTAMP",
)
ECB_FX_RATES = RawTable(
    "ecb_fx_rates",
    ("rate_date", "currency"),
    _columns(f"rate_date DATE, currency STRING, units_per_eur NUMERIC, {EXTRACTED_AT} TIMESTAMP"),
)

INT_PAYMENTS_DEDUPLICATED = ResultTable(
    "int_payments_deduplicated",
    key=("event_key",),
    scope=("event_key",),
    columns=_columns(
        "event_key STRING, payment_id STRING, event_id STRING, order_id STRING, payment_provider STRING, status STRING, "
        "amount NUMERIC(18,2), currency STRING, platform_fee NUMERIC(18,2), seller_payout NUMERIC(18,2), created_at TIMESTAMP, "
        "processed_at TIMESTAMP, duplicate_count INT64, first_seen_at TIMESTAMP, last_seen_at TIMESTAMP, "
        f"{RAW_EXTRACTED_AT} TIMESTAMP"
    ),
)
INT_ORDERS_USD = ResultTable(
    "int_orders_usd",
    key=("order_id",),
    scope=("order_id",),
    columns=_columns(
        "order_id STRING, currency STRING, order_date DATE, fx_rate_date DATE, fx_rate_usd NUMERIC(18,9), "
        "subtotal_amount_usd NUMERIC(18,2), shipping_amount_usd NUMERIC(18,2), tax_amount_usd NUMERIC(18,2), discount_amount_usd NUMERIC(18,2), "
        f"total_amount_usd NUMERIC(18,2), is_fx_missing BOOL, {RAW_EXTRACTED_AT} TIMESTAMP"
    ),
)
INT_ORDER_ITEMS_USD = ResultTable(
    "int_order_items_usd",
    key=("order_item_id",),
    scope=("order_item_id",),
    columns=_columns(
        "order_item_id STRING, order_id STRING, currency STRING, order_date DATE, fx_rate_date DATE, fx_rate_usd NUMERIC(18,9), "
        f"unit_price_usd NUMERIC(18,2), total_price_usd NUMERIC(18,2), is_fx_missing BOOL, {RAW_EXTRACTED_AT} TIMESTAMP"
    ),
)
INT_PAYMENTS_USD = ResultTable(
    "int_payments_usd",
    key=("event_key",),
    scope=("event_key",),
    columns=_columns(
        "event_key STRING, payment_id STRING, order_id STRING, currency STRING, payment_date DATE, fx_rate_date DATE, "
        "fx_rate_usd NUMERIC(18,9), amount_usd NUMERIC(18,2), platform_fee_usd NUMERIC(18,2), seller_payout_usd NUMERIC(18,2), "
        f"is_fx_missing BOOL, {RAW_EXTRACTED_AT} TIMESTAMP"
    ),
)
INT_SELLER_TIER_SCD2 = ResultTable(
    "int_seller_tier_scd2",
    key=("seller_id", "valid_from"),
    scope=("seller_id",),
    columns=_columns(
        "seller_id STRING, tier STRING, previous_tier STRING, valid_from TIMESTAMP, valid_to TIMESTAMP, is_current BOOL, "
        f"change_reason STRING, {RAW_EXTRACTED_AT} TIMESTAMP"
    ),
)


def is_live() -> Column:
    """Whether a raw row still exists in the source: never deleted, or landed anew since."""
    return F.col(DELETED_AT).isNull() | (F.col(EXTRACTED_AT) > F.col(DELETED_AT))


def currency_code() -> Column:
    """The row's currency as the ECB writes it."""
    return F.upper(F.trim("currency")).alias("currency")
