"""The only module that reads a clock: what pytest-benchmark times with, and how long builds take."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def call_s(work: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    watch = Stopwatch()
    work()
    return watch.elapsed_s


def inferences_per_round(engine: Engine, least_s: float) -> int:
    """Return how many inferences make a round of at least `least_s` seconds, by the quickest of three."""
    first_s = round_s(engine, 1)
    # One that fills a round by itself needs no second opinion.
    if first_s >= 2 * least_s:
        return 1
    return max(1, round(least_s / min(first_s, round_s(engine, 1), round_s(engine, 1))))


def rounds_s(engine: Engine, inferences: int, seconds: float, least: int = 5) -> list[float]:
    """Return the seconds per inference of rounds run one after another for `seconds`, at least `least` of them."""
    watch = Stopwatch()
    found: list[float] = []
    while len(found) < least or watch.elapsed_s < seconds:
        found.append(round_s(engine, inferences))
    return found


class Delayed:
    """An engine that loses a known share of its FPS, for proving that the loss is found.

    The wait comes with `synchronize`, once for all inferences since the last one: they stay in line behind one
    another on a device, as the plain engine's do.
    """

    def __init__(self, engine: Engine, share: float) -> None:
        self._engine = engine
        self._factor = 1 / (1 - share)
        self._watch: Stopwatch | None = None

    def enqueue(self) -> None:
        """Start one inference, and the clock with the first."""
        self._watch = self._watch or Stopwatch()
        self._engine.enqueue()

    def synchronize(self) -> None:
        """Wait for the inferences, then idly busy until they have taken that much longer."""
        self._engine.synchronize()
        if self._watch is not None:
            end_s = self._watch.elapsed_s * self._factor
            while self._watch.elapsed_s < end_s:
                pass
            self._watch = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the engine has
        """Return what the engine has: everything else is as it was."""
        return getattr(self._engine, name)


def neighbour(work: Callable[[], object], seed: int) -> None:
    """Work and rest in turns of 1 to 8 seconds until killed, as another tenant of the machine would."""
    turns = random.Random(seed)  # noqa: S311 - not for secrets
    while True:
        watch, busy_s = Stopwatch(), turns.uniform(1, 8)
        while watch.elapsed_s < busy_s:
            work()
        time.sleep(turns.uniform(1, 8))
