"""Measure FPS, share of the ceiling and memory over batch sizes until memory ends, as JSON and as a plot."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import pygal  # type: ignore[import-untyped]
import torch

from bench.backend import BuildError, OutOfMemoryError, UnavailableError, load_backend, names
from bench.cache import Cache
from bench.case import PRECISIONS, Case
from bench.engines import LabelError, check_label, open_engine
from bench.machine import this_machine
from bench.roofline.counts import count
from bench.roofline.report import Roofline
from bench.source import NetworkSource
from bench.stored_images import stored_split
from bench.stream.writer import write_whole
from bench.timing import inferences_per_round, rounds_s, warm_up
from models.images import normalise
from models.network import ModelError, load_network

if TYPE_CHECKING:
    import argparse

_CACHE = Path(__file__).parents[2] / ".bench_cache"
_ROUND_S = 0.05


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add(
        "--batch-sizes",
        default="1,2,4,8,16,32,64",
        metavar="N,...",
        help="batch sizes to go up through (default: %(default)s)",
    )
    add("--backends", default=",".join(names()), metavar="B,...", help="backends to measure (default: all that load)")
    add(
        "--precisions",
        default=",".join(PRECISIONS[:5]),
        metavar="P,...",
        help="precisions to measure (default: %(default)s)",
    )
    add("--model", help="as in the benchmarks (default: unet on a GPU, unet-small on a CPU)")
    add("--image-size", type=int, default=512, metavar="N", help="pixels a side (default: %(default)s)")
    add("--seconds", type=float, default=2.0, help="seconds of timing per case (default: %(default)s)")
    add(
        "--device",
        choices=("cpu", "cuda"),
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="where engines run (default: a GPU if there is one, here %(default)s)",
    )
    add("--cache-dir", type=Path, default=_CACHE, metavar="DIR", help="where engines are kept (default: .bench_cache)")
    add("--json", type=Path, required=True, metavar="FILE", help="write the figures there")
    add("--plot", type=Path, metavar="FILE.svg", help="write the plot there")


def run(options: argparse.Namespace) -> int:
    """Measure every case in turn; 2 when the command line is wrong."""
    try:
        sizes = sorted({int(part) for part in options.batch_sizes.split(",")})
        if sizes[0] < 1:
            msg = f"--batch-sizes {options.batch_sizes}: whole numbers from 1"
            raise ValueError(msg)
        sweep, roofline = _sweep(options, sizes)
    except (ModelError, ValueError) as error:
        print(f"cannot sweep: {error}", file=sys.stderr)
        return 2
    data = {"machine": this_machine(options.device).as_dict(), "sweep": sweep, "roofline": roofline.as_dict()}
    write_whole(options.json, (json.dumps(data, indent=1) + "\n").encode())
    if options.plot:
        write_whole(options.plot, plot(sweep))
    return 0


def plot(sweep: dict[str, list[dict[str, Any]]]) -> bytes:
    """Return FPS over batch size as SVG, one line for each backend and precision."""
    # Without a script of pygal's, which the file would load from the network.
    chart = pygal.XY(
        title="FPS over batch size", x_title="batch size", y_title="FPS", include_x_axis=True, truncate_legend=-1, js=()
    )
    for name, points in sweep.items():
        chart.add(name, [(point["batch_size"], point["fps"]) for point in points])
    return bytes(chart.render())


def _sweep(options: argparse.Namespace, sizes: list[int]) -> tuple[dict[str, list[dict[str, Any]]], Roofline]:
    size = (options.image_size, options.image_size)
    cache = Cache(options.cache_dir, lambda text: print(f"  {text}", file=sys.stderr))
    device = cast("Literal['cpu', 'cuda']", options.device)
    network = load_network(options.model or ("unet" if device == "cuda" else "unet-small"))
    source = NetworkSource(network, stored_split(cache, "calibration", size), size, device, cache)
    roofline = Roofline(device, source.threads, count(source.graph("fp32"), size))
    found: dict[str, list[dict[str, Any]]] = {}
    for backend in options.backends.split(","):
        for precision in options.precisions.split(","):
            points = _line(source, [Case(backend, precision, batch) for batch in sizes], options.seconds, roofline)
            if points:
                found[f"{backend}-{precision}"] = points
    return found, roofline


def _line(source: NetworkSource, cases: list[Case], seconds: float, roofline: Roofline) -> list[dict[str, Any]]:
    """Return the points of one backend and precision, up to the batch that does not fit."""
    points: list[dict[str, Any]] = []
    for case in cases:
        try:
            backend = load_backend(case.backend)
            reason = backend.supports(case, source.device)
            if case.precision not in backend.PRECISIONS or reason:
                return points
            points.append(_point(source, case, seconds, roofline))
        except UnavailableError as error:
            print(f"{case}: {error}", file=sys.stderr)
            return points
        except (OutOfMemoryError, BuildError, LabelError) as error:
            print(f"{case}: the line ends here: {error}", file=sys.stderr)
            return points
        point = points[-1]
        print(f"{case}: {point['fps']:.1f} FPS, outside layers {point['outside_layers']}")
    return points


def _point(source: NetworkSource, case: Case, seconds: float, roofline: Roofline) -> dict[str, Any]:
    images = source.calibration_set.images
    with open_engine(source, case) as opened:
        check_label(case, opened.engine)
        opened.engine.copy_in(normalise(images[[index % len(images) for index in range(case.batch_size)]]))
        warm_up(opened.engine)
        inferences = inferences_per_round(opened.engine, _ROUND_S)
        inference_s = statistics.median(rounds_s(opened.engine, inferences, seconds))
        peak_bytes = opened.memory.peak_bytes
        found = roofline.add_case(opened, inference_s)
    return {
        "batch_size": case.batch_size,
        "fps": case.batch_size / inference_s,
        "share_of_ceiling": found["share_of_ceiling"],
        "outside_layers": found["outside_layers"],
        "peak_memory_bytes": peak_bytes,
    }
