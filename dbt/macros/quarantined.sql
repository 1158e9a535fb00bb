{# The end of a quarantine model: its reasons with the raw row as it landed. `key` is the raw table's id under its staging name. #}
{% macro quarantined(reasons, key, raw_table) -%}
raw_rows as (
    select * from {{ raw_table }}
    where {{ is_live() }}
),

quarantined as (
    select
        reasons.{{ key }},
        reasons.reason,
        reasons.detail,
        coalesce(raw_rows.created_at, raw_rows._airbyte_extracted_at) as first_seen_at,
        raw_rows._airbyte_extracted_at as last_seen_at,
        {{ row_as_json('raw_rows') }} as raw_row
    from {{ reasons }} as reasons
    inner join raw_rows on reasons.{{ key }} = raw_rows.id
)

select * from quarantined
{%- endmacro %}
