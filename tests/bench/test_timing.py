"""The clock waits for the device, and nothing but the device is inside a round."""

from __future__ import annotations

from threading import Event

import pytest

from bench.timing import DeviceClock, Stopwatch, round_s, warm_up
from tests.bench.fake_engines import FakeEngine

STEP_S = 0.02


class SlowEngine(FakeEngine):
    """An engine whose work is done only when somebody waits for it, 20 ms an inference."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = 0

    def enqueue(self) -> None:
        """Leave work behind."""
        super().enqueue()
        self.pending += 1

    def synchronize(self) -> None:
        """Do the work left."""
        super().synchronize()
        Event().wait(STEP_S * self.pending)
        self.pending = 0


def test_clock_waits_for_the_bound_engine_before_it_reads() -> None:
    clock, engine = DeviceClock(), SlowEngine()
    with clock.bound(engine):
        start = clock()
        engine.enqueue()
        engine.enqueue()
        assert clock() - start >= 2 * STEP_S
    assert engine.calls == ["synchronize", "enqueue", "enqueue", "synchronize"]


def test_clock_waits_for_nobody_outside_the_block() -> None:
    clock, engine = DeviceClock(), FakeEngine()
    assert clock() <= clock()
    with clock.bound(engine):
        pass
    clock()
    assert engine.calls == []
    with pytest.raises(ZeroDivisionError), clock.bound(engine):
        _ = 1 / 0
    clock()
    assert engine.calls == []


def test_round_is_seconds_per_inference_with_a_synchronize_at_each_end() -> None:
    engine = SlowEngine()
    engine.pending = 5  # work of before is no part of the round
    seconds = round_s(engine, 3)
    assert engine.calls == ["synchronize", "enqueue", "enqueue", "enqueue", "synchronize"]
    assert STEP_S <= seconds < 2.5 * STEP_S


@pytest.mark.parametrize(("least_s", "least"), [(0.0, 1), (2.5 * STEP_S, 2)])
def test_warm_up_runs_at_least_once_and_for_as_long_as_asked(least_s: float, least: int) -> None:
    engine = SlowEngine()
    watch = Stopwatch()
    count = warm_up(engine, least_s)
    assert watch.elapsed_s >= max(least_s, STEP_S)
    assert least <= count <= 3
    assert engine.calls == ["enqueue", "synchronize"] * count


def test_stopwatch_reads_seconds_since_it_was_made() -> None:
    watch = Stopwatch()
    Event().wait(STEP_S)
    first = watch.elapsed_s
    assert STEP_S <= first <= watch.elapsed_s < 10
