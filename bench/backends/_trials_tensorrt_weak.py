"""Tries at a faster engine of the backend tensorrt_weak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.backends import _trt_trial_engine, _trt_trials, tensorrt_weak
from bench.backends._trt_trials import layers

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from bench.backend import Engine, Source
    from bench.case import Case

__all__ = ["build", "layers", "load", "offers", "recipe"]


def offers(case: Case, device: str) -> dict[str, tuple[str, ...]]:  # noqa: ARG001 - the contract's signature
    """Return the trials of a case by name, each with the steps on its graph that it needs."""
    return _trt_trials.offers(tensorrt_weak.options(case))


def recipe(case: Case, device: str, trials: Collection[str]) -> dict[str, str]:  # noqa: ARG001 - as above
    """Return what decides the engine of some trials together."""
    return _trt_trials.recipe(tensorrt_weak.options(case), trials)


def build(source: Source, plain: Source, case: Case, trials: Collection[str], folder: Path) -> None:
    """Build the plan of some trials together in `folder`; `BuildError` or `OutOfMemoryError` on failure."""
    _trt_trials.build(source, plain, case, folder, tensorrt_weak.options(case), trials)


def load(source: Source, case: Case, trials: Collection[str], folder: Path) -> Engine:  # noqa: ARG001 - as above
    """Return the engine of the plan in `folder`, whatever its ends, after its first inference."""
    return _trt_trial_engine.load(source, case, folder)
