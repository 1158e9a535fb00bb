{# Amounts that cannot be right: unknown (what the warehouse cannot hold has landed as null, decision 0011), less than nothing, or a fraction of a currency
   that has none. Free is allowed: a gift, a discount of all. The row is valued as it stands, flagged and in quarantine, until the source corrects it. #}

{% macro order_amount_fault(orders, minor_units) -%}
    {%- set amounts = ['subtotal_amount', 'shipping_amount', 'tax_amount', 'discount_amount', 'total_amount'] -%}
    case
        when {{ orders }}.subtotal_amount is null or {{ orders }}.total_amount is null then 'unknown_amount'
        when
            {%- for amount in amounts %}
            {{ 'or ' if not loop.first }}{{ orders }}.{{ amount }} < 0
            {%- endfor %}
            then 'negative_amount'
        when
            {%- for amount in amounts %}
            {{ 'or ' if not loop.first }}{{ is_fractional(orders ~ '.' ~ amount, minor_units ~ '.minor_units') }}
            {%- endfor %}
            then 'fractional_amount'
    end
{%- endmacro %}


{% macro item_amount_fault(items, minor_units) -%}
    case
        when {{ items }}.unit_price is null or {{ items }}.total_price is null then 'unknown_amount'
        when {{ items }}.unit_price < 0 or {{ items }}.total_price < 0 then 'negative_amount'
        when {{ items }}.quantity <= 0 then 'no_quantity'
        when {{ is_fractional(items ~ '.total_price', minor_units ~ '.minor_units') }} then 'fractional_amount'
        when {{ items }}.total_price <> {{ items }}.unit_price * {{ items }}.quantity then 'price_mismatch'
    end
{%- endmacro %}


{# A payment moves money: nothing at all is as wrong as less than nothing. #}
{% macro payment_amount_fault(payments, minor_units) -%}
    case
        when {{ payments }}.amount is null then 'unknown_amount'
        when {{ payments }}.amount < 0 then 'negative_amount'
        when {{ payments }}.amount = 0 then 'zero_amount'
        when {{ is_fractional(payments ~ '.amount', minor_units ~ '.minor_units') }} then 'fractional_amount'
    end
{%- endmacro %}


{# A currency without a minor unit has no half yen. A third decimal cannot be checked: the source keeps two. #}
{% macro is_fractional(amount, minor_units) -%}
    coalesce({{ minor_units }} = 0 and {{ amount }} <> round({{ amount }}, 0), false)
{%- endmacro %}
