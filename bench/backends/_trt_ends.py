"""How the values at a plan's ends lie in memory, and the float32 arrays of the engine contract they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.backend import BuildError
from models.images import MEAN, STD

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACK = 8
"""Channels that the layout HWC8 holds side by side; missing ones are zeros."""
_KINDS = ("float32", "float16", "uint8", "int32", "bool")


@dataclass(frozen=True, slots=True)
class End:
    """One end of a plan: its tensor's name, its shape [B, C, H, W], element type and layout."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    packed: bool
    """Whether it lies as [B, H, W, C filled up to a multiple of `PACK`]."""

    def __post_init__(self) -> None:
        if self.dtype.name not in _KINDS or (self.packed and self.dtype.name != "float16"):
            layout = "HWC8" if self.packed else "linear"
            msg = f"{self.name}: no way to fill or read {layout} {self.dtype.name} {list(self.shape)}"
            raise BuildError(msg)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape of the memory that holds the tensor."""
        if not self.packed:
            return self.shape
        batch, channels, height, width = self.shape
        return batch, height, width, -(-channels // PACK) * PACK

    def put(self, batch: NDArray[np.float32], stored: NDArray[Any]) -> None:
        """Write normalised images, float32 [B, 1, H, W], as the plan takes them; uint8 takes the pixels they were."""
        values = np.rint((batch * np.float32(STD) + np.float32(MEAN)) * 255) if self.dtype == np.uint8 else batch
        if self.packed:
            stored[..., : self.shape[1]] = values.transpose(0, 2, 3, 1)
        else:
            stored[...] = values

    def get(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Return logits as a new array, float32 [B, classes, H, W]; of a mask, 1 for each pixel's class and 0 else."""
        values = stored[..., : self.shape[1]].transpose(0, 3, 1, 2) if self.packed else stored
        if self.dtype.kind == "f":
            return np.array(values, dtype=np.float32)
        found = values.astype(np.int64)
        return np.asarray(np.arange(max(2, int(found.max()) + 1)).reshape(1, -1, 1, 1) == found, dtype=np.float32)
