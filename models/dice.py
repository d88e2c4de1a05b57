"""Labels from logits, and how far two label maps overlap: Dice per image and per class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RANK = 4


def labels(logits: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the class of each pixel, uint8 [N, H, W], for logits [N, C, H, W]: the largest, or > 0 where C is 1.

    Raises `ValueError` when a logit is NaN or infinite: such masks would look valid.
    """
    if logits.ndim != _RANK or logits.shape[1] == 0:
        msg = f"logits must be [N, C, H, W], got shape {list(logits.shape)}"
        raise ValueError(msg)
    bad = int(logits.size - np.count_nonzero(np.isfinite(logits)))
    if bad:
        msg = f"{bad} of {logits.size} logits are NaN or infinite"
        raise ValueError(msg)
    if logits.shape[1] == 1:
        return np.asarray(logits[:, 0] > 0, dtype=np.uint8)
    return np.asarray(logits.argmax(axis=1), dtype=np.uint8)


def dice(a: NDArray[np.uint8], b: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    """Return 2 |A and B| / (|A| + |B|) per image and class, float64 [N, classes], for label maps [N, H, W].

    A class that neither map holds scores 1. After L. R. Dice, "Measures of the amount of ecologic association between
    species", Ecology 26 (1945). Raises `ValueError` when the shapes differ or a label is not below `classes`.
    """
    if a.shape != b.shape:
        msg = f"label maps must have one shape, got {list(a.shape)} and {list(b.shape)}"
        raise ValueError(msg)
    highest = max((int(part.max()) for part in (a, b) if part.size), default=0)
    if highest >= classes:
        msg = f"label {highest} in maps of {classes} classes"
        raise ValueError(msg)
    scores = np.ones((len(a), classes), dtype=np.float64)
    for image in range(len(a)):
        for label in range(classes):
            in_a, in_b = a[image] == label, b[image] == label
            total = np.count_nonzero(in_a) + np.count_nonzero(in_b)
            if total:
                scores[image, label] = 2.0 * np.count_nonzero(in_a & in_b) / total
    return scores
