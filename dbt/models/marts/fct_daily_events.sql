with events as (
    select
        *,
        coalesce({{ utc_date('event_timestamp') }}, {{ utc_date('received_at') }}, {{ utc_date('_airbyte_extracted_at') }}) as event_date,
        {{ seconds_between('event_timestamp', 'received_at') }} as delay_seconds
    from {{ ref('stg_marketplace__event_log') }}
),

-- By the day on which it happened: an event that arrives late is counted where it belongs, and as late.
daily as (
    select
        event_date,
        event_type,
        entity_type,
        count(*) as event_count,
        sum(case when delay_seconds > 3600 then 1 else 0 end) as late_event_count,
        sum(case when not is_processed then 1 else 0 end) as unprocessed_event_count,
        max(delay_seconds) as max_delay_seconds
    from events
    group by
        event_date,
        event_type,
        entity_type
)

select * from daily
