"""Decoding ahead: worker threads fill a ring of buffers, batch by batch, and a consumer takes them in order."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Lock, Thread, get_native_id
from typing import TYPE_CHECKING

import numpy as np

from bench.stream.images import BadImage
from bench.stream.laps import Laps, SharedSeconds
from bench.stream.masks import normalise_into
from models.images import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from numpy.typing import NDArray

    from bench.stream.images import Images
    from bench.stream.lane import Lane

_LOWEST_PRIORITY = 19
_WAIT_S = 0.1
"""How long a waiting consumer sleeps before it looks whether it shall stop."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what decoders say of odd metadata to themselves; filters belong to the process: workers cannot set them."""
    log = logging.getLogger("imagecodecs")
    level = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


@dataclass(slots=True)
class Batch:
    """One buffer of the ring, filled."""

    index: int
    """Which buffer."""
    number: int = -1
    """Which batch of the stream; -1 while the buffer is free."""
    first: int = 0
    """The stream's number of its first image."""
    good: list[int] = field(default_factory=list)
    """The places in the batch that hold an image."""
    bad: list[BadImage] = field(default_factory=list)
    started_s: float = 0.0
    """When its first image was asked for, on the feeder's clock."""


class Feeder:
    """Fills a lane's ring from a row of images; a context manager, whose end stops the workers.

    Workers that share their cores with the engine run at the lowest priority: they decode in the gaps that inference
    leaves, such as argmax on one core, and at full speed only while the consumer waits for them.
    """

    def __init__(self, images: Images, lane: Lane, workers: int, *, humble: bool) -> None:
        self._images, self._lane, self._humble = images, lane, humble
        self._size = len(lane.pixels[0])
        self._batches = -(-len(images) // self._size)
        self._ring = [Batch(index) for index in range(len(lane.pixels))]
        self._free = [True] * len(self._ring)
        self._next_to_fill = self._next_to_give = 0
        # Two conditions on one lock: each event wakes the one thread that it concerns, not all of them.
        self._state = Lock()
        self._freed, self._filled = Condition(self._state), Condition(self._state)
        self._stopped = False
        self._fault: BaseException | None = None
        self.workers, self.workers_s = workers, SharedSeconds()
        self.read = 0
        """Images that were read, good or bad, whether or not the consumer came to take them."""
        self._clock = Laps()
        self._threads = [Thread(target=self._work, name=f"decode-{number}", daemon=True) for number in range(workers)]
        self._quiet = _quiet()

    def __enter__(self) -> None:
        self._quiet.__enter__()
        for thread in self._threads:
            thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._state:
            self._stopped = True
            self._freed.notify_all()
        for thread in self._threads:
            thread.join()
        self._quiet.__exit__(kind, error, at)

    @property
    def elapsed_s(self) -> float:
        """Seconds on the clock that batches are stamped with."""
        return self._clock.elapsed_s

    def next(self, interrupted: Callable[[], bool]) -> Batch | None:
        """Return the next batch, or None after the last one or when interrupted; raises what a worker met."""
        if self._next_to_give == self._batches:
            return None
        batch = self._ring[self._next_to_give % len(self._ring)]
        with self._state:
            while batch.number != self._next_to_give and self._fault is None and not interrupted():
                self._filled.wait(_WAIT_S)
            if self._fault is not None:
                raise self._fault
        if interrupted():
            return None
        self._next_to_give += 1
        return batch

    def release(self, batch: Batch) -> None:
        """Give a buffer back to be filled again."""
        with self._state:
            batch.number = -1
            self._free[batch.index] = True
            self._freed.notify()

    def _work(self) -> None:
        if self._humble and sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, get_native_id(), _LOWEST_PRIORITY)
        laps = Laps()
        try:
            while (number := self._claimed()) is not None:
                laps.lap("wait")
                batch = self._ring[number % len(self._ring)]
                batch.started_s = self._clock.elapsed_s
                self._fill(batch, number, laps)
                with self._state:
                    batch.number = number
                    self.read += len(batch.good) + len(batch.bad)
                    self._filled.notify()
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
            with self._state:
                self._fault = error
                self._filled.notify()
                self._freed.notify_all()
        finally:
            laps.stages_s["wait"] = 0.0
            self.workers_s.add(laps.stages_s)

    def _claimed(self) -> int | None:
        """Wait until the next batch's buffer is free, and return the batch's number; None at the end."""
        with self._state:
            while not self._stopped and self._fault is None and self._next_to_fill < self._batches:
                place = self._next_to_fill % len(self._ring)
                if self._free[place]:
                    self._free[place] = False
                    self._next_to_fill += 1
                    return self._next_to_fill - 1
                self._freed.wait()
            return None

    def _fill(self, batch: Batch, number: int, laps: Laps) -> None:
        """Read a batch's images; places without a good one hold a copy of a neighbour's."""
        batch.first = number * self._size
        batch.good.clear()
        batch.bad.clear()
        for place in range(min(self._size, len(self._images) - batch.first)):
            if self._stopped:
                return
            index = batch.first + place
            try:
                image = self._images.read(index)
            except ImageError as error:
                batch.bad.append(BadImage(self._images.name(index), str(error)))
                laps.lap("decode")
                continue
            laps.lap("decode")
            self._put(batch.index, place, image, laps)
            batch.good.append(place)
        if batch.good:
            for place in set(range(self._size)).difference(batch.good):
                source = max((good for good in batch.good if good < place), default=batch.good[0])
                for buffers in (self._lane.pixels, self._lane.values or ()):
                    if buffers:
                        buffers[batch.index][place] = buffers[batch.index][source]
            laps.lap("decode")

    def _put(self, index: int, place: int, image: NDArray[np.uint8], laps: Laps) -> None:
        if self._lane.values is None:
            np.copyto(self._lane.pixels[index][place], image)
            laps.lap("decode")
        else:
            normalise_into(image, self._lane.values[index][place, 0])
            laps.lap("normalise")
