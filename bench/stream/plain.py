"""The plain loop, the yardstick: one batch after the other, new memory for each, logits back, argmax on the host."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.stream.laps import Laps
from models.dice import labels
from models.images import ImageError, normalise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.backend import Engine
    from bench.stream.images import Images


@dataclass(frozen=True, slots=True)
class Plain:
    """What the plain loop took."""

    samples: int
    runtime_s: float
    stages_s: dict[str, float]

    @property
    def fps(self) -> float:
        """Masks per second; 0 where every image was bad."""
        return self.samples / self.runtime_s if self.runtime_s else 0.0

    def as_dict(self) -> dict[str, object]:
        """Return the numbers, ready for JSON."""
        return {"samples": self.samples, "runtime_s": self.runtime_s, "fps": self.fps, "stages_s": self.stages_s}


def plain(engine: Engine, images: Images, batch_size: int, samples: int) -> Plain:
    """Run `samples` images as loops are commonly written: nothing overlaps and every step is waited for.

    Engines take whole batches, so a batch stands in for the one image; a short one is filled up, bad images are left
    out.
    """
    laps, done, end_s = Laps(), 0, 0.0
    for start in range(0, samples, batch_size):
        pixels = _read(images, range(start, min(start + batch_size, samples)))
        end_s = laps.lap("decode")
        if not pixels:
            continue
        done += len(pixels)
        values = normalise(np.stack(pixels))
        values = np.concatenate([values, np.repeat(values[-1:], batch_size - len(values), axis=0)])
        laps.lap("normalise")
        engine.copy_in(values)
        engine.synchronize()
        laps.lap("copy_in")
        engine.enqueue()
        engine.synchronize()
        laps.lap("infer")
        logits = engine.copy_out()
        laps.lap("copy_out")
        labels(logits)
        end_s = laps.lap("post_process")
    return Plain(done, end_s, dict(laps.stages_s))


def _read(images: Images, numbers: range) -> list[NDArray[np.uint8]]:
    found = []
    for index in numbers:
        with suppress(ImageError):
            found.append(images.read(index))
    return found
