{# Dataset names are a contract with the other rooms: a model's schema is used as it is. Two callers build beside what is published: the parity audit sets a
   prefix, and the DAG builds its marts in another dataset until they are judged (stack/publish.py). #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set schema = var('marts_dataset', 'marts') if custom_schema_name == 'marts' else custom_schema_name or target.schema -%}
    {{ var('dataset_prefix', '') }}{{ schema }}
{%- endmacro %}
