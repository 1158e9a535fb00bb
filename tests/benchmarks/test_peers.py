"""Engines are compared only when they did the same: the checksum sees every difference of content and none of form, and engines agree on a marketplace."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from benchmarks import peers
from benchmarks.engines.in_duckdb import DuckDB
from benchmarks.memory import size_in_bytes

COLUMNS = {"id": "STRING", "amount": "NUMERIC", "at": "TIMESTAMP", "number": "INT64", "is_it": "BOOL", "day": "DATE"}
ROWS = [
    "('a', 1.50::decimal(18, 2), timestamptz '2026-01-01 00:00:00+00', 1::bigint, true, date '2026-01-01')",
    "('b', null, null, null, null, null)",
    "('b', 2.00::decimal(18, 2), timestamptz '2026-01-01 00:00:00.000001+00', 2::bigint, false, date '2026-01-02')",
]


def written(folder: Path, files: list[list[str]], **types: str) -> Path:
    """Rows in one or more Parquet files; `types` casts a column to another."""
    folder.mkdir(parents=True)
    columns = ", ".join(f'"{name}"::{types[name]} as "{name}"' if name in types else f'"{name}"' for name in COLUMNS)
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    with duckdb.connect() as engine:
        for number, rows in enumerate(files):
            values = f"(values {', '.join(rows)}) as t({names})"
            engine.execute(f"copy (select {columns} from {values}) to '{folder}/{number}.parquet' (format parquet)")
    return folder


def test_order_files_and_widths_of_types_do_not_matter(tmp_path: Path) -> None:
    expected = peers.checksum(written(tmp_path / "one", [ROWS]), COLUMNS)
    assert expected.startswith("3 rows, ")
    other = written(tmp_path / "other", [[ROWS[2]], [ROWS[1], ROWS[0]]], amount="decimal(38, 9)", number="integer")
    assert peers.checksum(other, COLUMNS) == expected


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("1.50", "1.51"),
        ("'a'", "'A'"),
        ("00.000001", "00.000002"),
        ("true", "false"),
        ("2::bigint", "3::bigint"),
        ("01-02", "01-03"),
        ("2.00::decimal(18, 2)", "null::decimal(18, 2)"),
    ],
)
def test_any_other_value_is_another_checksum(tmp_path: Path, was: str, becomes: str) -> None:
    expected = peers.checksum(written(tmp_path / "one", [ROWS]), COLUMNS)
    changed = [row.replace(was, becomes) for row in ROWS]
    assert changed != ROWS
    assert peers.checksum(written(tmp_path / "other", [changed]), COLUMNS) != expected


def test_a_row_too_few_twice_or_a_missing_column_is_noticed(tmp_path: Path) -> None:
    expected = peers.checksum(written(tmp_path / "one", [ROWS]), COLUMNS)
    assert peers.checksum(written(tmp_path / "few", [ROWS[:2]]), COLUMNS) != expected
    assert peers.checksum(written(tmp_path / "twice", [ROWS, ROWS[:1]]), COLUMNS) != expected
    with pytest.raises(duckdb.BinderException, match="missing"):
        peers.checksum(tmp_path / "one", COLUMNS | {"missing": "STRING"})


def test_logical_bytes_are_counted_as_bigquery_counts_them(tmp_path: Path) -> None:
    found = peers.logical_bytes(written(tmp_path / "one", [ROWS]), COLUMNS)
    # Strings are their bytes and two more; a null is nothing.
    assert found["columns"] == {"id": 9, "amount": 32, "at": 16, "number": 16, "is_it": 2, "day": 16}
    assert (found["rows"], found["logical_bytes"]) == (3, 91)


def test_engines_take_turns() -> None:
    orders = [tuple(peers.rotated(("a", "b", "c"), number)) for number in range(4)]
    assert orders == [("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b"), ("a", "b", "c")]


def test_different_rows_are_named_and_the_floor_is_none() -> None:
    runs = {
        "floor": [{"checksums": {"int_seller_tier_scd2": "1 rows, 9"}}],
        "spark": [{"checksums": {"int_seller_tier_scd2": "2 rows, 5"}}, {"error": "out of memory"}],
        "duckdb": [{"checksums": {"int_seller_tier_scd2": "2 rows, 5"}}],
    }
    assert peers.differences("seller_tier_scd2", runs) == []
    runs["duckdb"].append({"checksums": {"int_seller_tier_scd2": "2 rows, 6"}})
    assert peers.differences("seller_tier_scd2", runs) == [
        "seller_tier_scd2, int_seller_tier_scd2: the engines wrote different rows: duckdb, spark: 2 rows, 5; duckdb: 2 rows, 6"
    ]


def test_ratios_are_taken_within_a_repetition_and_a_failed_run_has_none() -> None:
    def run(seconds: float, **other: object) -> dict[str, object]:
        return {"wall_seconds": seconds, "in_session_seconds": seconds, "cpu_seconds": seconds, **other}

    found = peers.summarize(
        {
            "floor": [run(1), run(2), run(4)],
            "spark": [run(2), run(4), run(40)],
            "duckdb": [run(1), run(4), {"wall_seconds": 0.1, "error": "out of memory"}],
        }
    )
    assert found["duckdb"]["wall_over_spark"] == 0.75
    assert found["duckdb"]["wall_seconds"] == {"median": 2.5, "min": 1, "max": 4}
    assert found["duckdb"]["errors"] == ["out of memory"]
    assert found["spark"]["in_session_over_floor"] == 2
    assert "wall_seconds" not in peers.summarize({"duckdb": [{"wall_seconds": 1, "error": "killed"}]})["duckdb"]


def test_a_disturbed_runs_seconds_are_compared_with_nothing_but_its_work_is() -> None:
    def run(seconds: float, cpu: float, others: float) -> dict[str, float]:
        return {"wall_seconds": seconds, "in_session_seconds": seconds, "cpu_seconds": cpu, "others_share": others}

    found = peers.summarize({"spark": [run(4, 4, 0), run(10, 6, 0)], "duckdb": [run(2, 1, 0.1), run(90, 2, 0.8)]})
    assert found["duckdb"]["wall_seconds"] == {"median": 2, "min": 2, "max": 2}
    assert (found["duckdb"]["runs"], found["duckdb"]["disturbed"]) == (2, 1)
    assert found["duckdb"]["wall_over_spark"] == 0.5
    assert found["duckdb"]["cpu_over_spark"] == pytest.approx((1 / 4 + 2 / 6) / 2, abs=0.001)
    only = peers.summarize({"spark": [run(1, 1, 0.9)]})["spark"]
    assert "wall_seconds" not in only and only["cpu_seconds"]["median"] == 1


@pytest.mark.parametrize(("text", "size"), [("1g", 2**30), ("512m", 2**29), ("2G", 2**31)])
def test_sizes(text: str, size: int) -> None:
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["1", "0g", "1.5g", "", "1t", "-1g"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size of memory"):
        size_in_bytes(text)


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peers") / "scale-0.02"
    assert peers.source_parquet.main([str(folder), "--scale", "0.02", "--processes", "1"]) == 0
    return folder


@pytest.mark.slow
def test_spark_and_duckdb_write_the_same_rows_and_everything_is_measured(
    bulk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path / "local"))
    output = tmp_path / "peers.json"
    arguments = ["--scale", "0.02", "--bulk", str(bulk), "--repeat", "1", "--engines", "spark", "duckdb"]
    assert peers.main([*arguments, "--output", str(output)]) == 0
    result = json.loads(output.read_text())
    assert result["differences"] == []
    for job, results in peers.JOBS.items():
        sums = [result["runs"][job][engine][0]["checksums"] for engine in ("spark", "duckdb")]
        assert sums[0] == sums[1]
        assert set(sums[0]) == {table.name for table in results}
        assert all(not value.startswith("0 rows") for value in sums[0].values())
        for engine in ("spark", "duckdb"):
            run = result["runs"][job][engine][0]
            assert "error" not in run
            assert 0 < run["in_session_seconds"] < run["wall_seconds"]
            assert run["cpu_seconds"] > 0 and run["peak_megabytes"] > 0 and run["output_bytes"] > 0
        assert result["runs"][job]["spark"][0]["spark_input_bytes"] > 0
    assert result["runs"]["seller_tier_scd2"]["spark"][0]["shuffle_bytes"] > 0
    # The engines' work folder goes.
    assert list((tmp_path / "local").iterdir()) == []


def test_a_skewed_input_has_as_many_rows_and_a_share_of_them_under_one_key(bulk: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    peers.prepare(bulk, inputs, is_skewed=True)
    with duckdb.connect() as engine:

        def rows(folder: Path) -> str:
            return f"read_parquet('{folder}/**/*.parquet')"

        for table, (column, _, every) in peers.SKEWED.items():
            as_is, skewed = rows(bulk / table), rows(inputs / "raw" / table)
            most = f"select max(n) from (select count(*) as n from {skewed} group by {column})"
            count, least, top = engine.execute(
                f"select (select count(*) from {as_is}), (select count(*) from {skewed}), ({most})"
            ).fetchone() or (0, 0, 0)
            assert count == least > 0
            assert 0.5 < top / count * every < 2
            assert (
                engine.execute(f"describe from {as_is}").fetchall()
                == engine.execute(f"describe from {skewed}").fetchall()
            )
        # Only an order that is there makes a join one-sided.
        order = f"select order_id from {rows(inputs / 'raw' / 'order_items')} group by 1 order by count(*) desc limit 1"
        assert engine.execute(f"select count(*) from {rows(bulk / 'orders')} where id = ({order})").fetchone() == (1,)


def test_an_engine_that_fails_has_its_error_as_its_result(bulk: Path, tmp_path: Path) -> None:
    from stack import settings

    inputs = tmp_path / "inputs"
    peers.prepare(bulk, inputs)
    (inputs / "raw" / "seller_tier_history").unlink()
    found = peers.Case(settings.load(), inputs, None, tmp_path / "run").run("duckdb", "seller_tier_scd2")
    assert "raw_seller_tier_history does not exist" in found["error"]
    assert "in_session_seconds" not in found and "checksums" not in found


def test_an_engine_that_dies_without_a_word_is_told_by_its_end(
    bulk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stack import settings

    case = peers.Case(settings.load(), tmp_path, None, tmp_path / "run")
    monkeypatch.setattr(
        case,
        "command",
        lambda engine, job: [
            "sh",
            "-c",
            "echo ConnectionRefusedError; echo java.lang.OutOfMemoryError: heap; kill -9 $$",
        ],
    )
    assert case.run("duckdb", "seller_tier_scd2")["error"] == "signal 9: java.lang.OutOfMemoryError: heap"


def test_a_disturbed_run_is_done_again_and_the_least_disturbed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = iter([0.5, 0.2, 0.4, 0.3, 0.05])

    class Disturbed:
        def run(self, engine: str, job: str) -> dict[str, float]:
            return {"others_share": next(shares)}

    assert peers.undisturbed(Disturbed(), "duckdb", "any", 0, 0.1) == {"others_share": 0.2, "tries": 3}
    assert peers.undisturbed(Disturbed(), "duckdb", "any", 0, 0.1) == {"others_share": 0.05, "tries": 2}


def test_a_memory_limit_is_duckdbs_own(tmp_path: Path) -> None:
    with DuckDB("1g", tmp_path) as engine:
        assert engine._engine.execute("select current_setting('memory_limit')").fetchone() == ("1.0 GiB",)


def test_a_wrong_limit_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(["--memory-limit", "much", "--engines", "duckdb"]) == 1
    assert capsys.readouterr().err == "error: 'much' is no size of memory: write 512m or 2g\n"
