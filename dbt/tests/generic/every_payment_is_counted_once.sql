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

numbered as (
    select
        *,
        row_number() over (
            partition by event_key order by event_timestamp nulls first, created_at nulls first, id
        ) as from_first,
        row_number() over (
            partition by event_key order by event_timestamp desc nulls last, created_at desc nulls last, id desc
        ) as from_last
    from live_rows
),

expected as (
    select
        event_key,
        count(*) - 1 as duplicate_count,
        max(case when from_first = 1 then id end) as payment_id,
        max(case when from_first = 1 then seen_at end) as first_seen_at,
        max(case when from_last = 1 then seen_at end) as last_seen_at,
        max(case when from_last = 1 then status end) as status,
        max(case when from_last = 1 then amount end) as amount
    from numbered
    group by event_key
)

{% set compared = ['payment_id', 'duplicate_count', 'first_seen_at', 'last_seen_at', 'status', 'amount'] -%}
select
    expected.event_key as expected_event_key,
    found.event_key as found_event_key,
    {%- for column in compared %}
    expected.{{ column }} as expected_{{ column }},
    found.{{ column }} as found_{{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
from expected
full outer join {{ model }} as found on expected.event_key = found.event_key
where
    expected.event_key is null
    or found.event_key is null
    {%- for column in compared %}
    or expected.{{ column }} is distinct from found.{{ column }}
    {%- endfor %}
{% endtest %}
