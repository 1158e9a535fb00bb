with items as (
    select * from {{ ref('fct_order_items') }}
),

-- A user may stop being a seller; what was sold stays.
sellers as (
    select user_id as seller_id from {{ ref('stg_marketplace__users') }}
    where user_type in ('seller', 'both')
    union distinct
    select seller_id from items
),

sales as (
    select
        seller_id,
        coalesce(sum(gmv_usd), 0) as gmv_usd,
        coalesce(sum(case when not is_refunded then gmv_usd end), 0) as net_gmv_usd,
        count(distinct order_id) as order_count,
        count(distinct case when gmv_usd is not null then order_id end) as valued_order_count,
        sum(quantity) as units
    from items
    where is_gmv
    group by seller_id
),

-- Approved reviews of the seller's products: what a visitor of the shop sees. A rating of other than 1 to 5 stars, in quarantine, says nothing of the mean.
reviews as (
    select
        products.seller_id,
        case when reviews.rating between 1 and 5 then reviews.rating end as rating
    from {{ ref('stg_marketplace__reviews') }} as reviews
    inner join {{ ref('stg_marketplace__products') }} as products on reviews.product_id = products.product_id
    where reviews.status = 'approved'
),

ratings as (
    select
        seller_id,
        count(*) as review_count,
        cast(
            round({{ quotient('sum(rating)', 'nullif(count(rating), 0)') }}, 2) as {{ dbt.type_numeric() }}
        ) as average_rating
    from reviews
    group by seller_id
),

progress as (
    select
        seller_id,
        max(case when is_current then tier end) as current_tier,
        max(case when is_current then previous_tier end) as previous_tier,
        max(case when is_current then valid_from end) as tier_since,
        sum(case when {{ tier_rank('tier') }} > {{ tier_rank('previous_tier') }} then 1 else 0 end) as tier_upgrades,
        sum(case when {{ tier_rank('tier') }} < {{ tier_rank('previous_tier') }} then 1 else 0 end) as tier_downgrades
    from {{ ref('int_seller_tier_scd2') }}
    group by seller_id
),

performance as (
    select
        sellers.seller_id,
        coalesce(sales.gmv_usd, 0) as gmv_usd,
        coalesce(sales.net_gmv_usd, 0) as net_gmv_usd,
        coalesce(sales.order_count, 0) as order_count,
        coalesce(sales.units, 0) as units,
        case
            when sales.valued_order_count > 0
                then
                    cast(
                        round({{ quotient('sales.gmv_usd', 'sales.valued_order_count') }}, 2)
                        as {{ dbt.type_numeric() }}
                    )
        end as average_order_value_usd,
        ratings.average_rating,
        coalesce(ratings.review_count, 0) as review_count,
        progress.current_tier,
        progress.previous_tier,
        progress.tier_since,
        coalesce(progress.tier_upgrades, 0) as tier_upgrades,
        coalesce(progress.tier_downgrades, 0) as tier_downgrades
    from sellers
    left join sales on sellers.seller_id = sales.seller_id
    left join ratings on sellers.seller_id = ratings.seller_id
    left join progress on sellers.seller_id = progress.seller_id
)

select * from performance
