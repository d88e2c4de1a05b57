"""Compare two runs side by side: two commits, two versions of a library, or two machines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.accuracy import target_mean
from bench.change import ALPHA
from bench.entries import Acceptance, entries_of
from bench.fingerprint import differences, surroundings
from bench.judged_runs import read_alike
from bench.results import RunFileError
from bench.speed import changes, limit_of, words

if TYPE_CHECKING:
    import argparse

    from bench.change import Change
    from bench.results import Run

_LEAST = 3
"""Processes of a case, of both sides together, that tell how far processes differ."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("a", type=Path, metavar="A", help="file written by pytest bench/ --benchmark-json")
    parser.add_argument("b", type=Path, metavar="B", help="another such file, the newer one")
    parser.add_argument("--more-a", type=Path, nargs="+", default=[], metavar="RUN", help="further runs of what A is")
    parser.add_argument("--more-b", type=Path, nargs="+", default=[], metavar="RUN", help="further runs of what B is")


def run(options: argparse.Namespace) -> int:
    """Print what differs around the runs, and a line per case; 0, or 2 where a file cannot be read."""
    try:
        old, new = (read_alike(paths) for paths in (_a(options), _b(options)))
    except RunFileError as error:
        print(f"cannot compare: {error}", file=sys.stderr)
        return 2
    common = [case for case in old[0].rows if all(case in each.rows for each in (*old, *new))]
    if not common:
        print("cannot compare: the runs share no case", file=sys.stderr)
        return 2
    _print_surroundings(old[0], new[0])
    entries = {entry.case: entry for entry in entries_of(old, Acceptance("", "", "", ""), common)}
    found = changes(new, entries)
    for case in common:
        before, after = (target_mean(each[0].rows[case].info["dice_fp32"]["per_image"]) for each in (old, new))
        dice = f"Dice {before:.4f} -> {after:.4f}"
        print(f"{case:32} {words(found[case], entries[case])}, {_sure(found[case])}; {dice}")
    for case in sorted({case for each in (*old, *new) for case in each.rows} - set(common)):
        print(f"{case:32} not in every run")
    rebuilt = sum(found[case].apart > 0 for case in common)
    if rebuilt:
        print(f"- {rebuilt} of {len(common)} cases ran other builds: what builds differ by is in their intervals")
    single = [case for case in common if entries[case].current.processes + found[case].runs < _LEAST]
    if single:
        whose = "" if len(single) == len(common) else f" of {', '.join(single)}"
        print(
            f"- one process each{whose}: how far processes differ is unknown, and all intervals are of the rounds alone"
        )
    return 0


def _a(options: argparse.Namespace) -> list[Path]:
    return [options.a, *options.more_a]


def _b(options: argparse.Namespace) -> list[Path]:
    return [options.b, *options.more_b]


def _sure(change: Change) -> str:
    """Return what chance does not explain, and whether it is as much as the gate would call a change."""
    if min(change.p_slower, change.p_faster) >= ALPHA:
        return "no sure difference"
    which, limit = "slower" if change.p_slower < ALPHA else "faster", limit_of(change)
    small = abs(change.interval.ratio - 1) <= limit
    return f"{which} by less than the gate's limit of {limit:.1%}" if small else which


def _print_surroundings(old: Run, new: Run) -> None:
    found = differences(surroundings(old), surroundings(new))
    versions = {
        f"{name} {version} -> {new.rows[case].info['versions'].get(name, 'none')}"
        for case, row in old.rows.items()
        if case in new.rows
        for name, version in row.info["versions"].items()
        if new.rows[case].info["versions"].get(name) != version
    }
    for part in ("model", "images"):
        if old.suite[part]["digest"] != new.suite[part]["digest"]:
            print(f"- {part} differ: Dice and FPS are of different work")
    for line in dict.fromkeys([*found.speed, *found.accuracy, *found.named, *sorted(versions)]):
        print(f"- {line}")
