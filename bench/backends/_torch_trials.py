"""What tries at another PyTorch engine share: cuDNN's own search, and freed memory that is not kept."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch

from bench.heap import freed_given_back

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

CUDNN = "cudnn-benchmark"
"""cuDNN times its algorithms for each convolution and keeps the fastest, in place of choosing by a rule."""

GIVEN_BACK = "freed-given-back"
"""On a CPU the results of layers go back to the system when they are freed, in place of staying with the process."""


@contextmanager
def convolutions(trials: Collection[str]) -> Iterator[None]:
    """Let cuDNN search while the block runs where the trials say so; it remembers what it found in this process."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or CUDNN in trials
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def heap(trials: Collection[str]) -> AbstractContextManager[None]:
    """Give back what the block frees where the trials say so."""
    return freed_given_back() if GIVEN_BACK in trials else nullcontext()


def layers(folder: Path) -> None:
    """Return that PyTorch does not tell how many layers it runs."""
