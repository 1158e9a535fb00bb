"""The Delta tables under LAKE_URI: mirrors of raw, results, the jobs' state, and a staging folder for Parquet files."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType

import pyarrow.parquet as pq
from delta.tables import DeltaTable
from pyarrow import fs
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.tables import EXTRACTED_AT
from spark_jobs.warehouse import IS_DELETED, Staged

PROPERTIES = {
    "delta.enableChangeDataFeed": "true",
    # A MERGE marks the rows it replaces instead of copying their files.
    "delta.enableDeletionVectors": "true",
    # How long a job may rest before its change feed is gone and it has to start over.
    "delta.logRetentionDuration": "interval 365 days",
    "delta.deletedFileRetentionDuration": "interval 90 days",
}
ROWS_PER_STAGED_FILE = 1_000_000
STATE = "state"
STATE_COLUMNS = "job string, table string, table_id string, version bigint"


@dataclass(frozen=True)
class Position:
    """A version of one Delta table. A table made anew at the same path has another id."""

    table_id: str
    version: int


class Lake:
    """The Delta tables under one URI. A context manager: its staging folder goes with it."""

    def __init__(self, spark: SparkSession, uri: str) -> None:
        """`uri` is a folder of a file system that both Spark and pyarrow know: file, gs, s3a."""
        self.spark = spark
        self._uri = uri.rstrip("/")
        # pyarrow knows S3 by its own scheme only.
        self._filesystem, self._root = fs.FileSystem.from_uri(self._uri.replace("s3a://", "s3://", 1))
        self._staging = f"_staging/{uuid.uuid4().hex}"

    def __enter__(self) -> Lake:
        """Remove what killed runs left in staging a day ago or earlier."""
        old = datetime.now(UTC) - timedelta(days=1)
        folders = self._filesystem.get_file_info(fs.FileSelector(f"{self._root}/_staging", allow_not_found=True))
        for folder in folders:
            if folder.mtime is not None and folder.mtime < old:
                self._filesystem.delete_dir(folder.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove this run's staging folder."""
        staging = f"{self._root}/{self._staging}"
        if self._filesystem.get_file_info(staging).type == fs.FileType.Directory:
            self._filesystem.delete_dir(staging)

    def holds(self, name: str, columns: Sequence[str] = ()) -> bool:
        """Whether there is such a table, and with exactly `columns` when some are given."""
        if not DeltaTable.isDeltaTable(self.spark, self.uri(name)):
            return False
        return not columns or self.read(name).columns == list(columns)

    def names(self, folder: str) -> list[str]:
        """The Delta tables in a folder of the lake, sorted; none when there is no such folder."""
        selector = fs.FileSelector(f"{self._root}/{folder}", allow_not_found=True)
        found = [item.base_name for item in self._filesystem.get_file_info(selector) if not item.is_file]
        return sorted(name for name in found if self.holds(f"{folder}/{name}"))

    def uri(self, name: str) -> str:
        """The URI of a table or a folder of the lake."""
        return f"{self._uri}/{name}"

    def position(self, name: str) -> Position:
        """The table's newest version."""
        table = self._table(name)
        version = table.history(1).select("version").collect()[0][0]
        return Position(table.detail().select("id").collect()[0][0], version)

    def read(self, name: str, position: Position | None = None) -> DataFrame:
        """The table's rows, as of `position` when one is given."""
        reader = self.spark.read.format("delta")
        if position is not None:
            reader = reader.option("versionAsOf", position.version)
        return reader.load(self.uri(name))

    def changes(self, name: str, after: Position, until: Position) -> DataFrame:
        """The change feed of the versions after `after`, up to `until`: the table's columns, `_change_type`, `_commit_version`."""
        return (
            self.spark.read.format("delta")
            .option("readChangeFeed", "true")
            .option("startingVersion", after.version + 1)
            .option("endingVersion", until.version)
            .load(self.uri(name))
            .drop("_commit_timestamp")
        )

    def watermark(self, name: str) -> tuple[int, datetime | None]:
        """A mirror's rows and its latest `_airbyte_extracted_at` (None when it is empty)."""
        # As a number: Spark would hand a timestamp over in the machine's own time zone.
        rows, latest = self.read(name).agg(F.count("*"), F.unix_micros(F.max(EXTRACTED_AT))).collect()[0]
        return rows, None if latest is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=latest)

    def overwrite(self, name: str, rows: DataFrame) -> None:
        """Make the table exactly `rows`, in one commit."""
        writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.options(**PROPERTIES).save(self.uri(name))

    def merge(self, name: str, rows: DataFrame, key: Sequence[str]) -> int:
        """Upsert `rows` by `key` in one commit; a row whose IS_DELETED is true (if there is that column) goes.

        A row that is equal already is left alone and is no change. Returns the number of rows changed.
        """
        table = self._table(name)
        columns = [column for column in rows.columns if column != IS_DELETED]
        is_deleted = f"s.{IS_DELETED}" if IS_DELETED in rows.columns else "false"
        same = " and ".join(f"t.`{column}` <=> s.`{column}`" for column in columns)
        values: dict[str, str | Column] = {f"`{column}`": f"s.`{column}`" for column in columns}
        (
            table.alias("t")
            .merge(rows.alias("s"), " and ".join(f"t.`{column}` <=> s.`{column}`" for column in key))
            .whenMatchedDelete(is_deleted)
            .whenMatchedUpdate(f"not ({same})", values)
            .whenNotMatchedInsert(f"not ({is_deleted})", values)
            .execute()
        )
        metrics = table.history(1).select("operationMetrics").collect()[0][0]
        return sum(int(metrics.get(f"numTargetRows{kind}", 0)) for kind in ("Inserted", "Updated", "Deleted"))

    def staging(self, name: str) -> tuple[fs.FileSystem, str, str]:
        """A new folder for Parquet files: the file system, its path there, and its URI for Spark."""
        part = f"{self._staging}/{name}-{uuid.uuid4().hex[:8]}"
        self._filesystem.create_dir(f"{self._root}/{part}")
        return self._filesystem, f"{self._root}/{part}", f"{self._uri}/{part}"

    def stage(self, name: str, rows: DataFrame) -> Staged:
        """Write `rows` to few Parquet files in staging."""
        filesystem, path, uri = self.staging(name)
        rows.write.mode("overwrite").option("maxRecordsPerFile", ROWS_PER_STAGED_FILE).parquet(uri)
        found = filesystem.get_file_info(fs.FileSelector(path))
        files = sorted(file.path for file in found if file.path.endswith(".parquet"))
        count = sum(pq.read_metadata(file, filesystem=filesystem).num_rows for file in files)
        return Staged(uri, filesystem, files, count)

    def state(self, job: str) -> dict[str, Position]:
        """What the job's last completed run had read and published, by table; empty before the first one."""
        if not self.holds(STATE):
            return {}
        rows = self.read(STATE).where(F.col("job") == job).collect()
        return {row["table"]: Position(row["table_id"], row["version"]) for row in rows}

    def save_state(self, job: str, positions: dict[str, Position]) -> None:
        """Replace the job's state in one commit."""
        rows = [(job, table, position.table_id, position.version) for table, position in sorted(positions.items())]
        (
            self.spark.createDataFrame(rows, STATE_COLUMNS)
            .coalesce(1)
            .write.format("delta")
            .partitionBy("job")
            .mode("overwrite")
            .option("replaceWhere", f"job = '{job}'")
            .save(self.uri(STATE))
        )

    def _table(self, name: str) -> DeltaTable:
        return DeltaTable.forPath(self.spark, self.uri(name))
