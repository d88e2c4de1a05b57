"""Engines and backends that compute nothing much, for tests of what stands around them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from bench.backend import Backend

    Logits = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def two_classes(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return logits that mark every pixel brighter than the middle, float32 [B, 2, H, W]."""
    return np.concatenate([-batch, batch], axis=1)


class FakeEngine:
    """An engine that applies a function, and writes down what was called."""

    def __init__(self, compute: Logits = two_classes, achieved: Mapping[str, float] | None = None) -> None:
        self.achieved: Mapping[str, float] = {"fp32": 1.0} if achieved is None else achieved
        self.engine_bytes = 1
        self.calls: list[str] = []
        self.batches: list[NDArray[np.float32]] = []
        self._compute = compute

    def copy_in(self, batch: NDArray[np.float32]) -> None:
        """Keep the batch."""
        self.calls.append("copy_in")
        self.batches.append(batch.copy())

    def enqueue(self) -> None:
        """Note the call."""
        self.calls.append("enqueue")

    def synchronize(self) -> None:
        """Note the call."""
        self.calls.append("synchronize")

    def copy_out(self) -> NDArray[np.float32]:
        """Apply the function to the batch last copied in."""
        self.calls.append("copy_out")
        return self._compute(self.batches[-1])

    def close(self) -> None:
        """Note the call."""
        self.calls.append("close")


def fake_backend(file: str, engine: FakeEngine | None = None, **changes: Any) -> Backend:
    """Return a backend that loads one engine; `file` is where its code is said to be."""
    names: dict[str, Any] = {
        "__file__": file,
        "READS": "graph",
        "PRECISIONS": ("fp32", "int8"),
        "supports": lambda case, device: None,
        "versions": lambda: {"fake": "1.0"},
        "recipe": lambda case, device: {"graph": "fp32", "flag": "on"},
        "build": lambda source, case, folder: (folder / "engine.plan").write_bytes(b"plan"),
        "load": lambda source, case, folder: engine or FakeEngine(),
    }
    backend: Any = SimpleNamespace(**{**names, **changes})
    return backend  # type: ignore[no-any-return]
