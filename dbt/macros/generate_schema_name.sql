{# Dataset names are a contract with the other rooms: a model's schema is used as it is, without a prefix. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
