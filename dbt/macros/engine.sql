{# Expressions that engines spell differently, in one place. Times are UTC throughout. #}

{% macro utc_date(timestamp) -%}
    {{ return(adapter.dispatch('utc_date')(timestamp)) }}
{%- endmacro %}

{% macro default__utc_date(timestamp) -%}
    date({{ timestamp }})
{%- endmacro %}


{# A wall time without zone, known to be UTC, as a point in time. #}
{% macro utc_timestamp(wall_time) -%}
    {{ return(adapter.dispatch('utc_timestamp')(wall_time)) }}
{%- endmacro %}

{% macro default__utc_timestamp(wall_time) -%}
    timestamp({{ wall_time }}, 'UTC')
{%- endmacro %}

{# The session's time zone is UTC. #}
{% macro spark__utc_timestamp(wall_time) -%}
    cast({{ wall_time }} as timestamp)
{%- endmacro %}


{# Joins `n` to each row as 0, 1, … `last` (an expression of that row). #}
{% macro cross_join_numbers(last) -%}
    {{ return(adapter.dispatch('cross_join_numbers')(last)) }}
{%- endmacro %}

{% macro default__cross_join_numbers(last) -%}
    cross join unnest(generate_array(0, {{ last }})) as n
{%- endmacro %}

{% macro spark__cross_join_numbers(last) -%}
    lateral view explode(sequence(0, {{ last }})) as n
{%- endmacro %}


{% macro add_days(date, days) -%}
    {{ return(adapter.dispatch('add_days')(date, days)) }}
{%- endmacro %}

{% macro default__add_days(date, days) -%}
    date_add({{ date }}, interval {{ days }} day)
{%- endmacro %}

{% macro spark__add_days(date, days) -%}
    date_add({{ date }}, {{ days }})
{%- endmacro %}


{% macro days_between(first, last) -%}
    {{ return(adapter.dispatch('days_between')(first, last)) }}
{%- endmacro %}

{% macro default__days_between(first, last) -%}
    date_diff({{ last }}, {{ first }}, day)
{%- endmacro %}

{% macro spark__days_between(first, last) -%}
    date_diff({{ last }}, {{ first }})
{%- endmacro %}


{# Days from one date to a later one: 0 when it is not later, null when one of them is not known. Not `greatest`, which leaves nulls out on Spark and is null
   for one on BigQuery. #}
{% macro days_since(first, last) -%}
    case when {{ last }} < {{ first }} then 0 else {{ days_between(first, last) }} end
{%- endmacro %}


{# Calendar months from one first-of-month to another. #}
{% macro months_between(first, last) -%}
    {{ return(adapter.dispatch('months_between')(first, last)) }}
{%- endmacro %}

{% macro default__months_between(first, last) -%}
    date_diff({{ last }}, {{ first }}, month)
{%- endmacro %}

{% macro spark__months_between(first, last) -%}
    cast(months_between({{ last }}, {{ first }}) as int)
{%- endmacro %}


{% macro month_start(date) -%}
    {{ return(adapter.dispatch('month_start')(date)) }}
{%- endmacro %}

{% macro default__month_start(date) -%}
    date_trunc({{ date }}, month)
{%- endmacro %}

{% macro spark__month_start(date) -%}
    trunc({{ date }}, 'month')
{%- endmacro %}


{# Text without the spaces (U+0020) round it, and with whatever else is there: left to itself, BigQuery's trim takes every kind of white space, the emulator's
   some kinds, Spark's the space alone, and an event id with a tab behind it would be one event here and two there. #}
{% macro trimmed(text) -%}
    {{ return(adapter.dispatch('trimmed')(text)) }}
{%- endmacro %}

{% macro default__trimmed(text) -%}
    trim({{ text }}, ' ')
{%- endmacro %}

{% macro spark__trimmed(text) -%}
    trim({{ text }})
{%- endmacro %}


{# A whole row of a relation, by its alias, as JSON text: every column by its name. How a value is spelled is the engine's. #}
{% macro row_as_json(alias) -%}
    {{ return(adapter.dispatch('row_as_json')(alias)) }}
{%- endmacro %}

{% macro default__row_as_json(alias) -%}
    to_json_string({{ alias }})
{%- endmacro %}

{% macro spark__row_as_json(alias) -%}
    to_json(
        struct({{ alias }}.*),
        map(
            'ignoreNullFields', 'false',
            'timestampFormat', 'yyyy-MM-dd HH:mm:ss.SSSSSSXXX', 'timestampNTZFormat', 'yyyy-MM-dd HH:mm:ss.SSSSSS'
        )
    )
{%- endmacro %}


{# An amount as text, with two decimals; null in words, as half a sentence is no sentence. #}
{% macro money_text(amount) -%}
    coalesce({{ adapter.dispatch('money_text')(amount) }}, 'unknown')
{%- endmacro %}

{% macro default__money_text(amount) -%}
    format('%.2f', {{ amount }})
{%- endmacro %}

{% macro spark__money_text(amount) -%}
    cast(cast({{ amount }} as decimal(38, 2)) as string)
{%- endmacro %}


{% macro seconds_between(first, last) -%}
    {{ return(adapter.dispatch('seconds_between')(first, last)) }}
{%- endmacro %}

{% macro default__seconds_between(first, last) -%}
    timestamp_diff({{ last }}, {{ first }}, second)
{%- endmacro %}

{% macro spark__seconds_between(first, last) -%}
    timestampdiff(second, {{ first }}, {{ last }})
{%- endmacro %}


{# Later than every time in the data. #}
{% macro end_of_time() -%}
    cast('9999-12-31 00:00:00+00:00' as timestamp)
{%- endmacro %}
