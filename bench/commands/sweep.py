"""Measure FPS, share of the ceiling and memory over batch sizes until memory ends, as JSON and as a plot."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rich.console import Console

from bench import arguments, sweep_file
from bench.backend import names
from bench.cache import Cache
from bench.case import PRECISIONS, Case
from bench.machine import runtimes
from bench.page.sweeps import as_file
from bench.report import WIDTH
from bench.results import RunFileError
from bench.roofline.counts import count
from bench.roofline.report import Roofline
from bench.source import NetworkSource
from bench.status import INTERRUPTED
from bench.stored_images import stored_split
from bench.sweep_lines import subject, sweep_line
from models.images import ImageError
from models.network import ModelError, load_network
from models.weights import WeightsError

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add(
        "--batch-sizes",
        type=arguments.counts,
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
    add("--weights", type=Path, metavar="FILE", help="as in the benchmarks")
    add("--image-size", type=arguments.count, default=512, metavar="N", help="pixels a side (default: %(default)s)")
    add("--seconds", type=arguments.positive, default=2.0, help="seconds of timing per case (default: %(default)s)")
    arguments.add_engine_place(parser)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--json", type=arguments.file_to_write, metavar="FILE", help="write the figures there, after every case"
    )
    where.add_argument(
        "--from",
        type=Path,
        nargs="+",
        dest="stored",
        metavar="FILE",
        help="show what these hold, and measure nothing",
    )
    add(
        "--append",
        action="store_true",
        help="add to --json FILE the cases that it lacks",
    )
    add("--plot", type=arguments.file_to_write, metavar="FILE.svg", help="write the plot there")


def run(options: argparse.Namespace) -> int:
    """Measure every case in turn, or show stored ones; 2 when something given is wrong, 130 after Ctrl-C."""
    status = 0
    try:
        _check_plot(options)
        if options.stored:
            if options.append:
                msg = "--append adds to what --json FILE measures, and --from measures nothing"
                raise ValueError(msg)
            data = sweep_file.joined(options.stored)
        else:
            data, status = _measure(options)
        if options.plot and data["sweep"]:
            sweep_file.write(options.plot, as_file(data))
    except (ModelError, WeightsError, ImageError, RunFileError, OSError, ValueError) as error:
        print(f"cannot sweep: {error}", file=sys.stderr)
        return 2
    Console(width=WIDTH, highlight=False).print(sweep_file.table(data))
    for reason, lines in sweep_file.ended(data).items():
        print(f"- {', '.join(lines)}: {reason}")
    return status


def _check_plot(options: argparse.Namespace) -> None:
    """Raise `ValueError` where the plot would replace figures that it is made of."""
    figures = options.stored or [options.json]
    if options.plot and options.plot.resolve() in [path.resolve() for path in figures]:
        msg = f"--plot {options.plot}: the figures are in this file; give the plot another name"
        raise ValueError(msg)


def _measure(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Return the sweep and the exit status; what was measured is in the file whatever ends the command."""
    precisions = _listed(options.precisions, PRECISIONS, "--precisions")
    wanted = [
        (name, precision) for name in _listed(options.backends, names(), "--backends") for precision in precisions
    ]
    source = _source(options)
    sizes = _taken(source, options.batch_sizes)
    data = sweep_file.new(subject(source))
    if options.append and options.json.exists():
        stored = sweep_file.read_file(options.json)
        sweep_file.check_same(stored, options.json, data, "the sweep in it")
        data = stored
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    data["sessions"].append(
        {"measured": now, "seconds": options.seconds, "runtimes": runtimes(), "versions": {}, "cases": []}
    )
    roofline = Roofline(source.device, source.threads, count(source.graph("fp32"), source.image_size))

    def save() -> None:
        sweep_file.save(data, options.json)

    try:
        for backend, precision in wanted:
            sweep_line(
                source, [Case(backend, precision, size) for size in sizes], roofline, data, save, options.seconds
            )
    except KeyboardInterrupt:
        if data["sessions"][-1]["cases"]:
            save()  # It may have been the last one that was interrupted.
        held = f"{options.json} holds what was measured; with --append the same command goes on"
        print(f"interrupted: {held if data['sessions'][-1]['cases'] else 'nothing was measured'}", file=sys.stderr)
        return data, INTERRUPTED
    if not data["sweep"]:
        told = "; ".join(f"{line}: {why}" for line, why in data["ended"].items())
        none = f"none of --backends {options.backends} offers any of --precisions {options.precisions}"
        msg = f"nothing could be measured: {told or none}"
        raise ValueError(msg)
    if not data["sessions"][-1]["cases"]:
        print(f"{options.json} holds every case already", file=sys.stderr)
        data["sessions"].pop()
    save()
    return data, 0


def _taken(source: NetworkSource, sizes: list[int]) -> list[int]:
    """Return those of the batch sizes that the network takes: of an ONNX graph that fixes it, just that one."""
    fixed = source.network.fixed_batch
    if fixed is None or sizes == [fixed]:
        return sizes
    told = f"the ONNX graph {source.network.name} takes batches of {fixed} only"
    if fixed not in sizes:
        msg = f"--batch-sizes {','.join(map(str, sizes))}: {told}"
        raise ValueError(msg)
    source.say(f"{told}: no others are measured")
    return [fixed]


def _listed(text: str, known: tuple[str, ...], option: str) -> list[str]:
    found = text.split(",")
    unknown = [name for name in found if name not in known]
    if unknown:
        msg = f"{option} {text}: no {', '.join(unknown)}; there are {', '.join(known)}"
        raise ValueError(msg)
    return found


def _source(options: argparse.Namespace) -> NetworkSource:
    size = (options.image_size, options.image_size)
    cache = Cache(options.cache_dir, lambda text: print(f"  {text}", file=sys.stderr))
    device = cast("Literal['cpu', 'cuda']", options.device)
    network = load_network(options.model or ("unet" if device == "cuda" else "unet-small"), options.weights)
    network.check(size)
    return NetworkSource(network, stored_split(cache, "calibration", size), size, device, cache)
