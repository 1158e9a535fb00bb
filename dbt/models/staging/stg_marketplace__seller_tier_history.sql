with source as (
    select * from {{ source('marketplace', 'seller_tier_history') }}
    where {{ is_live() }}
),

renamed as (
    select
        -- ids
        id as tier_row_id,
        user_id as seller_id,

        -- attributes
        tier,
        is_current,
        change_reason,

        -- times
        effective_from,
        effective_to,
        created_at,
        _airbyte_extracted_at
    from source
)

select * from renamed
