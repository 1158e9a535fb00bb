{# Deduplication neither loses nor counts twice: worked out from raw again, by other means than the model. Returns the events whose number of live rows, first
   row or last row is not what raw says, missing and surplus events included. #}
{% test every_payment_is_counted_once(model) %}
with live_rows as (
    select
        *,
        {{ payment_event_key() }} as event_key,
        coalesce(event_timestamp, created_at) as seen_at
    from {{ source('marketplace', 'payments') }}
    where {{ is_live() }}
),

expected as (
    select
        event_key,
        count(*) as live_rows,
        sum(1) - 1 as duplicate_count,
        min(seen_at) as first_seen_at,
        max(seen_at) as last_seen_at,
        max(case when rows_before = 0 then id end) as payment_id
    from (
        select
            live_rows.*,
            row_number() over (
                partition by event_key order by event_timestamp nulls first, created_at nulls first, id
            ) - 1 as rows_before
        from live_rows
    )
    group by event_key
)

select
    expected.event_key as expected_event_key,
    found.event_key as found_event_key,
    expected.payment_id as expected_payment_id,
    found.payment_id as found_payment_id,
    expected.duplicate_count as expected_duplicate_count,
    found.duplicate_count as found_duplicate_count
from expected
full outer join {{ model }} as found on expected.event_key = found.event_key
where
    expected.event_key is null
    or found.event_key is null
    or expected.payment_id <> found.payment_id
    or expected.duplicate_count <> found.duplicate_count
{% endtest %}
