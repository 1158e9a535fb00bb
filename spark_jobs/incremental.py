"""How a job gets from raw to a published table: mirror, recompute the changed keys, store, publish, and only then remember.

Each step is one atomic commit and can be repeated, so a run that dies anywhere is made good by the next one. What is stored is published by
a thread of its own, one table after the other, while the next one is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.lake import Lake, Position, TableState
from spark_jobs.progress import CHANGED, PUBLISHED, READ, Progress, Step
from spark_jobs.tables import CONTENT_MODULUS, RawTable, ResultTable, schema
from spark_jobs.warehouse import IS_DELETED, Content, RawState, Warehouse
from stack import lineage

# From a change feed of a source table to the keys of a result that it touches.
Touched = Callable[[DataFrame], DataFrame]


@dataclass(frozen=True)
class Run:
    """One process's lake, warehouse and wishes, shared by its jobs. Made for one `carry_out`, without which nobody waits for what they publish."""

    lake: Lake
    warehouse: Warehouse
    progress: Progress
    full_refresh: bool = False
    _background: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "publish"))
    _begun: list[Future[None]] = field(default_factory=list)

    def carry_out(self, steps: Iterable[Callable[[Run], None]]) -> None:
        """Run the jobs' `steps` in their order, and wait until all that they publish is there. Raises the first error of either."""
        try:
            for step in steps:
                step(self)
        finally:
            # What was begun ends, whatever else failed: each publish is right by itself.
            self._background.shutdown()
            self.lake.spark.catalog.clearCache()
        for begun in self._begun:
            begun.result()

    def job(self, name: str) -> Job:
        """The job of that name, with the state its last completed run left. Raises what a publish before it did."""
        for begun in self._begun:
            if begun.done():
                begun.result()
        return Job(self, name)

    def later(self, work: Callable[[], None]) -> Future[None]:
        """Have `work` done after all that was handed over before, beside what the caller does next."""
        self._begun.append(self._background.submit(work))
        return self._begun[-1]


@dataclass(frozen=True)
class Scope:
    """What to recompute: everything, the rows of some keys, or (without keys) nothing."""

    everything: bool
    keys: DataFrame | None = None

    def of(self, rows: DataFrame) -> DataFrame:
        """The rows in scope; `rows` has the scope's key columns."""
        return rows if self.keys is None else rows.join(self.keys, on=self.keys.columns, how="left_semi")


