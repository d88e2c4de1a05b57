"""The built-in image splits, drawn once per machine and kept in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import models.fields
import models.images
import models.synthetic
import models.tissue
from bench.source import source_digest
from models.images import ImageSet, builtin

if TYPE_CHECKING:
    from bench.cache import Cache

_SOURCES = (models.fields, models.images, models.synthetic, models.tissue)


def stored_split(cache: Cache, split: str, size: tuple[int, int]) -> ImageSet:
    """Return a built-in split at one size in pixels, from the cache or drawn now."""

    def draw(folder: Path) -> None:
        cache.say(f"drawing the built-in {split} images, {size[0]}x{size[1]}")
        drawn = builtin(split, size)
        np.savez_compressed(
            folder / "split.npz",
            names=drawn.names,
            images=drawn.images,
            masks=np.asarray(drawn.masks),
            origin=drawn.origin,
        )

    key = {
        "split": split,
        "size": list(size),
        "code": source_digest(*(Path(str(module.__file__)) for module in _SOURCES)),
    }
    entry = cache.entry("images", f"{split}-{size[0]}x{size[1]}", key, draw)
    with np.load(entry.folder / "split.npz") as stored:
        names = tuple(str(name) for name in stored["names"])
        return ImageSet(names, stored["images"], stored["masks"], str(stored["origin"]))
