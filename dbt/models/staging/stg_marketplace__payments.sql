with source as (
    select * from {{ source('marketplace', 'payments') }}
    where {{ is_live() }}
),

renamed as (
    select
        -- ids
        id as payment_id,
        {{ payment_event_key() }} as event_key,
        nullif({{ trimmed('event_id') }}, '') as event_id,
        order_id,
        payment_provider_id,

        -- attributes
        payment_provider,
        status,

        -- numerics
        amount,
        upper({{ trimmed('currency') }}) as currency,
        platform_fee,
        seller_payout,

        -- times
        created_at,
        processed_at,
        event_timestamp,
        _airbyte_extracted_at
    from source
)

select * from renamed
