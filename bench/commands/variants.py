"""Try other placements of an INT8 graph's Q/DQ nodes on a backend: speed in turn with the plain one, and Dice."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from rich.console import Console
from rich.table import Table

from bench.backend import UnavailableError, load_backend, names
from bench.cache import Cache
from bench.case import PRECISIONS, Case
from bench.reference import reference_masks
from bench.source import NetworkSource
from bench.stored_images import stored_split
from bench.variants import try_variants
from models.network import load_network
from models.variants import VARIANTS

if TYPE_CHECKING:
    import argparse

    from bench.variants import Tried

_ROOT = Path(__file__).parents[2]
_INT8 = tuple(name for name in PRECISIONS if name.startswith("int8"))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--backend", choices=names(), metavar="B", required=True, help=f"one of {', '.join(names())}")
    parser.add_argument(
        "--precision",
        choices=_INT8,
        metavar="P",
        default="int8",
        help=f"one of {', '.join(_INT8)} (default: %(default)s)",
    )
    parser.add_argument("--batch-size", type=int, default=1, help="images per inference (default: %(default)s)")
    parser.add_argument("--model", default="unet-small", help="unet or unet-small (default: %(default)s)")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where engines run (default: %(default)s)"
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=tuple(VARIANTS),
        default=list(VARIANTS),
        metavar="V",
        help=f"which to try (default: all). There are: {', '.join(VARIANTS)}",
    )
    parser.add_argument("--turns", type=int, default=30, help="rounds of each engine (default: %(default)s)")
    parser.add_argument(
        "--cache-dir", type=Path, default=_ROOT / ".bench_cache", help="where engines are kept (default: .bench_cache)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here too")


def run(options: argparse.Namespace) -> int:
    """Print a line per variant; 2 where the backend cannot run the case."""
    case = Case(options.backend, options.precision, options.batch_size)
    try:
        reason = load_backend(case.backend).supports(case, options.device)
    except UnavailableError as error:
        reason = str(error)
    if reason:
        print(f"{case}: {reason}", file=sys.stderr)
        return 2
    cache = Cache(options.cache_dir, print)
    size = (512, 512)
    device = cast("Literal['cpu', 'cuda']", options.device)
    source = NetworkSource(load_network(options.model), stored_split(cache, "calibration", size), size, device, cache)
    images = stored_split(cache, "held-out", size)
    found = try_variants(source, case, options.variants, images, reference_masks(source, images), options.turns)
    Console(width=100).print(_table(case, options.turns, found))
    if options.json:
        options.json.write_text(json.dumps({str(case): [asdict(each) for each in found]}, indent=1), encoding="utf-8")
    return 0


def _table(case: Case, turns: int, found: list[Tried]) -> Table:
    title = f"{case}, {turns} turns; the ratio is of FPS to plain, with its 95 % interval"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("variant", "FPS", "ratio", "", "Dice/FP32", "worst", "Dice/truth", "MiB"):
        table.add_column(name, justify="left" if name == "variant" else "right", no_wrap=True)
    for each in found:
        table.add_row(
            each.name,
            f"{each.fps:.1f}",
            f"{each.ratio:.3f}",
            f"{each.low:.3f} to {each.high:.3f}",
            f"{each.dice_fp32:.5f}",
            f"{each.worst:.4f}",
            "-" if each.dice_truth is None else f"{each.dice_truth:.4f}",
            f"{each.engine_bytes / 2**20:.1f}",
        )
    return table
