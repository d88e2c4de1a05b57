"""Runs that can be judged, compared or accepted: those that were to time cases by themselves, not streams alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.fingerprint import differences, surroundings
from bench.results import RunFileError, read_run

if TYPE_CHECKING:
    from collections.abc import Sequence
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


def read_alike(paths: Sequence[Path]) -> list[Run]:
    """Return runs to be taken for one thing; `RunFileError` where they cannot be, or where one is given twice."""
    runs = [read_judged(path) for path in paths]
    for number, (path, run) in enumerate(zip(paths, runs, strict=True)):
        if run.suite["checksum"] in {other.suite["checksum"] for other in runs[:number]}:
            msg = f"{path}: the same run is given twice: each must be of a process of its own"
            raise RunFileError(msg)
        why = unlike(runs[0], run)
        if why:
            msg = f"{path}: not a run of what {paths[0]} is of ({why}): runs of one thing alone can be put together"
            raise RunFileError(msg)
    return runs


def unlike(one: Run, other: Run, *, versions: bool = False) -> str:
    """Return why two runs are not of one thing, or nothing; `versions`: what is only named may not differ either."""
    found = differences(surroundings(one), surroundings(other))
    parts = [part for part in ("model", "images") if one.suite[part]["digest"] != other.suite[part]["digest"]]
    words = [*(f"other {part}" for part in parts), *found.speed, *found.accuracy]
    if versions:
        changed = [case for case in one.rows if one.rows[case].info["versions"] != other.rows[case].info["versions"]]
        words += [*found.named, *(f"versions of {case}" for case in changed)]
    return ", ".join(dict.fromkeys(words))


def untimed(run: Run) -> bool:
    """Whether a run's session was to time no case by itself, so that none is missing from it.

    Files from before sessions told it are taken for such where they hold streams, no row, and nothing that failed.
    """
    if run.rows:
        return False
    told = run.suite.get("inference")
    return not told if told is not None else bool(run.streams) and not run.failed
