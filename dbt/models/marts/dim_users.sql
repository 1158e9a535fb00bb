with users as (
    select * from {{ ref('stg_marketplace__users') }}
),

countries as (
    select * from {{ ref('country_regions') }}
),

tiers as (
    select * from {{ ref('int_seller_tier_scd2') }}
    where is_current
),

-- Names and addresses stay in staging: no mart needs to know who a user is.
described as (
    select
        users.user_id,
        users.user_type,
        coalesce(users.country_code, 'Unknown') as country_code,
        coalesce(countries.country_name, 'Unknown') as country_name,
        coalesce(countries.region, 'Unknown') as region,
        coalesce(tiers.tier, users.seller_tier) as seller_tier,
        users.seller_rating,
        users.is_active,
        users.is_deleted,
        users.created_at,
        users.updated_at,
        users.deleted_at
    from users
    left join countries on users.country_code = countries.country_code
    left join tiers on users.user_id = tiers.seller_id
)

select * from described
