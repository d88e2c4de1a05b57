"""Tries at a faster TensorRT engine: more effort in building, other ends, and layers kept in FP16."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import tensorrt as trt

from bench.backend import BuildError
from bench.backends import _trt_build
from bench.backends._trt_build import LAYERS
from bench.backends._trt_config import network_layers
from bench.backends._trt_ranges import evened, ranges_path

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from bench.backend import Source
    from bench.backends._trt_config import Options
    from bench.case import Case

_EFFORT = {"level-5": 5}
_ENDS = ("uint8-input", "argmax", "mask")
_LAYOUTS = {"io-fp16": "LINEAR", "io-hwc8": "HWC8"}
"""float16 at the float ends, in rows or channels last (8 side by side, as FP16 kernels take them)."""
_FLOATS = {"float-first": (0,), "float-last": (-1,), "float-ends": (0, -1)}
"""Convolutions kept in FP16 by flags; where the graph carries its precision, the graph's own steps do it."""
_RESIZES = "resize-own-ranges"
"""What a resize makes keeps its own calibrated range, as TensorRT alone would build it: what evening them is worth."""
_REFORMAT = re.compile("reformat", re.IGNORECASE)


def offers(options: Options) -> dict[str, tuple[str, ...]]:
    """Return the trials of an engine by name, each with the steps on its graph that it needs."""
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in _ENDS}
    if options.graph != "fp32" or options.flags:
        # Where the graph's types are the law, or Casts stand at its ends, the graph changes; else the network's types.
        in_graph = options.typed or options.graph == "fp16"
        found |= dict.fromkeys(_LAYOUTS, ("half-io",) if in_graph else ())
    if options.calibrator is not None:
        found |= dict.fromkeys((*_FLOATS, _RESIZES), ())
    return found | dict.fromkeys(_EFFORT, ())  # at the end: these builds take several times as long


def recipe(options: Options, trials: Collection[str]) -> dict[str, str]:
    """Return what decides the engine of some trials together, as words."""
    return {**_tuned(options, trials).recipe(), "trial": " ".join(trials)}


def build(source: Source, plain: Source, case: Case, folder: Path, options: Options, trials: Collection[str]) -> None:
    """Build the plan of some trials together; `BuildError` or `OutOfMemoryError` on failure.

    `source` has the trials' graphs, `plain` those of the engine to beat, whose calibrated ranges are taken: they are of
    tensors with the same names, and calibration itself would feed float32 to an input that is none.
    """
    tuned, ranges = _tuned(options, trials), None
    if options.calibrator is not None:
        ranges = ranges_path(source, folder, options.calibrator, plain.graph(options.graph))
        if not ranges.exists():
            msg = f"{case}: the plain engine's calibrated ranges are gone from {ranges.parent.name}: build it again"
            raise BuildError(msg)
        if tuned.evened:
            ranges = evened(ranges, plain.graph(options.graph))

    def adjust(network: Any, config: Any) -> None:  # noqa: ANN401 - TensorRT's classes have no types
        for name in trials:
            if name in _LAYOUTS:
                _lay_out(network, _LAYOUTS[name])
            elif name in _FLOATS and options.calibrator is not None:
                _keep_float(network, config, _FLOATS[name])

    _trt_build.build(source, case, folder, tuned, adjust, ranges)


def layers(folder: Path) -> tuple[int, int]:
    """Return how many layers a plan has and how many of them only reformat, by the engine inspector."""
    found = json.loads((folder / LAYERS).read_text(encoding="utf-8"), strict=False).get("Layers", [])
    texts = [_told(layer) for layer in found]
    return len(texts), sum(bool(_REFORMAT.search(text)) for text in texts)


def _told(layer: Mapping[str, Any] | str) -> str:
    # Engines built without details list bare names.
    return layer if isinstance(layer, str) else f"{layer.get('LayerType', '')} {layer.get('Name', '')}"


def _tuned(options: Options, trials: Collection[str]) -> Options:
    level = max([options.level, *(_EFFORT[name] for name in trials if name in _EFFORT)])
    return replace(options, level=level, evened=options.evened and _RESIZES not in trials)


def _lay_out(network: Any, layout: str) -> None:  # noqa: ANN401 - TensorRT's classes have no types
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    tensors += [network.get_output(index) for index in range(network.num_outputs)]
    for tensor in tensors:
        if tensor.dtype == trt.float32:  # in typed networks the graph's own step has seen to it
            tensor.dtype = trt.float16
        if tensor.dtype == trt.float16:
            tensor.allowed_formats = 1 << int(getattr(trt.TensorFormat, layout))


def _keep_float(network: Any, config: Any, places: Collection[int]) -> None:  # noqa: ANN401 - as above
    convolutions = [layer for layer in network_layers(network) if layer.type == trt.LayerType.CONVOLUTION]
    for place in places:
        convolutions[place].precision = trt.float16
    config.clear_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)  # as beside transposed convolutions
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
