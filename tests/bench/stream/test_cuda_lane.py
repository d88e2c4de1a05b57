"""A GPU's lane: masks as the host's, in order, with up to three batches under way; on stand-ins of streams and events.

What needs the streams to be real is marked `gpu`.
"""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from bench.fidelity import NonFiniteError
from bench.stream import cuda_lane
from bench.stream.cuda_lane import CudaLane, OnDevice, label_into
from bench.stream.images import MemoryImages
from bench.stream.laps import STAGES, Laps
from bench.stream.loop import stream
from bench.stream.masks import LabelWriter
from models.dice import labels
from models.images import normalise
from tests.bench.stream.helpers import SIZE, Kept, Numbered, distinct, number_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

BATCH_SIZE = 4


class StandIns:
    """A CUDA whose work is done at once on the CPU; counts what was replayed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.replays = self.captures = 0
        self.waits: list[str] = []
        outer = self

        class Graph:
            def replay(self) -> None:
                outer.replays += 1

        class Queue:
            def wait_event(self, event: Any) -> None: ...

            def synchronize(self) -> None: ...

        class Event:
            def record(self) -> None: ...

            def synchronize(self) -> None:
                outer.waits.append("event")

        def graph(*_: Any, **options: Any) -> Any:
            assert options["capture_error_mode"] == "thread_local"
            outer.captures += 1
            return nullcontext()

        stand_ins = {"Stream": Queue, "Event": Event, "CUDAGraph": Graph, "graph": graph}
        for name, value in stand_ins.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
        self.queue: Any = Queue()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> StandIns:
    return StandIns(monkeypatch)


def lane(cuda: StandIns, compute: Callable[[Tensor], Tensor], *, capturable: bool = False) -> CudaLane:
    """Return a lane of an engine that applies a function."""
    image = torch.zeros((BATCH_SIZE, 1, *SIZE))
    return CudaLane(OnDevice(cuda.queue, image, lambda: compute(image), capturable=capturable), 4)


def bright(image: Tensor) -> Tensor:
    """Return logits that mark the pixels above the middle."""
    return torch.cat([-image, image], dim=1)


@pytest.mark.parametrize("count", [1, 4, 21])
def test_every_mask_comes_once_in_order_and_belongs_to_its_image(cuda: StandIns, count: int) -> None:
    kept = Kept()
    result = stream(Numbered(count), lane(cuda, bright), kept, workers=3, humble=False)
    assert kept.order == list(range(count))
    assert [number_of(mask) for mask in kept.masks] == list(range(count))
    assert sum(result.stages_s.values()) == pytest.approx(result.runtime_s)


def test_values_are_bit_for_bit_those_of_the_accuracy_path(cuda: StandIns) -> None:
    seen = []

    def keep(image: Tensor) -> Tensor:
        seen.append(image.numpy().copy())
        return bright(image)

    pixels = np.arange(256, dtype=np.uint8).repeat(2).reshape(1, *SIZE)
    opened = lane(cuda, keep)
    opened.pixels[0][:] = pixels
    opened.submit(0, Laps())
    np.testing.assert_array_equal(seen[-1], np.repeat(normalise(pixels), BATCH_SIZE, axis=0))


def test_three_batches_are_under_way_and_none_overwrites_another(cuda: StandIns) -> None:
    opened, laps = lane(cuda, bright), Laps()
    for index in range(opened.depth):
        opened.pixels[index][:] = 0
        opened.pixels[index][:, index] = 255
        opened.submit(index, laps)
    assert opened.depth == 3
    assert cuda.waits == []
    for index in range(opened.depth):
        masks, bad = opened.collect(index, laps)
        assert bad is None
        assert masks[:, index].all()
        assert masks.sum() == BATCH_SIZE * SIZE[1]
    assert set(laps.stages_s) == set(STAGES)
    opened.close()
    opened.close()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 5])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_logits_that_are_not_finite_name_their_image(
    cuda: StandIns, value: float, place: int, memory: torch.memory_format
) -> None:
    passed = []

    def spoilt(image: Tensor) -> Tensor:
        passed.append(1)
        logits = bright(image)
        # The first three inferences open the lane's slots.
        if len(passed) == 4 + place // BATCH_SIZE:
            logits[place % BATCH_SIZE, 1, 3, 3] = value
        return logits.contiguous(memory_format=memory)

    with pytest.raises(NonFiniteError, match=f"on image image-0000{place}$"):
        stream(MemoryImages(distinct(8), 8), lane(cuda, spoilt), Kept(), workers=1, humble=False)


@pytest.mark.parametrize("classes", [1, 2, 3, 5])
def test_labels_are_those_of_the_accuracy_path_and_ties_go_to_the_lowest(classes: int) -> None:
    logits = np.random.default_rng(0).integers(-2, 3, (3, classes, *SIZE)).astype(np.float32)
    masks = torch.zeros((3, *SIZE), dtype=torch.uint8)
    label_into(torch.from_numpy(logits), masks)
    written = np.zeros((3, *SIZE), np.uint8)
    assert LabelWriter().write(logits, written) is None
    np.testing.assert_array_equal(masks.numpy(), written)
    np.testing.assert_array_equal(masks.numpy(), labels(logits))


def test_an_engine_that_can_be_captured_is_replayed_and_not_run(cuda: StandIns) -> None:
    runs = []

    def counted(image: Tensor) -> Tensor:
        runs.append(1)
        return bright(image)

    opened = lane(cuda, counted, capturable=True)
    before = len(runs)
    opened.submit(0, Laps())
    opened.submit(1, Laps())
    assert (cuda.captures, cuda.replays, len(runs)) == (opened.depth, 2, before)


def test_page_locked_memory_is_asked_for_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    zeros = SimpleNamespace(zeros=lambda *_, **options: asked.append(options["pin_memory"]), uint8=torch.uint8)
    monkeypatch.setattr(cuda_lane, "torch", zeros)
    for device in ("cpu", "cuda"):
        cuda_lane._page_locked((1,), torch.uint8, torch.device(device))
    assert asked == [False, True]


@pytest.mark.gpu
@pytest.mark.parametrize("capturable", [True, False])
def test_on_a_gpu_a_thousand_distinct_masks_come_in_order(capturable: bool) -> None:  # noqa: FBT001 - a parameter
    images, kept = distinct(1001), Kept()
    queue = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    image = torch.zeros((BATCH_SIZE, 1, *SIZE), device="cuda")
    opened = CudaLane(OnDevice(queue, image, lambda: bright(image), capturable=capturable), 6)
    stream(MemoryImages(images, 1001), opened, kept, workers=4, humble=False)
    opened.close()
    values = normalise(images.images)
    np.testing.assert_array_equal(np.stack(kept.masks), labels(np.concatenate([-values, values], axis=1)))
