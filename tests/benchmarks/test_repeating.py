"""What is repeated beside a body begins at once and ends with it."""

from __future__ import annotations

import threading
import time

from benchmarks.repeating import Repeating


class Counting(Repeating):
    def __init__(self) -> None:
        super().__init__(every=0.01)
        self.count = 0
        self.reached = threading.Event()

    def tick(self) -> None:
        self.count += 1
        if self.count == 3:
            self.reached.set()


def test_it_begins_at_once_goes_on_and_ends_with_the_body() -> None:
    with Counting() as counting:
        assert counting.reached.wait(10)
    count = counting.count
    time.sleep(0.05)
    assert counting.count == count


def test_a_long_wait_does_not_hold_the_end_back() -> None:
    began = time.monotonic()
    counting = Counting()
    counting._every = 60.0
    with counting:
        pass
    assert time.monotonic() - began < 10
