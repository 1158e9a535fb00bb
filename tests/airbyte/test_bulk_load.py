"""The bulk path of scale runs: its Parquet files are a function of seed and scale, and raw is what a first sync makes of the same marketplace."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from programs import SOURCE, Connection, configured, destination_config, source_config

from airbyte.connections import description
from airbyte.loaders import bulk
from airbyte.server.catalog import SYNC_MODES
from source import parquet
from stack import bigquery
from stack.settings import Settings
from tests.content import content, differences

SCALE = 0.01


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bulk") / "marketplace"
    assert parquet.main([str(made), "--scale", str(SCALE), "--processes", "1"]) == 0
    return made


def digests(folder: Path) -> dict[str, str]:
    paths = sorted(folder.rglob("*.parquet"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_the_same_bytes_whoever_writes_them_and_only_what_is_missing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    assert parquet.main([str(other), "--scale", str(SCALE), "--processes", "2"]) == 0
    assert digests(other) == digests(folder)
    before = {path: path.stat().st_mtime_ns for path in other.rglob("*.parquet")}
    removed = other / "orders" / "00000.parquet"
    removed.unlink()
    assert parquet.main([str(other), "--scale", str(SCALE)]) == 0
    assert digests(other) == digests(folder)
    assert {path for path, time in before.items() if path.stat().st_mtime_ns != time} == {removed}
    assert parquet.main([str(other), "--scale", "0.02"]) == 1
    assert f"{other} holds scale 0.01, seed 42: name another folder, or remove it" in capsys.readouterr().err


def test_files_may_be_cut_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = parquet.landed(parquet.Marketplace(SCALE).table("payments", 0, 600), "payments", 0, 42)
    monkeypatch.setattr(parquet, "ROWS_PER_FILE", 250)
    monkeypatch.setattr(parquet, "ROWS_PER_CHUNK", 70)
    for start in (0, 250, 500):
        parquet.write_file(SCALE, 42, "payments", start, tmp_path / f"{start:05}.parquet")
    assert pq.read_table(tmp_path).equals(whole)


def test_raw_is_what_a_first_sync_makes_of_the_same_marketplace(
    marketplace: Settings, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bq = bigquery.client(marketplace)
    synced = Connection(tmp_path, source_config(marketplace), destination_config(marketplace, "synced"), {})
    discovered, _ = synced.call(SOURCE, "discover", config=synced.source)
    modes = {stream.name: SYNC_MODES[stream.sync_mode] for stream in description.load().streams}
    synced.catalog = configured(discovered[0]["catalog"]["streams"], modes)
    try:
        synced.sync()
        assert bulk.main([str(folder)]) == 0
        assert '"rows": 4014' in capsys.readouterr().out

        for stream in description.load().streams:
            ours, theirs = (bq.get_table(f"{dataset}.{stream.name}") for dataset in ("raw", "synced"))
            assert ours.schema[:-1] == theirs.schema
            assert ours.schema[-1].name == "_deleted_at"
            assert ours.time_partitioning == theirs.time_partitioning
            assert ours.clustering_fields == theirs.clustering_fields
        ours, theirs = (
            {table.split(".")[1]: rows for table, rows in content(marketplace, (dataset,)).items()}
            for dataset in ("raw", "synced")
        )
        assert differences(without_airbyte(ours), without_airbyte(theirs)) == {}

        assert bulk.main([str(folder)]) == 1
        assert "raw.users holds 100 rows already: `make clean-data` begins anew" in capsys.readouterr().err
    finally:
        bq.delete_dataset("synced", delete_contents=True, not_found_ok=True)


def without_airbyte(tables: dict) -> dict:
    """The rows without the columns that differ with every sync, and without the sweep's, which a sync does not make."""
    return {
        name: sorted(
            tuple(value for value in row if not value.startswith(("_airbyte_", "_deleted_at"))) for row in rows
        )
        for name, rows in tables.items()
    }


def test_a_folder_that_is_not_whole_loads_nothing_of_that_table(
    empty_raw: Settings, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bulk.main([str(tmp_path)]) == 1
    assert f"{tmp_path} holds no marketplace: make one with `python -m source.parquet" in capsys.readouterr().err
    (tmp_path / "marketplace.json").write_text((folder / "marketplace.json").read_text())
    assert bulk.main([str(tmp_path)]) == 1
    assert "users holds 0 of 100 rows: run `source.parquet` again" in capsys.readouterr().err
    names = [table.table_id for table in bigquery.client(empty_raw).list_tables("raw")]
    assert names == []
