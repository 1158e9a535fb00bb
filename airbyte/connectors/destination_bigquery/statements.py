"""The one statement that makes a stream's staged rows visible in its table, for each destination sync mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airbyte.connectors.destination_bigquery.columns import DELETED_AT
from airbyte.connectors.protocol import APPEND_DEDUP, FULL_REFRESH, OVERWRITE, ConfiguredStream


@dataclass(frozen=True)
class Statement:
    """From a staging table to its target.

    Attributes:
        stream: its modes and key.
        types: {column: BigQuery type} of the staged rows, Airbyte's own columns included; JSON is staged as text.
        staging, target: `project.dataset.table`.
        present: {column: BigQuery type} of the target, the staged ones included, without others of Airbyte's own.
        is_empty: the target has no row, so that nothing needs to be compared.
    """

    stream: ConfiguredStream
    types: Mapping[str, str]
    staging: str
    target: str
    present: Mapping[str, str]
    is_empty: bool = False

    def text(self) -> str:
        """The statement. Running it twice on the same staged rows gives the same table, except where whole refreshes are appended."""
        if self.stream.destination_sync_mode == OVERWRITE:
            return self._overwrite()
        if self.stream.destination_sync_mode == APPEND_DEDUP:
            return self._upsert()
        if self.stream.sync_mode == FULL_REFRESH or not self.stream.primary_key:
            # Each refresh is to be kept whole; and without a key, nothing tells a row sent again from an equal one.
            return f"insert into `{self.target}` ({self._names}) {self._rows}"
        return self._append_changes()

    @property
    def _names(self) -> str:
        return ", ".join(f"`{name}`" for name in self.types)

    @property
    def _rows(self) -> str:
        values = ", ".join(f"parse_json(`{n}`) as `{n}`" if t == "JSON" else f"`{n}`" for n, t in self.types.items())
        return f"select {values} from `{self.staging}`"

    @property
    def _key(self) -> str:
        return ", ".join(f"`{name}`" for name in self.stream.primary_key)

    def _newest_of(self, rows: str) -> str:
        return f"{rows} qualify row_number() over (partition by {self._key} order by _airbyte_extracted_at desc) = 1"

    def _overwrite(self) -> str:
        inserted = ", ".join(f"s.`{name}`" for name in self.types)
        return (
            f"merge into `{self.target}` as t using ({self._rows}) as s on false when not matched by source then delete "
            f"when not matched then insert ({self._names}) values ({inserted})"
        )

    def _upsert(self) -> str:
        match = " and ".join(f"t.`{name}` = s.`{name}`" for name in self.stream.primary_key)
        assigned = {name: f"s.`{name}`" for name in self.types if name not in self.stream.primary_key}
        # A column that the source no longer has, and the mark of a deletion that the row's return ends.
        assigned |= {n: f"cast(null as {t})" for n, t in self.present.items() if n not in self.types}
        assignments = ", ".join(f"`{name}` = {value}" for name, value in assigned.items())
        inserted = ", ".join(f"s.`{name}`" for name in self.types)
        # A source may send a key more than once; the last version wins.
        newest = self._newest_of(f"{self._rows} where true")
        if self.is_empty:
            return f"insert into `{self.target}` ({self._names}) {newest}"
        return (
            f"merge into `{self.target}` as t using ({newest}) as s on {match} "
            f"when matched then update set {assignments} when not matched then insert ({self._names}) values ({inserted})"
        )

    def _append_changes(self) -> str:
        """Rows that differ from the newest landed version of their key: a row sent again is not, one that changed back is."""
        live = "true"
        if DELETED_AT in self.present:
            live = f"(`{DELETED_AT}` is null or _airbyte_extracted_at > `{DELETED_AT}`)"
        landed = self._newest_of(
            f"select {self._key}, _airbyte_raw_id, {live} as is_live from `{self.target}` "
            f"where {self._first} in (select {self._first} from `{self.staging}`)"
        )
        same = " and ".join(f"t.`{name}` = s.`{name}`" for name in self.stream.primary_key)
        values = ", ".join(f"s.`{name}`" for name in self.types)
        return (
            f"insert into `{self.target}` ({self._names}) select {values} from ({self._rows}) as s left join ({landed}) as t "
            f"on {same} and t._airbyte_raw_id = s._airbyte_raw_id and t.is_live where t._airbyte_raw_id is null"
        )

    @property
    def _first(self) -> str:
        return f"`{self.stream.primary_key[0]}`"
