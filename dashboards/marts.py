"""What the page shows, asked of the marts: one function a view, each returning plain values that go into one JSON file.

Only aggregates leave the warehouse, so that the page stays small at any scale. Amounts in dollars are whole cents, which every number of
JavaScript holds exactly; amounts in other currencies are text, digit for digit. A list that is cut says how much of it there is.
"""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud.bigquery import Client

from stack import bigquery, dbt, layers, ledger
from stack.settings import Settings

Row = dict[str, Any]

# A year of days: what is older is shown by month. With every day of every year the page would grow with the business.
DAILY_DAYS = 365
PERIODS = (30, 90, DAILY_DAYS)
# The best by GMV; the line above the table says how many there are, and the summary by tier counts all.
MAX_SELLERS = 1000
MAX_WORK_LIST = 100
MAX_RUNS = 10
# No tier is a state too: before the first, or after a period that was closed.
NO_TIER = "none"
TIERS = ("platinum", "gold", "silver", "bronze")

# Top-level categories and paths that are named; what sells less than those is one line, and nothing is left out.
MAX_CATEGORIES = 12
MAX_PATHS = 100
OTHER = "Other categories"

# Sales with the name of their top-level category and the path of their category, by the id. A category that no product has any more is
# known by its name alone.
NAMED = """
    paths as (
        select category_id, min(category_path) as category_path, min(root_category) as root_category
        from marts.dim_products group by category_id
    ),
    whole as (
        select
            s.category_id, coalesce(p.root_category, s.category_name) as root,
            coalesce(p.category_path, s.category_name) as path, sum(s.gmv_usd) as gmv_usd
        from marts.fct_daily_sales as s left join paths as p on s.category_id = p.category_id
        group by s.category_id, root, path
    ),
    roots as (
        select root, row_number() over (order by sum(gmv_usd) desc, root) as place from whole group by root
    ),
    ranked_paths as (
        select path, row_number() over (order by sum(gmv_usd) desc, path) as place from whole group by path
    ),
    named as (
        select
            w.category_id,
            min(case when r.place <= @categories then w.root else @other end) as category,
            min(case when p.place <= @paths then w.path else @other end) as path
        from whole as w inner join roots as r on w.root = r.root inner join ranked_paths as p on w.path = p.path
        group by w.category_id
    )
"""
NAMED_PARAMETERS = {"categories": MAX_CATEGORIES, "paths": MAX_PATHS, "other": OTHER}


def cents(amount: Decimal | None) -> int | None:
    """Dollars as whole cents. Raises ValueError when there is a fraction of a cent: the page would not equal the marts."""
    if amount is None:
        return None
    scaled = Decimal(amount) * 100
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} is no whole number of cents")
    return int(scaled)


def sales(bq: Client) -> Row:
    """GMV by region and top-level category, by day for the last year and by month for all time; categories by period."""
    # An order counts without items, too, of which no sale tells.
    edges = bigquery.query(
        bq,
        """
        with days as (
            select order_date, true as is_sale from marts.fct_daily_sales
            union all
            select order_date, false as is_sale from marts.fct_orders where is_gmv and order_date is not null
        )
        select min(order_date) as first_day, max(order_date) as last_day, countif(is_sale) as sales from days
        """,
    )[0]
    if not edges["sales"]:
        return {"last_day": None}
    first, last = edges["first_day"], edges["last_day"]
    since = max(last - datetime.timedelta(days=DAILY_DAYS - 1), first)
    days = [since + datetime.timedelta(days=n) for n in range((last - since).days + 1)]
    months = _months(first, last)
    return {
        "first_day": first,
        "last_day": last,
        "periods": PERIODS,
        "days": days,
        "months": months,
        "daily": _series(bq, "order_date", since, days),
        "monthly": _series(bq, "date_trunc(order_date, month)", first, months),
        "categories": {str(days): _categories(bq, last, days) for days in PERIODS} | {"all": _categories(bq, last)},
    }


