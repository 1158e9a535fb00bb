with periods as (
    select * from {{ ref('int_seller_tier_scd2') }}
),

-- The newest order in the data, not today: the same tables always answer the same.
as_of as (
    select max(order_date) as as_of_date from {{ ref('fct_orders') }}
),

sales as (
    select
        seller_id,
        seller_tier_since,
        coalesce(sum(gmv_usd), 0) as gmv_usd,
        coalesce(sum(case when not is_refunded then gmv_usd end), 0) as net_gmv_usd,
        count(distinct order_id) as order_count
    from {{ ref('fct_order_items') }}
    where is_gmv
    group by seller_id, seller_tier_since
),

progression as (
    select
        periods.seller_id,
        periods.tier,
        periods.previous_tier,
        case
            when row_number() over (partition by periods.seller_id order by periods.valid_from) = 1 then 'first'
            when {{ tier_rank('periods.tier') }} > {{ tier_rank('periods.previous_tier') }} then 'upgrade'
            when {{ tier_rank('periods.tier') }} < {{ tier_rank('periods.previous_tier') }} then 'downgrade'
            else 'other'
        end as movement,
        periods.valid_from,
        periods.valid_to,
        periods.is_current,
        periods.change_reason,
        {{ days_since(
            utc_date('periods.valid_from'), 'coalesce(' ~ utc_date('periods.valid_to') ~ ', as_of.as_of_date)'
        ) }} as days_in_tier,
        coalesce(sales.order_count, 0) as order_count,
        coalesce(sales.gmv_usd, 0) as gmv_usd,
        coalesce(sales.net_gmv_usd, 0) as net_gmv_usd
    from periods
    cross join as_of
    left join sales on periods.seller_id = sales.seller_id and periods.valid_from = sales.seller_tier_since
)

select * from progression
