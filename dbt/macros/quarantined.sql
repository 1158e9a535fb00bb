{# The end of a quarantine model: its reasons with the raw row as it landed. `key` is the raw table's id under its staging name; where another row than the
   one that gives the key its name has the fault, `row_id` is the column with that row's id.

   The table is made anew at each run, so that a repaired row leaves by itself. Only first_seen_at is taken over: from ops.quarantine_first_seen, which
   the run before made of the tables here. Looked up by name, as it is made after them; a full refresh keeps it too. #}
{% macro quarantined(reasons, key, raw_table, row_id=none) -%}
{%- set memory = adapter.get_relation(target.database, 'ops', 'quarantine_first_seen') if execute -%}
raw_rows as (
    select * from {{ raw_table }}
    where {{ is_live() }}
),
{% if memory %}
known as (
    select * from {{ memory }}
    where entity = '{{ raw_table.identifier }}'
),
{% endif %}
quarantined as (
    select
        reasons.{{ key }},
        reasons.reason,
        reasons.detail,
        {% if memory -%}
        -- The row shown may be an older one than before: of an event whose last row was deleted.
        case
            when known.first_seen_at < raw_rows._airbyte_extracted_at then known.first_seen_at
            else raw_rows._airbyte_extracted_at
        end as first_seen_at,
        {%- else -%}
        raw_rows._airbyte_extracted_at as first_seen_at,
        {%- endif %}
        raw_rows._airbyte_extracted_at as last_seen_at,
        {{ row_as_json('raw_rows') }} as raw_row
    from {{ reasons }} as reasons
    inner join raw_rows on reasons.{{ row_id or key }} = raw_rows.id
    {%- if memory %}
    left join known on cast(reasons.{{ key }} as string) = known.entity_key and reasons.reason = known.reason
    {%- endif %}
)

select * from quarantined
{%- endmacro %}


{# A value as a part of a sentence: with null there would be no sentence. #}
{% macro in_words(text, unknown='unknown') -%}
    coalesce({{ text }}, '{{ unknown }}')
{%- endmacro %}
