"""ONNX Runtime: FP32, Q/DQ INT8, and FP16 where the build has kernels for it, on the CPU or by its CUDA provider."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, RuntimeException

from bench.backend import OutOfMemoryError, as_batch
from bench.backends._onnx import cpu_graph, kernels, narrow_weights
from bench.backends._ort import (
    PROVIDERS,
    formats,
    layer_seconds,
    matrix_product,
    open_session,
    profile,
    runs_fp16,
    session_options,
)
from bench.machine import this_machine
from bench.stream.cuda_lane import CudaLane, OnDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.backend import Engine, Source
    from bench.case import Case

READS: Literal["module", "graph"] = "graph"
PRECISIONS = ("fp32", "fp16", "int8", "int8-entropy", "int8-percentile")

_MODEL, _ACHIEVED = "model.ort", "achieved.json"
_EXACT = {"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"}
"""Instructions that add INT8 products in 32 bits. Without them x86 adds pairs in 16 bits, which saturate."""

_ASKED = re.compile(r"(?:requested bytes of|requested buffer of size|allocate) (\d+)(?![.\d])")
"""How ONNX Runtime's allocators say what they could not give, in bytes."""
_RAN_OUT = re.compile(r"alloc|out of memory", re.IGNORECASE)
_FAILURES = (RuntimeError, Fail, RuntimeException)
"""What its calls raise: the last two, by `run`, are no RuntimeErrors, unlike what `run_with_iobinding` raises."""


def supports(case: Case, device: str) -> str | None:
    """Return why this machine cannot run the case, or None."""
    if case.precision not in PRECISIONS:
        return f"ONNX Runtime runs {', '.join(PRECISIONS)} here, not {case.precision}"
    if device == "cuda":
        if "CUDAExecutionProvider" not in ort.get_available_providers():
            return "this ONNX Runtime is a CPU build: it has no CUDAExecutionProvider (install onnxruntime-gpu)"
        if case.arithmetic == "int8":
            return "ONNX Runtime's CUDA provider has no INT8 convolution"
    elif case.precision == "fp16" and not runs_fp16():
        return "ONNX Runtime's CPU provider has no FP16 convolution on this machine: it would compute in FP32"
    return None


def versions() -> dict[str, str]:
    """Return ONNX Runtime's version."""
    return {"onnxruntime": ort.__version__}


def recipe(case: Case, device: str) -> dict[str, str]:
    """Return what decides the engine: the graph's kind, the execution provider and the bits of a weight.

    Pairs of UINT8 x INT8 products overflow 16 bits where the CPU has no wider sum (`_EXACT`), and ONNX Runtime lets
    them saturate; with weights of 7 bits none does (ONNX Runtime, "Quantize ONNX models", on `reduce_range`).
    """
    bits = "7" if case.arithmetic == "int8" and not _EXACT & set(this_machine("cpu").features) else "8"
    providers = json.dumps(PROVIDERS[device])
    return {"graph": cpu_graph(case), "providers": providers, "optimization": "all", "weight bits": bits}


def build(source: Source, case: Case, folder: Path) -> None:
    """Optimize the graph for this machine, leave it in ONNX Runtime's own format, and note what its profile shows.

    The profile is taken here, so that the session which proves the precision is not in the loaded engine's memory.
    """
    options = session_options(source.threads)
    options.add_free_dimension_override_by_name("batch", case.batch_size)
    options.optimized_model_filepath = str(folder / _MODEL)
    options.add_session_config_entry("session.save_model_format", "ORT")
    made = recipe(case, source.device)
    model = onnx.load(source.graph(made["graph"]))
    if made["weight bits"] == "7":
        narrow_weights(model)
    zeros = np.zeros((case.batch_size, 1, *source.image_size), np.float32)
    with _memory_errors(case):
        open_session(model.SerializeToString(), source.device, options)
        events = profile(str(folder / _MODEL), source.device, source.threads, zeros)
    achieved = formats(events, kernels(model))
    (folder / _ACHIEVED).write_text(json.dumps(achieved), encoding="utf-8")


def load(source: Source, case: Case, folder: Path) -> Engine:
    """Return a session on the optimized graph, run once."""
    return _Engine(source, case, folder / _MODEL)


def product(arithmetic: str, device: str, threads: int, extent: int) -> Callable[[], object] | None:
    """Return a product of two FP32 or INT8 matrices on the CPU."""
    offered = device == "cpu" and arithmetic in {"fp32", "int8"}
    return matrix_product(arithmetic, threads, extent) if offered else None


