{{ config(materialized='view') }}

{# What each heavy step would have to read: the volume by which the engine is chosen. The heavy tables are looked up by name, not by ref(): this view is made
   before the engine that makes them is chosen, and on a first run they do not exist. #}
{% set steps = [
    ('int_payments_deduplicated', 'payments', 'event_key', payment_event_key()),
    ('int_orders_usd', 'orders', 'order_id', 'id'),
    ('int_order_items_usd', 'order_items', 'order_item_id', 'id'),
    ('int_seller_tier_scd2', 'seller_tier_history', 'seller_id', 'user_id'),
] %}

-- A seller whose only tier row is empty, or without a beginning, has no period, however often that row is read.
with last_tier_rows as (
    select
        user_id,
        effective_from,
        coalesce(effective_to > effective_from, true) as is_filled
    from {{ source('marketplace', 'seller_tier_history') }}
    where {{ is_live() }} and effective_from is not null
    qualify row_number() over (
        partition by user_id, effective_from order by created_at desc nulls last, id desc
    ) = 1
),

sellers_with_periods as ( -- noqa: ST03
    select user_id from last_tier_rows
    group by user_id
    having count(*) > 1 or max(case when is_filled then 1 else 0 end) = 1
),

{% for heavy_model, raw_table, key, raw_key in steps -%}
{% set stored = adapter.get_relation(target.database, 'intermediate', heavy_model) if execute -%}
{{ raw_table }} as (
    select
        '{{ heavy_model }}' as heavy_model,
        '{{ raw_table }}' as raw_table,
        count(*) as pending_rows
    from {{ source('marketplace', raw_table) }}
    {%- if stored %}
    -- Above the table's own watermark. A deleted row counts as long as the table still shows its key: then it is gone for good.
    where
        _airbyte_extracted_at > (
            select coalesce(max(_raw_extracted_at), timestamp('0001-01-01')) from {{ stored }}
        )
        and (
            {% if raw_table == 'seller_tier_history' -%}
            user_id in (select user_id from sellers_with_periods)
            {%- else -%}
            {{ is_live() }}
            {%- endif %}
            or {{ raw_key }} in (select {{ key }} from {{ stored }})
        )
    {%- endif %}
),

{% endfor -%}
pending as (
    {%- for _, raw_table, _, _ in steps %}
    select * from {{ raw_table }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select * from pending
