"""Normalised input and label maps written into memory that is there already, bit for bit as the accuracy path's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.images import MEAN, STD

if TYPE_CHECKING:
    from numpy.typing import NDArray


def normalise_into(image: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Write (image / 255 - MEAN) / STD to `out`, both [..., H, W], by the operations of `models.images.normalise`."""
    np.divide(image, np.float32(255), out=out, dtype=np.float32)
    np.subtract(out, np.float32(MEAN), out=out)
    np.divide(out, np.float32(STD), out=out)


class LabelWriter:
    """Turns logits [B, C, H, W] into labels [B, H, W] without allocating, as `models.dice.labels` would."""

    def __init__(self) -> None:
        self._finite: NDArray[np.bool_] | None = None
        self._best: NDArray[np.float32] | None = None

    def write(self, logits: NDArray[np.float32], out: NDArray[np.uint8]) -> int | None:
        """Write the labels, the lowest class where logits tie; return the first image with NaN or infinity, or None."""
        if self._finite is None or self._finite.shape != logits.shape:
            self._finite = np.empty(logits.shape, np.bool_)
            self._best = np.empty((logits.shape[0], *logits.shape[2:]), np.float32)
        np.isfinite(logits, out=self._finite)
        if not self._finite.all():
            return int(np.flatnonzero(~self._finite.all(axis=(1, 2, 3)))[0])
        classes = logits.shape[1]
        higher = out.view(np.bool_)
        if classes == 1:
            np.greater(logits[:, 0], 0, out=higher)
        else:
            np.greater(logits[:, 1], logits[:, 0], out=higher)
        if classes > 2:  # noqa: PLR2004 - beyond two classes a comparison is no label
            self._beyond_two(logits, out)
        return None

    def _beyond_two(self, logits: NDArray[np.float32], out: NDArray[np.uint8]) -> None:
        best, flag = self._best, self._finite
        assert best is not None and flag is not None  # noqa: S101, PT018 - made by write
        np.maximum(logits[:, 0], logits[:, 1], out=best)
        for label in range(2, logits.shape[1]):
            higher = flag[:, 0]
            np.greater(logits[:, label], best, out=higher)
            np.copyto(out, np.uint8(label), where=higher)
            np.maximum(best, logits[:, label], out=best)