def _months(first: datetime.date, last: datetime.date) -> list[datetime.date]:
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [datetime.date(number // 12, number % 12 + 1, 1) for number in numbers]


def _series(bq: Client, time: str, since: datetime.date, times: Sequence[datetime.date]) -> Row:
    """Dense series over `times` for each region and top-level category, and orders for each region.

    An order with items of two categories is an order of both, so the orders of a region are counted on their own and never summed over
    categories. `valued` are those of them with a rate: what an average order value divides by.
    """
    merchandise = bigquery.query(
        bq,
        f"""
        with {NAMED},
        amounts as (
            select {time} as t, region, category, sum(gmv_usd) as gmv_usd, sum(net_gmv_usd) as net_gmv_usd
            from marts.fct_daily_sales inner join named using (category_id)
            where order_date >= @since
            group by t, region, category
        ),
        counted as (
            select {time} as t, region, category, count(distinct order_id) as orders
            from marts.fct_order_items inner join named using (category_id)
            where is_gmv and order_date >= @since
            group by t, region, category
        )
        select * from amounts inner join counted using (t, region, category)
        """,
        {"since": since} | NAMED_PARAMETERS,
    )
    orders = bigquery.query(
        bq,
        f"""
        select {time} as t, region, count(*) as orders, countif(gmv_usd is not null) as valued
        from marts.fct_orders where is_gmv and order_date >= @since
        group by t, region
        """,
        {"since": since},
    )
    for row in merchandise:
        row["gmv"], row["net"] = cents(row["gmv_usd"]), cents(row["net_gmv_usd"])
    return {
        "merchandise": _dense(merchandise, times, ("region", "category"), ("gmv", "net", "orders")),
        "orders": _dense(orders, times, ("region",), ("orders", "valued")),
    }


def _dense(
    rows: Iterable[Row], times: Sequence[datetime.date], keys: Sequence[str], values: Sequence[str]
) -> list[Row]:
    """One object for each key with an array over `times` for each value; a time without a row is 0."""
    place = {time: index for index, time in enumerate(times)}
    series: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in keys)
        arrays = series.setdefault(key, {value: [0] * len(times) for value in values})
        for value in values:
            arrays[value][place[row["t"]]] = row[value]
    return [dict(zip(keys, key, strict=True)) | series[key] for key in sorted(series)]


def _categories(bq: Client, last: datetime.date, days: int | None = None) -> Row:
    """Every category with its path, by region, over the last `days` days or over all time.

    `others` are the orders of the line that several categories share, by region: an order of two of those is one order there.
    """
    since = last - datetime.timedelta(days=days - 1) if days else datetime.date.min
    parameters = {"since": since} | NAMED_PARAMETERS
    rows = bigquery.query(
        bq,
        f"""
        with {NAMED},
        amounts as (
            select
                region, category, path,
                sum(gmv_usd) as gmv_usd, sum(net_gmv_usd) as net_gmv_usd, sum(units) as units
            from marts.fct_daily_sales inner join named using (category_id)
            where order_date >= @since
            group by region, category, path
        ),
        counted as (
            select region, category, path, count(distinct order_id) as orders
            from marts.fct_order_items inner join named using (category_id)
            where is_gmv and order_date >= @since
            group by region, category, path
        )
        select * from amounts inner join counted using (region, category, path)
        order by path, region, category
        """,
        parameters,
    )
    others = bigquery.query(
        bq,
        f"""
        with {NAMED}
        select region, path, count(distinct order_id) as orders
        from marts.fct_order_items inner join named using (category_id)
        where is_gmv and order_date >= @since and path = @other
        group by region, path order by region
        """,
        parameters,
    )
    columns = ("region", "category", "path", "gmv", "net", "orders", "units")
    for row in rows:
        row |= {"gmv": cents(row["gmv_usd"]), "net": cents(row["net_gmv_usd"])}
    return {"columns": columns, "rows": [[row[name] for name in columns] for row in rows], "others": others}


def sellers(bq: Client) -> Row:
    """The sellers with the most GMV, and all of them by tier."""
    rows = bigquery.query(
        bq,
        """
        select s.*, u.region, coalesce(u.is_deleted, false) as is_deleted
        from marts.fct_seller_performance as s left join marts.dim_users as u on s.seller_id = u.user_id
        order by s.gmv_usd desc, s.seller_id
        limit @most
        """,
        {"most": MAX_SELLERS},
    )
    by_tier = bigquery.query(
        bq,
        """
        select
            coalesce(current_tier, @none) as tier,
            count(*) as sellers,
            countif(order_count > 0) as selling,
            sum(gmv_usd) as gmv_usd,
            sum(net_gmv_usd) as net_gmv_usd
        from marts.fct_seller_performance group by tier
        """,
        {"none": NO_TIER},
    )
    columns: tuple[str, ...] = ("seller_id", "region", "current_tier", "tier_since", "gmv", "net", "orders")
    columns += ("average_order_value", "average_rating", "reviews", "tier_upgrades", "tier_downgrades", "is_deleted")
    for row in rows:
        row |= {"gmv": cents(row["gmv_usd"]), "net": cents(row["net_gmv_usd"]), "orders": row["order_count"]}
        row |= {"average_order_value": cents(row["average_order_value_usd"]), "reviews": row["review_count"]}
        row["average_rating"] = None if row["average_rating"] is None else float(row["average_rating"])
        row["tier_since"] = row["tier_since"] and row["tier_since"].date()
    return {
        "columns": columns,
        "rows": [[row[name] for name in columns] for row in rows],
        "total": sum(row["sellers"] for row in by_tier),
        "tiers": [
            {name: row[name] for name in ("tier", "sellers", "selling")}
            | {"gmv": cents(row["gmv_usd"]), "net": cents(row["net_gmv_usd"])}
            for row in sorted(by_tier, key=lambda row: _rank(row["tier"]))
        ],
    }


def _rank(tier: str) -> tuple[int, str]:
    """Best tier first, an unknown one after them, none last."""
    if tier == NO_TIER:
        return len(TIERS) + 1, tier
    return (TIERS.index(tier) if tier in TIERS else len(TIERS)), tier


def tiers(bq: Client) -> Row:
    """Sellers in each tier at each month's end, where they were a year apart, and how periods begin."""
    edges = bigquery.query(
        bq,
        "select (select min(valid_from) from marts.fct_seller_tier_progression) as first_start, "
        "(select max(order_date) from marts.fct_orders) as last_day, "
        "(select max(valid_from) from marts.fct_seller_tier_progression) as last_start",
    )[0]
    if edges["first_start"] is None:
        return {"as_of": None}
    # The newest order's day is today, as in the marts: a period may be dated ahead of it, years if somebody mistyped.
    as_of = edges["last_day"] or edges["last_start"].date()
    if edges["first_start"].date() > as_of:
        return {"as_of": None}
    changes = bigquery.query(
        bq,
        """
        with changes as (
            select date_trunc(date(valid_from), month) as month, tier, 1 as step from marts.fct_seller_tier_progression
            where tier is not null
            union all
            select date_trunc(date(valid_to), month) as month, tier, -1 as step from marts.fct_seller_tier_progression
            where tier is not null and valid_to is not null
        )
        select month, tier, sum(step) as step from changes group by month, tier
        """,
    )
    months = _months(edges["first_start"].date(), as_of)
    names = sorted({row["tier"] for row in changes}, key=_rank)
    steps = {(row["month"], row["tier"]): row["step"] for row in changes}
    stock: dict[str, list[int]] = {}
    for name in names:
        running = 0
        stock[name] = [running := running + steps.get((month, name), 0) for month in months]
    movements = bigquery.query(
        bq,
        """
        select
            movement, coalesce(previous_tier, @none) as previous_tier, coalesce(tier, @none) as tier,
            count(*) as periods, sum(days_in_tier) as days, sum(gmv_usd) as gmv_usd, sum(net_gmv_usd) as net_gmv_usd
        from marts.fct_seller_tier_progression group by movement, previous_tier, tier
        order by periods desc, previous_tier, tier
        """,
        {"none": NO_TIER},
    )
    for row in movements:
        row |= {"gmv": cents(row.pop("gmv_usd")), "net": cents(row.pop("net_gmv_usd"))}
    moments = [_end_of_day(_years_before(as_of, years)) for years in (3, 2, 1, 0)]
    moments = [moment for moment in moments if moment >= edges["first_start"]]
    return {
        "as_of": as_of,
        "months": months,
        "tiers": names,
        "stock": stock,
        "moments": [moment.date() for moment in moments],
        "flows": [_flow(bq, *pair) for pair in itertools.pairwise(moments)],
        "movements": movements,
    }


def _years_before(day: datetime.date, years: int) -> datetime.date:
    month_end = day.month == 2 and day.day == 29
    return day.replace(year=day.year - years, day=28 if month_end and years % 4 else day.day)


def _end_of_day(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time.max, datetime.UTC)


def _flow(bq: Client, start: datetime.datetime, end: datetime.datetime) -> list[Row]:
    """Sellers by their tier at two moments."""
    return bigquery.query(
        bq,
        """
        with at_start as (
            select seller_id, tier from marts.fct_seller_tier_progression
            where valid_from <= @earlier and (valid_to is null or valid_to > @earlier)
        ),
        at_end as (
            select seller_id, tier from marts.fct_seller_tier_progression
            where valid_from <= @later and (valid_to is null or valid_to > @later)
        )
        select coalesce(at_start.tier, @none) as source, coalesce(at_end.tier, @none) as target, count(*) as sellers
        from at_start full outer join at_end on at_start.seller_id = at_end.seller_id
        group by source, target order by source, target
        """,
        {"earlier": start, "later": end, "none": NO_TIER},
    )


def payments(bq: Client) -> Row:
    """Orders by status, reason and month, what is open by age, amounts by currency, and the head of finance's work list."""
    outcomes = bigquery.query(
        bq,
        """
        select
            reconciliation_status as status, reconciliation_reason as reason, is_reconciled,
            count(*) as orders, sum(difference_usd) as difference_usd, countif(difference_usd is null) as unvalued,
            sum(platform_fee_usd) as fee_usd, sum(seller_payout_usd) as payout_usd
        from marts.fct_payment_reconciliation group by status, reason, is_reconciled
        order by orders desc, status, reason
        """,
    )
    months = bigquery.query(
        bq,
        """
        select
            date_trunc(order_date, month) as month,
            countif(is_reconciled) as reconciled, countif(not is_reconciled) as open
        from marts.fct_payment_reconciliation where order_date is not null group by month order by month
        """,
    )
    ageing = bigquery.query(
        bq,
        """
        select
            reconciliation_reason as reason, ageing_bucket as bucket, count(*) as orders,
            sum(open_amount_usd) as open_amount_usd, countif(open_amount_usd is null) as unvalued
        from marts.fct_payment_ageing group by reason, bucket order by reason, bucket
        """,
    )
    currencies = bigquery.query(
        bq,
        """
        select
            coalesce(currency, 'unknown') as currency, count(*) as orders, countif(not is_reconciled) as open,
            sum(order_total) as owed, sum(paid_amount) as paid, sum(refunded_amount) as refunded,
            sum(disputed_amount) as disputed, sum(difference) as difference
        from marts.fct_payment_reconciliation group by currency order by orders desc, currency
        """,
    )
    work_list = bigquery.query(
        bq,
        """
        select
            order_id, days_open, reconciliation_status as status, reconciliation_reason as reason, currency, open_amount, open_amount_usd
        from marts.fct_payment_ageing
        order by days_open desc, open_amount_usd desc, order_id
        limit @most
        """,
        {"most": MAX_WORK_LIST},
    )
    as_of = bigquery.query(bq, "select max(as_of_date) as as_of from marts.fct_payment_ageing")[0]["as_of"]
    for row in (*outcomes, *ageing, *work_list):
        for name in ("difference_usd", "open_amount_usd", "fee_usd", "payout_usd"):
            if name in row:
                row[name.removesuffix("_usd") + "_cents"] = cents(row.pop(name))
    for row in (*currencies, *work_list):
        for name in ("owed", "paid", "refunded", "disputed", "difference", "open_amount"):
            if name in row:
                row[name] = _money_text(row[name])
    return {
        "as_of": as_of,
        "outcomes": outcomes,
        "months": months,
        "ageing": ageing,
        "currencies": currencies,
        "work_list": work_list,
    }


def _money_text(amount: Decimal | None) -> str | None:
    """An amount of any currency with at least two decimals and every further digit that it has."""
    if amount is None:
        return None
    exact = amount.normalize()
    exponent = exact.as_tuple().exponent
    # An exponent is no number only where the amount is none.
    places = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"{exact:.{places}f}"


def cohorts(bq: Client) -> Row:
    """Every cohort, month by month."""
    rows = bigquery.query(
        bq,
        """
        select cohort_month, months_since_first_order as n, cohort_customers, customers, orders, gmv_usd, retention_rate
        from marts.fct_customer_cohorts order by cohort_month, n
        """,
    )
    found: dict[datetime.date, Row] = {}
    for row in rows:
        cohort = found.setdefault(
            row["cohort_month"],
            {"month": row["cohort_month"], "size": row["cohort_customers"]}
            | {"customers": [], "orders": [], "gmv": [], "retention": []},
        )
        cohort["customers"].append(row["customers"])
        cohort["orders"].append(row["orders"])
        cohort["gmv"].append(cents(row["gmv_usd"]))
        cohort["retention"].append(float(row["retention_rate"]))
    return {"cohorts": list(found.values())}


def quality(bq: Client, settings: Settings) -> Row:
    """How fresh raw is, what is in quarantine and since when, and what the last runs did, by which engine and why."""
    newest = bigquery.query(bq, "select max(order_date) as d from marts.fct_orders")[0]["d"]
    return {
        "newest_order_date": newest,
        "freshness": _freshness(bq),
        "quarantine": layers.quarantined(bq),
        "tests": _tests(settings),
        "runs": _runs(bq),
    }


def _freshness(bq: Client) -> list[Row]:
    tables = layers.tables(bq, "raw")
    union = " union all ".join(
        f"select '{name}' as name, count(*) as n, max(_airbyte_extracted_at) as landed_at from raw.`{name}`"
        for name in tables
    )
    return bigquery.query(bq, f"{union} order by name") if tables else []


def _tests(settings: Settings) -> list[Row]:
    """What dbt's tests said at the last run on this machine; nothing where another one runs them."""
    found = []
    for step in dbt.LAYERS:
        path = dbt.results_path(settings, step)
        try:
            outcome = json.loads(path.read_text())
            found.append(
                {name: outcome[name] for name in ("tests", "tests_passed", "warned", "failed", "models", "seconds")}
                | {"step": step, "at": datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)}
            )
        except (OSError, ValueError, KeyError):
            continue
    return found


