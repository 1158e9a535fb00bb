"""The Delta tables under LAKE_URI: mirrors of raw, results, the jobs' state, and a staging folder for Parquet files."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from delta.tables import DeltaTable
from pyarrow import fs
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.classic.column import Column as ClassicColumn
from pyspark.sql.classic.dataframe import DataFrame as ClassicDataFrame

from spark_jobs.errors import JobError
from spark_jobs.tables import CHECKSUM_MODULUS, EXTRACTED_AT, SPARK_LETTER, ResultTable, checksum, schema
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
# From so many rows on, a merge of few rows looks at a Bloom filter of their keys before it moves a row.
LARGE = 1_000_000
FALSE_POSITIVES = 0.03
PLAIN_PATH = re.compile(r"[\w.-]+")
# A folder with a JSON file a job. Not a Delta table: reading one takes longer than a run with nothing new should.
STATE = "_state"


@dataclass(frozen=True)
class Position:
    """A version of one Delta table. A table made anew at the same path has another id."""

    table_id: str
    version: int


@dataclass(frozen=True)
class TableState:
    """What one version of a table holds: its rows, the checksum and, of a mirror of raw, the latest `_airbyte_extracted_at` (None when it is empty).

    A result's checksum is None until it is asked for (`Job.publish`), and any in a state that was saved before there were checksums.
    """

    position: Position
    rows: int
    landed_until: datetime | None = None
    checksum: int | None = None


@dataclass(frozen=True)
class Merged:
    """The rows that a merge changed."""

    inserted: int
    updated: int
    deleted: int

    @property
    def rows(self) -> int:
        """All of them."""
        return self.inserted + self.updated + self.deleted


class Lake:
    """The Delta tables under one URI. A context manager: its staging folder goes with it."""

    def __init__(self, spark: SparkSession, uri: str) -> None:
        """`uri` is a folder of a file system that both Spark and pyarrow know: file, gs, s3a."""
        self.spark = spark
        self._uri = uri.rstrip("/")
        # pyarrow knows S3 by its own scheme only.
        try:
            self._filesystem, self._root = fs.FileSystem.from_uri(self._uri.replace("s3a://", "s3://", 1))
        except pa.ArrowInvalid as error:
            raise JobError(
                f"the lake cannot be at {uri!r} ({error}): LAKE_URI is an address such as file:///lake"
            ) from error
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

    def holds(self, name: str, columns: Mapping[str, str] | None = None) -> bool:
        """Whether there is such a table, and with exactly `columns`, {name: type of `tables.SPARK_TYPES`}, when some are given."""
        snapshot = self._snapshot(name)
        if columns is None or snapshot.version() < 0:
            return bool(snapshot.version() >= 0)
        return bool(snapshot.schema().catalogString() == schema(columns).simpleString())

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
        snapshot = self._snapshot(name)
        return Position(snapshot.metadata().id(), snapshot.version())

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

    def inspect(self, name: str) -> TableState:
        """What the table's newest version holds, by a scan of one column at most."""
        position = self.position(name)
        rows = self.read(name, position)
        # As a number: Spark would hand a timestamp over in the machine's own time zone.
        is_mirror = EXTRACTED_AT in rows.columns
        latest = F.unix_micros(F.max(EXTRACTED_AT)) if is_mirror else F.lit(None)
        checksum = F.coalesce(F.sum(_landing()), F.lit(0)) if is_mirror else F.lit(None)
        count, micros, total = rows.agg(F.count("*"), latest, checksum).collect()[0]
        landed_until = None if micros is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
        return TableState(position, count, landed_until, total)

    def checksum_of_changes(self, name: str, after: Position, until: Position) -> int:
        """By how much the versions after `after` changed a mirror's checksum; their change feed alone is read."""
        return self.changes(name, after, until).agg(_sum_of_changes(_landing())).collect()[0][0] or 0

    def content(self, result: ResultTable, position: Position) -> int:
        """The checksum of a version of a result, by a scan of it."""
        shares = [F.sum(F.expr(share)) for share in result.shares(SPARK_LETTER)]
        return checksum(self.read(result.lake_name, position).agg(*shares).collect()[0])

    def content_of_changes(self, result: ResultTable, after: Position, until: Position) -> int:
        """By how much the versions after `after` changed a result's checksum; their change feed alone is read."""
        shares = [_sum_of_changes(F.expr(share)) for share in result.shares(SPARK_LETTER)]
        return checksum(self.changes(result.lake_name, after, until).agg(*shares).collect()[0])

    def overwrite(self, name: str, rows: DataFrame, constraints: Mapping[str, str] | None = None) -> None:
        """Make the table exactly `rows`, in one commit.

        A new table gets `constraints`, {name: condition in SQL}: Delta refuses any later commit, whoever makes it, with a row that does not meet one.
        """
        rules = {f"delta.constraints.{rule}": condition for rule, condition in (constraints or {}).items()}
        writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.options(**PROPERTIES, **rules).save(self.uri(name))

    def append(self, name: str, rows: DataFrame) -> None:
        """Add `rows` to the table, in one commit."""
        rows.write.format("delta").mode("append").save(self.uri(name))

    @contextmanager
    def adopted(self, name: str, columns: Mapping[str, str]) -> Iterator[tuple[fs.FileSystem, str]]:
        """A new folder in the table's own, as a file system and the path there: at the end the table is exactly the rows of the Parquet files in it.

        They have `columns`, {name: type of `tables.SPARK_TYPES`}, and become the table's own in one commit: no row is read or written again, which
        `overwrite` would do. When they cannot be written the folder goes; that of a killed run is no part of the table, and VACUUM removes it.
        """
        part = f"landed-{uuid.uuid4().hex}"
        folder = f"{self._root}/{name}/{part}"
        self._filesystem.create_dir(folder)
        try:
            yield self._filesystem, folder
        except BaseException:
            self._filesystem.delete_dir(folder)
            raise
        # A commit that fails may have been made all the same: then these files are the table.
        self._commit_files(name, part, columns)

    def _commit_files(self, name: str, part: str, columns: Mapping[str, str]) -> None:
        """Make the Parquet files of its folder `part` the table's only ones.

        Delta's Python interface has nothing for this (`CONVERT TO DELTA` takes all files of a folder, those of a run beside this one too); its
        transaction in the JVM has, and files are described as in the protocol.
        """
        jvm: Any = self.spark._jvm
        delta = jvm.org.apache.spark.sql.delta
        transaction = delta.DeltaLog.forTable(self.spark._jsparkSession, self.uri(name)).startTransaction()
        is_new, declared = transaction.readVersion() < 0, schema(columns)
        if is_new or transaction.metadata().schema().catalogString() != declared.simpleString():
            metadata: dict[str, Any] = {
                "id": str(uuid.uuid4()) if is_new else transaction.metadata().id(),
                "format": {"provider": "parquet", "options": {}},
                "schemaString": declared.json(),
                "partitionColumns": [],
                "configuration": PROPERTIES,
            }
            described = delta.actions.Action.fromJson(json.dumps({"metaData": metadata}))
            if is_new:
                transaction.updateMetadata(described, False)
            else:
                transaction.updateMetadataForTableOverwrite(described)
        actions = jvm.java.util.ArrayList()
        for file in self._filesystem.get_file_info(fs.FileSelector(f"{self._root}/{name}/{part}")):
            rows = pq.read_metadata(file.path, filesystem=self._filesystem).num_rows
            added = {
                "path": f"{part}/{file.base_name}",
                "partitionValues": {},
                "size": file.size,
                "modificationTime": int(file.mtime.timestamp() * 1000),
                "dataChange": True,
                # A deletion vector needs the number. Least and greatest values would skip no file: rows are looked for by their random ids.
                "stats": json.dumps({"numRecords": rows, "tightBounds": True}),
            }
            actions.add(delta.actions.Action.fromJson(json.dumps({"add": added})))
        held = transaction.filterFiles()
        for index in range(held.size()):
            actions.add(held.apply(index).remove())
        as_scala = jvm.scala.jdk.javaapi.CollectionConverters.asScala(actions).toSeq()
        operation = getattr(delta, "DeltaOperations$ManualUpdate$")
        transaction.commit(as_scala, getattr(operation, "MODULE$"))

    def merge(self, name: str, rows: DataFrame, key: Sequence[str], held: int = 0) -> Merged:
        """Upsert `rows` by `key` in one commit; a row whose IS_DELETED is true (if there is that column) goes.

        A row that is equal already is left alone and is no change. `held` are the table's rows, as far as the caller knows: it makes no
        difference but in time. `rows` are read three times.
        """
        table = DeltaTable.forPath(self.spark, self.uri(name))
        columns = [column for column in rows.columns if column != IS_DELETED]
        is_deleted = f"s.{IS_DELETED}" if IS_DELETED in rows.columns else "false"
        same = " and ".join(f"t.`{column}` <=> s.`{column}`" for column in columns)
        values: dict[str, str | Column] = {f"`{column}`": f"s.`{column}`" for column in columns}
        is_match = F.expr(" and ".join(f"t.`{column}` <=> s.`{column}`" for column in key))
        if held >= LARGE:
            is_match &= self._may_be_in(rows, key)
        metrics = (
            table.alias("t")
            .merge(rows.alias("s"), is_match)
            .whenMatchedDelete(is_deleted)
            .whenMatchedUpdate(f"not ({same})", values)
            .whenNotMatchedInsert(f"not ({is_deleted})", values)
            .execute()
        )
        found = metrics.select("num_inserted_rows", "num_updated_rows", "num_deleted_rows").collect()[0]
        return Merged(*(count or 0 for count in found))

    def _may_be_in(self, rows: DataFrame, key: Sequence[str]) -> Column:
        """Whether a row `t` of a table may have a key of `rows`: never wrong about one that has, seldom about one that has not.

        Delta joins the whole table with the rows to merge, and as some of these may be new, Spark can only do that by shuffling both. Filtered before
        the shuffle, 1 % of 12 million rows takes 20 s instead of 45. Spark has the filter for joins of its own, not as a function: hence the JVM's classes.
        """
        jvm: Any = self.spark._jvm
        hashed = rows.select(F.xxhash64(*key).alias("_hash"))
        count = hashed.count()
        if count == 0:
            return F.lit(False)
        found = hashed._jdf.stat().bloomFilter("_hash", count, FALSE_POSITIVES)
        content = jvm.java.io.ByteArrayOutputStream()
        found.writeTo(content)
        of_column = jvm.org.apache.spark.sql.classic.ExpressionUtils
        expressions = jvm.org.apache.spark.sql.catalyst.expressions
        bits = of_column.expression(F.lit(bytearray(content.toByteArray()))._jc)
        hash_of_row = of_column.expression(F.xxhash64(*(F.col(f"t.`{column}`") for column in key))._jc)
        return ClassicColumn(of_column.column(expressions.BloomFilterMightContain(bits, hash_of_row)))

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
        files = sorted(file.base_name for file in found if file.base_name.endswith(".parquet"))
        return self._staged(uri, path, files)

    def staged_whole(self, name: str, position: Position) -> Staged:
        """All rows of a table: its own Parquet files where they hold nothing else, as those of a table just made do, else files in staging."""
        log: Any = self._snapshot(name)
        if Position(log.metadata().id(), log.version()) == position:
            files = ClassicDataFrame(log.allFiles().toDF(), self.spark).select("path", "deletionVector").collect()
            # A path that is not plain (quoted, of another folder) is left to Delta.
            if all(file["deletionVector"] is None and PLAIN_PATH.fullmatch(file["path"]) for file in files):
                return self._staged(self.uri(name), f"{self._root}/{name}", sorted(file["path"] for file in files))
        return self.stage(name.rsplit("/", 1)[-1], self.read(name, position))

    def _staged(self, uri: str, folder: str, files: Sequence[str]) -> Staged:
        footers = [pq.read_metadata(f"{folder}/{file}", filesystem=self._filesystem) for file in files]
        columns = {name for footer in footers for name in footer.schema.names}
        return Staged(uri, self._filesystem, folder, files, columns, sum(footer.num_rows for footer in footers))

    def state(self, job: str) -> dict[str, TableState]:
        """What the job's last completed run had read and published, by table; empty before the first one."""
        path = f"{self._root}/{STATE}/{job}.json"
        if self._filesystem.get_file_info(path).type == fs.FileType.NotFound:
            return {}
        with self._filesystem.open_input_stream(path) as file:
            found = json.loads(file.read())
        return {
            name: TableState(
                Position(table["table_id"], table["version"]),
                table["rows"],
                datetime.fromisoformat(table["landed_until"]) if table["landed_until"] else None,
                table.get("checksum"),
            )
            for name, table in found.items()
        }

    def save_state(self, job: str, tables: dict[str, TableState]) -> None:
        """Replace the job's state at once."""
        found = {
            name: {
                "table_id": table.position.table_id,
                "version": table.position.version,
                "rows": table.rows,
                "landed_until": table.landed_until.isoformat() if table.landed_until else None,
                "checksum": table.checksum,
            }
            for name, table in sorted(tables.items())
        }
        folder = f"{self._root}/{STATE}"
        self._filesystem.create_dir(folder)
        temporary = f"{folder}/{job}.{uuid.uuid4().hex}.tmp"
        with self._filesystem.open_output_stream(temporary) as file:
            file.write(json.dumps(found, indent=1).encode())
        self._filesystem.move(temporary, f"{folder}/{job}.json")

    def _snapshot(self, name: str) -> Any:
        """Delta's own view of the table's newest version (version -1: no table), from its log and without a Spark job, which `history` and `detail` need."""
        jvm: Any = self.spark._jvm
        delta_log = jvm.org.apache.spark.sql.delta.DeltaLog
        return delta_log.forTableWithSnapshot(self.spark._jsparkSession, self.uri(name))._2()


def _landing() -> Column:
    """A row's share of its table's checksum."""
    return F.unix_micros(EXTRACTED_AT) % CHECKSUM_MODULUS


def _sum_of_changes(share: Column) -> Column:
    """By how much a change feed changes the sum of its rows' `share`."""
    is_gone = F.col("_change_type").isin("delete", "update_preimage")
    return F.sum(F.when(is_gone, -share).otherwise(share))
