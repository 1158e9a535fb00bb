"""What dbt provides while it renders a model, for the linter: SQL of the right shape. Nothing has to run for it, no warehouse and no dbt."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace


def _dispatch(macro: str) -> Callable[..., str]:
    if macro == "cross_join_numbers":
        return lambda last: f"cross join unnest(generate_array(0, {last})) as n"
    return lambda *arguments: f"{macro}({', '.join(arguments)})"


adapter = SimpleNamespace(dispatch=_dispatch, get_relation=lambda *_: "intermediate.heavy_model")
dbt = SimpleNamespace(type_numeric=lambda: "numeric")
model = SimpleNamespace(columns={})
target = SimpleNamespace(database="project")
globals()["return"] = lambda value: value
