"""Runs that can be judged, compared or accepted: those that were to time cases by themselves, not streams alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.results import RunFileError, read_run

if TYPE_CHECKING:
    from pathlib import Path

    from bench.results import Run


def read_judged(path: Path) -> Run:
    """Return the run in a file; `RunFileError` where it is none, or was not to have a row that could be judged."""
    run = read_run(path)
    if untimed(run):
        held = "streams only" if run.streams else "no case that was to be timed"
        msg = (
            f"{path}: holds {held}, and baselines, gate and comparisons are of the rows of bench/test_inference.py: "
            "give a file of pytest bench/ --benchmark-json FILE (python -m bench report and tables show streams)"
        )
        raise RunFileError(msg)
    return run


def untimed(run: Run) -> bool:
    """Whether a run's session was to time no case by itself, so that none is missing from it.

    Files from before sessions told it are taken for such where they hold streams, no row, and nothing that failed.
    """
    if run.rows:
        return False
    told = run.suite.get("inference")
    return not told if told is not None else bool(run.streams) and not run.failed
