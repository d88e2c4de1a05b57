"""Calibration for weakly typed INT8: batches of images to the device, and ranges kept in a file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorrt as trt
from pycuda import driver

from bench.outputs import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

ALGORITHMS = ("MinMax", "Entropy2")


def batches(images: NDArray[np.float32], batch_size: int) -> list[NDArray[np.float32]]:
    """Return all images, float32 [N, 1, H, W], in order, as contiguous arrays of `batch_size` images each.

    A short last batch is filled up with the first images over again. Dropping it would lose images, and all of
    them where there are fewer than one batch; engines take no short batch; zeros would move the ranges.
    """
    short = -len(images) % batch_size
    order = np.concatenate([np.arange(len(images)), np.arange(short) % len(images)])
    filled = np.ascontiguousarray(images[order], dtype=np.float32)
    return [filled[start : start + batch_size] for start in range(0, len(filled), batch_size)]


def cache_path(folder: Path, graph: Path, images: NDArray[np.float32], algorithm: str) -> Path:
    """Return the file for the ranges of one model (its graph), image set, algorithm and TensorRT version.

    The batch size is not in the name: ranges belong to the network, and every batch size should run the same.
    """
    digest = hashlib.sha256(graph.read_bytes())
    digest.update(np.ascontiguousarray(images).tobytes())
    digest.update(f"{images.shape} {algorithm} {trt.__version__}".encode())
    return folder / f"calibration-{algorithm.lower()}-{digest.hexdigest()[:20]}.cache"


class Feed:
    """Calibration batches, one after the other, in one device buffer that is filled anew each time."""

    def __init__(
        self,
        images: NDArray[np.float32],
        batch_size: int,
        cache: Path,
        tell: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self.batch_size = batch_size
        self.cache = cache
        self.error: Exception | None = None
        """What went wrong in a call of TensorRT's, which prints such errors and goes on."""
        self._batches = batches(images, batch_size)
        self._given = 0
        self._buffer: Any = None
        self._tell = tell

    def next_pointer(self) -> int | None:
        """Copy the next batch to the device and return its address, or None when there are no more."""
        if self._given == len(self._batches):
            self._tell(None)
            return None
        batch = self._batches[self._given]
        if self._buffer is None:
            self._buffer = driver.mem_alloc(batch.nbytes)
        driver.memcpy_htod(self._buffer, batch)
        # TensorRT reads the buffer on a stream of its own, which need not wait for the default one.
        driver.Context.synchronize()
        self._given += 1
        self._tell(f"{self._given} of {len(self._batches)}")
        return int(self._buffer)

    def read(self) -> bytes | None:
        """Return the stored ranges, or None when there are none yet."""
        return (self.cache.read_bytes() or None) if self.cache.exists() else None

    def write(self, ranges: bytes) -> None:
        """Store the ranges, whole or not at all."""
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.cache, ranges)

    def close(self) -> None:
        """Free the device buffer; calling it again does nothing."""
        if self._buffer is not None:
            self._buffer.free()
            self._buffer = None


def calibrator(algorithm: str, feed: Feed) -> Any:  # noqa: ANN401 - TensorRT's classes have no types
    """Return TensorRT's calibrator of one of `ALGORITHMS` on a feed; for TensorRT 8.6 and 10."""
    base = {"MinMax": trt.IInt8MinMaxCalibrator, "Entropy2": trt.IInt8EntropyCalibrator2}[algorithm]

    # A class inside the function: TensorRT 11 has no such base, and the class line itself would raise.
    class Calibrator(base):  # type: ignore[misc, valid-type] # TensorRT's classes have no types
        def __init__(self) -> None:
            base.__init__(self)

        def get_batch_size(self) -> int:
            return feed.batch_size

        def get_batch(self, names: list[str]) -> list[int] | None:  # noqa: ARG002 - TensorRT's signature
            try:
                pointer = feed.next_pointer()
            except Exception as error:  # noqa: BLE001 - TensorRT would print and drop it; the builder raises it later
                feed.error = error
                return None
            return None if pointer is None else [pointer]

        def read_calibration_cache(self) -> bytes | None:
            return feed.read()

        def write_calibration_cache(self, cache: Any) -> None:  # noqa: ANN401 - a buffer
            # After an error the ranges are those of some images only, and would be taken for all of them's.
            if feed.error is None:
                try:
                    feed.write(bytes(cache))
                except Exception as error:  # noqa: BLE001 - as above
                    feed.error = error

    return Calibrator()
