with source as (
    select * from {{ source('marketplace', 'products') }}
    where {{ is_live() }}
),

renamed as (
    select
        -- ids
        id as product_id,
        seller_id,
        category_id,

        -- attributes
        title,
        description,
        status,
        tags,
        attributes,

        -- numerics
        price_amount,
        upper({{ trimmed('price_currency') }}) as price_currency,
        quantity_available,

        -- times
        created_at,
        -- No row can have changed after it was read: a later time is the source's mistake. When it really changed, nobody knows.
        case when updated_at <= _airbyte_extracted_at then updated_at end as updated_at,
        updated_at as source_updated_at,
        coalesce(updated_at > _airbyte_extracted_at, false) as is_updated_at_in_future,
        published_at,
        _airbyte_extracted_at
    from source
)

select * from renamed
