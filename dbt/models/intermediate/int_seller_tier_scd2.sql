{{ config(tags=['heavy']) }}

-- Deleted rows too: that a row went away is a change of its seller.
with read_until as (
    select
        user_id as seller_id,
        max(_airbyte_extracted_at) as _raw_extracted_at
    from {{ source('marketplace', 'seller_tier_history') }}
    group by user_id
),

-- Of several rows from the same moment only the last one counts. From when a row without a beginning holds, nobody knows: it waits in quarantine.
effective as (
    select * from {{ ref('stg_marketplace__seller_tier_history') }}
    where effective_from is not null
    qualify row_number() over (
        partition by seller_id, effective_from order by created_at desc nulls last, tier_row_id desc
    ) = 1
),

-- A row ends where the next begins; the last one where it says itself.
bounded as (
    select
        *,
        coalesce(
            lead(effective_from) over (partition by seller_id order by effective_from),
            effective_to
        ) as ends_at
    from effective
),

-- A last row closed at or before its own start is empty; it has ended the row before it already. No tier is a tier of its own, also in the first row.
filled as (
    select
        *,
        tier is distinct from lag(tier) over (partition by seller_id order by effective_from)
        or row_number() over (partition by seller_id order by effective_from) = 1 as is_tier_change
    from bounded
    where ends_at is null or ends_at > effective_from
),

-- Rows of one tier in a row are one period.
numbered as (
    select
        *,
        sum(case when is_tier_change then 1 else 0 end) over (
            partition by seller_id order by effective_from rows unbounded preceding
        ) as period
    from filled
),

period_ends as (
    select
        *,
        last_value(ends_at) over (
            partition by seller_id, period order by effective_from
            rows between unbounded preceding and unbounded following
        ) as valid_to
    from numbered
),

periods as (
    select
        period_ends.seller_id,
        period_ends.tier,
        lag(period_ends.tier) over (
            partition by period_ends.seller_id order by period_ends.effective_from
        ) as previous_tier,
        period_ends.effective_from as valid_from,
        period_ends.valid_to,
        period_ends.valid_to is null as is_current,
        period_ends.change_reason,
        read_until._raw_extracted_at
    from period_ends
    inner join read_until on period_ends.seller_id = read_until.seller_id
    where period_ends.is_tier_change
)

select * from periods
