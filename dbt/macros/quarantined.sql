{# The end of a quarantine model: its reasons with the raw row as it landed. `key` is the raw table's id under its staging name.

   The table is made anew at each run, so that a repaired row leaves by itself; only first_seen_at is taken over from the table before. It is the
   quarantine's own memory: a full refresh keeps it too. #}
{% macro quarantined(reasons, key, raw_table) -%}
{%- set before = load_relation(this) -%}
raw_rows as (
    select * from {{ raw_table }}
    where {{ is_live() }}
),
{% if before %}
known as (
    select
        {{ key }},
        reason,
        first_seen_at
    from {{ before }}
),
{% endif %}
quarantined as (
    select
        reasons.{{ key }},
        reasons.reason,
        reasons.detail,
        {{ 'coalesce(known.first_seen_at, raw_rows._airbyte_extracted_at)' if before else 'raw_rows._airbyte_extracted_at' }} as first_seen_at,
        raw_rows._airbyte_extracted_at as last_seen_at,
        {{ row_as_json('raw_rows') }} as raw_row
    from {{ reasons }} as reasons
    inner join raw_rows on reasons.{{ key }} = raw_rows.id
    {%- if before %}
    left join known on reasons.{{ key }} = known.{{ key }} and reasons.reason = known.reason
    {%- endif %}
)

select * from quarantined
{%- endmacro %}
