{# The last complete day, the one before the newest, against the mean of the days before it, at most 28: returns that day when it has fewer rows than
   `at_least` times the mean, or more than `at_most` times. A day without a row is one of them, from the first day on. Tables with rows on fewer than
   seven of these days are left alone. #}
{% test volume_is_usual(model, date_column, at_least=0.25, at_most=10) %}
with days as (
    select
        {{ date_column }} as day,
        count(*) as row_count
    from {{ model }}
    where {{ date_column }} is not null
    group by {{ date_column }}
),

judged as (
    select
        {{ add_days('max(day)', -1) }} as day,
        min(day) as first_day
    from days
),

counted as (
    select
        judged.day,
        least({{ days_between('judged.first_day', 'judged.day') }}, 28) as days_before,
        sum(case when days.day < judged.day then 1 else 0 end) as days_with_rows,
        coalesce(sum(case when days.day = judged.day then days.row_count end), 0) as row_count,
        coalesce(sum(case when days.day < judged.day then days.row_count end), 0) as rows_before
    from judged
    cross join days
    where {{ days_between('days.day', 'judged.day') }} between 0 and 28
    group by judged.day, judged.first_day
)

select * from counted
where
    days_with_rows >= 7
    and (
        row_count * days_before < {{ at_least }} * rows_before
        or row_count * days_before > {{ at_most }} * rows_before
    )
{% endtest %}
