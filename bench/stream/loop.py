"""The stream's one loop: images in, masks handed to a consumer in order, interruptible, every second accounted for."""

from __future__ import annotations

import signal
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.fidelity import NonFiniteError
from bench.stream.feeder import Feeder
from bench.stream.laps import Laps
from models.images import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from bench.stream.feeder import Batch
    from bench.stream.images import BadImage, Images
    from bench.stream.lane import Lane

    Consumer = Callable[[int, str, NDArray[np.uint8]], None]
    """Takes an image's number, its name and its mask, uint8 [H, W], valid until it returns."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """What one run of a stream did and took."""

    samples: int
    done: int
    """Masks handed over; bad images have none."""
    partial: bool
    """Whether it was interrupted before the end."""
    bad_images: tuple[BadImage, ...]
    runtime_s: float
    first_s: float
    """Seconds until the masks of the first batch that has any were handed over; within `runtime_s`."""
    stages_s: dict[str, float]
    """The consuming thread's seconds by stage; they sum to `runtime_s`."""
    workers_s: dict[str, float]
    """The decoding threads' seconds by stage, all together, beside the consuming thread's."""
    workers: int
    """Decoding threads."""
    workers_read: int
    """Images that they read, those included that an interruption left undone."""
    latencies_s: NDArray[np.float64] = field(repr=False)
    """Seconds of each image from the reading of its batch to the hand-over of its mask, the ring's queue included."""

    @property
    def fps(self) -> float:
        """Masks per second."""
        return self.done / self.runtime_s if self.runtime_s else 0.0


class Interrupt:
    """Whether the stream shall stop; Ctrl-C sets it, and a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        """Return whether to stop."""
        return self.asked

    @contextmanager
    def by_ctrl_c(self) -> Iterator[None]:
        """Take Ctrl-C as the wish to stop inside the block; in a thread that gets no signals do nothing."""
        if current_thread() is not main_thread():
            yield
            return

        def ask(*_: Any) -> None:  # noqa: ANN401 - a signal handler's arguments
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        before = signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def stream(
    images: Images,
    lane: Lane,
    consume: Consumer,
    *,
    workers: int,
    humble: bool,
    on_bad: Literal["skip", "stop"] = "skip",
    tick: Callable[[int], None] = lambda _: None,
) -> Streamed:
    """Send all images through a lane and return what came of it.

    `tick` is told after each batch how many masks are done. Raises `ImageError` for a bad image when `on_bad` is
    "stop", and `NonFiniteError`, which names the image.
    """
    interrupt = Interrupt()
    feeder = Feeder(images, lane, workers, humble=humble)
    run = _Run(images, lane, feeder, consume, tick, stop_on_bad=on_bad == "stop")
    with interrupt.by_ctrl_c(), feeder:
        run.drain(interrupt)
    return run.result(partial=interrupt.asked and run.passed < len(images))


class _Run:
    """The state of one run."""

    def __init__(
        self,
        images: Images,
        lane: Lane,
        feeder: Feeder,
        consume: Consumer,
        tick: Callable[[int], None],
        *,
        stop_on_bad: bool,
    ) -> None:
        self._images, self._lane, self._feeder = images, lane, feeder
        self._consume, self._tick, self._stop_on_bad = consume, tick, stop_on_bad
        self._laps = Laps()
        self._latencies_s = np.zeros(len(images))
        self._bad: list[BadImage] = []
        self._done = 0
        self._first_s = 0.0
        self._end_s = 0.0
        self.passed = 0
        """Images gone through, good or bad."""

    def drain(self, interrupt: Callable[[], bool]) -> None:
        """Submit and collect until the end or an interruption; what is under way then is still handed over."""
        pending: deque[Batch] = deque()
        while (batch := self._feeder.next(interrupt)) is not None:
            self._laps.lap("wait")
            if batch.bad and self._stop_on_bad:
                raise ImageError(batch.bad[0].reason)
            if batch.good:
                self._lane.submit(batch.index, self._laps)
            pending.append(batch)
            while len(pending) >= self._lane.depth:
                self._hand_over(pending.popleft())
        self._laps.lap("wait")
        while pending:
            self._hand_over(pending.popleft())
        self._end_s = self._laps.lap("wait")

    def _hand_over(self, batch: Batch) -> None:
        self._bad += batch.bad
        if batch.good:
            masks, not_finite = self._lane.collect(batch.index, self._laps)
            if not_finite is not None:
                place = max((good for good in batch.good if good <= not_finite), default=batch.good[0])
                msg = f"NaN or infinite logits on image {self._images.name(batch.first + place)}"
                raise NonFiniteError(msg)
            for place in batch.good:
                index = batch.first + place
                self._consume(index, self._images.name(index), masks[place])
                self._latencies_s[self._done] = self._feeder.elapsed_s - batch.started_s
                self._done += 1
        self.passed += len(batch.good) + len(batch.bad)
        self._feeder.release(batch)
        self._tick(self._done)
        now_s = self._laps.lap("post_process")
        if batch.good:
            self._first_s = self._first_s or now_s

    def result(self, *, partial: bool) -> Streamed:
        """Return what came of it, once the workers have ended."""
        return Streamed(
            len(self._images),
            self._done,
            partial,
            tuple(self._bad),
            self._end_s,
            self._first_s,
            dict(self._laps.stages_s),
            self._feeder.workers_s.as_dict(),
            self._feeder.workers,
            self._feeder.read,
            self._latencies_s[: self._done],
        )
