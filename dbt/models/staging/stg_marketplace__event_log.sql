with source as (
    select * from {{ source('marketplace', 'event_log') }}
),

-- The log may land a row once per change: the version read last is what it says now.
latest as (
    select * from source
    qualify row_number() over (partition by id order by _airbyte_extracted_at desc, _airbyte_raw_id desc) = 1
),

renamed as (
    select
        -- ids
        id as event_log_id,
        entity_id,

        -- attributes
        event_type,
        entity_type,
        event_data,
        processed as is_processed,

        -- times: rows arrive out of order, so only event_timestamp says when it happened
        event_timestamp,
        received_at,
        _airbyte_extracted_at
    from latest
    where {{ is_live() }}
)

select * from renamed
