"""Judge a run's JSON against the stored baseline: exit 0 clean, 1 regression or missing, 2 cannot judge."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.baseline import BaselineError, load_baseline
from bench.gate import BAD, judge_run
from bench.limits import MAX_FPS_DROP
from bench.results import RunFileError, read_run

if TYPE_CHECKING:
    import argparse

_BASELINES = Path(__file__).parents[2] / "fixtures" / "baselines"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", type=Path, help="file written by pytest bench/ --benchmark-json")
    parser.add_argument("--baseline", type=Path, help="baseline file (default: the one of the machine the run names)")
    parser.add_argument(
        "--max-fps-drop", type=float, default=MAX_FPS_DROP, help="allowed loss of FPS as a share (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Print one verdict per case and return the exit status."""
    try:
        found = read_run(options.run)
        path = options.baseline or _BASELINES / f"{found.suite['machine']['id']}.json"
        baseline = load_baseline(path)
        if baseline is None and options.baseline:
            msg = f"{path}: no such baseline file"
            raise BaselineError(msg)
    except (RunFileError, BaselineError) as error:
        print(f"cannot judge: {error}", file=sys.stderr)
        return 2
    verdicts = judge_run(found, baseline, options.max_fps_drop)
    for verdict in verdicts:
        print(f"{verdict.status.value:14} {verdict.case:32} {verdict.evidence}")
    return 1 if any(verdict.status in BAD for verdict in verdicts) else 0
