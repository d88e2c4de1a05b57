"""From a graph to a TensorRT plan: one builder for 8.6, 10 and 11, each feature asked for where versions part."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import tensorrt as trt

from bench.backend import BuildError
from bench.backends import _cuda
from bench.backends._calibrators import Feed, calibrator
from bench.backends._flops import fixed_graph
from bench.backends._memory import guarded
from bench.backends._trt_config import (
    alone_on_gpu,
    configure,
    keep_transposed,
    save_timings,
    set_precisions,
    timing_path,
)
from bench.backends._trt_log import fail, heard, log
from bench.backends._trt_progress import Progress, monitor
from bench.backends._trt_ranges import drop_damaged, evened, ranges_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.backend import Source
    from bench.backends._flops import FixedGraph
    from bench.backends._trt_config import Options
    from bench.case import Case

PLAN = "engine.plan"
LAYERS = "layers.json"
"""What the engine inspector says of the plan, next to it."""
FLOPS = "convolution_flops.json"


def build(
    source: Source,
    case: Case,
    folder: Path,
    options: Options,
    adjust: Callable[[Any, Any], None] = lambda network, config: None,  # noqa: ARG005 - nothing to adjust
    ranges: Path | None = None,
) -> None:
    """Build a plan and leave it in `folder` with its layers; `BuildError` or `OutOfMemoryError` on failure.

    `adjust` may change the network and the builder's configuration before the build. `ranges` is the file whose ranges
    a calibrator takes, where that is not the one of the graph that is built.
    """
    _cuda.context()
    graph = fixed_graph(source.graph(options.graph), case.batch_size, source.image_size)
    _cuda.tidy()
    with alone_on_gpu(folder, source.say, str(case)):
        if options.calibrator is not None and ranges is None:
            ranges = _ranges(source, case, folder, options, graph)
        plan = guarded(case.batch_size, lambda: _plan(source, case, folder, options, (graph, ranges, adjust)))
    (folder / PLAN).write_bytes(plan)
    (folder / FLOPS).write_text(json.dumps(graph.convolution_flops, indent=1), encoding="utf-8")
    layers = guarded(case.batch_size, lambda: _layers(plan, case.batch_size))
    (folder / LAYERS).write_text(layers, encoding="utf-8")


def deserialized(plan: bytes, batch_size: int) -> tuple[Any, Any]:
    """Return the runtime and the engine of a plan; `BuildError` with TensorRT's messages when it does not load."""
    with heard() as lines:
        runtime = started(trt.Runtime, lines)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            what = f"TensorRT {trt.__version__} does not load the plan (made by another version, or for another GPU?)"
            fail(what, batch_size, lines)
    return runtime, engine


def inspected(engine: Any) -> str:  # noqa: ANN401 - TensorRT's classes have no types
    """Return what the engine inspector says of all layers, as JSON."""
    return str(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))


def _plan(
    source: Source,
    case: Case,
    folder: Path,
    options: Options,
    made_of: tuple[FixedGraph, Path | None, Callable[[Any, Any], None]],
) -> bytes:
    graph, ranges, adjust = made_of
    with heard() as lines, ExitStack() as closing:
        progress = Progress(source.say, str(case))
        builder = started(trt.Builder, lines)
        # The network reads its weights out of the parser and of the graph's bytes: both stay until it is built.
        network, parser = _network(builder, graph, options, case.batch_size, lines)
        config = builder.create_builder_config()
        configure(config, timing_path(folder), options.level)
        set_precisions(config, options)
        if options.calibrator is not None:
            keep_transposed(network, config)
        adjust(network, config)
        watcher = monitor(progress)
        if watcher is not None:
            config.progress_monitor = watcher
        feed = None
        if ranges is not None:
            feed = _feed(source, case, ranges, progress)
            closing.callback(feed.close)
            calibrating = calibrator(str(options.calibrator), feed)
            config.int8_calibrator = calibrating
        with progress:
            plan = builder.build_serialized_network(network, config)
        del parser
        if feed is not None and feed.error is not None:
            raise feed.error
        if plan is None:
            fail(f"{case}: TensorRT {trt.__version__} cannot build the engine", case.batch_size, lines)
        if options.level:  # level 0 times too few tactics for other builds to choose by
            save_timings(config, timing_path(folder))
        return bytes(plan)


def _ranges(source: Source, case: Case, folder: Path, options: Options, graph: FixedGraph) -> Path:
    """Return the file of the ranges that a plan is built from, calibrating where there are none yet."""
    whole = source.graph(options.graph)
    file = ranges_path(source, folder, str(options.calibrator), whole)
    drop_damaged(file, source.say)
    if not options.evened:
        return file
    if not file.exists():
        # TensorRT calibrates within a build, and has used the ranges before it hands them over: this plan is dropped.
        quick = replace(options, level=0)
        guarded(case.batch_size, lambda: _plan(source, case, folder, quick, (graph, file, lambda *_: None)))
    return evened(file, whole)


def started(kind: Callable[[Any], Any], lines: Sequence[str]) -> Any:  # noqa: ANN401 - TensorRT's classes have no types
    """Return a builder or a runtime; `BuildError` where the library cannot start."""
    try:
        return kind(log())
    except TypeError as error:  # how the bindings say that the library returned nothing
        msg = "\n".join([f"TensorRT {trt.__version__} does not start on this GPU: {error}", *lines])
        raise BuildError(msg) from error


def _layers(plan: bytes, batch_size: int) -> str:
    runtime, engine = deserialized(plan, batch_size)
    layers = inspected(engine)
    del engine, runtime  # in this order
    return layers


def _network(
    builder: Any,  # noqa: ANN401 - TensorRT's classes have no types
    graph: FixedGraph,
    options: Options,
    batch_size: int,
    lines: Sequence[str],
) -> tuple[Any, Any]:
    flags = 0
    if options.typed:
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    elif hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH"):
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log())
    if not parser.parse(graph.content):
        errors = [f"error: {parser.get_error(index).desc()}" for index in range(parser.num_errors)]
        what = f"TensorRT {trt.__version__} cannot parse the graph {options.graph}"
        fail(what, batch_size, [*lines, *errors])
    return network, parser


def _feed(source: Source, case: Case, file: Path, progress: Progress) -> Feed:
    return Feed(source.calibration(), case.batch_size, file, lambda state: progress.phase("calibration batch", state))
