"""A lane: the way of a batch through an engine, from uint8 images in a ring of buffers to uint8 masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from bench.stream.masks import LabelWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.backend import Engine
    from bench.stream.laps import Laps


class Lane(Protocol):
    """What a stream drives: batches go in by buffer number, masks come out in the same order."""

    @property
    def pixels(self) -> Sequence[NDArray[np.uint8]]:
        """The ring of input buffers, uint8 [B, H, W] each."""

    @property
    def values(self) -> Sequence[NDArray[np.float32]] | None:
        """Where the host normalises: the ring's buffers as float32 [B, 1, H, W]; None where the device does."""

    @property
    def depth(self) -> int:
        """How many batches may be under way: those submitted and not yet collected."""

    def submit(self, index: int, laps: Laps) -> None:
        """Start the batch in one buffer of the ring; the buffer stays untouched until it is collected."""

    def collect(self, index: int, laps: Laps) -> tuple[NDArray[np.uint8], int | None]:
        """Return a batch's masks, uint8 [B, H, W], and the first image whose logits are not finite.

        The masks are valid until the next batch is submitted or collected.
        """

    def close(self) -> None:
        """Wait for what is under way and release the buffers; calling it again does nothing."""


@runtime_checkable
class OpensLanes(Protocol):
    """An engine that keeps normalisation and argmax on its device, and copies while it computes."""

    def open_lane(self, buffers: int) -> Lane | None:
        """Return a lane with a ring of at least `buffers`, or None where the device at hand gives none."""


@runtime_checkable
class ShowsLogits(Protocol):
    """An engine whose logits lie in host memory, where they can be read without a copy."""

    def view_out(self) -> NDArray[np.float32]:
        """Return the logits of the last inference, float32 [B, classes, H, W], valid until the next one."""


class HostLane:
    """The lane of an engine that offers no more than its contract: the host normalises and takes the argmax."""

    depth = 1

    def __init__(self, engine: Engine, batch_size: int, size: tuple[int, int], buffers: int) -> None:
        self._engine = engine
        self.pixels = [np.zeros((batch_size, *size), np.uint8) for _ in range(buffers)]
        self.values: list[NDArray[np.float32]] | None = [
            np.zeros((batch_size, 1, *size), np.float32) for _ in range(buffers)
        ]
        self._logits = engine.view_out if isinstance(engine, ShowsLogits) else engine.copy_out
        self._masks = np.zeros((batch_size, *size), np.uint8)
        self._labels = LabelWriter()

    def submit(self, index: int, laps: Laps) -> None:
        """Copy in and infer."""
        assert self.values is not None  # noqa: S101 - a host lane always has them
        self._engine.copy_in(self.values[index])
        laps.lap("copy_in")
        self._engine.enqueue()
        self._engine.synchronize()
        laps.lap("infer")

    def collect(self, index: int, laps: Laps) -> tuple[NDArray[np.uint8], int | None]:  # noqa: ARG002 - the one batch under way
        """Take the argmax."""
        logits = self._logits()
        laps.lap("copy_out")
        bad = self._labels.write(logits, self._masks)
        laps.lap("post_process")
        return self._masks, bad

    def close(self) -> None:
        """Drop the engine, whose owner closes it."""
        self._engine.synchronize()


def open_lane(engine: Engine, batch_size: int, size: tuple[int, int], buffers: int) -> Lane:
    """Return the engine's own lane where it offers one, else the host's."""
    lane = engine.open_lane(buffers) if isinstance(engine, OpensLanes) else None
    return lane or HostLane(engine, batch_size, size, buffers)
