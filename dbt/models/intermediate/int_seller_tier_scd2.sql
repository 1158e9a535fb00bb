{{ config(tags=['heavy']) }}

with source as (
    select
        *,
        {{ is_live() }} as is_live,
        max(_airbyte_extracted_at) over (partition by user_id) as _raw_extracted_at
    from {{ source('marketplace', 'seller_tier_history') }}
),

-- Of several rows from the same moment only the last one counts.
effective as (
    select * from source
    where is_live
    qualify row_number() over (
        partition by user_id, effective_from order by created_at desc nulls last, id desc
    ) = 1
),

-- A row ends where the next begins; the last one where it says itself.
bounded as (
    select
        *,
        coalesce(
            lead(effective_from) over (partition by user_id order by effective_from),
            effective_to
        ) as ends_at
    from effective
),

-- A last row closed at or before its own start is empty; it has ended the row before it already.
filled as (
    select
        *,
        coalesce(lag(tier) over (partition by user_id order by effective_from) <> tier, true) as is_tier_change
    from bounded
    where ends_at is null or ends_at > effective_from
),

-- Rows of one tier in a row are one period.
numbered as (
    select
        *,
        sum(case when is_tier_change then 1 else 0 end) over (
            partition by user_id order by effective_from rows unbounded preceding
        ) as period
    from filled
),

period_ends as (
    select
        *,
        last_value(ends_at) over (
            partition by user_id, period order by effective_from
            rows between unbounded preceding and unbounded following
        ) as valid_to
    from numbered
),

periods as (
    select
        user_id as seller_id,
        tier,
        lag(tier) over (partition by user_id order by effective_from) as previous_tier,
        effective_from as valid_from,
        valid_to,
        valid_to is null as is_current,
        change_reason,
        _raw_extracted_at
    from period_ends
    where is_tier_change
)

select * from periods
