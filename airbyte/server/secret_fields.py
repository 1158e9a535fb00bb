"""Secrets of configurations: shown as a mask, kept when the mask comes back, and never written to a log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
MASK = "**********"
# Beside what a connector's spec marks: fields that a real connector may have and this one does not know.
_NAME = re.compile(r"password|passphrase|secret|token|credential|private_key|ssh_key|client_key", re.IGNORECASE)
# A shorter one would be found in every second word of a log.
_SHORTEST = 4


def _is_secret(name: str, marked: frozenset[str]) -> bool:
    return name in marked or _NAME.search(name) is not None


def masked(configuration: Any, marked: frozenset[str]) -> Any:
    """The configuration without its secrets, at any depth. `marked`: names that the spec calls secret."""
    if isinstance(configuration, list):
        return [masked(item, marked) for item in configuration]
    if not isinstance(configuration, dict):
        return configuration
    return {
        name: MASK if value and isinstance(value, str) and _is_secret(name, marked) else masked(value, marked)
        for name, value in configuration.items()
    }


def restored(given: Any, kept: Any) -> Any:
    """`given` with the kept value wherever it has the mask."""
    if given == MASK:
        return kept
    if isinstance(given, dict):
        before = kept if isinstance(kept, dict) else {}
        return {name: restored(value, before.get(name)) for name, value in given.items()}
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [restored(value, before) for value, before in zip(given, kept, strict=True)]
    return given


def values(configuration: Any, marked: frozenset[str]) -> Iterator[str]:
    """The secrets themselves, to be kept out of a log."""
    for name, value in configuration.items() if isinstance(configuration, dict) else ():
        if isinstance(value, str) and len(value) >= _SHORTEST and _is_secret(name, marked):
            yield value
        else:
            yield from values(value, marked)
