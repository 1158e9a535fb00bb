{# Dataset names are a contract with the other rooms: a model's schema is used as it is. Only the parity audit, which builds beside what is published, sets a prefix. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ var('dataset_prefix', '') }}{{ custom_schema_name or target.schema }}
{%- endmacro %}
