{{ config(alias='seller_tier_history') }}

with tiers as (
    select * from {{ ref('stg_marketplace__seller_tier_history') }}
),

reasons as (
    select
        tier_row_id,
        'unknown_tier' as reason,
        concat('tier ', {{ in_words('tier') }}) as detail
    from tiers
    where {{ tier_rank('tier') }} is null
    union all
    select
        tier_row_id,
        'unknown_start' as reason,
        'effective_from is null: the row is in no period' as detail
    from tiers
    where effective_from is null
    union all
    select
        tier_row_id,
        'ends_before_it_begins' as reason,
        concat(
            'from ', cast({{ utc_date('effective_from') }} as string), ' to ', cast({{ utc_date('effective_to') }} as string)
        ) as detail
    from tiers
    where effective_to < effective_from
    union all
    select
        tiers.tier_row_id,
        'orphan_seller' as reason,
        concat('seller ', {{ in_words('tiers.seller_id') }}, ' has not landed') as detail
    from tiers
    left join {{ ref('stg_marketplace__users') }} as users on tiers.seller_id = users.user_id
    where users.user_id is null
),

{{ quarantined('reasons', 'tier_row_id', source('marketplace', 'seller_tier_history')) }}
