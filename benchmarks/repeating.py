"""Something that is done again and again beside something else: memory that is sampled, a process that is waited for."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Self


class Repeating(ABC):
    """A context manager that calls `tick` in a thread of its own, at once and then every so many seconds, until its body has ended."""

    def __init__(self, every: float) -> None:
        """Nothing is called before the context is entered; then `every` so many seconds."""
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @abstractmethod
    def tick(self) -> None:
        """What is done each time. An exception ends the repetition, not the body."""

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; a tick under way is waited for."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            self.tick()
            self._ended.wait(self._every)
