"""The three heavy jobs in Polars: lazy frames, written by its streaming engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import polars as pl

from benchmarks.engines.limits import limit_own_memory

# Amounts in whole cents and rates in whole billionths: exact, and the rounding (half away from zero) is written down here.
CENT, BILLIONTH = 100, 1_000_000_000
NUMERIC = pl.Decimal(38, 9)
OLDEST_RATE_DAYS = 7

Frames = dict[str, pl.LazyFrame]


def _is_live() -> pl.Expr:
    return pl.col("_deleted_at").is_null() | (pl.col("_airbyte_extracted_at") > pl.col("_deleted_at"))


def _currency() -> pl.Expr:
    return pl.col("currency").str.strip_chars(" ").str.to_uppercase()


def deduplicated(inputs: Callable[[str], pl.LazyFrame]) -> Frames:
    """One row per payment event. Replayed events, which are few, are found in a narrow pass and judged apart."""
    event = pl.col("event_id").str.strip_chars(" ")
    event = pl.when(event != "").then(event)
    payments = inputs("raw/payments").with_columns(
        event_id=event,
        event_key=pl.coalesce(event, pl.concat_str(pl.lit("payment:"), "id")),
        currency=_currency(),
        seen_at=pl.coalesce("event_timestamp", "created_at"),
    )
    hashed = pl.col("event_key").hash().alias("event_hash")
    repeated = (
        payments.select(hashed).group_by("event_hash").len().filter(pl.col("len") > 1).select("event_hash").collect()
    )
    payments = payments.with_columns(hashed)
    alone = (
        payments.join(repeated.lazy(), on="event_hash", how="anti")
        .filter(_is_live())
        .with_columns(
            payment_id=pl.col("id"),
            duplicate_count=pl.lit(0, pl.Int64),
            first_seen_at=pl.col("seen_at"),
            last_seen_at=pl.col("seen_at"),
            _raw_extracted_at=pl.col("_airbyte_extracted_at"),
        )
    )
    first = ("id", "created_at", "seen_at")
    of_repeated = payments.join(repeated.lazy(), on="event_hash", how="semi").with_columns(
        _raw_extracted_at=pl.col("_airbyte_extracted_at").max().over("event_key")
    )
    judged = (
        of_repeated.filter(_is_live())
        .sort("event_key", "seen_at", "created_at", "id", nulls_last=False)
        .group_by("event_key", maintain_order=True)
        .agg(
            pl.all().last(),
            *(pl.col(name).first().alias(f"first_{name}") for name in first),
            duplicate_count=(pl.len() - 1).cast(pl.Int64),
        )
        .with_columns(
            payment_id=pl.col("first_id"),
            created_at=pl.col("first_created_at"),
            first_seen_at=pl.col("first_seen_at"),
            last_seen_at=pl.col("seen_at"),
        )
    )
    columns = (
        "event_key",
        "payment_id",
        "event_id",
        "order_id",
        "payment_provider",
        "status",
        "amount",
        "currency",
        "platform_fee",
        "seller_payout",
        "created_at",
        "processed_at",
        "duplicate_count",
        "first_seen_at",
        "last_seen_at",
        "_raw_extracted_at",
    )
    return {"int_payments_deduplicated": pl.concat([alone.select(columns), judged.select(columns)])}


def calendar(rates: pl.LazyFrame) -> pl.LazyFrame:
    """The rate of each currency on each calendar day that has one, in billionths of a dollar."""
    quotes = rates.filter((pl.col("units_per_eur") > 0) & (pl.col("currency") != "EUR")).select(
        currency=_currency(), fx_rate_date="rate_date", units=(pl.col("units_per_eur") * BILLIONTH).cast(pl.Int128)
    )
    dollars = quotes.filter(pl.col("currency") == "USD").select("fx_rate_date", dollars="units")
    euros = dollars.select(pl.lit("EUR").alias("currency"), "fx_rate_date", pl.lit(BILLIONTH, pl.Int128).alias("units"))
    last_day = pl.min_horizontal(
        pl.col("fx_rate_date").shift(-1).over("currency") - pl.duration(days=1),
        pl.col("fx_rate_date") + pl.duration(days=OLDEST_RATE_DAYS),
    )
    # min_horizontal skips nulls, as `least` does: the last quote of a currency holds its seven days.
    return (
        pl.concat([quotes, euros])
        .join(dollars, on="fx_rate_date")
        .sort("currency", "fx_rate_date")
        .with_columns(
            rate=((pl.col("dollars") * (2 * BILLIONTH) + pl.col("units")) // (2 * pl.col("units"))),
            last_day=last_day,
        )
        .with_columns(day=pl.date_ranges("fx_rate_date", "last_day"))
        .select("currency", "day", "fx_rate_date", "rate")
        .explode("day")
    )


def _in_usd(
    rows: pl.LazyFrame, rates: pl.LazyFrame, date: str, keys: tuple[str, ...], amounts: tuple[str, ...]
) -> pl.LazyFrame:
    is_dollar = pl.col("currency") == "USD"
    rate = pl.when(is_dollar).then(pl.lit(BILLIONTH, pl.Int128)).otherwise(pl.col("rate"))

    def converted(name: str) -> pl.Expr:
        cents = (pl.col(name) * CENT).cast(pl.Int128)
        product = cents * pl.col("rate")
        away_from_zero = (product.abs() * 2 + BILLIONTH) // (2 * BILLIONTH) * product.sign()
        return _decimal(pl.when(is_dollar).then(cents).otherwise(away_from_zero), CENT).alias(f"{name}_usd")

    return (
        rows.join(rates.rename({"day": date}), on=["currency", date], how="left")
        .with_columns(rate=rate)
        .select(
            *keys,
            "currency",
            date,
            "fx_rate_date",
            _decimal(pl.col("rate"), BILLIONTH).alias("fx_rate_usd"),
            *(converted(name) for name in amounts),
            pl.col("rate").is_null().alias("is_fx_missing"),
            "_raw_extracted_at",
        )
    )


def _decimal(whole: pl.Expr, unit: int) -> pl.Expr:
    """A whole number of 1/`unit` as NUMERIC."""
    return (whole * (BILLIONTH // unit)).cast(pl.Decimal(38, 0)) * pl.lit("0.000000001").cast(NUMERIC)


def converted(inputs: Callable[[str], pl.LazyFrame]) -> Frames:
    """Orders, items and payments in USD."""
    rates = calendar(inputs("raw/ecb_fx_rates")).collect().lazy()
    landed = pl.col("_airbyte_extracted_at").alias("_raw_extracted_at")
    orders = (
        inputs("raw/orders")
        .filter(_is_live())
        .with_columns(_currency(), landed, order_id=pl.col("id"), order_date=pl.col("created_at").dt.date())
    )
    items = (
        inputs("raw/order_items")
        .filter(_is_live())
        .select("order_id", "unit_price", "total_price", _currency(), landed, order_item_id="id")
        .join(orders.select("order_id", "order_date"), on="order_id", how="left")
    )
    payments = inputs("intermediate/int_payments_deduplicated").with_columns(
        payment_date=pl.col("created_at").dt.date()
    )
    order_amounts = ("subtotal_amount", "shipping_amount", "tax_amount", "discount_amount", "total_amount")
    payment_keys = ("event_key", "payment_id", "order_id")
    return {
        "int_orders_usd": _in_usd(orders, rates, "order_date", ("order_id",), order_amounts),
        "int_order_items_usd": _in_usd(
            items, rates, "order_date", ("order_item_id", "order_id"), ("unit_price", "total_price")
        ),
        "int_payments_usd": _in_usd(
            payments, rates, "payment_date", payment_keys, ("amount", "platform_fee", "seller_payout")
        ),
    }


def periods(inputs: Callable[[str], pl.LazyFrame]) -> Frames:
    """One row per seller and tier period: one sort, and then each row beside its neighbours."""
    seller, start, end = pl.col("user_id"), pl.col("effective_from"), pl.col("effective_to")
    is_first, is_last = seller != seller.shift(1), seller != seller.shift(-1)
    is_first, is_last = is_first.fill_null(True), is_last.fill_null(True)
    ordered = (
        inputs("raw/seller_tier_history")
        .with_columns(_raw_extracted_at=pl.col("_airbyte_extracted_at").max().over("user_id"))
        .filter(_is_live())
        .sort(
            "user_id",
            "effective_from",
            "created_at",
            "id",
            descending=[False, False, True, True],
            nulls_last=[False, False, True, True],
        )
    )
    # Of rows that begin at the same time only the last counts.
    starts = ordered.filter(is_first | start.ne_missing(start.shift(1)))
    # A row ends where the next begins; only the last one has an end of its own.
    ends = starts.with_columns(
        next_from=pl.when(~is_last).then(start.shift(-1)),
        last_ends_at=pl.when(end.last().over("user_id").is_not_null()).then(
            pl.max_horizontal(end.last().over("user_id"), start.last().over("user_id"))
        ),
    ).with_columns(ends_at=pl.coalesce("next_from", "effective_to"))
    # After it has ended the row before, a last row that was closed at or before its own start is no period.
    tiers = ends.filter(pl.col("ends_at").is_null() | (pl.col("ends_at") > start)).with_columns(
        previous_tier=pl.when(~is_first).then(pl.col("tier").shift(1)), is_first=is_first
    )
    changes = tiers.filter(pl.col("is_first") | pl.col("previous_tier").ne_missing(pl.col("tier")))
    return {
        "int_seller_tier_scd2": changes.with_columns(
            valid_to=pl.coalesce(pl.when(~is_last).then(start.shift(-1)), "last_ends_at")
        ).select(
            pl.col("user_id").alias("seller_id"),
            "tier",
            "previous_tier",
            pl.col("effective_from").alias("valid_from"),
            "valid_to",
            pl.col("valid_to").is_null().alias("is_current"),
            "change_reason",
            "_raw_extracted_at",
        )
    }


JOBS: dict[str, Callable[[Callable[[str], pl.LazyFrame]], Frames]] = {
    "payment_dedup": deduplicated,
    "currency_normalization": converted,
    "seller_tier_scd2": periods,
}


class Polars:
    """Polars in this process, on all cores. It has no memory limit of its own: the system refuses it more than `memory` of its own (RLIMIT_DATA)."""

    limit = "RLIMIT_DATA"

    def __init__(self, memory: str | None, spill: Path) -> None:
        """Nothing is opened yet; Polars spills nothing."""
        self._memory = memory

    def __enter__(self) -> Polars:
        """Take on the limit."""
        limit_own_memory(self._memory)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left open."""

    def run(self, job: str, inputs: Path, outputs: Path) -> None:
        """Do the job."""

        def table(name: str) -> pl.LazyFrame:
            rows = pl.scan_parquet(f"{inputs / name}/*.parquet")
            never = pl.lit(None, pl.Datetime("us", "UTC")).alias("_deleted_at")
            return rows.with_columns(never) if name.startswith("raw/") else rows

        for name, rows in JOBS[job](table).items():
            (outputs / name).mkdir()
            rows.sink_parquet(outputs / name / "0.parquet", compression="snappy", engine="streaming")

    @staticmethod
    def versions() -> dict[str, str]:
        """What ran."""
        return {"polars": pl.__version__}
