{# A difference that is no larger than what the payments in other currencies cannot say is none. #}
{% macro beyond_rounding(amount) -%}
    case when abs({{ amount }}) <= rounding_amount then 0 else {{ amount }} end
{%- endmacro %}


{# What became of an order's money, whatever became of the order. Over the columns of fct_payment_reconciliation's `compared`. #}
{% macro reconciliation_status() -%}
    case
        when not has_order then 'no_order'
        when payment_events = 0 then 'no_payment'
        when captured_events = 0 and open_events > 0 then 'pending'
        when captured_events = 0 then 'failed'
        when paid_amount is null or order_total is null then 'unconverted'
        when paid_amount > 0 and refunded_amount = paid_amount then 'refunded'
        when difference = 0 then 'matched'
        when difference > 0 then 'underpaid'
        else 'overpaid'
    end
{%- endmacro %}


{# What finance has to know, order and money together: the first that applies. paid_in_full, refunded_in_full, excess_refunded,
   cancelled_unpaid and nothing_owed need nobody. A capture that is still open may arrive, whatever became of the order. Captured money whose amount cannot be right says nothing of what is owed, so it comes before any comparison. #}
{% macro reconciliation_reason() -%}
    case
        when not has_order then 'order_missing'
        when faulty_captures > 0 or order_total is null then 'amount_fault'
        when paid_amount is null then 'rate_missing'
        when captured_events = 0 and open_events > 0 then 'capture_open'
        when captured_events = 0 and order_status = 'cancelled' then 'cancelled_unpaid'
        when captured_events = 0 and order_total = 0 then 'nothing_owed'
        when captured_events = 0 and order_status = 'pending' then 'awaiting_payment'
        when captured_events = 0 and payment_events > 0 then 'attempts_failed'
        when captured_events = 0 then 'payment_missing'
        when disputed_amount > 0 then 'disputed'
        when order_status in ('cancelled', 'refunded') and refunded_amount < paid_amount then 'refund_missing'
        when order_status not in ('cancelled', 'refunded') and refunded_amount > 0 and difference_kept <> 0
            then 'refund_unexpected'
        when refunded_amount = 0 and difference > 0 then 'short_payment'
        when refunded_amount = 0 and difference < 0 and captured_events > 1 then 'several_captures'
        when refunded_amount = 0 and difference < 0 then 'excess_payment'
        when has_payout_mismatch then 'payout_mismatch'
        when order_status in ('cancelled', 'refunded') and refunded_amount > 0 then 'refunded_in_full'
        when refunded_amount > 0 then 'excess_refunded'
        else 'paid_in_full'
    end
{%- endmacro %}
