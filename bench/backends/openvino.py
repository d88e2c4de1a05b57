"""OpenVINO on the CPU: FP32, BF16 and FP16 by its precision hint, INT8 from the Q/DQ graph."""

from __future__ import annotations

import re
import statistics
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import openvino as ov
from openvino import opset13 as opset

from bench.backend import OutOfMemoryError, as_batch
from bench.backends._onnx import cpu_graph, multiply_adds, shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from bench.backend import Engine, Source
    from bench.case import Case

READS: Literal["module", "graph"] = "graph"
PRECISIONS = ("fp32", "bf16", "fp16", "int8", "int8-entropy", "int8-percentile")

_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""OpenVINO picks BF16 or FP16 by itself where the CPU has them; the hint pins what is not INT8."""
_PROFILED = 5
"""Inferences that layers are timed in, of which the median counts."""
_CAPABILITIES = {"bf16": "BF16", "fp16": "FP16", "int8": "INT8"}
_FORMATS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
_PRODUCTS = {"FullyConnected", "MatMul"}
"""Layers that OpenVINO runs a product as."""
_RAN_OUT = re.compile(r"Failed to allocate (\d+) bytes|std::bad_alloc")


def supports(case: Case, device: str) -> str | None:
    """Return why this machine cannot run the case, or None."""
    if case.precision not in PRECISIONS:
        return f"OpenVINO runs {', '.join(PRECISIONS)} here, not {case.precision}"
    if device != "cpu":
        return "this backend runs OpenVINO on the CPU; this run is on a GPU (--device cpu)"
    if not _offers(case.arithmetic):
        return f"OpenVINO offers no {case.arithmetic} arithmetic on this CPU"
    return None


def versions() -> dict[str, str]:
    """Return OpenVINO's version."""
    return {"openvino": ov.__version__}


def recipe(case: Case, device: str) -> dict[str, str]:  # noqa: ARG001 - the contract's signature
    """Return what decides the engine: the graph's kind and the compile options."""
    graph = cpu_graph(case) if case.arithmetic == "int8" else "fp32"
    return {"graph": graph, "hint": _HINTS[case.arithmetic], "streams": "1"}


def build(source: Source, case: Case, folder: Path) -> None:
    """Compile for this CPU at one batch size and leave the exported blob."""
    core = _core()
    model = core.read_model(source.graph(recipe(case, source.device)["graph"]))
    model.reshape({model.inputs[0]: ov.PartialShape([case.batch_size, 1, *source.image_size])})
    with _memory_errors(case.batch_size):
        compiled = core.compile_model(model, "CPU", _config(source, case))
        (folder / "engine.blob").write_bytes(compiled.export_model().getvalue())


def load(source: Source, case: Case, folder: Path) -> Engine:
    """Return the compiled model from its blob, run once."""
    with _memory_errors(case.batch_size):
        return _Engine(source, case, folder / "engine.blob")


def product(arithmetic: str, device: str, threads: int, extent: int) -> Callable[[], object] | None:
    """Return a product of two matrices in a float format that this CPU has, with FP32 at both ends.

    There is none in INT8: on two cores of an AMD EPYC OpenVINO 2026.4's reached 503 GOP/s, PyTorch's 888.
    """
    if device != "cpu" or arithmetic not in _HINTS or arithmetic == "int8" or not _offers(arithmetic):
        return None
    ones = np.ones((extent, extent), np.float32)
    left = opset.parameter([extent, extent], np.float32)
    model = ov.Model([opset.matmul(left, opset.constant(ones), transpose_a=False, transpose_b=False)], [left])
    compiled: Any = _core().compile_model(model, "CPU", _options(arithmetic, threads))
    if {form for kind, form, _ in _layers(compiled) if kind in _PRODUCTS} != {arithmetic}:
        return None
    request: Any = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(ones, shared_memory=False))

    def multiply() -> NDArray[np.float32]:
        request.infer()
        result: NDArray[np.float32] = request.get_output_tensor().data
        return result

    return multiply


