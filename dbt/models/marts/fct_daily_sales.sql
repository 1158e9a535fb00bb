with items as (
    select * from {{ ref('fct_order_items') }}
    where is_gmv and order_date is not null
),

daily as (
    select
        order_date,
        region,
        category_id,
        category_name,
        coalesce(sum(gmv_usd), 0) as gmv_usd,
        coalesce(sum(case when not is_refunded then gmv_usd end), 0) as net_gmv_usd,
        count(distinct order_id) as order_count,
        sum(quantity) as units
    from items
    group by
        order_date,
        region,
        category_id,
        category_name
)

select * from daily
