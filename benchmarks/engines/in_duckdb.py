"""The three heavy jobs in DuckDB, as SQL by hand."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import duckdb

from benchmarks.memory import size_in_bytes

# Every row of an event that has more than one goes through a window; the others pass straight. By hash, which is small: a collision only sends more rows
# through the window.
DEDUPLICATED = """
with payments as (
    select
        *,
        nullif(trim(event_id, ' '), '') as event,
        coalesce(nullif(trim(event_id, ' '), ''), 'payment:' || id) as event_key,
        _deleted_at is null or _airbyte_extracted_at > _deleted_at as is_live,
        coalesce(event_timestamp, created_at) as seen_at
    from raw_payments
),
repeated as (
    select hash(event) as event_hash
    from payments
    where event is not null
    group by event_hash
    having count(*) > 1
),
alone as (
    select
        *,
        id as payment_id,
        created_at as first_created_at,
        0 as duplicate_count,
        seen_at as first_seen_at,
        _airbyte_extracted_at as landed_at
    from payments
    where is_live and (event is null or hash(event) not in (from repeated))
),
of_repeated as (
    select *, max(_airbyte_extracted_at) over (partition by event_key) as landed_at
    from payments
    where event is not null and hash(event) in (from repeated)
),
last_of_repeated as (
    select
        * exclude landed_at,
        first_value(id) over event_rows as payment_id,
        first_value(created_at) over event_rows as first_created_at,
        count(*) over event_rows - 1 as duplicate_count,
        first_value(seen_at) over event_rows as first_seen_at,
        landed_at
    from of_repeated
    where is_live
    window event_rows as (
        partition by event_key
        order by seen_at nulls first, created_at nulls first, id
        rows between unbounded preceding and unbounded following
    )
    qualify id = last_value(id) over event_rows
)
select
    event_key,
    payment_id,
    event as event_id,
    order_id,
    payment_provider,
    status,
    amount,
    upper(trim(currency, ' ')) as currency,
    platform_fee,
    seller_payout,
    first_created_at as created_at,
    processed_at,
    duplicate_count::bigint as duplicate_count,
    first_seen_at,
    seen_at as last_seen_at,
    landed_at as _raw_extracted_at
