"""Judge a run's JSON against the stored baseline: exit 0 clean, 1 regression or missing, 2 cannot judge."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.annotations import command, github
from bench.arguments import share
from bench.baseline import FOLDER, BaselineError, load_baseline
from bench.entries import Acceptance, Baseline, entries_of
from bench.gate import findings, judge_run
from bench.judged_runs import read_alike, read_judged
from bench.results import RunFileError
from bench.status import exit_status

if TYPE_CHECKING:
    import argparse

    from bench.results import Run

_ROOT = Path(__file__).parents[2]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", type=Path, help="file written by pytest bench/ --benchmark-json")
    standard = parser.add_mutually_exclusive_group()
    standard.add_argument("--baseline", type=Path, help="baseline file (default: the one of the machine the run names)")
    standard.add_argument(
        "--against", type=Path, nargs="+", metavar="RUN", help="judge against these runs in place of a baseline"
    )
    parser.add_argument(
        "--max-fps-drop",
        type=share,
        help="allowed loss of FPS as a share (default: 0.01 to 0.05, as the machine's own spread has it)",
    )
    parser.add_argument("--strict", action="store_true", help="fail INCONCLUSIVE and NO_BASELINE cases too")
    parser.add_argument(
        "--annotate", choices=("github",), help="also print the lines by which this CI marks regressed cases"
    )


def run(options: argparse.Namespace) -> int:
    """Print one verdict per case and the joint findings, and return the exit status."""
    try:
        found = read_judged(options.run)
        baseline = _baseline(options, found)
    except (RunFileError, BaselineError) as error:
        return _cannot(str(error), options)
    verdicts = judge_run(found, baseline, options.max_fps_drop)
    for verdict in verdicts:
        print(f"{verdict.status.value:14} {verdict.case:32} {verdict.evidence}")
    for line in findings(found, verdicts):
        print(f"- {line}")
    if not verdicts:
        return _cannot("the run holds no case", options)
    for case, why in found.half_failed.items():
        print(f"- {case} was timed, and failed in another way: {why}")
    if options.annotate:
        path = None if options.against else _path(options, found)
        lines = github(verdicts, path, _ROOT, strict=options.strict)
        lines += [command("error", f"FAILED {case}", why) for case, why in found.half_failed.items()]
        print("\n".join(lines))
    return 1 if found.half_failed else exit_status(verdicts, strict=options.strict)


def _cannot(why: str, options: argparse.Namespace) -> int:
    """Say why there is no verdict, and return 2."""
    print(f"cannot judge: {why}", file=sys.stderr)
    if options.annotate:
        print(command("error", "cannot judge", why))
    return 2


def _path(options: argparse.Namespace, found: Run) -> Path:
    """Return the baseline file named, or the machine's own."""
    return Path(options.baseline or FOLDER / f"{found.suite['machine']['id']}.json").resolve()


def _baseline(options: argparse.Namespace, found: Run) -> Baseline | None:
    """Return what to judge against: the runs named, the file named, or the machine's own, None where it has none."""
    if options.against:
        runs = read_alike(options.against)
        if found.suite["checksum"] in {run.suite["checksum"] for run in runs}:
            msg = f"{options.run}: also given to --against: a run judged against itself cannot differ"
            raise RunFileError(msg)
        common = set.intersection(*(set(run.rows) for run in runs))
        first = runs[0]
        entries = entries_of(runs, Acceptance("", "", "", ""), sorted(common))
        return Baseline(dict(first.suite["machine"]), {entry.key: entry for entry in entries})
    path = options.baseline or _path(options, found)
    baseline = load_baseline(path)
    if baseline is None and options.baseline:
        msg = f"{path}: no such baseline file"
        raise BaselineError(msg)
    return baseline
