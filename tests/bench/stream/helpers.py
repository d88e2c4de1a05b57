"""What the tests of the stream share: images that differ, lanes on fake engines, and a consumer that keeps masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.stream.lane import HostLane
from bench.stream.loop import Streamed, stream
from models.images import ImageError, ImageSet
from tests.bench.fake_engines import FakeEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bench.stream.loop import Consumer

SIZE = (16, 32)


def distinct(count: int, size: tuple[int, int] = SIZE) -> ImageSet:
    """Return images of noise, no two alike: the first three pixels spell the number."""
    images = np.random.default_rng(0).integers(0, 256, (count, *size), dtype=np.uint8)
    for byte in range(3):
        images[:, 0, byte] = (np.arange(count) >> (8 * byte)) & 255
    return ImageSet(tuple(f"image-{index:05d}" for index in range(count)), images, None, "a test's")


class Numbered:
    """Images that are made when read: each holds its own number, and those named bad cannot be read."""

    kind = "memory"
    size = SIZE
    most_workers = 4

    def __init__(self, count: int, bad: tuple[int, ...] = (), on_read: Callable[[int], None] = lambda _: None) -> None:
        self._count, self._bad, self._on_read = count, bad, on_read

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        """Return a name that holds the number."""
        return f"number {index}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return an image whose first half is bright in every bit of its number."""
        self._on_read(index)
        if index in self._bad:
            msg = f"number {index} is damaged"
            raise ImageError(msg)
        return picture(index)


def picture(index: int) -> NDArray[np.uint8]:
    """Return the numbered image: one pixel for each bit of the number, dark or bright."""
    image = np.zeros(SIZE, np.uint8)
    image[0, :20] = np.where((index >> np.arange(20)) & 1, 255, 0)
    return image


def number_of(mask: NDArray[np.uint8]) -> int:
    """Return the number that a mask of a numbered image spells."""
    return int((mask[0, :20].astype(np.int64) << np.arange(20)).sum())


class Kept:
    """A consumer that keeps what it was handed."""

    def __init__(self, then: Callable[[int], None] = lambda _: None) -> None:
        self.order: list[int] = []
        self.names: list[str] = []
        self.masks: list[NDArray[np.uint8]] = []
        self._then = then

    def __call__(self, index: int, name: str, mask: NDArray[np.uint8]) -> None:
        """Keep a copy: the mask is valid until this returns."""
        self.order.append(index)
        self.names.append(name)
        self.masks.append(mask.copy())
        self._then(index)


def run(
    images: Numbered, batch_size: int, consume: Consumer, *, workers: int = 2, engine: FakeEngine | None = None
) -> Streamed:
    """Stream through a fake engine that marks bright pixels."""
    lane = HostLane(engine or FakeEngine(), batch_size, SIZE, workers + 2)
    return stream(images, lane, consume, workers=workers, humble=True)
