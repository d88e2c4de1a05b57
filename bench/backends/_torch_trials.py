"""What tries at a faster PyTorch engine share: cuDNN's own search."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

CUDNN = "cudnn-benchmark"
"""cuDNN times its algorithms for each convolution and keeps the fastest, in place of choosing by a rule."""


@contextmanager
def convolutions(trials: Collection[str]) -> Iterator[None]:
    """Let cuDNN search while the block runs where the trials say so; it remembers what it found in this process."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or CUDNN in trials
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def layers(folder: Path) -> None:
    """Return that PyTorch does not tell how many layers it runs."""
