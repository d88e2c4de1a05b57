"""The only module that reads a clock: what pytest-benchmark times with, and how long builds take."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.backend import Engine


class Stopwatch:
    """Seconds since it was made, by the monotonic clock."""

    def __init__(self) -> None:
        self._start_s = time.perf_counter()

    @property
    def elapsed_s(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._start_s


class DeviceClock:
    """A timer for pytest-benchmark that waits for the bound engine before it reads the clock.

    pytest-benchmark reads its timer once before and once after a round of several calls, so a round costs one
    synchronize, however many inferences it holds, and its table still shows seconds per inference.
    """

    __name__ = "device_clock"

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def __call__(self) -> float:
        """Return seconds by the monotonic clock, after all device work of the bound engine has ended."""
        if self._engine is not None:
            self._engine.synchronize()
        return time.perf_counter()

    @contextmanager
    def bound(self, engine: Engine) -> Iterator[None]:
        """Make readings wait for this engine inside the block."""
        self._engine = engine
        try:
            yield
        finally:
            self._engine = None


device_clock = DeviceClock()
"""The clock that `fixtures.options` hands to pytest-benchmark."""


def round_s(engine: Engine, inferences: int) -> float:
    """Return the seconds per inference of one round of `inferences` with one synchronize at each end."""
    engine.synchronize()
    watch = Stopwatch()
    for _ in range(inferences):
        engine.enqueue()
    engine.synchronize()
    return watch.elapsed_s / inferences


def warm_up(engine: Engine, least_s: float = 0.3) -> int:
    """Run inferences until `least_s` seconds have gone by, at least one; return how many."""
    watch = Stopwatch()
    count = 0
    while count == 0 or watch.elapsed_s < least_s:
        engine.enqueue()
        engine.synchronize()
        count += 1
    return count
