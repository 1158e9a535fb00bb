with source as (
    select * from {{ source('marketplace', 'users') }}
    where {{ is_live() }}
),

renamed as (
    select
        -- ids
        id as user_id,

        -- attributes
        email,
        username,
        user_type,
        first_name,
        last_name,
        nullif(upper({{ trimmed('country_code') }}), '') as country_code,
        seller_tier,
        seller_rating,
        is_active,
        deleted_at is not null as is_deleted,

        -- times
        created_at,
        updated_at,
        deleted_at,
        _airbyte_extracted_at
    from source
)

select * from renamed
