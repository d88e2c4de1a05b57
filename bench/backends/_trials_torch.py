"""Tries at a faster engine of the backend torch: eager, and as much as a few lines of a user's own code change."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch as pytorch

from bench.backends import torch
from bench.backends._torch_trials import CUDNN, convolutions, layers
from bench.heap import freed_given_back

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from bench.backend import Engine, Source
    from bench.case import Case

_LAYOUT = "channels-last"
_GIVEN_BACK = "freed-given-back"
"""On a CPU the results of layers go back to the system when they are freed, in place of staying with the process."""

__all__ = ["build", "layers", "load", "offers", "recipe"]


def offers(case: Case, device: str) -> dict[str, tuple[str, ...]]:  # noqa: ARG001 - the contract's signature
    """Return the trials of a case by name; none changes a graph."""
    return dict.fromkeys((_LAYOUT, CUDNN if device == "cuda" else _GIVEN_BACK), ())


def recipe(case: Case, device: str, trials: Collection[str]) -> dict[str, str]:
    """Return what decides the engine of some trials together."""
    return {**torch.recipe(case, device), "trial": " ".join(trials)}


def build(source: Source, plain: Source, case: Case, trials: Collection[str], folder: Path) -> None:
    """Leave nothing: an eager engine is the module itself."""


def load(source: Source, case: Case, trials: Collection[str], folder: Path) -> Engine:  # noqa: ARG001 - as above
    """Return the module on its device, run once."""
    layout = pytorch.channels_last if _LAYOUT in trials else pytorch.contiguous_format

    @contextmanager
    def around() -> Iterator[None]:
        with convolutions(trials), freed_given_back() if _GIVEN_BACK in trials else nullcontext():
            yield

    return torch.eager(source, case, layout, around)
