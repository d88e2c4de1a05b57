"""Files of `python -m bench sweep`, for a report to show beside runs, and as a plot of their own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench import sweep_file
from bench.page.parts import Point, Scaling
from bench.page.plots.throughput import scaling_plot
from bench.page.plots.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sweep:
    """FPS over batch sizes on one machine, by backend and precision; `model` is None where the file holds none."""

    file: str
    machine: str
    model: str | None
    lines: tuple[tuple[str, tuple[Point, ...]], ...]

    def belongs(self, machine: str, model: str) -> bool:
        """Whether it is of a machine and a model, as far as its file tells."""
        return self.machine == machine and self.model in {None, model}


def read_sweep(path: Path) -> Sweep | None:
    """Return the sweep in a file, None where the file is something else; `RunFileError` when it is a broken sweep."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # Whoever reads it as a run says what is wrong with it.
    if not sweep_file.is_sweep(data):
        return None
    sweep_file.checked(data, path)
    return Sweep(path.name, data["machine"]["id"], data.get("model", {}).get("name"), _lines(data))


def as_file(data: Mapping[str, Any]) -> bytes:
    """Return a sweep's plot as an SVG file, FPS over batch sizes with the ceilings, both axes logarithmic."""
    found = Scaling(sweep_file.title(data), _lines(data))
    return whole_file(scaling_plot(found, "sweep", titled=True))


def _lines(data: Mapping[str, Any]) -> tuple[tuple[str, tuple[Point, ...]], ...]:
    return tuple((name, tuple(_point(point) for point in points)) for name, points in data["sweep"].items())


def _point(found: Mapping[str, Any]) -> Point:
    share = found["share_of_ceiling"]
    return Point(found["batch_size"], found["fps"], found["fps"] / share if share else None)
