"""How faithful an engine's masks are: to the FP32 masks and to the truth, per image and per class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.dice import dice, labels
from models.images import normalise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.backend import Engine
    from models.images import ImageSet


class NonFiniteError(AssertionError):
    """An engine that put out NaN or infinite logits."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The FP32 masks of an image set: labels uint8 [N, H, W] and the number of classes."""

    labels: NDArray[np.uint8]
    classes: int

    def pixels(self) -> list[list[int]]:
        """Return how many pixels of each mask are of each class, [N][classes], the background first."""
        return [np.bincount(mask.ravel(), minlength=self.classes).tolist() for mask in self.labels]


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Dice per image and class, float64: against the FP32 masks [N, classes], and any truth [N, 2]."""

    names: tuple[str, ...]
    fp32: NDArray[np.float64]
    truth: NDArray[np.float64] | None
    worst: int
    """Index of the image whose target is worst against the FP32 masks."""
    worst_labels: NDArray[np.uint8]
    """The engine's own labels of that image, [H, W]."""

    def as_dict(self) -> dict[str, Any]:
        """Return every number and the target's mean and worst image, ready for JSON."""
        return {
            "images": list(self.names),
            "dice_fp32": summary(self.fp32, self.names),
            "dice_truth": None if self.truth is None else summary(self.truth, self.names),
        }


def summary(scores: NDArray[np.float64], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the target's mean, its worst image and all scores; the target is every class but the background.

    `scores` are Dice, 0 to 1, float64 [N, classes], the background first; `names` are those of the N images.
    """
    target, worst = scores[:, 1:].mean(axis=1), worst_of(scores)
    return {
        "mean": float(target.mean()),
        "worst": float(target[worst]),
        "worst_image": names[worst],
        "per_image": [[round(float(score), 6) for score in row] for row in scores],
    }


def worst_of(scores: NDArray[np.float64]) -> int:
    """Return the index of the image whose target has the lowest Dice; `scores` are float64 [N, classes]."""
    return int(scores[:, 1:].mean(axis=1).argmin())


def predict(engine: Engine, images: ImageSet, batch_size: int) -> tuple[NDArray[np.uint8], int]:
    """Return the engine's label maps, uint8 [N, H, W], and its number of classes (2 for a single logit).

    A short last batch is filled up with its own last image. Raises `NonFiniteError`, which names the image.
    """
    found = []
    classes = 0
    for start in range(0, len(images.names), batch_size):
        batch = normalise(images.images[start : start + batch_size])
        count = len(batch)
        engine.copy_in(np.concatenate([batch, np.repeat(batch[-1:], batch_size - count, axis=0)]))
        engine.enqueue()
        logits = engine.copy_out()[:count]
        classes = max(2, logits.shape[1])
        bad = np.flatnonzero(~np.isfinite(logits).all(axis=(1, 2, 3)))
        if bad.size:
            msg = f"NaN or infinite logits on image {images.names[start + int(bad[0])]}"
            raise NonFiniteError(msg)
        found.append(labels(logits))
    return np.concatenate(found), classes


def judge(engine: Engine, images: ImageSet, batch_size: int, reference: Reference) -> Fidelity:
    """Return how an engine's masks compare with the reference and with the set's own masks.

    A set's masks tell target and background only, so that every other class of the engine's is their target.
    """
    predicted, _ = predict(engine, images, batch_size)
    truth = None
    if images.masks is not None:
        truth = dice((predicted > 0).astype(np.uint8), images.masks.astype(np.uint8), 2)
    fp32 = dice(predicted, reference.labels, reference.classes)
    worst = worst_of(fp32)
    return Fidelity(images.names, fp32, truth, worst, predicted[worst].copy())
