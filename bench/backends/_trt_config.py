"""What decides a TensorRT engine besides its graph: options, kernels, timings; for 8.6, 10 and 11 alike."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tensorrt as trt
from filelock import FileLock, Timeout

from bench.backends import _cuda
from bench.backends._trt_log import unheard
from bench.outputs import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WORKSPACE_BYTES = 8 << 30
"""Scratch memory that a tactic may ask for; TensorRT's own default is all of the device's."""
OPTIMIZATION_LEVEL = 3
"""TensorRT's own default; 5 tries more tactics and takes several times as long."""


@dataclass(frozen=True, slots=True)
class Options:
    """All that decides a plan besides the graph's content, the TensorRT version and the GPU."""

    graph: str
    """Kind of graph, of `models.graphs.KINDS`."""
    typed: bool = False
    """Whether the graph's types are the law; else TensorRT picks among the formats that `flags` allow."""
    flags: tuple[str, ...] = ()
    """Names of the builder flags that allow formats: FP16, INT8; none in strongly typed networks."""
    tf32: bool = True
    """Whether FP32 convolutions may run as TF32; TensorRT's own default is yes."""
    calibrator: str | None = None
    """Of `_calibrators.ALGORITHMS`; None where the graph has its scales, or is not INT8."""
    evened: bool = True
    """Whether what a resize makes gets the calibrated range of what it reads, in place of its own."""
    level: int = OPTIMIZATION_LEVEL

    def recipe(self) -> dict[str, str]:
        """Return the options as words, for the engine's key and the report."""
        return {
            "graph": self.graph,
            "network": "strongly typed" if self.typed else "weakly typed",
            "flags": " ".join(self.flags) or "none",
            "tf32": "allowed" if self.tf32 else "cleared",
            "calibrator": self.calibrator or "none",
            **({} if self.calibrator is None else {"resizes": "input's range" if self.evened else "own range"}),
            "optimization_level": str(self.level),
            **shared_recipe(),
        }


def shared_recipe() -> dict[str, str]:
    """Return what all engines have in common, as words."""
    return {"tactic_sources": "EDGE_MASK_CONVOLUTIONS JIT_CONVOLUTIONS", "workspace_bytes": str(WORKSPACE_BYTES)}


def weakly_typed() -> bool:
    """Return whether this TensorRT still takes its precision from builder flags (8.6 and 10; removed in 11)."""
    return hasattr(trt.BuilderFlag, "FP16")


def strongly_typed() -> bool:
    """Return whether this TensorRT can take its precision from the graph alone (10 and later)."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def tactic_sources() -> int:
    """Return the mask of the kernels that engines are built from: TensorRT's own convolutions alone.

    A U-Net needs neither cuBLAS nor cuDNN. Without them 8.6 uses what 10 uses by default and 11 only has, and an
    engine does not depend on which of the two a machine has.
    """
    sources = trt.TacticSource
    return 1 << int(sources.EDGE_MASK_CONVOLUTIONS) | 1 << int(sources.JIT_CONVOLUTIONS)


def configure(config: Any, timing_file: Path, level: int = OPTIMIZATION_LEVEL) -> None:  # noqa: ANN401 - no types
    """Set what all engines share in a builder's configuration: kernels, effort, memory, layer details, timings."""
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.set_tactic_sources(tactic_sources())
    config.builder_optimization_level = level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    stored = timing_file.read_bytes() if timing_file.exists() else b""
    # Timings of another GPU or version are refused; those of a damaged file do not even parse. Of its own 8.6 may
    # complain that it cannot read Myelin's part; it uses the others.
    with unheard():
        timings = config.create_timing_cache(stored)
        if timings is None or not config.set_timing_cache(timings, ignore_mismatch=False):
            config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def set_precisions(config: Any, options: Options) -> None:  # noqa: ANN401 - TensorRT's classes have no types
    """Allow the formats of the options, and forbid TF32 where they do."""
    for name in options.flags:
        config.set_flag(getattr(trt.BuilderFlag, name))
    if options.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)


def network_layers(network: Any) -> list[Any]:  # noqa: ANN401 - as above
    """Return all layers of a network definition."""
    return [network.get_layer(index) for index in range(network.num_layers)]


def keep_transposed(network: Any, config: Any) -> None:  # noqa: ANN401 - as above
    """Keep transposed convolutions in FP16 where a calibrator lets the rest be INT8, in which 8.6 cannot build them.

    The others are asked for in INT8 then. Left to choose, TensorRT ran them in FP16 up to the last one.
    """
    layers = network_layers(network)
    wanted = {trt.LayerType.DECONVOLUTION: trt.float16, trt.LayerType.CONVOLUTION: trt.int8}
    if not any(layer.type == trt.LayerType.DECONVOLUTION for layer in layers):
        return
    for layer in layers:
        if layer.type in wanted:
            layer.precision = wanted[layer.type]
    config.set_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)


def save_timings(config: Any, timing_file: Path) -> None:  # noqa: ANN401 - TensorRT's classes have no types
    """Keep the tactics' timings of a build, with those that another process has kept meanwhile."""
    timings = config.get_timing_cache()
    if timings is None:
        return
    timing_file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{timing_file}.lock"):
        if timing_file.exists():
            others = config.create_timing_cache(timing_file.read_bytes())
            if others is not None:
                timings.combine(others, ignore_mismatch=False)
        write_whole(timing_file, bytes(timings.serialize()))


@contextmanager
def alone_on_gpu(folder: Path, say: Callable[[str], None], name: str) -> Iterator[None]:
    """Run the block once no other process builds on this GPU from the same cache.

    Builders choose kernels by timing them. Side by side they time each other's work too, and each takes several times
    as long as all would in turn, where a later one also finds the timings of the earlier ones.
    """
    place = shared_folder(folder)
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / f"building-{_file_name(_cuda.bus_id())}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{name}: waiting for another process that builds on this GPU")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def shared_folder(folder: Path) -> Path:
    """Return the folder for what outlives one engine, timing and calibration caches, beside the engine's own."""
    return folder.parent / ".tensorrt"


def timing_path(folder: Path) -> Path:
    """Return the timing cache's file for this TensorRT and GPU, given an engine's folder."""
    found = _cuda.versions()
    name = f"{trt.__version__}-{found.get('gpu', 'none')}-{found.get('compute_capability', '')}"
    return shared_folder(folder) / f"timing-{_file_name(name)}.cache"


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", text)