class _Engine:
    """A compiled model with one request and its own input tensor."""

    def __init__(self, source: Source, case: Case, blob: Path) -> None:
        data = blob.read_bytes()
        self._blob, self._options = str(blob), _config(source, case)
        self.engine_bytes = len(data)
        self._compiled: Any = _core().import_model(data, "CPU", _config(source, case))
        self._request: Any = self._compiled.create_infer_request()
        self._input: Any = ov.Tensor(
            np.zeros((case.batch_size, 1, *source.image_size), np.float32), shared_memory=False
        )
        self._request.set_input_tensor(self._input)
        self.achieved: Mapping[str, float] = _formats(self._compiled)
        self.enqueue()

    def copy_in(self, batch: NDArray[np.float32]) -> None:
        """Copy normalised images, float32 [B, 1, H, W]."""
        self._input.data[:] = as_batch(batch, self._input.data.shape)

    def enqueue(self) -> None:
        """Run one inference."""
        self._request.infer()

    def synchronize(self) -> None:
        """Return at once: an inference ends before `enqueue` returns."""

    def copy_out(self) -> NDArray[np.float32]:
        """Return the logits of the last inference, float32 [B, classes, H, W]."""
        logits: NDArray[np.float32] = self._request.get_output_tensor().data.astype(np.float32, copy=True)
        return logits

    def view_out(self) -> NDArray[np.float32]:
        """Return the logits where OpenVINO wrote them, float32 [B, classes, H, W], valid until the next inference."""
        logits: NDArray[np.float32] = self._request.get_output_tensor().data
        return logits if logits.dtype == np.float32 else logits.astype(np.float32)

    def layer_times(self) -> dict[str, float]:
        """Return the seconds of each layer in one inference, from a second copy of the engine that counts them."""
        with _memory_errors(len(self._input.data)):
            return self._layer_times()

    def _layer_times(self) -> dict[str, float]:
        counting = _core().import_model(Path(self._blob).read_bytes(), "CPU", {**self._options, "PERF_COUNT": "YES"})
        request = counting.create_infer_request()
        request.set_input_tensor(self._input)
        runs: list[dict[str, float]] = []
        for _ in range(_PROFILED):
            request.infer()
            times = [(layer.node_name, layer.real_time.total_seconds()) for layer in request.get_profiling_info()]
            runs.append({name: seconds for name, seconds in times if seconds})
        return {name: statistics.median(run.get(name, 0.0) for run in runs) for name in runs[-1]}

    def close(self) -> None:
        """Release the compiled model."""
        self._request = self._compiled = self._input = None


@contextmanager
def _memory_errors(batch_size: int) -> Iterator[None]:
    """Turn OpenVINO's failed allocations into `OutOfMemoryError`."""
    try:
        yield
    except RuntimeError as error:
        asked = _RAN_OUT.search(str(error))
        if asked is None:
            raise
        needs = f"needs about {int(asked[1]) / 2**30:.1f} GiB more" if asked[1] else asked[0]
        msg = f"out of memory at batch {batch_size} ({needs})"
        raise OutOfMemoryError(msg) from error


@cache
def _core() -> Any:  # noqa: ANN401 - the library is untyped
    """Return the process's only core.

    Its CPU plugin gives the thread a signal stack and takes back the one before when it goes. Of several that do not
    go in turn the last leaves a stack that is no longer there, and the next Ctrl-C ends the process (2026.4).
    """
    return ov.Core()


def _offers(arithmetic: str) -> bool:
    """Return whether this CPU has the arithmetic, by OpenVINO's own account."""
    wanted = _CAPABILITIES.get(arithmetic)
    return wanted is None or wanted in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _config(source: Source, case: Case) -> dict[str, Any]:
    return _options(case.arithmetic, source.threads)


def _options(arithmetic: str, threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[arithmetic],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }


def _formats(compiled: Any) -> dict[str, float]:  # noqa: ANN401 - the library is untyped
    """Return the share of the convolutions' multiply-adds per number format, from OpenVINO's execution graph."""
    work = []
    for kind, form, node in _layers(compiled):
        if kind in {"Convolution", "Deconvolution"}:
            weight = list(node.input(1).get_shape()) if len(node.inputs()) > 1 else [1, 1, 3, 3]
            values = node.output(0) if kind == "Convolution" else node.input(0)
            work.append((form, multiply_adds(list(values.get_shape()), weight)))
    return shares(work)


def _layers(compiled: Any) -> Iterator[tuple[str, str, Any]]:  # noqa: ANN401 - the library is untyped
    """Yield the kind, the number format and the node of each layer that runs, from OpenVINO's execution graph."""
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = {key: _plain(node.rt_info[key]) for key in ("layerType", "runtimePrecision") if key in node.rt_info}
        name = info.get("runtimePrecision", "").lower()
        yield info.get("layerType", ""), _FORMATS.get(name, name), node


def _plain(value: Any) -> str:  # noqa: ANN401 - the library is untyped
    return str(value.value if hasattr(value, "value") else value)
