"""A size of memory in words: "512m", "2g"."""

from __future__ import annotations

import re


def size_in_bytes(text: str) -> int:
    """ "2g" as 2 * 2^30. Raises ValueError for anything but a whole number and m or g."""
    found = re.fullmatch(r"([1-9]\d*)([mg])", text.lower())
    if not found:
        raise ValueError(f"{text!r} is no size of memory: write 512m or 2g")
    return int(found[1]) << {"m": 20, "g": 30}[found[2]]
