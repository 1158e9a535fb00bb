"""Who asks to be forgotten is, everywhere in raw, and stays so; nobody else is touched, and what was deleted stays deleted."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from airbyte import deletion_sweep, erasure
from stack import bigquery
from stack.failures import FINAL
from stack.settings import Settings
from tests.dbt import raw_tables

ASKS, OTHER = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
LANDED = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
GONE = {"_airbyte_extracted_at": LANDED, "_deleted_at": LANDED}


def person(user: str, **columns: Any) -> dict[str, Any]:
    named = {"email": f"{user[-1]}@example.org", "username": user[-1], "first_name": "Ada", "last_name": None}
    return {"id": user, **named, "_airbyte_extracted_at": LANDED, **columns}


@pytest.fixture
def raw(empty_raw: Settings) -> Settings:
    """Two people, each with an order, a review, an event and one of the order; a review of each is deleted."""
    bq = bigquery.client(empty_raw)
    bq.delete_table(erasure.TABLE, not_found_ok=True)
    raw_tables.replace(
        bq,
        dict.fromkeys(raw_tables.COLUMNS, ())
        | {
            "users": [person(ASKS), person(OTHER)],
            "orders": [
                {
                    "id": f"order of {user[-1]}",
                    "buyer_id": user,
                    "shipping_city": "Ulm",
                    "shipping_postal_code": "89073",
                    "_airbyte_extracted_at": LANDED,
                }
                for user in (ASKS, OTHER)
            ],
            "reviews": [
                {
                    "id": f"{user[-1]}{n}",
                    "reviewer_id": user,
                    "title": "Ada's",
                    "body": "I, Ada",
                    "rating": 5,
                    **deleted,
                }
                for user in (ASKS, OTHER)
                for n, deleted in enumerate(({"_airbyte_extracted_at": LANDED}, GONE))
            ],
            "event_log": [
                {"id": n, "entity_type": kind, "entity_id": entity, "event_data": json.dumps({"agent": "Mozilla"})}
                | {"_airbyte_extracted_at": LANDED}
                for n, (kind, entity) in enumerate(
                    (
                        ("user", ASKS),
                        ("user", OTHER),
                        ("order", "order of a"),
                        ("order", "order of b"),
                        # Keys of different tables may be alike.
                        ("product", "order of a"),
                    )
                )
            ],
        },
    )
    return empty_raw


def everything(raw: Settings) -> dict[tuple[str, str], dict[str, Any]]:
    bq = bigquery.client(raw)
    return {
        (of.table, str(row["id"])): row
        for of in erasure.PERSONAL
        for row in bigquery.query(bq, f"select * from raw.{of.table}")
    }


def test_only_the_persons_columns_are_emptied_and_nobody_elses(raw: Settings) -> None:
    before = everything(raw)
    erasure.request(raw, ASKS.upper(), "letter 7")
    erasure.request(raw, ASKS, "the same letter again")
    assert erasure.run(raw) == (1, 6, 0)
    after = everything(raw)
    changes = {
        key: {column for column in row if row[column] != before[key][column]}
        for key, row in after.items()
        if row != before[key]
    }
    assert changes == {
        ("users", ASKS): {"email", "username", "first_name", "_airbyte_extracted_at"},
        ("orders", "order of a"): {"shipping_city", "shipping_postal_code", "_airbyte_extracted_at"},
        ("reviews", "a0"): {"title", "body", "_airbyte_extracted_at"},
        ("reviews", "a1"): {"title", "body", "_airbyte_extracted_at", "_deleted_at"},
        ("event_log", "0"): {"event_data", "_airbyte_extracted_at"},
        ("event_log", "2"): {"event_data", "_airbyte_extracted_at"},
    }
    bq = bigquery.client(raw)
    live = bigquery.query(bq, f"select id from raw.reviews where {erasure.LIVE} order by id")
    assert [row["id"] for row in live] == ["a0", "b0"]
    (noted,) = bigquery.query(bq, f"select * from {erasure.TABLE}")
    assert (noted["user_id"], noted["reason"], noted["erased_rows"]) == (ASKS, "letter 7", 6)


def test_a_second_run_writes_nothing_and_what_the_source_sends_again_goes_again(raw: Settings) -> None:
    erasure.request(raw, ASKS, "")
    erasure.run(raw)
    emptied = everything(raw)
    assert erasure.run(raw) == (1, 0, 0)
    assert everything(raw) == emptied
    bigquery.query(bigquery.client(raw), "update raw.users set last_name = 'Lovelace' where id = @user", {"user": ASKS})
    assert erasure.run(raw) == (1, 1, 1)
    assert everything(raw)["users", ASKS]["last_name"] is None


def test_an_event_of_an_order_goes_when_the_order_is_emptied_and_deleted_or_lands_after_it(raw: Settings) -> None:
    bq = bigquery.client(raw)
    bigquery.query(bq, "update raw.orders set _deleted_at = @now where id = 'order of a'", {"now": LANDED})
    event = (
        "insert into raw.event_log (id, entity_type, entity_id, event_data, _airbyte_extracted_at)"
        " values ({}, 'order', '{}', json '1', @now)"
    )
    bigquery.query(bq, event.format(5, "a later order"), {"now": LANDED})
    erasure.request(raw, ASKS, "")
    erasure.run(raw)
    bigquery.query(bq, event.format(6, "order of a"), {"now": LANDED})
    order = "insert into raw.orders (id, buyer_id, _airbyte_extracted_at) values ('a later order', @user, current_timestamp())"
    bigquery.query(bq, order, {"user": ASKS})
    assert erasure.run(raw) == (1, 2, 1)
    left = bigquery.query(bq, "select id from raw.event_log where event_data is not null order by id")
    assert [row["id"] for row in left] == [1, 3, 4]


def test_a_request_counts_as_handled_when_a_run_that_died_had_emptied_everything(raw: Settings) -> None:
    erasure.request(raw, ASKS, "")
    erasure.run(raw)
    # The run before died between its updates.
    bigquery.query(bigquery.client(raw), f"update {erasure.TABLE} set erased_at = null, erased_rows = 0 where true")
    assert erasure.run(raw) == (1, 0, 0)
    (found,) = bigquery.query(bigquery.client(raw), f"select erased_at from {erasure.TABLE}")
    assert found["erased_at"] is not None


def test_of_a_row_that_landed_once_a_change_the_newest_version_stays_the_newest(raw: Settings) -> None:
    bq = bigquery.client(raw)
    # By its id alone, which decides between equals (stg_marketplace__event_log), the older one would come first.
    bigquery.query(bq, "update raw.event_log set processed = true, _airbyte_raw_id = 'a' where id = 0")
    bigquery.query(
        bq,
        "insert into raw.event_log (id, entity_id, event_data, processed, _airbyte_raw_id, _airbyte_extracted_at)"
        " select id, entity_id, event_data, false, 'z', timestamp_sub(_airbyte_extracted_at, interval 1 day)"
        " from raw.event_log where id = 0",
    )
    erasure.request(raw, ASKS, "")
    assert erasure.run(raw) == (1, 7, 0)
    versions = bigquery.query(
        bq,
        "select processed, event_data, _airbyte_extracted_at > @landed as is_changed from raw.event_log where id = 0"
        " order by _airbyte_extracted_at desc, _airbyte_raw_id desc",
        {"landed": LANDED},
    )
    assert [tuple(row.values()) for row in versions] == [(True, None, True), (False, None, False)]


def test_without_a_request_nothing_happens(raw: Settings) -> None:
    before = everything(raw)
    assert erasure.run(raw) == (0, 0, 0)
    assert everything(raw) == before


@pytest.mark.parametrize("user", ["' or true --", "", "00000000-0000-4000-8000-00000000000c"])
def test_a_request_for_nobody_is_refused(
    raw: Settings, user: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["erasure", "request", user])
    assert erasure.main() == FINAL
    assert capsys.readouterr().err.startswith("error: erasure stopped: ")
    assert erasure.run(raw) == (0, 0, 0)


def test_a_table_that_never_landed_is_named(
    raw: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    erasure.request(raw, ASKS, "")
    bigquery.client(raw).delete_table("raw.reviews")
    for program, arguments in ((erasure, ["run"]), (deletion_sweep, [])):
        monkeypatch.setattr("sys.argv", ["program", *arguments])
        assert program.main() == FINAL
        assert capsys.readouterr().err.endswith("stopped: raw.reviews has never landed: sync first\n")
