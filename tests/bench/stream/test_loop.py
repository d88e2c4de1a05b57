"""The stream hands over every mask once and in order, ends cleanly, and accounts for every second."""

from __future__ import annotations

import os
import signal
import threading
import tracemalloc
from threading import Event

import numpy as np
import pytest

from bench.fidelity import NonFiniteError
from bench.stream.images import MemoryImages
from bench.stream.lane import HostLane
from bench.stream.laps import STAGES
from bench.stream.loop import stream
from models.images import ImageError
from tests.bench.fake_engines import FakeEngine, two_classes
from tests.bench.stream.helpers import SIZE, Kept, Numbered, distinct, number_of, run


class Quiet(FakeEngine):
    """A fake engine that keeps no history, so that only the stream's own memory is seen."""

    def __init__(self) -> None:
        super().__init__()
        self._last = np.zeros((1, 1, *SIZE), np.float32)
        self._logits = np.zeros((4, 2, *SIZE), np.float32)

    def copy_in(self, batch: np.ndarray) -> None:
        """Keep the batch itself."""
        self._last = batch

    def enqueue(self) -> None:
        """Write the logits."""
        np.negative(self._last, out=self._logits[:, :1])
        np.copyto(self._logits[:, 1:], self._last)

    def synchronize(self) -> None:
        """Do nothing."""

    def view_out(self) -> np.ndarray:
        """Return the logits themselves."""
        return self._logits


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize(("count", "batch_size"), [(1, 1), (7, 1), (20, 4), (21, 4), (3, 8)])
def test_every_mask_comes_once_in_order_and_belongs_to_its_image(count: int, batch_size: int, workers: int) -> None:
    kept = Kept()
    result = run(Numbered(count), batch_size, kept, workers=workers)
    assert kept.order == list(range(count))
    assert [number_of(mask) for mask in kept.masks] == list(range(count))
    assert kept.names == [f"number {index}" for index in range(count)]
    assert (result.samples, result.done, result.partial, result.bad_images) == (count, count, False, ())
    assert result.latencies_s.shape == (count,)
    assert (result.latencies_s > 0).all()


def test_order_holds_when_later_images_are_read_before_earlier_ones() -> None:
    later = Event()

    def wait_for_later(index: int) -> None:
        if index == 0:
            assert later.wait(10)
        if index == 2:
            later.set()

    kept = Kept()
    run(Numbered(6, on_read=wait_for_later), 1, kept, workers=3)
    assert [number_of(mask) for mask in kept.masks] == list(range(6))


def test_reading_ahead_is_bounded_by_the_ring() -> None:
    read: list[int] = []
    ahead: list[int] = []

    def note(index: int) -> None:
        ahead.append(max(read) - index)

    run(Numbered(60, on_read=read.append), 2, Kept(note), workers=2)
    # Four buffers of two images: the batch being handed over, and three more.
    assert max(ahead) <= 7


@pytest.mark.parametrize("bad", [(0,), (5,), (3, 4, 5), (4, 5, 6, 7), (20,)])
def test_bad_image_is_named_and_the_rest_goes_on(bad: tuple[int, ...]) -> None:
    kept = Kept()
    result = run(Numbered(21, bad), 4, kept)
    good = [index for index in range(21) if index not in bad]
    assert kept.order == good
    assert [number_of(mask) for mask in kept.masks] == good
    assert [image.name for image in result.bad_images] == [f"number {index}" for index in bad]
    assert result.bad_images[0].reason == f"number {bad[0]} is damaged"
    assert (result.done, result.partial) == (len(good), False)


def test_bad_image_stops_the_stream_where_that_was_asked_for() -> None:
    kept, lane = Kept(), HostLane(FakeEngine(), 4, SIZE, 4)
    with pytest.raises(ImageError, match=r"^number 9 is damaged$"):
        stream(Numbered(21, (9,)), lane, kept, workers=2, humble=True, on_bad="stop")
    assert kept.order == list(range(8))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_stream_of_bad_images_alone_runs_no_inference() -> None:
    engine = FakeEngine()
    result = run(Numbered(5, (0, 1, 2, 3, 4)), 2, Kept(), engine=engine)
    assert (result.done, len(result.bad_images)) == (0, 5)
    assert "enqueue" not in engine.calls


