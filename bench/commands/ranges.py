"""Show what INT8 calibrations do tensor by tensor: ranges, values clipped, noise; TensorRT's caches and our own."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from bench.arguments import count, file_to_write
from bench.backend import BuildError, UnavailableError, load_backend, names
from bench.backends._onnx_tensors import activations
from bench.cache import DEFAULT_ROOT, Cache
from bench.case import Case, parse_case
from bench.outputs import write_whole
from bench.ranges import RangesError, compared, losses, read_cache
from bench.ranges_table import resizes_told, summary, table
from bench.reference import reference_masks
from bench.resizes import dice_handed_on, resizes
from bench.results import RunFileError, read_run
from bench.source import NetworkSource, plain_name, source_digest
from bench.stored_images import stored_split
from bench.swap import dice_of_swaps
from models import quantize
from models.graphs import calibration_ranges
from models.images import normalise
from models.network import load_network
from models.unet import SizeError, check_size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from bench.ranges import Compared

_OWN = {"MinMax": "int8", "entropy": "int8-entropy", "percentile": "int8-percentile"}
_BASE = "MinMax"
_THEIRS = "TensorRT "


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--model", default="unet-small", help="unet or unet-small (default: %(default)s)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="safetensors or PyTorch checkpoint for --model")
    parser.add_argument(
        "--image-size", type=count, default=512, metavar="N", help="pixels a side (default: %(default)s)"
    )
    parser.add_argument("--images", type=count, default=8, help="calibration images to look at (default: %(default)s)")
    parser.add_argument("--own", nargs="*", choices=tuple(_OWN), default=list(_OWN), help="calibrations of our own")
    parser.add_argument(
        "--trt-caches",
        type=Path,
        nargs="*",
        metavar="FILE",
        help="TensorRT's calibration caches (default: those in --cache-dir that fit the model)",
    )
    parser.add_argument("--runs", type=Path, nargs="*", default=[], metavar="RUN.json", help="runs that hold the Dice")
    parser.add_argument("--top", type=count, default=8, help="tensors to show, worst first (default: %(default)s)")
    parser.add_argument(
        "--swap",
        type=count,
        default=0,
        metavar="N",
        help="also give the N tensors that lose most the other range, one at a time, and measure the Dice",
    )
    parser.add_argument(
        "--resizes",
        action="store_true",
        help="also show what resizes that ignore their ranges would cost, as TensorRT 8.6's implicit INT8 has them",
    )
    parser.add_argument(
        "--backend",
        choices=names(),
        default="onnxruntime",
        metavar="B",
        help="backend that --swap and --resizes measure the Dice with (default: %(default)s)",
    )
    parser.add_argument("--cache-dir", type=Path, default=DEFAULT_ROOT, help="default: .bench_cache")
    parser.add_argument("--json", type=file_to_write, help="write every tensor's figures here")


def run(options: argparse.Namespace) -> int:
    """Print a table per other way to find ranges, against MinMax; 2 where there is nothing to compare."""
    try:
        check_size(options.image_size, options.image_size)
        size = (options.image_size, options.image_size)
        cache = Cache(options.cache_dir, lambda text: print(f"  {text}", file=sys.stderr))
        network = load_network(options.model, options.weights)
        network.check(size)
        source = NetworkSource(network, stored_split(cache, "calibration", size), size, "cpu", cache)
        tensors = activations(source.graph("fp32"))
        sets = {name: _own(source, _OWN[name]) for name in options.own} | _theirs(options, tensors)
        images = normalise(source.calibration_set.images[: options.images])
        found = losses(source.graph("fp32"), images, sets, tensors, source.threads)
        pairs = {
            (base, other): compared(found[base], found[other])
            for start in ("", _THEIRS)
            for base in [f"{start}{_BASE}"]
            for other in found
            if base in found and other != base and other.startswith(_THEIRS) == bool(start)
        }
        dice = [line for path in options.runs for line in _dice(path)]
    except (RangesError, RunFileError, SizeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if not pairs:
        print(f"nothing to compare: {', '.join(sets) or 'no ranges'} without {_BASE} and another", file=sys.stderr)
        return 2
    _show(pairs, len(images), options.top, dice)
    try:
        if options.swap:
            _swap(source, sets, pairs, options)
        if options.resizes:
            _resizes(source, {name: ranges for name, ranges in sets.items() if name.startswith(_THEIRS)}, options)
    except (UnavailableError, BuildError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        write_whole(options.json, json.dumps(_record(pairs), indent=1).encode())
    return 0


def _resizes(source: NetworkSource, sets: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    """Print what each of TensorRT's sets of ranges makes of the resizes, and of the Dice of an FP32 engine."""
    case = Case(options.backend, "fp32", 1)
    images = stored_split(source.cache, "held-out", source.image_size)
    judged_by = (images, reference_masks(source, images))
    for name, ranges in sets.items():
        found = resizes(source.graph("fp32"), ranges)
        print("\n".join(resizes_told(name, found, dice_handed_on(source, case, found, judged_by), str(case))))


