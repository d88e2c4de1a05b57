"""Segment a folder of images: masks as PNG files, in one stream, which goes on where it was interrupted.

Prints the stream's figures, or writes them as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rich.console import Console

from bench.arguments import add_engine_place, count, file_to_write
from bench.backend import BuildError, OutOfMemoryError, UnavailableError, load_backend, names, why_not
from bench.cache import Cache, CacheError
from bench.case import PRECISIONS, Case
from bench.engines import LabelError, check_label, engine_key, open_engine
from bench.fidelity import NonFiniteError
from bench.outputs import write_whole
from bench.report import WIDTH, hanging
from bench.source import NetworkSource
from bench.status import INTERRUPTED
from bench.stored_images import stored_split
from bench.stream.images import FileImages
from bench.stream.measure import PLAIN_SAMPLES, Way, as_json, measure
from bench.stream.show import progress, remarks, stage_table, throughput_table
from bench.stream.writer import RECORD, FolderError, MaskFolder, MaskWriter, only_writer
from models.files import image_files, read_image
from models.graphs import GraphError
from models.images import ImageError, from_folder
from models.network import ModelError, load_network
from models.unet import SizeError, check_size
from models.weights import WeightsError

if TYPE_CHECKING:
    import argparse

    from bench.engines import OpenEngine

_EXPECTED = (
    BuildError, CacheError, FolderError, GraphError, ImageError, LabelError, ModelError, NonFiniteError,
    OutOfMemoryError, SizeError, UnavailableError, WeightsError,
)  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="DIR", help="PNG, JPEG or TIFF images of one size")
    add("--out", type=Path, required=True, metavar="DIR", help="where masks go; found ones are not made again")
    add("--backend", required=True, choices=names(), metavar="B", help=f"one of {', '.join(names())}")
    add("--precision", required=True, choices=PRECISIONS, metavar="P", help=f"one of {', '.join(PRECISIONS)}")
    add("--batch-size", type=count, default=8, metavar="N", help="images per inference (default: %(default)s)")
    add("--model", help="as in the benchmarks (default: unet on a GPU, unet-small on a CPU)")
    add("--weights", type=Path, metavar="FILE", help="safetensors or PyTorch checkpoint for --model")
    add("--calibration-images", type=Path, metavar="DIR", help="calibrate INT8 on these (default: built-in ones)")
    add("--bits", type=int, choices=range(9, 17), metavar="9-16", help="depth of images with more than 8 bits")
    add(
        "--on-bad-image",
        choices=("skip", "stop"),
        default="skip",
        help="leave it out and name it, or end (default: %(default)s)",
    )
    add_engine_place(parser)
    add("--plain", action="store_true", help="run the plain loop as well, to compare")
    add("--json", type=file_to_write, metavar="FILE", help="write the figures there")


def run(options: argparse.Namespace) -> int:
    """Stream the images that have no mask yet; 0 done, 1 bad images left out, 2 cannot run, 130 interrupted."""
    try:
        return _run(options)
    except _EXPECTED as error:
        print(f"cannot stream: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    _check_places(options)
    paths = image_files(options.images)
    size = _size(paths, options.bits)
    case = Case(options.backend, options.precision, options.batch_size)
    source = _source(options, size)
    backend = load_backend(case.backend)
    reason = why_not(backend, case, source.device, source.network)
    if reason is not None:
        msg = f"{case}: {reason}"
        raise UnavailableError(msg)
    key = engine_key(backend, source, case)
    record = {name: key[name] for name in ("case", "recipe", "versions", "size")} | {
        "network": source.network.digest, "calibration": source.calibration_set.digest, "bits": options.bits,
        "images": str(options.images.resolve()),
    }  # fmt: skip
    with only_writer(options.out):
        return _fill(options, len(paths), source, case, MaskFolder(options.out, record, paths))


def _check_places(options: argparse.Namespace) -> None:
    """Raise `FolderError` where what is to be written would be in the way of what is read or written there."""
    out = options.out.resolve()
    if options.json and options.json.resolve() == out / RECORD:
        msg = f"--json {options.json}: this file says what made the masks beside it; give another name"
        raise FolderError(msg)
    if out == options.images.resolve():
        msg = f"--out {options.out}: masks have the images' names, and would be taken for images; give another folder"
        raise FolderError(msg)


def _fill(options: argparse.Namespace, wanted: int, source: NetworkSource, case: Case, folder: MaskFolder) -> int:
    """Write the masks that a folder lacks."""
    left = folder.left
    if not left:
        print(f"{options.out}: all {wanted} masks are there already")
        return 0
    if len(left) < wanted:
        print(f"{options.out}: {wanted - len(left)} masks are there already, {len(left)} are left")
    if folder.outdated:
        why = f"of images that were replaced or touched since, or that {RECORD} does not list"
        print(f"{options.out}: {len(folder.outdated)} masks are {why}: they are made again")
    with open_engine(source, case) as opened:
        check_label(case, opened.engine)
        folder.begin()
        row = _stream(options, opened, FileImages(left, source.image_size, bits=options.bits), folder, source)
    _tell(row, options)
    return INTERRUPTED if row["partial"] else 1 if row["bad_images"] else 0


def _stream(
    options: argparse.Namespace, opened: OpenEngine, images: FileImages, folder: MaskFolder, source: NetworkSource
) -> dict[str, Any]:
    classes = max(2, opened.engine.copy_out().shape[1])
    writer = MaskWriter(folder, images.size, classes, max(1, source.threads // 2))
    with progress(Console(stderr=True), str(opened.case), len(images)) as tick, writer:
        way = Way(source.device, source.threads, options.on_bad_image, tick)
        figures = measure(opened, images, way, writer, PLAIN_SAMPLES if options.plain else 0)
    return as_json(opened, images, figures)


def _tell(row: dict[str, Any], options: argparse.Namespace) -> None:
    console = Console(width=WIDTH, highlight=False)
    console.print(throughput_table([row]))
    console.print(stage_table([row]))
    for line in remarks([row]):
        console.print(hanging(line), markup=False, soft_wrap=True)
    for image in row["bad_images"]:
        console.print(f"- left out: {image['reason']}", markup=False, soft_wrap=True)
    if row["partial"]:
        console.print("- interrupted: the same command goes on from here")
    if options.json:
        try:
            write_whole(options.json, (json.dumps({"stream": row}, indent=1) + "\n").encode())
        except OSError as error:
            msg = f"--json {options.json}: it cannot be written ({error.strerror}); the masks are there"
            raise FolderError(msg) from error


def _source(options: argparse.Namespace, size: tuple[int, int]) -> NetworkSource:
    device = cast("Literal['cpu', 'cuda']", options.device)
    network = load_network(options.model or ("unet" if device == "cuda" else "unet-small"), options.weights)
    network.check(size)
    cache = Cache(options.cache_dir, lambda text: print(f"  {text}", file=sys.stderr))
    folder = options.calibration_images
    calibration = from_folder(folder, None, size) if folder else stored_split(cache, "calibration", size)
    return NetworkSource(network, calibration, size, device, cache)


def _size(paths: list[Path], bits: int | None) -> tuple[int, int]:
    """Return the size of the first image that can be read: the engine's."""
    fault: ImageError | None = None
    for path in paths:
        try:
            height, width = read_image(path, bits).shape
        except ImageError as error:
            fault = fault or error
            continue
        try:
            check_size(height, width)
        except SizeError as error:
            msg = f"{path}: {error}"
            raise SizeError(msg) from error
        return height, width
    raise fault or ImageError
