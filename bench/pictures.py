"""Pictures of a run's worst images, small enough for its JSON: input, truth, FP32 mask, and each engine's own mask."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.case import Case
    from bench.fidelity import Fidelity, Reference
    from models.images import ImageSet

MOST_PIXELS = 512
"""Height and width of a picture at most: larger images are cut to a window, whose pixels stay what they are."""
MOST_CHARACTERS = 400_000
"""What all pictures of a run take in its JSON at most: those of the best masks are left out first."""
_QUALITY = 25
_STEP = 64


@dataclass(frozen=True, slots=True)
class _Kept:
    case: str
    image: int
    dice: float
    labels: NDArray[np.uint8]


@dataclass(slots=True)
class Pictures:
    """Keeps the mask of the worst image of every backend and precision, at its smallest batch size."""

    _kept: dict[tuple[str, str], tuple[int, _Kept]] = field(default_factory=dict)

    def keep(self, case: Case, fidelity: Fidelity) -> None:
        """Take a case's worst mask, unless a smaller batch has shown its engine's already."""
        key = case.backend, case.precision
        if key in self._kept and self._kept[key][0] <= case.batch_size:
            return
        dice = float(fidelity.fp32[fidelity.worst, 1:].mean())
        self._kept[key] = case.batch_size, _Kept(case.id, fidelity.worst, dice, fidelity.worst_labels)

    def as_dict(self, images: ImageSet, reference: Reference) -> dict[str, Any]:
        """Return the pictures ready for JSON, the worst first; masks equal to the FP32 mask need none.

        `images` holds what the masks of one image share, once: its window (top, left, height, width in pixels), the
        input as JPEG, the truth and the FP32 mask as PNG, all in base64. `masks` holds by case how the engine's labels
        differ from the FP32 mask: by how many of the `classes`, going round. `left_out` are the cases without room.
        """
        found: dict[str, Any] = {"classes": reference.classes, "images": {}, "masks": {}, "left_out": []}
        kept = sorted((each for _, each in self._kept.values()), key=lambda each: each.dice)
        differ = [each for each in kept if (each.labels != reference.labels[each.image]).any()]
        room = MOST_CHARACTERS
        for each in differ:
            name = images.names[each.image]
            shared = found["images"].get(name) or _shared(images, reference, each.image, differ)
            turns = (each.labels.astype(np.int16) - reference.labels[each.image]) % reference.classes
            differs = _png(_cut(turns.astype(np.uint8), shared["window"]), reference.classes)
            mask = {"image": name, "differs": differs}
            size = len(differs) + (0 if name in found["images"] else _characters(shared))
            if size > room:
                found["left_out"].append(each.case)
                continue
            room -= size
            found["images"][name] = shared
            found["masks"][each.case] = mask
        return found


def _shared(images: ImageSet, reference: Reference, index: int, kept: list[_Kept]) -> dict[str, Any]:
    """Return what every mask of an image is shown beside."""
    fp32 = reference.labels[index]
    differs = np.sum([each.labels != fp32 for each in kept if each.image == index], axis=0)
    size = min(MOST_PIXELS, fp32.shape[0]), min(MOST_PIXELS, fp32.shape[1])
    window = [*densest(differs, size, _STEP), *size]
    truth = None if images.masks is None else _png(_cut(images.masks[index].astype(np.uint8), window), 2)
    picture = io.BytesIO()
    Image.fromarray(_cut(images.images[index], window)).save(picture, format="JPEG", quality=_QUALITY, optimize=True)
    return {
        "window": window,
        "input": base64.b64encode(picture.getvalue()).decode(),
        "truth": truth,
        "fp32": _png(_cut(fp32, window), reference.classes),
    }


def densest(counts: NDArray[np.int64], size: tuple[int, int], step: int = 1) -> tuple[int, int]:
    """Return top and left of the window of a size that holds most of the counts [H, W]; `step` pixels apart."""
    height, width = size
    sums = np.pad(counts.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    tops = np.arange(0, counts.shape[0] - height + 1, step)
    lefts = np.arange(0, counts.shape[1] - width + 1, step)
    held = (
        sums[np.ix_(tops + height, lefts + width)]
        - sums[np.ix_(tops, lefts + width)]
        - sums[np.ix_(tops + height, lefts)]
        + sums[np.ix_(tops, lefts)]
    )
    row, column = np.unravel_index(int(held.argmax()), held.shape)
    return int(tops[row]), int(lefts[column])


def _cut(picture: NDArray[np.uint8], window: list[int]) -> NDArray[np.uint8]:
    top, left, height, width = window
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def _png(labels: NDArray[np.uint8], classes: int) -> str:
    """Return labels [H, W] as PNG in base64, of one bit a pixel where there are two classes."""
    picture = Image.fromarray(labels > 0 if classes <= 2 else labels)  # noqa: PLR2004 - background and target
    packed = io.BytesIO()
    picture.save(packed, format="PNG", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()


def _characters(shared: dict[str, Any]) -> int:
    return sum(len(value) for value in shared.values() if isinstance(value, str))
