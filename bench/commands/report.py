"""Write a report of one or several runs: an HTML page, or Markdown for a pull request."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.arguments import file_to_write, share
from bench.baseline import FOLDER, BaselineError, load_baseline
from bench.gate import judge_run
from bench.page.facts import Judged, Limits, facts
from bench.page.history import read_past
from bench.page.render import RENDERERS, write_report
from bench.page.sweeps import read_sweep
from bench.results import RunFileError, read_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bench.page.sweeps import Sweep


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add(
        "runs", type=Path, nargs="+", metavar="RUN", help="file of pytest --benchmark-json, or of python -m bench sweep"
    )
    add("--baseline", type=Path, metavar="FILE", help="judge by it (default: the one of the machine each run names)")
    add("--max-fps-drop", type=share, metavar="SHARE", help="allowed loss of FPS, as python -m bench gate has it")
    add("--history", type=Path, metavar="DIR", help="folder of earlier runs, such as pytest-benchmark's .benchmarks")
    add("--out", type=file_to_write, required=True, metavar="FILE", help="report.html or report.md")
    add("--min-dice", type=float, metavar="D", help="recommend no engine whose worst image is below")
    add("--max-latency-ms", type=float, metavar="MS", help="recommend no engine slower for a batch")
    add("--max-memory", type=float, metavar="MIB", help="recommend no engine that takes more memory")


def run(options: argparse.Namespace) -> int:
    """Write the report; 0, or 2 where a file cannot be read or written."""
    try:
        if options.out.suffix not in RENDERERS:
            msg = f"--out {options.out}: the name must end in {' or '.join(RENDERERS)}"
            raise BaselineError(msg)
        if options.baseline and not options.baseline.exists():
            msg = f"{options.baseline}: no such baseline file"
            raise BaselineError(msg)
        sweeps = {path: sweep for path in options.runs if (sweep := read_sweep(path)) is not None}
        runs = [path for path in options.runs if path not in sweeps]
        judged = [_judged(path, options.baseline, options.max_fps_drop) for path in runs]
        _check(judged, list(sweeps.values()))
        past = read_past(options.history) if options.history else None
        limits = _limits(options)
        write_report(options.out, facts(judged, limits, list(sweeps.values()), past))
    except (RunFileError, BaselineError, OSError) as error:
        print(f"cannot report: {error}", file=sys.stderr)
        return 2
    print(f"wrote {options.out}")
    return 0


def _limits(options: argparse.Namespace) -> Limits:
    """Return what an engine must keep; `BaselineError` where no engine could, or every one would."""
    if options.min_dice is not None and not 0 <= options.min_dice <= 1:
        msg = f"--min-dice {options.min_dice:g}: must be a Dice, from 0 to 1"
        raise BaselineError(msg)
    for name, most in (("--max-latency-ms", options.max_latency_ms), ("--max-memory", options.max_memory)):
        if most is not None and not most > 0:
            msg = f"{name} {most:g}: must be above 0"
            raise BaselineError(msg)
    return Limits(options.min_dice, options.max_latency_ms, options.max_memory)


def _judged(path: Path, baseline: Path | None, max_fps_drop: float | None) -> Judged:
    found = read_run(path)
    stored = load_baseline(baseline or FOLDER / f"{found.suite['machine']['id']}.json")
    return Judged(path.name, found, judge_run(found, stored, max_fps_drop), stored, path)


def _check(judged: Sequence[Judged], sweeps: Sequence[Sweep]) -> None:
    """Raise unless there is a run, and every sweep is of a machine and model that have one."""
    if not judged:
        msg = "no run is given: a sweep is shown beside a run of its machine (pytest bench/ --benchmark-json FILE)"
        raise RunFileError(msg)
    found = {(str(each.run.suite["machine"]["id"]), str(each.run.suite["model"]["name"])) for each in judged}
    for sweep in sweeps:
        if not any(sweep.belongs(*each) for each in found):
            what = f"a sweep of {sweep.model} on {sweep.machine}" if sweep.model else f"a sweep of {sweep.machine}"
            runs = ", ".join(f"{model} on {machine}" for machine, model in sorted(found))
            msg = f"{sweep.file}: {what}, of which no run is given ({runs})"
            raise RunFileError(msg)