class _Engine:
    """A session with its input and output bound to fixed buffers on its device."""

    def __init__(self, source: Source, case: Case, model: Path) -> None:
        self.engine_bytes = model.stat().st_size
        self._case, self._model, self._device, self._threads = case, str(model), source.device, source.threads
        self.achieved: Mapping[str, float] = json.loads(model.with_name(_ACHIEVED).read_text(encoding="utf-8"))
        with _memory_errors(case):
            self._session: Any = open_session(str(model), source.device, session_options(source.threads))
            self._binding: Any = self._session.io_binding()
            self._input_name = self._session.get_inputs()[0].name
            self._output_name = self._session.get_outputs()[0].name
            zeros = np.zeros((case.batch_size, 1, *source.image_size), np.float32)
            self._input: Any = ort.OrtValue.ortvalue_from_numpy(zeros, source.device, 0)
            self._binding.bind_ortvalue_input(self._input_name, self._input)
            self._binding.bind_output(self._output_name, source.device)
            self.enqueue()
            self._shape = tuple(self._binding.get_outputs()[0].shape())
            self._logits: NDArray[np.float32] | None = None
            if source.device == "cpu":
                # One that ONNX Runtime allocates is new at each inference, and its pages are, too.
                self._logits = np.zeros(self._shape, np.float32)
                address = self._logits.ctypes.data
                self._binding.bind_output(self._output_name, "cpu", 0, np.float32, self._shape, address)

    def copy_in(self, batch: NDArray[np.float32]) -> None:
        """Copy normalised images, float32 [B, 1, H, W], to the device."""
        self._input.update_inplace(as_batch(batch, tuple(self._input.shape())))

    def enqueue(self) -> None:
        """Run one inference."""
        self._session.run_with_iobinding(self._binding)

    def synchronize(self) -> None:
        """Return once the device has no work left."""
        self._binding.synchronize_outputs()

    def copy_out(self) -> NDArray[np.float32]:
        """Return the logits of the last inference, float32 [B, classes, H, W]."""
        if self._logits is not None:
            own: NDArray[np.float32] = self._logits.copy()
            return own
        copied: NDArray[np.float32] = self._binding.copy_outputs_to_cpu()[0]
        return copied

    def view_out(self) -> NDArray[np.float32]:
        """Return the logits of the last inference, float32 [B, classes, H, W]; on the CPU without a copy."""
        return self.copy_out() if self._logits is None else self._logits

    def open_lane(self, buffers: int) -> CudaLane | None:
        """Return a lane that normalises and takes the argmax on a GPU, with a ring of at least `buffers`."""
        if self._device == "cpu":
            return None
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with _memory_errors(self._case):
            return CudaLane(self._shared_with(stream), buffers)

    def _shared_with(self, stream: torch.cuda.Stream) -> OnDevice:
        """Return input and inference on PyTorch's own tensors, ordered with what it does on a stream."""
        image = torch.zeros(tuple(self._input.shape()), device=self._device)
        logits = torch.zeros(self._shape, device=self._device)
        session, binding = self._session, self._session.io_binding()
        binding.bind_input(self._input_name, self._device, 0, np.float32, tuple(image.shape), image.data_ptr())
        binding.bind_output(self._output_name, self._device, 0, np.float32, self._shape, logits.data_ptr())

        def infer() -> torch.Tensor:
            # ONNX Runtime computes on a stream of its own, and returns once that has no work left.
            stream.synchronize()
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return logits

        return OnDevice(stream, image, infer, capturable=False)

    def layer_times(self) -> dict[str, float]:
        """Return the seconds of each layer in one inference, from a second session that profiles; none on a GPU.

        A GPU's profile holds the seconds of launching each kernel, which are no layer's: nothing waits for it to end.
        """
        if self._device != "cpu":
            return {}
        batch = self._input.numpy()
        with _memory_errors(self._case):
            return layer_seconds(profile(self._model, self._device, self._threads, batch, runs=5))

    def close(self) -> None:
        """Release the session and its buffers."""
        self._binding = self._session = self._input = self._logits = None


@contextmanager
def _memory_errors(case: Case) -> Iterator[None]:
    """Turn ONNX Runtime's failed allocations into `OutOfMemoryError`."""
    try:
        yield
    except _FAILURES as error:
        if _RAN_OUT.search(str(error)):
            asked = _ASKED.search(str(error))
            needs = f"needs about {int(asked[1]) / 2**30:.1f} GiB more" if asked else str(error)
            msg = f"out of memory at batch {case.batch_size} ({needs})"
            raise OutOfMemoryError(msg) from error
        raise
