"""Where a stream's images come from: memory, or the files of a folder, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from models.files import FORMATS, ImageError, read_image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.images import ImageSet


@dataclass(frozen=True, slots=True)
class BadImage:
    """An image that could not be read, and why."""

    name: str
    reason: str


class Images(Protocol):
    """A numbered row of grey images of one size; `read` is called by several threads at once."""

    kind: str
    """What the report calls it."""
    size: tuple[int, int]
    most_workers: int
    """Reading threads that are of use: copying memory takes few, decoding as many as there are cores."""

    def __len__(self) -> int:
        """Return how many there are."""

    def name(self, index: int) -> str:
        """Return what errors and masks are named after."""

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return an image, uint8 [H, W], valid until the next call of the same thread; `ImageError` if it is bad."""


class MemoryImages:
    """`samples` images of a set in memory, which starts again when it is through."""

    kind = "memory"
    most_workers = 4

    def __init__(self, images: ImageSet, samples: int) -> None:
        self._images, self._samples = images, samples
        self.size = (images.images.shape[1], images.images.shape[2])

    def __len__(self) -> int:
        return self._samples

    def name(self, index: int) -> str:
        """Return the image's name in its set."""
        return self._images.names[index % len(self._images.names)]

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return the image itself, no copy."""
        found: NDArray[np.uint8] = self._images.images[index % len(self._images.names)]
        return found


class FileImages:
    """`samples` images decoded from files, which start again when they are through."""

    most_workers = 64

    def __init__(
        self, paths: Sequence[Path], size: tuple[int, int], samples: int | None = None, bits: int | None = None
    ) -> None:
        self._paths = list(paths)
        self._samples = len(self._paths) if samples is None else samples
        self._bits = bits
        self.size = size
        self.kind = _kind(self._paths[: self._samples])

    def __len__(self) -> int:
        return self._samples

    def name(self, index: int) -> str:
        """Return the file's name."""
        return self._paths[index % len(self._paths)].name

    def read(self, index: int) -> NDArray[np.uint8]:
        """Decode one file."""
        path = self._paths[index % len(self._paths)]
        image = read_image(path, self._bits)
        if image.shape != self.size:
            found, wanted = ("x".join(str(extent) for extent in shape) for shape in (image.shape, self.size))
            msg = f"{path}: this image is {found} pixels, and the engine takes {wanted}: crop or resize it"
            raise ImageError(msg)
        return np.ascontiguousarray(image)


def _kind(paths: Sequence[Path]) -> str:
    """Return what files are by their endings, such as `JPEG and PNG files`."""
    *others, last = sorted({FORMATS[path.suffix.lower()] for path in paths})
    return f"{', '.join(others)} and {last} files" if others else f"{last} files"
