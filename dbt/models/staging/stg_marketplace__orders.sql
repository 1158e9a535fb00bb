with source as (
    select * from {{ source('marketplace', 'orders') }}
    where {{ is_live() }}
),

renamed as (
    select
        -- ids
        id as order_id,
        order_number,
        buyer_id,

        -- attributes
        status,
        nullif(upper({{ trimmed('shipping_country') }}), '') as shipping_country,
        shipping_city,
        shipping_postal_code,

        -- numerics
        subtotal_amount,
        shipping_amount,
        tax_amount,
        discount_amount,
        total_amount,
        upper({{ trimmed('currency') }}) as currency,

        -- times
        {{ utc_date('created_at') }} as order_date,
        created_at,
        updated_at,
        -- The one column without a time zone at the source; its wall time is UTC.
        {{ utc_timestamp('confirmed_at') }} as confirmed_at,
        shipped_at,
        delivered_at,
        _airbyte_extracted_at
    from source
)

select * from renamed
