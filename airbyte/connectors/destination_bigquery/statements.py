"""The one statement that makes a stream's staged rows visible in its table, for each destination sync mode."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass

from airbyte.connectors.destination_bigquery.columns import DELETED_AT, STREAM, staged
from airbyte.connectors.protocol import APPEND_DEDUP, OVERWRITE, SUSPICIOUS_NUMBER, ConfiguredStream


@dataclass(frozen=True)
class Statement:
    """From a staging table to its target.

    Attributes:
        stream: its modes and key.
        types: {column: BigQuery type} of the staged rows, Airbyte's own columns included; JSON is staged as text.
        staging, target: `project.dataset.table`.
        present: {column: BigQuery type} of the target, the staged ones included, without others of Airbyte's own.
        place: the stream's place in a staging table that it shares; None in one of its own.
        is_empty: the target has no row, so that nothing needs to be compared.
        is_unique: every key is staged once (`repeated_keys`), so that no version of it needs to be chosen.
    """

    stream: ConfiguredStream
    types: Mapping[str, str]
    staging: str
    target: str
    present: Mapping[str, str]
    place: int | None = None
    is_empty: bool = False
    is_unique: bool = False

    def text(self) -> str:
        """The statement.

        Run again on the same staged rows, it changes nothing where it compares: an overwrite, a MERGE, changes appended by key. Where it only inserts
        (a table without a row, refreshes to be kept, a stream without a key), it would insert again.
        """
        if self.stream.destination_sync_mode == OVERWRITE:
            return self._overwrite()
        if self.stream.destination_sync_mode == APPEND_DEDUP:
            return self._upsert()
        if not self.stream.is_compared:
            # Each refresh is to be kept whole; and without a key, nothing tells a row sent again from an equal one.
            return f"insert into `{self.target}` ({self._names}) {self._rows}"
        return self._append_changes()

    def repeated_keys(self) -> str:
        """The question how many staged rows are not the only one of their key, as `n`: narrow, where choosing the newest sorts whole rows."""
        key = self._staged_key if len(self.stream.primary_key) == 1 else f"to_json_string(struct({self._staged_key}))"
        return f"select count(*) - count(distinct {key}) as n from {self._staged_rows}"

    @property
    def _names(self) -> str:
        return ", ".join(f"`{name}`" for name in self.types)

    @property
    def _rows(self) -> str:
        """The staged rows in the target's types."""
        values = {
            name: parsed(self._staged[name]) if kind == "JSON" else self._staged[name]
            for name, kind in self.types.items()
        }
        # Nearly every row has the same; parsing it anew for each would cost more than most columns.
        clean = clean_meta(self.stream)
        values["_airbyte_meta"] = f"if(`_airbyte_meta` = '{clean}', json '{clean}', parse_json(`_airbyte_meta`))"
        return f"select {', '.join(f'{value} as `{name}`' for name, value in values.items())} from {self._staged_rows}"

    @property
    def _staged_rows(self) -> str:
        """What follows FROM: the stream's rows of the staging table. Ends with a condition."""
        return f"`{self.staging}` where {'true' if self.place is None else f'`{STREAM}` = {self.place}'}"

    @property
    def _staged_key(self) -> str:
        return ", ".join(self._staged[name] for name in self.stream.primary_key)

    @functools.cached_property
    def _staged(self) -> dict[str, str]:
        """{column: its quoted name in the staging table}."""
        return {name: f"`{of_staging}`" for name, of_staging in staged(self.types, self.place).items()}

    @property
    def _key(self) -> str:
        return ", ".join(f"`{name}`" for name in self.stream.primary_key)

    def _newest_of(self, rows: str, key: str) -> str:
        return f"{rows} qualify row_number() over (partition by {key} order by _airbyte_extracted_at desc) = 1"

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
        newest = self._rows if self.is_unique else self._newest_of(self._rows, self._staged_key)
        if self.is_empty:
            return f"insert into `{self.target}` ({self._names}) {newest}"
        return (
            f"merge into `{self.target}` as t using ({newest}) as s on {match} "
            f"when matched then update set {assignments} when not matched then insert ({self._names}) values ({inserted})"
        )

    def _append_changes(self) -> str:
        """Rows that differ from the newest landed version of their key: a row sent again is not, one that changed back is."""
        first = self.stream.primary_key[0]
        live = "true"
        if DELETED_AT in self.present:
            live = f"(`{DELETED_AT}` is null or _airbyte_extracted_at > `{DELETED_AT}`)"
        landed = self._newest_of(
            f"select {self._key}, _airbyte_raw_id, {live} as is_live from `{self.target}` "
            f"where `{first}` in (select {self._staged[first]} from {self._staged_rows})",
            self._key,
        )
        same = " and ".join(f"t.`{name}` = s.`{name}`" for name in self.stream.primary_key)
        values = ", ".join(f"s.`{name}`" for name in self.types)
        return (
            f"insert into `{self.target}` ({self._names}) select {values} from ({self._rows}) as s left join ({landed}) as t "
            f"on {same} and t._airbyte_raw_id = s._airbyte_raw_id and t.is_live where t._airbyte_raw_id is null"
        )


def parsed(text: str) -> str:
    """A SQL expression: the JSON value of the expression `text`. Text with a number that JSON cannot hold exactly is an error.

    To prove that of every number costs the emulator 100 µs a row. An object or array without sixteen digits in a row and without an exponent of three holds
    no such number, and is parsed in the mode that asks no proof, and there has nothing to round.
    """
    return (
        f"if(regexp_contains({text}, r'^[{{\\[]') and not regexp_contains({text}, r'{SUSPICIOUS_NUMBER}'), "
        f"parse_json({text}, wide_number_mode => 'round'), parse_json({text}))"
    )


def clean_meta(stream: ConfiguredStream) -> str:
    """`_airbyte_meta` of a row that landed as it was sent."""
    return json.dumps({"sync_id": stream.sync_id, "changes": []})
