"""Tries at a faster engine of the backend torch_compile: other options of its compiler, and cuDNN's own search."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch._inductor import config

from bench.backends import torch_compile
from bench.backends._torch_trials import CUDNN, convolutions, layers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from bench.backend import Engine, Source
    from bench.case import Case

_OPTIONS: dict[str, dict[str, object]] = {
    "freezing": {"freezing": True},
    "aten-convolutions": {"max_autotune_conv_backends": "ATEN"},
}
"""Options of Inductor by trial: weights as constants with batch norm folded into them; no convolution by Triton."""

__all__ = ["build", "layers", "load", "offers", "recipe"]


def offers(case: Case, device: str) -> dict[str, tuple[str, ...]]:
    """Return the trials of a case by name; none changes a graph."""
    if device != "cuda":
        return {"freezing": ()}
    given = {"aten-convolutions"} if torch_compile.by_libraries(case, device) else set()
    return dict.fromkeys([name for name in (CUDNN, *_OPTIONS) if name not in given], ())


def recipe(case: Case, device: str, trials: Collection[str]) -> dict[str, str]:
    """Return what decides the engine of some trials together."""
    return {**torch_compile.recipe(case, device), "trial": " ".join(trials)}


def build(source: Source, plain: Source, case: Case, trials: Collection[str], folder: Path) -> None:  # noqa: ARG001 - the contract's signature
    """Compile with the trials' options; `OutOfMemoryError` where the device's memory ends."""
    with _tuned(trials):
        torch_compile.build(source, case, folder)


def load(source: Source, case: Case, trials: Collection[str], folder: Path) -> Engine:
    """Return the compiled network, run until its CUDA graph is captured, with the algorithms that cuDNN found."""
    with _tuned(trials):
        return torch_compile.load(source, case, folder)


@contextmanager
def _tuned(trials: Collection[str]) -> Iterator[None]:
    # Tracing, too, asks whether weights are to be frozen: options of the compilation alone would come too late.
    changes = {option: value for name in trials for option, value in _OPTIONS.get(name, {}).items()}
    with convolutions(trials), config.patch(changes):
        yield
