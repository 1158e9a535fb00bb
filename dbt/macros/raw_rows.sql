{# A key that comes back after its deletion lands anew, with a later extraction time than its deletion. #}
{% macro is_live() -%}
    (_deleted_at is null or _airbyte_extracted_at > _deleted_at)
{%- endmacro %}


{# Replays of a webhook share the event id; a payment without one is an event of its own. #}
{% macro payment_event_key() -%}
    coalesce(nullif({{ trimmed('event_id') }}, ''), concat('payment:', id))
{%- endmacro %}
