"""`python -m bench gate RUN.json`: recompute the verdicts of a run anywhere, from its JSON alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.baseline import BaselineError, load_baseline
from bench.gate import BAD, judge_run
from bench.limits import MAX_FPS_DROP
from bench.results import RunFileError, read_run

_BASELINES = Path(__file__).parent.parent / "fixtures" / "baselines"


def main(arguments: list[str] | None = None) -> int:
    """Print one verdict per case; return 0 when clean, 1 on a regression or a missing case, 2 when not judged."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    gate = commands.add_parser("gate", help="judge a run's JSON against the stored baseline")
    gate.add_argument("run", type=Path, help="file written by pytest bench/ --benchmark-json")
    gate.add_argument("--baseline", type=Path, help="baseline file (default: the one of the machine the run names)")
    gate.add_argument(
        "--max-fps-drop", type=float, default=MAX_FPS_DROP, help="allowed loss of FPS as a share (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        run = read_run(options.run)
        path = options.baseline or _BASELINES / f"{run.suite['machine']['id']}.json"
        baseline = load_baseline(path)
        if baseline is None and options.baseline:
            msg = f"{path}: no such baseline file"
            raise BaselineError(msg)
    except (RunFileError, BaselineError) as error:
        print(f"cannot judge: {error}", file=sys.stderr)
        return 2
    verdicts = judge_run(run, baseline, options.max_fps_drop)
    for verdict in verdicts:
        print(f"{verdict.status.value:14} {verdict.case:32} {verdict.evidence}")
    return 1 if any(verdict.status in BAD for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
