"""The rules of a payment event, each on a table small enough to see."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.payment_dedup import deduplicate, deduplicate_all
from spark_jobs.tables import INT_PAYMENTS_DEDUPLICATED, PAYMENTS, SPARK_TYPES
from tests.spark_jobs.marketplace import Row, at, by_key, deduplicated, frame, rows_of

ONE, TWO, THREE = at("2026-03-01 10:00"), at("2026-03-01 10:01"), at("2026-03-01 10:02")


def events(spark: SparkSession, *payments: Row) -> dict[str, Row]:
    """The events by key, which both forms of the job agree on."""
    rows = frame(spark, PAYMENTS, list(payments))
    found = by_key(INT_PAYMENTS_DEDUPLICATED, rows_of(deduplicate(rows)))
    assert by_key(INT_PAYMENTS_DEDUPLICATED, rows_of(deduplicate_all(rows))) == found
    return {row["event_key"]: row for row in found.values()}


def payment(id_: str, event_id: str | None = "e", when: Any = ONE, **columns: Any) -> Row:
    return {"id": id_, "event_id": event_id, "event_timestamp": when, "created_at": ONE} | columns


def test_the_columns_are_the_contract(spark: SparkSession) -> None:
    found = deduplicate(frame(spark, PAYMENTS, []))
    assert found.dtypes == [(name, SPARK_TYPES[type_]) for name, type_ in INT_PAYMENTS_DEDUPLICATED.columns.items()]


def test_replays_keep_the_first_rows_identity_and_the_last_rows_state(spark: SparkSession) -> None:
    found = events(
        spark,
        payment("b", when=TWO, created_at=TWO, status="completed", amount=Decimal("2.50"), currency=" eur "),
        payment("a", when=ONE, created_at=ONE, status="pending", amount=Decimal("1.50"), currency="USD"),
        payment("alone", event_id="other", status="failed"),
    )
    assert set(found) == {"e", "other"}
    event = found["e"]
    assert (event["payment_id"], event["created_at"], event["first_seen_at"]) == ("a", ONE, ONE)
    assert (event["status"], event["amount"], event["currency"]) == ("completed", Decimal("2.50"), "EUR")
    assert (event["duplicate_count"], event["last_seen_at"]) == (1, TWO)
    assert (found["other"]["payment_id"], found["other"]["duplicate_count"]) == ("alone", 0)


@pytest.mark.parametrize("blank", [None, "", "   "])
def test_a_payment_without_an_event_id_is_its_own_event(spark: SparkSession, blank: str | None) -> None:
    found = events(spark, payment("a", blank), payment("b", blank))
    assert {key: (row["payment_id"], row["event_id"]) for key, row in found.items()} == {
        "payment:a": ("a", None),
        "payment:b": ("b", None),
    }


def test_an_event_id_may_be_the_key_of_a_payment_without_one(spark: SparkSession) -> None:
    """Then the two are one event, as the key says, by whichever form."""
    found = events(spark, payment("a", None), payment("b", "payment:a", TWO), payment("c", None))
    assert {key: (row["payment_id"], row["duplicate_count"]) for key, row in found.items()} == {
        "payment:a": ("a", 1),
        "payment:c": ("c", 0),
    }


def test_a_refund_without_an_event_time_is_no_older_than_its_purchase(spark: SparkSession) -> None:
    event = events(
        spark,
        payment("a", when=ONE, created_at=ONE, status="completed"),
        payment("b", when=None, created_at=THREE, status="refunded"),
    )["e"]
    assert (event["payment_id"], event["status"], event["created_at"]) == ("a", "refunded", ONE)
    assert (event["first_seen_at"], event["last_seen_at"]) == (ONE, THREE)


def test_an_event_id_is_compared_without_the_spaces_round_it(spark: SparkSession) -> None:
    found = events(spark, payment("a", " e"), payment("b", "e ", TWO))
    assert [(row["payment_id"], row["event_id"], row["duplicate_count"]) for row in found.values()] == [("a", "e", 1)]


def test_white_space_that_is_no_space_is_part_of_an_event_id(spark: SparkSession) -> None:
    ids = ["e", "e\t", "e\n", "e\N{NO-BREAK SPACE}", "\t"]
    assert set(events(spark, *(payment(f"{n}", event_id) for n, event_id in enumerate(ids)))) == set(ids)


@pytest.mark.parametrize(
    ("rows", "first", "last"),
    [
        ([payment("a", when=None, created_at=THREE), payment("b", when=TWO)], "b", "a"),
        ([payment("a", when=None, created_at=ONE), payment("b", when=TWO)], "a", "b"),
        ([payment("b", when=None, created_at=None), payment("a", when=ONE)], "b", "a"),
        ([payment("a", created_at=None), payment("b", created_at=ONE)], "a", "b"),
        ([payment("a", created_at=TWO), payment("b", created_at=ONE)], "b", "a"),
        ([payment("10"), payment("9")], "10", "9"),
    ],
    ids=[
        "no event time: its creation, later",
        "no event time: its creation, earlier",
        "no time at all comes first",
        "then no creation time",
        "then the earlier creation",
        "then the id as text",
    ],
)
def test_the_order_is_total(spark: SparkSession, rows: list[Row], first: str, last: str) -> None:
    event = events(spark, *({**row, "status": row["id"]} for row in rows))["e"]
    assert (event["payment_id"], event["status"]) == (first, last)


def test_a_row_without_an_event_time_is_seen_when_it_was_created(spark: SparkSession) -> None:
    event = events(spark, payment("a", when=None, created_at=TWO), payment("b", when=None, created_at=THREE))["e"]
    assert (event["first_seen_at"], event["last_seen_at"]) == (TWO, THREE)


def test_a_late_earlier_row_takes_over_the_identity(spark: SparkSession) -> None:
    rows = [payment("b", when=TWO), payment("c", when=THREE)]
    assert events(spark, *rows)["e"]["payment_id"] == "b"
    assert events(spark, *rows, payment("z", when=ONE))["e"]["payment_id"] == "z"


def test_deleted_rows_count_only_for_the_watermark(spark: SparkSession) -> None:
    day = {number: at(f"2026-04-0{number}") for number in (1, 2, 3)}
    gone = {"_airbyte_extracted_at": day[3], "_deleted_at": day[3]}
    back = {"_airbyte_extracted_at": day[2], "_deleted_at": day[1]}
    found = events(
        spark,
        payment("a", when=ONE, **gone),
        payment("b", when=TWO, _airbyte_extracted_at=day[1]),
        payment("c", "gone", **gone),
        payment("d", "gone too", **gone),
        payment("e", "gone too", **gone),
        payment("f", "back", **back),
    )
    assert set(found) == {"e", "back"}
    assert (found["e"]["payment_id"], found["e"]["duplicate_count"]) == ("b", 0)
    assert found["e"]["_raw_extracted_at"] == day[3]
    assert found["back"]["_raw_extracted_at"] == day[2]


def test_many_random_events(spark: SparkSession) -> None:
    """Both forms and the oracle on values from small pools, in which ties, nulls, blanks and deletions are common."""
    chance = random.Random(7)
    times = [None, ONE, ONE, TWO, THREE]
    payments = [
        payment(
            f"{number:04}",
            chance.choice([None, " ", *(f"{' ' * chance.randint(0, 1)}e{chance.randint(0, 400)}" for _ in range(9))]),
            chance.choice(times),
            created_at=chance.choice(times),
            status=chance.choice(["pending", "completed"]),
            currency=chance.choice(["usd", " EUR", None]),
            amount=Decimal(number),
            _deleted_at=chance.choice([None, None, None, at("2026-06-01")]),
            _airbyte_extracted_at=chance.choice([at("2026-05-01"), at("2026-07-01")]),
        )
        for number in range(900)
    ]
    columns = dict.fromkeys(PAYMENTS.columns)
    expected = by_key(INT_PAYMENTS_DEDUPLICATED, deduplicated([columns | row for row in payments]))
    found = events(spark, *payments)
    assert {(key,): row for key, row in found.items()} == expected
    seen = [(row["first_seen_at"], row["last_seen_at"]) for row in found.values()]
    assert all(first is None or first <= last for first, last in seen)


@pytest.mark.parametrize("max_verdicts", [0, 1000], ids=["too many for verdicts", "verdicts"])
def test_an_event_replayed_ten_thousand_times_is_one(spark: SparkSession, max_verdicts: int) -> None:
    replays = frame(spark, PAYMENTS, [payment("x", when=None), payment("alone", event_id="other")])
    replays = replays.withColumn(
        "_n", F.explode(F.when(F.col("id") == "x", F.sequence(F.lit(1), F.lit(10_000))).otherwise(F.array(F.lit(0))))
    )
    replays = replays.withColumn("id", F.format_string("%s-%05d", "id", "_n")).drop("_n")
    found = {row["event_key"]: row for row in rows_of(deduplicate_all(replays, max_verdicts))}
    assert {key: (row["payment_id"], row["duplicate_count"]) for key, row in found.items()} == {
        "e": ("x-00001", 9_999),
        "other": ("alone-00000", 0),
    }


def test_events_of_one_hash_are_still_two(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "xxhash64", lambda *_: F.lit(1))
    found = events(spark, payment("a", "e"), payment("b", "f"), payment("c", "f", TWO))
    assert {key: row["duplicate_count"] for key, row in found.items()} == {"e": 0, "f": 1}