def _swap(
    source: NetworkSource,
    sets: dict[str, dict[str, float]],
    pairs: dict[tuple[str, str], list[Compared]],
    options: argparse.Namespace,
) -> None:
    """Print the Dice of engines that have one range of another calibration."""
    case = Case(options.backend, "int8", 1)
    reason = load_backend(case.backend).supports(case, source.device)
    if reason is not None:
        msg = f"{case}: {reason}"
        raise UnavailableError(msg)
    images = stored_split(source.cache, "held-out", source.image_size)
    judged_by = (images, reference_masks(source, images))
    for (base, other), tensors in pairs.items():
        worst = [each.tensor for each in tensors[: options.swap]]
        print(f"{case}: mean Dice against FP32, ranges by {base} but for one tensor by {other}")
        whole = 0.0
        for index, (name, dice) in enumerate(dice_of_swaps(source, case, (sets[base], sets[other]), worst, judged_by)):
            whole = whole or dice
            label = (f"all by {base}", f"all by {other}")[index] if index < 2 else name  # noqa: PLR2004 - the two sets
            print(f"  {label:40} {dice:.5f} {dice - whole:+.5f}")


def _own(source: NetworkSource, kind: str) -> dict[str, float]:
    """Return the ranges of one of our calibrations, kept in the cache."""
    fp32 = source.graph_entry("fp32")
    key = {
        "graph": fp32.digest,
        "images": source.calibration_set.digest,
        "kind": kind,
        "code": source_digest(Path(str(quantize.__file__))),
    }

    def build(folder: Path) -> None:
        source.say(f"calibrating {source.network.name} {kind}")
        found = calibration_ranges(fp32.folder / "model.onnx", source.calibration(), kind)
        largest = {name: float(np.abs(data.range_value).max()) for name, data in found.data.items()}
        (folder / "ranges.json").write_text(json.dumps(largest), encoding="utf-8")

    entry = source.cache.entry("ranges", f"{plain_name(source.network.name)}-{kind}", key, build)
    stored: dict[str, float] = json.loads((entry.folder / "ranges.json").read_text(encoding="utf-8"))
    return stored


def _theirs(options: argparse.Namespace, tensors: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the ranges of TensorRT's caches by algorithm; of several that fit the model, the newest."""
    named = options.trt_caches is not None
    paths = options.trt_caches if named else (options.cache_dir / "engine" / ".tensorrt").glob("calibration-*.cache")
    found: dict[str, dict[str, float]] = {}
    for path in sorted(paths, key=lambda path: path.stat().st_mtime if path.exists() else 0.0):
        algorithm, ranges = read_cache(path)
        if set(tensors) & ranges.keys():
            found[f"{_THEIRS}{algorithm}"] = ranges
        elif named:
            msg = f"{path}: names none of the model's tensors: was another model calibrated?"
            raise RangesError(msg)
    return found


def _dice(path: Path) -> Iterable[str]:
    """Return in words what each other calibration costs in a run's Dice against FP32, case by case."""
    rows = read_run(path).rows
    for row in rows.values():
        case = parse_case(row.case)
        base = rows.get(f"{case.backend}-int8-b{case.batch_size}")
        if case.arithmetic == "int8" and base is not None and base is not row:
            mine, theirs = row.info["dice_fp32"]["mean"], base.info["dice_fp32"]["mean"]
            yield f"{row.case}: Dice against FP32 {mine:.5f}, MinMax {theirs:.5f}: {mine - theirs:+.5f}"


def _show(pairs: dict[tuple[str, str], list[Compared]], images: int, top: int, dice: Sequence[str]) -> None:
    console = Console(width=130)
    for (base, other), tensors in pairs.items():
        console.print(table(base, other, tensors[:top], images))
        console.print(summary(base, other, tensors), markup=False, soft_wrap=True)
        console.print()
    for line in dice:
        console.print(line, markup=False, soft_wrap=True)


def _record(pairs: dict[tuple[str, str], list[Compared]]) -> list[dict[str, Any]]:
    return [
        {"base": base, "other": other, "tensors": [asdict(each) for each in each_pair]}
        for (base, other), each_pair in pairs.items()
    ]
