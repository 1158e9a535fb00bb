"""A marketplace of two orders that is on the third night what it was on the first."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from tests.dbt import histories
from tests.dbt.histories import SYNCS


def landed(row: histories.Row, night: int = 0) -> histories.Row:
    """A raw row of that night."""
    landing = {"_airbyte_raw_id": f"{row['id']}-{night}", "_airbyte_extracted_at": SYNCS[night]}
    return landing | {"_airbyte_generation_id": 0} | row


def by_night(night: int) -> histories.Tables:
    """The raw tables. On night 1 the yen's rate is another and the euros' order is swept; on night 2 all is as on night 0."""
    day = histories.DAYS[1]
    time, yen = histories.at(day), Decimal(200 if night == 1 else 160)
    common = {"order_number": "N", "buyer_id": "b", "status": "delivered", "created_at": time}
    in_yen = {"id": "yen", "subtotal_amount": Decimal(1001), "total_amount": Decimal(1001), "currency": "JPY"}
    in_euros = {"id": "euros", "subtotal_amount": Decimal(100), "total_amount": Decimal(100), "currency": "EUR"}
    swept_at = SYNCS[1] + timedelta(minutes=5)
    swept: tuple[histories.Row, ...] = (
        {},
        {"_deleted_at": swept_at, "_airbyte_extracted_at": swept_at},
        {"_deleted_at": swept_at, "_airbyte_extracted_at": SYNCS[2]},
    )
    tables: histories.Tables = {table: [] for table in histories.TABLES}
    tables["orders"] = [landed(common | in_yen), landed(common | in_euros | swept[night])]
    tables["order_items"] = [
        landed({"id": f"i-{order}", "order_id": order, "unit_price": price, "total_price": price, "currency": code})
        for order, price, code in (("yen", Decimal(1001), "JPY"), ("euros", Decimal(100), "EUR"))
    ]
    tables["payments"] = [
        landed({"id": "p", "order_id": "yen", "amount": Decimal(1001), "currency": "JPY", "created_at": time})
    ]
    tables["seller_tier_history"] = [
        landed({"id": 1, "user_id": "s", "tier": "bronze", "effective_from": time, "created_at": time})
    ]
    tables["ecb_fx_rates"] = [
        histories.rate(day, "USD", Decimal("1.20"), 0),
        histories.rate(day, "JPY", yen, night),
    ]
    return tables
