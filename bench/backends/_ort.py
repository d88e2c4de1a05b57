"""Sessions of ONNX Runtime, and what its own profile says of them: the number formats they really run in."""

from __future__ import annotations

import json
import statistics
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from bench.backend import BuildError
from bench.backends._onnx import CONVOLUTIONS, multiply_adds, shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

PROVIDERS: dict[str, list[Any]] = {
    "cpu": ["CPUExecutionProvider"],
    # TF32 is on by default there, and FP32 means FP32.
    "cuda": [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"],
}
"""Execution providers by device."""
_FORMATS = {"float": "fp32", "float16": "fp16", "bfloat16": "bf16", "int8": "int8", "uint8": "int8", "double": "fp64"}

_PRODUCTS: dict[str, tuple[str, int, int, int]] = {
    "fp32": ("MatMul", TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.FLOAT),
    "int8": ("MatMulInteger", TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32),
}
"""Operator, and the types of left and right matrix and of the sums, by number format."""


def session_options(threads: int) -> Any:  # noqa: ANN401 - the library is untyped
    """Return options for a session on a number of threads that runs one operator at a time."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def open_session(model: str | bytes, device: str, options: Any) -> Any:  # noqa: ANN401 - the library is untyped
    """Return a session of a model's path or bytes; `BuildError` where it fell back to the CPU, which gives no error."""
    try:
        # Where a provider fails, memory ran out for one, the binding would print why and try again on the CPU.
        session = ort.InferenceSession(model, options, providers=PROVIDERS[device], enable_fallback=0)
    except RuntimeError as error:
        msg = f"ONNX Runtime could not start a session on {device}: {error}"
        raise BuildError(msg) from error
    if device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        msg = (
            "ONNX Runtime could not load its CUDA provider and would run on the CPU: "
            "its CUDA and cuDNN versions must be the ones installed (onnxruntime-gpu's page lists them)"
        )
        raise BuildError(msg)
    return session


def profile(model: str | bytes, device: str, threads: int, batch: NDArray[Any], runs: int = 1) -> list[dict[str, Any]]:
    """Return the events of profiled inferences on `batch`, as ONNX Runtime writes them, durations in microseconds.

    `batch` has the shape and dtype of the model's one input, a network's float32 [N, 1, H, W].
    """
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = open_session(model, device, options)
        for _ in range(runs):
            session.run(None, {session.get_inputs()[0].name: batch})
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return events


def formats(events: Iterable[dict[str, Any]], weights: dict[str, list[int]]) -> dict[str, float]:
    """Return each number format's share of the convolutions' multiply-adds; `weights` as `_onnx.kernels` gives them."""
    return shares(_work(event, weights) for event in _convolutions(events))


def layer_seconds(events: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Return each kernel's median seconds over the inferences in a profile's events."""
    found: dict[str, list[float]] = {}
    for event in events:
        name = str(event["name"])
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            found.setdefault(name.removesuffix("_kernel_time"), []).append(event["dur"] / 1e6)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def matrix_product(arithmetic: str, threads: int, extent: int) -> Callable[[], NDArray[Any]]:
    """Return a function that multiplies two square matrices of ones on the CPU and returns the sums, FP32 or INT32.

    INT8 is UINT8 by INT8. The matrices are bound once: a run that allocates its output is up to 2 % slower.
    """
    operator, *types = _PRODUCTS[arithmetic]
    left, right, sums = (np.ones((extent, extent), helper.tensor_dtype_to_np_dtype(kind)) for kind in types)
    graph = helper.make_graph(
        [helper.make_node(operator, ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", types[0], left.shape)],
        [helper.make_tensor_value_info("c", types[2], sums.shape)],
        [helper.make_tensor("b", types[1], right.shape, right.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = open_session(model.SerializeToString(), "cpu", session_options(threads))
    binding = session.io_binding()
    binding.bind_input("a", "cpu", 0, left.dtype, left.shape, left.ctypes.data)
    binding.bind_output("c", "cpu", 0, sums.dtype, sums.shape, sums.ctypes.data)
    return _Product(session, binding, left, sums)


@dataclass(frozen=True, slots=True)
class _Product:
    """A session bound to matrices, of which ONNX Runtime holds no more than the addresses."""

    session: Any
    binding: Any
    left: NDArray[Any]
    sums: NDArray[Any]

    def __call__(self) -> NDArray[Any]:
        """Multiply, and return the sums."""
        self.session.run_with_iobinding(self.binding)
        return self.sums


def _convolutions(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    nodes = [event for event in events if str(event.get("args", {}).get("op_name", "")).lower() in CONVOLUTIONS]
    return [node for node in nodes if node["args"].get("input_type_shape")]


def _work(event: dict[str, Any], weights: dict[str, list[int]]) -> tuple[str, float]:
    """Return one profiled convolution's number format and multiply-adds."""
    inputs = [next(iter(item.items())) for item in event["args"]["input_type_shape"]]
    transposed = event["args"]["op_name"] == "ConvTranspose"
    values = inputs[0][1] if transposed else next(iter(event["args"]["output_type_shape"][0].values()))
    # Kernels that keep their weights packed list no weight shape: those events carry the node's name.
    weight = next((shape for _, shape in inputs[1:] if len(shape) == 4), None)  # noqa: PLR2004 - a kernel has four axes
    if weight is None:
        weight = weights[max((name for name in weights if event["name"].startswith(name)), key=len)]
    return _FORMATS.get(inputs[0][0], inputs[0][0]), multiply_adds(values, weight)


@cache
def runs_fp16() -> bool:
    """Return whether a small FP16 convolution stays FP16 when this build runs it on the CPU."""
    weight = helper.make_tensor("w", TensorProto.FLOAT16, [8, 8, 3, 3], np.ones(576, np.float16).tobytes(), raw=True)
    shape = [1, 8, 8, 8]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, shape)],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    events = profile(model.SerializeToString(), "cpu", 1, np.zeros(shape, np.float16))
    return any("float16" in item for node in _convolutions(events) for item in node["args"]["input_type_shape"])
