"""What a backend may offer beside its engines: tries at a faster one, found in a file of its own."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bench.backend import Engine, Source
    from bench.case import Case

_FOLDER = Path(__file__).parent / "backends"


class Trials(Protocol):
    """The names that a file `bench/backends/_trials_BACKEND.py` defines at module level."""

    def offers(self, case: Case, device: str) -> Mapping[str, tuple[str, ...]]:
        """Return the trials of a case by name, each with the steps on its graph (`models.ends.ENDS`) that it needs."""

    def recipe(self, case: Case, device: str, trials: Collection[str]) -> dict[str, str]:
        """Return what decides the engine of some trials together, as a backend's recipe does."""

    def build(self, source: Source, plain: Source, case: Case, trials: Collection[str], folder: Path) -> None:
        """Build the engine of some trials together in `folder`; `source` has their graphs, `plain` the plain ones."""

    def load(self, source: Source, case: Case, trials: Collection[str], folder: Path) -> Engine:
        """Return the engine of some trials together that `build` left in `folder`, ready to run."""

    def layers(self, folder: Path) -> tuple[int, int] | None:
        """Return how many layers the engine in `folder` has, and how many only reformat, where its runtime tells."""


def load_trials(backend: str) -> Trials | None:
    """Return what a backend that loads here offers to try, or None where it offers nothing."""
    if not (_FOLDER / f"_trials_{backend}.py").exists():
        return None
    return cast("Trials", importlib.import_module(f"bench.backends._trials_{backend}"))