from (from alone union all by name from last_of_repeated)
"""

# Whole numbers of a billionth: `/` of two decimals would be a float. Half away from zero, and nothing here is negative. The float holds a quote's digits, of
# which there are at most twelve.
CALENDAR = """
create temp table calendar as
with quotes as (
    select
        upper(trim(currency, ' ')) as currency,
        rate_date as fx_rate_date,
        round(units_per_eur::double * 1000000000)::hugeint as units
    from raw_ecb_fx_rates
    where units_per_eur > 0 and currency <> 'EUR'
),
dollars as (
    select fx_rate_date, units as dollars from quotes where currency = 'USD'
),
units as (
    select currency, fx_rate_date, units, dollars from quotes join dollars using (fx_rate_date)
    union all
    select 'EUR', fx_rate_date, 1000000000, dollars from dollars
),
rates as (
    select
        currency,
        fx_rate_date,
        (((dollars * 2000000000 + units) // (2 * units))::decimal(38, 0) * 0.000000001)::decimal(18, 9) as fx_rate_usd,
        lead(fx_rate_date) over (partition by currency order by fx_rate_date) as next_date
    from units
)
select
    currency,
    fx_rate_date + unnest(range(least(next_date - fx_rate_date, 8)))::int as day,
    fx_rate_date,
    fx_rate_usd
from rates
"""

# A dollar is a dollar, with a rate and without.
CONVERTED = """
with rated as (
    select
        rows.*,
        calendar.fx_rate_date,
        case when rows.currency = 'USD' then 1 else calendar.fx_rate_usd end::decimal(18, 9) as fx_rate_usd
    from ({rows}) as rows
    left join calendar on calendar.currency = rows.currency and calendar.day = rows.{date}
)
select
    {keys},
    currency,
    {date},
    fx_rate_date,
    fx_rate_usd,
    {amounts},
    fx_rate_usd is null as is_fx_missing,
    _raw_extracted_at
from rated
"""
# By way of a float, which holds every decimal(12, 2) to the cent: a cast between wide decimals takes 50 times as long.
AMOUNT_MACRO = "create macro amount(x) as round(x::double * 100)::bigint::decimal(18, 0) * 0.01"
AMOUNT = (
    "(case when currency = 'USD' then amount({name}) else round(amount({name}) * fx_rate_usd, 2) end)"
    "::decimal(18, 2) as {name}_usd"
)
ORDERS = """
select *, id as order_id, created_at::date as order_date, _airbyte_extracted_at as _raw_extracted_at
from (select * replace (upper(trim(currency, ' ')) as currency) from raw_orders)
where _deleted_at is null or _airbyte_extracted_at > _deleted_at
"""
ITEMS = f"""
select
    items.id as order_item_id,
    items.order_id,
    upper(trim(items.currency, ' ')) as currency,
    orders.order_date,
    items.unit_price,
    items.total_price,
    items._airbyte_extracted_at as _raw_extracted_at
from raw_order_items as items
left join (select order_id, order_date from ({ORDERS})) as orders on orders.order_id = items.order_id
where items._deleted_at is null or items._airbyte_extracted_at > items._deleted_at
"""
PAYMENTS = """
select *, created_at::date as payment_date from int_payments_deduplicated
"""

PERIODS = """
with history as (
    select
        *,
        _deleted_at is null or _airbyte_extracted_at > _deleted_at as is_live,
        max(_airbyte_extracted_at) over (partition by user_id) as _raw_extracted_at
    from raw_seller_tier_history
),
-- Of rows that begin at the same time only the last counts.
starts as (
    select *
    from history
    where is_live
    qualify row_number() over (
        partition by user_id, effective_from order by created_at desc nulls last, id desc
    ) = 1
),
-- A row ends where the next begins; only the last one has an end of its own.
ends as (
    select
        *,
        coalesce(lead(effective_from) over seller, effective_to) as ends_at,
        last_value(effective_to) over whole as last_to,
        last_value(effective_from) over whole as last_from
    from starts
    window
        seller as (partition by user_id order by effective_from),
        whole as (partition by user_id order by effective_from rows between unbounded preceding and unbounded following)
),
-- After it has ended the row before, a last row that was closed at or before its own start is no period.
tiers as (
    select *, lag(tier) over seller as previous_tier, row_number() over seller = 1 as is_first
    from ends
    where ends_at is null or ends_at > effective_from
    window seller as (partition by user_id order by effective_from)
),
periods as (
    select
        *,
        coalesce(
            lead(effective_from) over (partition by user_id order by effective_from),
            case when last_to is not null then greatest(last_to, last_from) end
        ) as valid_to
    from tiers
    where is_first or previous_tier is distinct from tier
)
select
    user_id as seller_id,
    tier,
    previous_tier,
    effective_from as valid_from,
    valid_to,
    valid_to is null as is_current,
    change_reason,
    _raw_extracted_at
from periods
"""


def _converted(rows: str, keys: str, date: str, amounts: tuple[str, ...]) -> str:
    return CONVERTED.format(
        rows=rows, keys=keys, date=date, amounts=",\n    ".join(AMOUNT.format(name=name) for name in amounts)
    )


# By job: what is made ready first, and {result: its query}.
JOBS: dict[str, tuple[str, dict[str, str]]] = {
    "payment_dedup": ("", {"int_payments_deduplicated": DEDUPLICATED}),
    "currency_normalization": (
        CALENDAR,
        {
            "int_orders_usd": _converted(
                ORDERS,
                "order_id",
                "order_date",
                ("subtotal_amount", "shipping_amount", "tax_amount", "discount_amount", "total_amount"),
            ),
            "int_order_items_usd": _converted(
                ITEMS, "order_item_id, order_id", "order_date", ("unit_price", "total_price")
            ),
            "int_payments_usd": _converted(
                PAYMENTS,
                "event_key, payment_id, order_id",
                "payment_date",
                ("amount", "platform_fee", "seller_payout"),
            ),
        },
    ),
    "seller_tier_scd2": ("", {"int_seller_tier_scd2": PERIODS}),
}


class DuckDB:
    """DuckDB in this process, on all cores. `memory` is its own memory_limit: it spills beyond it, and fails where it cannot."""

    limit = "memory_limit"

    def __init__(self, memory: str | None, spill: Path) -> None:
        """Nothing is opened yet."""
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": str(spill),
            # Files in any order are the same table, and need no memory to be put in order.
            "preserve_insertion_order": False,
        }
        if memory:
            self._config["memory_limit"] = f"{size_in_bytes(memory)}B"

    def __enter__(self) -> DuckDB:
        """Open an empty database in memory."""
        self._engine = duckdb.connect(config=self._config)
        self._engine.execute("set TimeZone = 'UTC'")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._engine.close()

    def run(self, job: str, inputs: Path, outputs: Path) -> None:
        """Do the job."""
        for folder in sorted(inputs.glob("*/*")):
            name = f"raw_{folder.name}" if folder.parent.name == "raw" else folder.name
            deleted_at = ", null::timestamptz as _deleted_at" if folder.parent.name == "raw" else ""
            self._engine.execute(f"create view {name} as select *{deleted_at} from '{folder}/*.parquet'")
        self._engine.execute(AMOUNT_MACRO)
        ready, results = JOBS[job]
        if ready:
            self._engine.execute(ready)
        for name, question in results.items():
            self._engine.execute(f"copy ({question}) to '{outputs / name}' (format parquet, per_thread_output)")

    @staticmethod
    def versions() -> dict[str, str]:
        """What ran."""
        return {"duckdb": duckdb.__version__}
