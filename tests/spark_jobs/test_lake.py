"""The lake's merge is a dictionary's update, whichever way it finds its rows; Delta holds every writer to a result's constraints."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from spark_jobs.lake import LARGE, Lake, Merged
from spark_jobs.tables import INT_ORDERS_USD, INT_SELLER_TIER_SCD2, ResultTable
from spark_jobs.warehouse import ARROW_TYPES, IS_DELETED

SCHEMA = "part int, id string, value string"
Rows = dict[tuple[int | None, str], str | None]
# Few keys, so that most rows meet one; a part of a key may be null.
KEYS = st.tuples(st.none() | st.integers(0, 2), st.sampled_from("abcdefgh"))
TABLES = st.dictionaries(KEYS, st.none() | st.sampled_from("xyz"), max_size=12)


def as_rows(table: Rows) -> list[tuple[int | None, str, str | None]]:
    return [(*key, value) for key, value in table.items()]


@pytest.mark.parametrize("held", [0, LARGE], ids=["a small table", "a large one"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=TABLES, upserts=TABLES, gone=st.sets(KEYS, max_size=4))
def test_a_merge_updates_inserts_and_deletes_by_key(
    spark: SparkSession, tmp_path: Path, held: int, before: Rows, upserts: Rows, gone: set[tuple[int | None, str]]
) -> None:
    upserts = {key: value for key, value in upserts.items() if key not in gone}
    source = [(*key, value, False) for key, value in upserts.items()] + [(*key, None, True) for key in gone]
    with Lake(spark, tmp_path.as_uri()) as lake:
        lake.overwrite("t", spark.createDataFrame(as_rows(before), SCHEMA))
        merged = lake.merge("t", spark.createDataFrame(source, f"{SCHEMA}, {IS_DELETED} boolean"), ["part", "id"], held)
        found = {(row.part, row.id): row.value for row in lake.read("t").collect()}
    assert found == {key: value for key, value in (before | upserts).items() if key not in gone}
    assert merged == Merged(
        inserted=len(upserts.keys() - before.keys()),
        updated=sum(before[key] != value for key, value in upserts.items() if key in before),
        deleted=len(before.keys() & gone),
    )


def test_a_table_just_made_is_staged_as_its_own_files_and_a_changed_one_is_not(
    spark: SparkSession, tmp_path: Path
) -> None:
    with Lake(spark, tmp_path.as_uri()) as lake:
        lake.overwrite("t", spark.createDataFrame([(1, name, "x") for name in "abc"], SCHEMA))
        made, position = lake.staged_whole("t", lake.position("t")), lake.position("t")
        assert (made.uri, made.rows) == (lake.uri("t"), 3)
        lake.merge(
            "t", spark.createDataFrame([(1, "b", None, True)], f"{SCHEMA}, {IS_DELETED} boolean"), ["part", "id"]
        )
        changed, earlier = (lake.staged_whole("t", at) for at in (lake.position("t"), position))
        assert (changed.rows, earlier.rows) == (2, 3)
        for staged in (changed, earlier):
            assert staged.uri.startswith(lake.uri("_staging/"))
            files = [f"{staged.uri}/{file}" for file in staged.files]
            assert spark.read.parquet(*files).count() == staged.rows


def adopt(lake: Lake, rows: dict[str, Decimal], numeric: str = "NUMERIC(18,2)") -> None:
    with lake.adopted("t", {"id": "STRING", "amount": numeric}) as (filesystem, folder):
        found = pa.table({"id": list(rows), "amount": pa.array(rows.values(), ARROW_TYPES[numeric])})
        pq.write_table(found, f"{folder}/a.parquet", filesystem=filesystem, store_decimal_as_integer=True)


def test_a_table_adopts_files_as_its_rows_and_is_merged_and_read_like_any_other(
    spark: SparkSession, tmp_path: Path
) -> None:
    with Lake(spark, tmp_path.as_uri()) as lake:

        def amounts() -> dict[str, Decimal]:
            return {row.id: row.amount for row in lake.read("t").collect()}

        adopt(lake, {"a": Decimal("1.00"), "b": Decimal("2.00")})
        first = lake.position("t")
        assert amounts() == {"a": Decimal("1.00"), "b": Decimal("2.00")}
        assert all("/t/landed-" in file for file in lake.read("t").inputFiles())
        merged = lake.merge("t", spark.sql("select 'b' as id, cast(3 as decimal(18,2)) as amount"), ["id"])
        assert merged == Merged(0, 1, 0)
        adopt(lake, {"b": Decimal("3.00"), "c": Decimal("4.00")})
        second = lake.position("t")
        assert (second.table_id, second.version) == (first.table_id, first.version + 2)
        assert amounts() == {"b": Decimal("3.00"), "c": Decimal("4.00")}
        net = Counter[tuple[str, Decimal]]()
        for row in lake.changes("t", first, second).collect():
            is_gone = row._change_type in {"delete", "update_preimage"}
            net[row.id, row.amount] += -1 if is_gone else 1
        assert {row: number for row, number in net.items() if number} == {
            ("a", Decimal("1.00")): -1,
            ("b", Decimal("2.00")): -1,
            ("b", Decimal("3.00")): 1,
            ("c", Decimal("4.00")): 1,
        }
        adopt(lake, {"d": Decimal("0.000000001")}, "NUMERIC")
        assert (lake.position("t").table_id, amounts()) == (first.table_id, {"d": Decimal("0.000000001")})
        assert lake.holds("t", {"id": "STRING", "amount": "NUMERIC"})
        assert not lake.holds("t", {"id": "STRING", "amount": "NUMERIC(18,2)"})


def test_files_that_could_not_be_written_are_no_part_of_the_table_and_go(spark: SparkSession, tmp_path: Path) -> None:
    with Lake(spark, tmp_path.as_uri()) as lake:
        adopt(lake, {"a": Decimal("1.00")})
        before = lake.position("t")
        with pytest.raises(OSError, match="disk"), lake.adopted("t", {"id": "STRING"}) as (_, folder):
            Path(folder, "a.parquet").touch()
            raise OSError("no space left on the disk")
        assert lake.position("t") == before
        assert len(list((tmp_path / "t").glob("landed-*"))) == 1


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (INT_ORDERS_USD, {"is_fx_missing": "true"}),
        (INT_ORDERS_USD, {"order_id": "'a'", "is_fx_missing": "false"}),
        (INT_SELLER_TIER_SCD2, {"seller_id": "'a'"}),
    ],
    ids=["no key", "a rate that is missing unsaid", "half a key"],
)
def test_delta_refuses_a_row_that_breaks_the_results_rules(
    spark: SparkSession, tmp_path: Path, table: ResultTable, values: dict[str, str]
) -> None:
    broken = table.conform(
        spark.sql("select " + ", ".join(f"{values.get(name, 'null')} as {name}" for name in table.columns))
    )
    with Lake(spark, tmp_path.as_uri()) as lake:
        lake.overwrite(table.lake_name, broken.limit(0), table.constraints)
        with pytest.raises(Exception, match="DELTA_VIOLATE_CONSTRAINT"):
            lake.merge(table.lake_name, broken, table.key)
        assert lake.read(table.lake_name).count() == 0
