{# The newest day against the 28 days before it: returns that day when it has fewer rows than `at_least` times the mean of those days, or more than
   `at_most` times. Young tables, with less than a week before the newest day, are left alone. #}
{% test volume_is_usual(model, date_column, at_least=0.25, at_most=10) %}
with days as (
    select
        {{ date_column }} as day,
        count(*) as row_count
    from {{ model }}
    where {{ date_column }} is not null
    group by {{ date_column }}
),

newest as (
    select max(day) as day from days
),

before as (
    select
        count(*) as day_count,
        sum(days.row_count) / 28 as mean_row_count
    from days
    cross join newest
    where days.day < newest.day and {{ days_between('days.day', 'newest.day') }} <= 28
)

select
    days.day,
    days.row_count,
    before.mean_row_count
from days
inner join newest on days.day = newest.day
cross join before
where
    before.day_count >= 7
    and (
        days.row_count < {{ at_least }} * before.mean_row_count or days.row_count > {{ at_most }} * before.mean_row_count
    )
{% endtest %}
