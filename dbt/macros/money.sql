{# Exact to the cent: whole cents times a rate of 9 decimals fit NUMERIC's 9 decimals, so the only rounding is this one, half away from zero.
   `round(amount * rate, 2)` would round twice on BigQuery, whose products are already cut to 9 decimals. #}
{% macro to_usd(amount, rate) -%}
    {{ return(adapter.dispatch('to_usd')(amount, rate)) }}
{%- endmacro %}

{% macro default__to_usd(amount, rate) -%}
    {#- The casts change nothing; they say to the emulator, which has a quicker way to round a product of NUMERIC, that this is one. -#}
    {% set numeric = dbt.type_numeric() -%}
    round(cast({{ amount }} as {{ numeric }}) * 100 * cast({{ rate }} as {{ numeric }}), 0) * cast('0.01' as {{ numeric }})
{%- endmacro %}

{% macro spark__to_usd(amount, rate) -%}
    round(round({{ amount }} * 100 * {{ rate }}, 0) * cast('0.01' as {{ dbt.type_numeric() }}), 2)
{%- endmacro %}


{# An amount in another currency by way of its dollars, which are not rounded on the way: to the hundredth, once. #}
{% macro in_currency(amount, rate, other_rate) -%}
    {%- set numeric = dbt.type_numeric() -%}
    cast(
        round(round({{ quotient(amount ~ ' * 100 * ' ~ rate, other_rate) }}, 0) * cast('0.01' as {{ numeric }}), 2) as {{ numeric }}
    )
{%- endmacro %}


{# One US dollar is one US dollar on every day, also where the ECB published nothing. #}
{% macro fx_rate_usd(currency, published_rate) -%}
    case when {{ currency }} = 'USD' then cast(1 as {{ dbt.type_numeric() }}) else {{ published_rate }} end
{%- endmacro %}


{# One number by another as NUMERIC: rounded at its ninth decimal, half away from zero, so that a second rounding finds the same digits on every engine.
   Integers too: a division of integers is a float, of which no engine's `round` is exact. #}
{% macro quotient(dividend, divisor) -%}
    {{ return(adapter.dispatch('quotient')(dividend, divisor)) }}
{%- endmacro %}

{% macro default__quotient(dividend, divisor) -%}
    cast({{ dividend }} as {{ dbt.type_numeric() }}) / {{ divisor }}
{%- endmacro %}

{% macro spark__quotient(dividend, divisor) -%}
    round(cast({{ dividend }} as {{ dbt.type_numeric() }}) / {{ divisor }}, 9)
{%- endmacro %}
