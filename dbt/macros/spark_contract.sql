{# Contracts on Spark. The YAML names BigQuery's types, for which Spark has other names; and where BigQuery has one type NUMERIC and one INT64, Spark's
   expressions have a width of their own. So decimals become NUMERIC and integers INT64 as they leave the model; any other difference fails the contract. #}

{% macro spark__type_numeric() -%}
    decimal(38,9)
{%- endmacro %}


{% macro spark_type(type) -%}
    {{ return({'int64': 'bigint', 'float64': 'double', 'numeric': dbt.type_numeric(), 'bool': 'boolean'}.get(type | lower, type)) }}
{%- endmacro %}


{# The query's columns in the model's types. #}
{% macro in_contract_types(sql) -%}
select
    {%- for column in get_column_schema_from_query(sql) %}
    {%- set declared = spark_type(model.columns[column.name].data_type) if column.name in model.columns %}
    {%- set is_width = (declared == 'bigint' and column.dtype == 'int') or (declared == dbt.type_numeric() and column.dtype.startswith('decimal')) %}
    {{ 'cast(' ~ column.quoted ~ ' as ' ~ declared ~ ') as ' ~ column.quoted if is_width else column.quoted }}{{ ',' if not loop.last }}
    {%- endfor %}
from (
{{ sql }}
) as contracted
{%- endmacro %}


{% macro spark__get_empty_schema_sql(columns) -%}
select
    {%- for name, column in columns.items() %}
    {%- if not column.data_type %}{{ exceptions.column_type_missing(column_names=[name]) }}{% endif %}
    cast(null as {{ spark_type(column.data_type) }}) as {{ adapter.quote(name) }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{% macro spark__get_assert_columns_equivalent(sql) -%}
    {{ return(assert_columns_equivalent(in_contract_types(sql))) }}
{%- endmacro %}


{# dbt writes a table by this, and an incremental batch and a view by the two below. #}
{% macro spark__get_select_subquery(sql) -%}
    {{ return(in_contract_types(sql)) }}
{%- endmacro %}


{% macro spark__create_temporary_view(relation, compiled_code) -%}
create or replace temporary view {{ relation }} as
{{ in_contract_types(compiled_code) if config.get('contract').enforced else compiled_code }}
{%- endmacro %}


{% macro spark__create_view_as(relation, sql) -%}
    {%- set is_contracted = config.get('contract').enforced %}
    {%- if is_contracted %}{{ get_assert_columns_equivalent(sql) }}{% endif %}
create or replace view {{ relation }} as
{{ in_contract_types(sql) if is_contracted else sql }}
{%- endmacro %}


{# dbt-spark would drop the seed's table first, which leaves its files where the new table is to be (spark_jobs/databases.py). #}
{% macro spark__reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
    {{ return(create_csv_table(model, agate_table)) }}
{%- endmacro %}


{% macro spark__create_csv_table(model, agate_table) -%}
    {%- set sql %}
create or replace table {{ this }} (
    {%- for name in agate_table.column_names %}
    {{ adapter.quote(name) }} {{ spark_type(model.config.column_types[name]) }}{{ ',' if not loop.last }}
    {%- endfor %}
) using delta
    {%- endset %}
    {%- call statement('create_csv_table') %}{{ sql }}{% endcall %}
    {{ return(sql) }}
{%- endmacro %}