class Job:
    """One job's run: the versions it reads, the keys it recomputes, what it stores and publishes."""

    def __init__(self, run: Run, name: str) -> None:
        """`name` is the state's key: a job keeps it for ever."""
        self._run = run
        self._lake = run.lake
        self._name = name
        self._before: Mapping[str, TableState] = run.lake.state(name)
        self._now: dict[str, TableState] = {}
        self._made_of: dict[str, tuple[str, ...]] = {}
        self._published_whole: set[str] = set()
        self._publishes: list[Future[None]] = []

    def refresh(self, table: RawTable) -> None:
        """Bring the lake's mirror of a raw table up to date.

        The mirror is its own watermark: rows that landed after its latest one are merged by key, or added where there is none. A mirror that then has
        other rows than raw (raw was loaded anew, rows left it, or a sync committed what it had stamped before a deletion
        sweep or an erasure that was read already) is read again whole.
        """
        name, rows = table.lake_name, 0
        raw = self._in_warehouse(f"raw.{table.name}")
        with self._step(f"raw.{table.name}", READ, [raw], self._in_lake(name)) as step:
            kept = not self._run.full_refresh and self._lake.holds(name, table.columns)
            if kept:
                after = self._known(name).landed_until
                state = self._run.warehouse.raw_state(table, after)
                rows = self._load(table, state, after, whole=False)
                known = self._known(name)
                kept = (known.rows, known.checksum) == (state.rows, state.checksum)
                step.note = "" if kept else "the mirror differed from raw and is made anew"
            if not kept:
                rows += self._load(table, self._run.warehouse.raw_state(table, None), None, whole=True)
            step.rows = rows

    def read(self, name: str) -> DataFrame:
        """A table of the lake at one version, which counts as read once the job is complete."""
        return self._lake.read(name, self._known(name).position)

    def scope(self, result: ResultTable, touched: Mapping[str, Touched]) -> Scope:
        """What of `result` the changes of its source tables since the last completed run touch.

        Args:
            result: the table to bring up to date.
            touched: by source table, how its change feed touches keys (`result.scope` columns) of the result.
        """
        self._made_of[result.name] = tuple(touched)
        known = all(self._continues(name) for name in touched)
        if self._run.full_refresh or not known or not self._lake.holds(result.lake_name, result.columns):
            return Scope(everything=True)
        keys = [
            of_changes(self._changes(name)).select(*result.scope)
            for name, of_changes in touched.items()
            if self._before[name].position != self._known(name).position
        ]
        if not keys:
            return Scope(everything=False)
        distinct = counted(reduce(DataFrame.unionByName, keys).distinct())
        return Scope(everything=False, keys=None if distinct.isEmpty() else distinct)

    def store(self, result: ResultTable, compute: Callable[[], DataFrame], scope: Scope) -> None:
        """Make the lake's `result` hold exactly the rows that `compute` returns within `scope`, in one commit."""
        name = result.lake_name
        sources = [self._in_lake(source) for source in self._made_of.get(result.name, ())]
        with self._step(result.name, CHANGED, sources, self._in_lake(name)) as step:
            if scope.everything:
                self._lake.overwrite(name, compute(), result.constraints)
                self._now[name] = self._lake.inspect(name)
                self._published_whole.add(name)
                step.rows, step.note = self._now[name].rows, "made anew"
            elif scope.keys is not None:
                computed = compute().withColumn("_is_computed", F.lit(True))
                # A key in scope that is not computed any more is gone. Which ones there are needs no look at the table where they are the scope themselves.
                is_by_row = result.key == result.scope
                in_scope = scope.keys if is_by_row else scope.of(self._lake.read(name)).select(*result.key)
                source = (
                    computed.join(in_scope, on=list(result.key), how="full_outer")
                    .withColumn(IS_DELETED, F.col("_is_computed").isNull())
                    .select(*result.columns, IS_DELETED)
                )
                step.rows = self._merge(result, counted(source))

    def publish(self, result: ResultTable, watermark_of: RawTable) -> None:
        """Begin to bring intermediate.`result` up to the lake's, in one statement: its changes since the last publish, or all of it.

        All of it where there is no last publish, on a full refresh, and where the table then has another content than the lake's
        result, because another engine wrote it from another state of raw, or somebody changed it. Content is the number of rows
        and a checksum (`tables.SHARES`, which says what that cannot see), asked at every run: a MERGE here cannot tell who wrote before it.
        """
        self._publishes.append(self._run.later(lambda: self._publish(result, watermark_of)))

    def _publish(self, result: ResultTable, watermark_of: RawTable) -> None:
        warehouse, name = self._run.warehouse, result.lake_name
        published = self._in_warehouse(f"{self._run.warehouse.results}.{result.name}")
        with self._step(result.name, PUBLISHED, [self._in_lake(name)], published) as step:
            read_until = self._known(watermark_of.lake_name).landed_until or datetime.now(UTC)
            if not warehouse.holds(result):
                staged = self._lake.staged_whole(name, self._known(name).position)
                self._note_content(name, warehouse.create(result, staged))
                step.rows, step.note = staged.rows, "table made"
                return
            if self._continues(name) and name not in self._published_whole:
                step.rows = self._publish_changes(result, read_until)
                if warehouse.content(result) == self._content(result):
                    return
            staged = self._lake.staged_whole(name, self._known(name).position)
            self._note_content(name, warehouse.merge(result, staged, read_until, is_whole=True))
            step.rows, step.note = step.rows + staged.rows, "compared whole"

    def _content(self, result: ResultTable) -> Content:
        """What the lake's result holds. Summed by its changes where the last completed run knew its checksum, by a scan where not."""
        name = result.lake_name
        known, before = self._known(name), self._before[name]
        if known.checksum is not None:
            return Content(known.rows, known.checksum)
        if before.checksum is None:
            total = self._lake.content(result, known.position)
        else:
            change = self._lake.content_of_changes(result, before.position, known.position)
            total = (before.checksum + change) % CONTENT_MODULUS
        self._note_content(name, total)
        return Content(known.rows, total)

    def _note_content(self, name: str, checksum: int | None) -> None:
        self._now[name] = replace(self._known(name), checksum=checksum)

    def complete(self) -> None:
        """Remember what was read and published, once it is. Nothing is written when nothing changed."""
        self._run.later(self._remember)

    def _remember(self) -> None:
        for publish in self._publishes:
            publish.result()
        if dict(self._before) != self._now:
            self._lake.save_state(self._name, self._now)

    @contextmanager
    def _step(self, table: str, kind: str, inputs: list[lineage.Table], output: lineage.Table) -> Iterator[Step]:
        """One step, timed and printed, and told as lineage."""
        settings = self._run.warehouse.settings
        job = f"spark.{self._name}.{kind.removeprefix('rows_')}.{table}"
        with lineage.told(settings, job, "SPARK", inputs, output) as told, self._run.progress.step(table, kind) as step:
            yield step
            told.rows = step.rows

    def _in_warehouse(self, name: str) -> lineage.Table:
        return lineage.warehouse_table(self._run.warehouse.settings.bigquery_project, name)

    def _in_lake(self, name: str) -> lineage.Table:
        return lineage.lake_table(self._lake.uri(name))

    def _publish_changes(self, result: ResultTable, read_until: datetime) -> int:
        if self._before[result.lake_name].position == self._known(result.lake_name).position:
            return 0
        net = net_changes(self._changes(result.lake_name), result)
        staged = self._lake.stage(result.name, net)
        if staged.rows:
            self._run.warehouse.merge(result, staged, read_until, is_whole=False)
        return staged.rows

    def _load(self, table: RawTable, state: RawState, after: datetime | None, whole: bool) -> int:
        """Read the raw rows landed after `after` into the mirror, in one commit. Returns their number."""
        if whole:
            with self._lake.adopted(table.lake_name, table.columns) as (filesystem, path):
                rows = self._run.warehouse.read(table, state, after, filesystem, path)
            position = self._lake.position(table.lake_name)
            self._now[table.lake_name] = TableState(position, rows, state.landed_until, state.checksum)
            return rows
        filesystem, path, uri = self._lake.staging(table.name)
        rows = self._run.warehouse.read(table, state, after, filesystem, path)
        if rows:
            landed = self._lake.spark.read.schema(schema(table.columns)).parquet(uri)
            if table.key:
                self._merge(table, landed, state.landed_until)
            else:
                before = self._known(table.lake_name)
                self._lake.append(table.lake_name, landed)
                self._note_commit(table, before, before.rows + rows, state.landed_until)
        return rows

    def _merge(self, table: RawTable | ResultTable, rows: DataFrame, landed_until: datetime | None = None) -> int:
        """Merge `rows` and note what the table holds then. Returns the number of rows changed."""
        name = table.lake_name
        before = self._known(name)
        merged = self._lake.merge(name, rows, table.key, before.rows)
        self._note_commit(table, before, before.rows + merged.inserted - merged.deleted, landed_until)
        return merged.rows

    def _note_commit(
        self, table: RawTable | ResultTable, before: TableState, held: int, landed_until: datetime | None
    ) -> None:
        """Note what a table holds after the commit that has just been made to what was there `before`."""
        name = table.lake_name
        position = self._lake.position(name)
        if position == Position(before.position.table_id, before.position.version + 1):
            checksum = None
            if isinstance(table, RawTable) and before.checksum is not None:
                checksum = before.checksum + self._lake.checksum_of_changes(name, before.position, position)
            self._now[name] = TableState(position, held, landed_until, checksum)
        else:  # somebody else's commit came between
            self._now[name] = self._lake.inspect(name)

    def _known(self, name: str) -> TableState:
        """The version of a table that this run works with. Its rows are counted only where the last completed run did not."""
        if name not in self._now:
            found = self._before.get(name)
            is_unsummed = found is not None and found.landed_until is not None and found.checksum is None
            if found is None or is_unsummed or found.position != self._lake.position(name):
                found = self._lake.inspect(name)
            self._now[name] = found
        return self._now[name]

    def _changes(self, name: str) -> DataFrame:
        return self._lake.changes(name, self._before[name].position, self._known(name).position)

    def _continues(self, name: str) -> bool:
        """Whether the last completed run read, or published, this very table (and not one made anew at its path since)."""
        before = self._before.get(name)
        return before is not None and before.position.table_id == self._known(name).position.table_id


def counted(rows: DataFrame) -> DataFrame:
    """`rows`, cached and counted: then Spark knows that they are few and sends them to what they are joined with, instead of shuffling both."""
    cached = rows.cache()
    cached.count()
    return cached


def net_changes(changes: DataFrame, result: ResultTable) -> DataFrame:
    """The last state of each key in a result's change feed: the table's columns and IS_DELETED."""
    # Within one commit a key may be deleted and inserted anew (overwrite): then it is there.
    order = F.struct("_commit_version", F.col("_change_type") != "delete")
    state = F.struct(*result.columns, (F.col("_change_type") == "delete").alias(IS_DELETED))
    return (
        changes.where("_change_type <> 'update_preimage'")
        .groupBy(*(F.col(name).alias(f"_key_{name}") for name in result.key))
        .agg(F.max_by(state, order).alias("_last"))
        .select("_last.*")
    )
