"""Build engines wrong in every known way, and honestly over again: which rule catches each, and which stay quiet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.arguments import count
from bench.backend import UnavailableError
from bench.faults.verdicts import judged_faults, judged_rebuilds
from bench.faults.workshop import Workshop
from models.images import ImageError

if TYPE_CHECKING:
    import argparse

    from bench.faults.verdicts import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--image-size", type=count, default=256, help="pixels a side (default: %(default)s)")
    parser.add_argument("--images", type=count, default=16, help="images to judge by (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Print a line per engine; 1 if a rebuild is blamed or fewer than fifteen faults are caught, 2 if none is built."""
    try:
        workshop = Workshop(options.image_size, options.images)
    except (ImageError, UnavailableError) as error:
        print(f"cannot build: {error}", file=sys.stderr)
        return 2
    print("| fault | Dice against FP32 | caught by |\n|---|---|---|")
    faults = [_shown(outcome, "nothing: too small to matter") for outcome in judged_faults(workshop)]
    print("\n| honest rebuild | Dice against FP32 | blamed by |\n|---|---|---|")
    rebuilds = [_shown(outcome, "nothing") for outcome in judged_rebuilds(workshop)]
    caught, blamed = (sum(bool(each.caught) for each in kind) for kind in (faults, rebuilds))
    print(f"\n{caught} of {len(faults)} faults caught; {blamed} of {len(rebuilds)} honest rebuilds blamed")
    return 1 if blamed or caught < 15 else 0  # noqa: PLR2004 - what the suite promises


def _shown(outcome: Outcome, nothing: str) -> Outcome:
    change = "no masks" if outcome.change is None else f"{round(outcome.change, 5) + 0.0:+.5f}"
    print(f"| {outcome.name} | {change} | {outcome.caught[0] if outcome.caught else nothing} |", flush=True)
    return outcome
