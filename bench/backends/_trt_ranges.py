"""The calibrated ranges that a weakly typed INT8 plan is built from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.backend import BuildError
from bench.backends._calibrators import cache_path
from bench.backends._trt_config import shared_folder
from bench.outputs import write_whole
from bench.ranges import RangesError, read_cache
from bench.resizes import resizes, with_read_ranges

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.backend import Source


def ranges_path(source: Source, folder: Path, calibrator: str, graph: Path) -> Path:
    """Return the file in which one of `_calibrators.ALGORITHMS` keeps a graph's ranges, given an engine's folder."""
    return cache_path(shared_folder(folder), graph, source.calibration(), calibrator)


def drop_damaged(ranges: Path, say: Callable[[str], None]) -> None:
    """Remove a file of ranges that cannot be read, so that they are calibrated again, and say so."""
    if not ranges.exists():
        return
    try:
        read_cache(ranges)
    except RangesError as error:
        say(f"{error}: calibrating again")
        ranges.unlink()


def evened(ranges: Path, graph: Path) -> Path:
    """Write a calibration cache beside the given one whose resizes have one range at both ends; return its path.

    TensorRT 8.6 hands the integers of an INT8 resize on as they are, and two ranges would multiply its values.
    `BuildError` where the ranges cannot be read.
    """
    path = ranges.with_suffix(".evened")
    try:
        found = resizes(graph, read_cache(ranges)[1])
    except RangesError as error:
        raise BuildError(str(error)) from error
    write_whole(path, with_read_ranges(ranges.read_bytes(), found))
    return path
