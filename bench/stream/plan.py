"""What a session streams: how many images, where they come from, and which cases."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image
from rich.console import Console

from bench.stream.images import FileImages, MemoryImages
from bench.stream.measure import Way
from bench.stream.show import progress
from models.files import ImageError, image_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bench.case import Case
    from bench.roofline.report import Roofline
    from bench.stream.images import Images
    from models.images import ImageSet

CPU_SAMPLES, GPU_SAMPLES = 16, 1000
"""Images per stream unless the user says how many."""


@dataclass(slots=True)
class StreamPlan:
    """How a session streams, and the rows it has measured so far."""

    device: Literal["cpu", "cuda"]
    threads: int
    batch_sizes: tuple[int, ...]
    samples: int | None
    """How many images the user asked for, or None."""
    source: Literal["memory", "png"]
    on_bad: Literal["skip", "stop"]
    image_set: Callable[[], ImageSet]
    folder: Path | None
    """The user's images."""
    scratch: Callable[[], Path]
    """Makes an empty folder for the files of built-in images."""
    uncaptured: Callable[[], AbstractContextManager[object]] = nullcontext
    """Lets the progress bar reach the terminal."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    roofline: Roofline | None = None
    """Where the cases' shares of the machine's ceilings go, when the user asked for them."""
    _paths: list[Path] = field(default_factory=list)

    def why_not(self, case: Case) -> str | None:
        """Return why a case does not stream, or None.

        A CPU's default is the smallest batch size, on which larger ones gain little there: all would double the run.
        """
        if self.samples is None and self.device == "cpu" and case.batch_size != min(self.batch_sizes):
            return f"on a CPU only batch size {min(self.batch_sizes)} streams by default: --samples N streams all"
        return None

    def images(self) -> Images:
        """Return the row of images that each case streams; `ImageError` for files that are no single images."""
        samples = self.samples or (CPU_SAMPLES if self.device == "cpu" else GPU_SAMPLES)
        images = self.image_set()
        if self.source == "memory":
            return MemoryImages(images, samples)
        if not self._paths:
            self._paths = _single(self.folder, images) if self.folder else _written(images, self.scratch())
        return FileImages(self._paths, (images.images.shape[1], images.images.shape[2]), samples, images.bits)

    @contextmanager
    def way(self, case: Case, samples: int) -> Iterator[Way]:
        """Yield how to run one case's stream, with a progress bar on a terminal."""
        with self.uncaptured(), progress(Console(stderr=True), str(case), samples) as tick:
            yield Way(self.device, self.threads, self.on_bad, tick)

    @staticmethod
    def consume(index: int, name: str, mask: NDArray[np.uint8]) -> None:
        """Take a mask, and leave it: what a consumer does with masks is its own cost."""


def _single(folder: Path, images: ImageSet) -> list[Path]:
    """Return the files of a folder whose images were read; `ImageError` where a file holds several."""
    paths = image_files(folder)
    if len(paths) != len(images.names):
        held = f"{len(paths)} files hold {len(images.names)} pages"
        msg = f"{folder}: {held}, and files are streamed as single images: split them, or stream from memory"
        raise ImageError(msg)
    return paths


def _written(images: ImageSet, folder: Path) -> list[Path]:
    """Write images as PNG files and return their paths."""
    paths = [folder / f"{name}.png" for name in images.names]
    for path, image in zip(paths, images.images, strict=True):
        Image.fromarray(image).save(path)
    return paths
