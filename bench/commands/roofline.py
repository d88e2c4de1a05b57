"""Print the roofline that a run's JSON holds: ceilings, each case's share of them, its most expensive layers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.roofline.share import ABOVE, passes

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", type=Path, help="file written by pytest bench/ --roofline --benchmark-json")


def run(options: argparse.Namespace) -> int:
    """Print it; 2 when the file holds none."""
    try:
        found = json.loads(options.run.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"cannot show: {options.run}: cannot be read as JSON ({error})", file=sys.stderr)
        return 2
    try:
        lines = _lines(found["suite"]["roofline"])
    except (AttributeError, KeyError, TypeError, ValueError):
        print(
            f"cannot show: {options.run}: no roofline in it; pytest bench/ --roofline --benchmark-json FILE writes one",
            file=sys.stderr,
        )
        return 2
    print("\n".join(lines))
    return 0


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"{name:18} {value / 1e9:12.2f} G/s" for name, value in found["ceilings"].items()]
    lines.append(f"network: {found['network']['flops_per_image'] / 1e9:.3f} GFLOP an image")
    for case, part in found["cases"].items():
        share = part["share_of_ceiling"]
        told = "no ceiling measured" if share is None else f"{share:.1%} of the ceiling"
        lines.append(f"{case}: {told}, bound by {part['bound_by']}")
        lines += [f"  {layer['ms']:9.3f} ms {layer['share']:6.1%}  {layer['name']}" for layer in part["layers"]]
    return [*lines, ABOVE] if passes(part["share_of_ceiling"] for part in found["cases"].values()) else lines