def test_ctrl_c_ends_with_the_masks_so_far_marked_partial() -> None:
    kept = Kept(lambda index: os.kill(os.getpid(), signal.SIGINT) if index == 9 else None)
    before = signal.getsignal(signal.SIGINT)
    result = run(Numbered(10_000), 4, kept)
    assert result.partial
    assert result.done == len(kept.order) < 10_000
    assert kept.order == list(range(result.done))
    assert result.done % 4 == 0
    assert signal.getsignal(signal.SIGINT) is before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_ctrl_c_while_waiting_for_an_image_ends_too() -> None:
    stuck = Event()

    def hang(index: int) -> None:
        if index == 5:
            os.kill(os.getpid(), signal.SIGINT)
            stuck.wait(1)

    result = run(Numbered(100, on_read=hang), 1, Kept(), workers=1)
    assert result.partial
    assert result.done <= 5


def test_second_ctrl_c_interrupts_at_once() -> None:
    def twice(index: int) -> None:
        if index == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    kept = Kept(twice)
    with pytest.raises(KeyboardInterrupt):
        run(Numbered(100), 4, kept)
    assert kept.order == [0, 1, 2, 3]


def test_ctrl_c_at_the_last_image_leaves_nothing_partial() -> None:
    result = run(Numbered(8), 4, Kept(lambda index: os.kill(os.getpid(), signal.SIGINT) if index == 7 else None))
    assert (result.done, result.partial) == (8, False)


def test_fault_in_a_worker_reaches_the_caller() -> None:
    def fail(index: int) -> None:
        if index == 6:
            msg = "our own mistake"
            raise ZeroDivisionError(msg)

    with pytest.raises(ZeroDivisionError, match="our own mistake"):
        run(Numbered(20, on_read=fail), 2, Kept())


def test_fault_in_the_consumer_ends_the_workers() -> None:
    def fail(index: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(Numbered(100), 2, Kept(fail))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_logits_that_are_not_finite_name_their_image() -> None:
    def broken(batch: np.ndarray) -> np.ndarray:
        logits = two_classes(batch)
        logits[(batch[:, 0, 0, 0] > 0) & (batch[:, 0, 0, 1] > 0) & (batch[:, 0, 0, 2] > 0), 1, 3, 3] = np.inf
        return logits

    with pytest.raises(NonFiniteError, match=r"^NaN or infinite logits on image number 7$"):
        run(Numbered(20), 4, Kept(), engine=FakeEngine(broken))


def test_stages_sum_to_the_runtime_and_workers_count_beside_it() -> None:
    result = run(Numbered(500), 4, Kept())
    assert set(result.stages_s) == set(STAGES)
    assert sum(result.stages_s.values()) == pytest.approx(result.runtime_s, rel=1e-9)
    assert 0 < result.first_s < result.runtime_s
    assert result.workers_s["decode"] > 0
    assert result.workers_s["normalise"] > 0
    assert "wait" not in result.workers_s
    assert (result.workers, result.workers_read) == (2, 500)
    assert result.fps == pytest.approx(500 / result.runtime_s)


def test_slow_stage_is_the_one_that_shows() -> None:
    class Slow(FakeEngine):
        def synchronize(self) -> None:
            Event().wait(0.02)

    def rest(_: int) -> None:
        Event().wait(0.02)

    slow_engine = run(Numbered(10), 1, Kept(), engine=Slow())
    assert slow_engine.stages_s["infer"] >= 0.2 * 0.95
    slow_reader = run(Numbered(10, on_read=rest), 1, Kept(), workers=1)
    assert slow_reader.stages_s["wait"] >= 0.2 * 0.5
    assert slow_reader.workers_s["decode"] >= 0.2 * 0.95
    slow_consumer = run(Numbered(10), 1, Kept(rest))
    assert slow_consumer.stages_s["post_process"] >= 0.2 * 0.95


def test_steady_state_allocates_nothing_that_grows() -> None:
    images, taken = distinct(16), []

    def note(index: int, name: str, mask: np.ndarray) -> None:
        if index in (400, 3999):
            taken.append(tracemalloc.get_traced_memory()[0])

    lane = HostLane(Quiet(), 4, SIZE, 4)
    tracemalloc.start()
    try:
        stream(MemoryImages(images, 4000), lane, note, workers=2, humble=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A mask is 512 bytes and a batch of logits 16 KiB: 3600 more images leave less than one batch behind.
    assert abs(taken[1] - taken[0]) < 16_000
    assert peak - taken[0] < 64_000


def test_first_masks_are_those_of_the_first_batch_that_has_any() -> None:
    def slowly(_: int) -> None:
        Event().wait(0.01)

    result = run(Numbered(12, (0, 1, 2, 3)), 4, Kept(slowly))
    assert result.done == 8
    assert 4 * 0.01 <= result.first_s < result.runtime_s
    assert run(Numbered(4, (0, 1, 2, 3)), 4, Kept()).first_s == 0
