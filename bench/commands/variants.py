"""Try other ways to build an engine (placements, ends, effort): speed in turn with the plain one, and Dice."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rich.console import Console
from rich.table import Table

from bench.arguments import add_engine_place, count, file_to_write, positive
from bench.backend import BuildError, OutOfMemoryError, UnavailableError, load_backend, names
from bench.cache import Cache
from bench.case import PRECISIONS, Case, parse_case
from bench.contest import Figures, Tried, try_variants
from bench.machine import this_machine
from bench.outputs import write_whole
from bench.reference import reference_masks
from bench.source import NetworkSource
from bench.stored_images import stored_split
from bench.variants import combined, offered
from models.network import load_network
from models.unet import SizeError, check_size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--backend", choices=names(), metavar="B", help=f"one of {', '.join(names())}")
    what.add_argument(
        "--from",
        dest="stored",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="show what --json wrote instead, building and measuring nothing",
    )
    parser.add_argument("--precision", choices=PRECISIONS, metavar="P", default="int8", help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=count, default=1, help="images per inference (default: %(default)s)")
    parser.add_argument("--model", help="unet or unet-small (default: unet on a GPU, unet-small on a CPU)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="safetensors or PyTorch checkpoint for --model")
    parser.add_argument(
        "--image-size", type=count, default=512, metavar="N", help="pixels a side (default: %(default)s)"
    )
    add_engine_place(parser)
    parser.add_argument(
        "--variants",
        metavar="V,...",
        help="variants to try; + joins several in one engine (default: each one alone)",
    )
    parser.add_argument("--turns", type=count, default=30, help="rounds of each engine (default: %(default)s)")
    parser.add_argument(
        "--build-budget",
        type=positive,
        metavar="SECONDS",
        help="begin no further build after so many seconds of builds",
    )
    parser.add_argument("--json", type=file_to_write, help="write the figures here too")


def run(options: argparse.Namespace) -> int:
    """Print a line per variant; 2 where the backend cannot run the case or the plain engine cannot be built."""
    if options.stored:
        return _again(options.stored)
    case = Case(options.backend, options.precision, options.batch_size)
    device = cast("Literal['cpu', 'cuda']", options.device)
    try:
        check_size(options.image_size, options.image_size)
        reason = load_backend(case.backend).supports(case, device)
        if reason is not None:
            return _refuse(f"{case}: {reason}")
        known = offered(case, device)
        if not known:
            return _refuse(f"{case}: nothing to try: {case.backend} builds from no graph, and offers nothing")
        chosen = [combined(text, known) for text in (options.variants.split(",") if options.variants else known)]
        cache = Cache(options.cache_dir, print)
        size = (options.image_size, options.image_size)
        network = load_network(options.model or ("unet" if device == "cuda" else "unet-small"), options.weights)
        network.check(size)
        source = NetworkSource(network, stored_split(cache, "calibration", size), size, device, cache)
        images = stored_split(cache, "held-out", size)
        reference = reference_masks(source, images)
        found = try_variants(
            source, case, chosen, images, reference, turns=options.turns, build_budget_s=options.build_budget
        )
    except (UnavailableError, BuildError, OutOfMemoryError, SizeError, ValueError) as error:
        return _refuse(f"{case}: {error}")
    _show(case, options.turns, found)
    if options.json:
        write_whole(options.json, json.dumps(_record(source, case, options.turns, found), indent=1).encode())
    return 0


def _again(paths: Sequence[Path]) -> int:
    """Print the tables of files that this command wrote; 2 where one is none."""
    for path in paths:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            found = [_tried(each) for each in data["variants"]]
            case, turns, machine = parse_case(data["case"]), int(data["turns"]), data["machine"]
            told = f"{path}: {data['model']['name']}, {machine['gpu'] or machine['cpu']}"
        except (OSError, ValueError, KeyError, TypeError) as error:
            return _refuse(f"{path}: not a file that --json wrote ({type(error).__name__}: {error})")
        print(told)
        _show(case, turns, found)
    return 0


def _tried(data: dict[str, Any]) -> Tried:
    figures = data["figures"] and Figures(**data["figures"])
    return Tried(data["name"], figures, data["fault"])


def _refuse(text: str) -> int:
    print(text, file=sys.stderr)
    return 2


def _record(source: NetworkSource, case: Case, turns: int, found: Sequence[Tried]) -> dict[str, Any]:
    """Return all that was measured, ready for JSON."""
    return {
        "case": case.id,
        "turns": turns,
        "machine": this_machine(source.device).as_dict(),
        "versions": load_backend(case.backend).versions(),
        "model": {"name": source.network.name, "digest": source.network.digest},
        "size": list(source.image_size),
        "variants": [asdict(each) for each in found],
    }


def _show(case: Case, turns: int, found: Sequence[Tried]) -> None:
    console = Console(width=130)
    console.print(_table(case, turns, found))
    for each in found:
        if each.fault is not None:
            console.print(f"- {each.name}: {each.fault}", markup=False, soft_wrap=True)


def _table(case: Case, turns: int, found: Sequence[Tried]) -> Table:
    title = f"{case}, {turns} turns; the ratio is of FPS to plain, with its 95 % interval"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    columns = ("variant", "FPS", "ratio", "", "Dice/FP32", "worst", "Dice/truth", "build s", "MiB", "reformats")
    for name in columns:
        table.add_column(name, justify="left" if name == "variant" else "right", no_wrap=True)
    for each in found:
        table.add_row(each.name, *(_cells(each.figures) if each.figures else ("none", *[""] * (len(columns) - 2))))
    return table


def _cells(figures: Figures) -> list[str]:
    return [
        f"{figures.fps:.1f}",
        f"{figures.ratio:.3f}",
        f"{figures.low:.3f} to {figures.high:.3f}",
        f"{figures.dice_fp32:.5f}",
        f"{figures.worst:.4f}",
        "-" if figures.dice_truth is None else f"{figures.dice_truth:.4f}",
        f"{figures.build_s:.1f}",
        f"{figures.engine_bytes / 2**20:.1f}",
        "-" if figures.reformats is None else f"{figures.reformats} of {figures.layers}",
    ]