def _runs(bq: Client) -> list[Row]:
    """The pipeline's newest runs, newest first, each with its steps; none without a ledger."""
    try:
        steps = bigquery.query(
            bq,
            f"""
            with newest as (
                select run_id, max(recorded_at) as ended_at from {ledger.TABLE} group by run_id
                having countif(step = @first_step) > 0
                order by ended_at desc limit @most
            )
            select run_id, step, engine, `rows`, seconds, status, reason, recorded_at
            from {ledger.TABLE} inner join newest using (run_id) order by ended_at desc, recorded_at
            """,
            {"most": MAX_RUNS, "first_step": ledger.FIRST_STEP},
        )
    except NotFound:
        return []
    runs: dict[str, Row] = {}
    for step in steps:
        run = runs.setdefault(step.pop("run_id"), {"steps": []})
        step["seconds"] = round(step["seconds"], 1)
        run["steps"].append(step)
    for run_id, run in runs.items():
        decision = ledger.latest(run["steps"]).get(ledger.DECISION_STEP)
        first, last = run["steps"][0], run["steps"][-1]
        # A step is recorded at its end.
        started = first["recorded_at"] - datetime.timedelta(seconds=first["seconds"])
        run |= {"run_id": run_id, "started_at": started, "ended_at": last["recorded_at"]}
        run |= {"engine": ledger.engine(run["steps"]), "pending_rows": decision and decision["rows"]}
        run |= {"why": decision and decision["reason"], "status": ledger.outcome(run["steps"])}
    return list(runs.values())
