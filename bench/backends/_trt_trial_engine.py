"""A plan with any ends behind the engine contract: raw pixels in, masks out, FP16, channels last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorrt as trt
from pycuda import driver

from bench.backend import BuildError, as_batch
from bench.backends import _cuda
from bench.backends._achieved import achieved
from bench.backends._memory import opened
from bench.backends._trt_build import FLOPS, PLAN, deserialized, inspected
from bench.backends._trt_ends import End
from bench.backends._trt_log import fail, heard, log
from bench.backends._trt_run import needed, no_context

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.backend import Source
    from bench.case import Case


def load(source: Source, case: Case, folder: Path) -> TrialEngine:
    """Return the engine of the plan in `folder` after its first inference; `BuildError`, `OutOfMemoryError`."""
    _cuda.context()
    plan = (folder / PLAN).read_bytes()
    flops = json.loads((folder / FLOPS).read_text(encoding="utf-8"))
    engine = TrialEngine(case.batch_size, len(plan))
    shape = (case.batch_size, 1, *source.image_size)
    return opened(engine, source, case, lambda: engine.open(plan, flops, shape), engine.needs)


class TrialEngine:
    """One plan with its context and stream, and for each end a page-locked array and a device buffer.

    What an end holds is converted on the host, in `copy_in` and `copy_out`: what is timed between two synchronizes is
    the plan alone, as of any engine.
    """

    def __init__(self, batch_size: int, engine_bytes: int) -> None:
        self.engine_bytes = engine_bytes
        self.achieved: Mapping[str, float] = {}
        self.graph_fault: str | None = None
        """Why enqueueing does not replay a CUDA graph, or None when it does."""
        self._batch_size = batch_size
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._graph: _cuda.Graph | None = None
        self._stream: Any = None
        self._ends: list[tuple[End, Any, Any]] = []
        """Input and output, each with its page-locked array and its device buffer."""
        _cuda.tracked(self)

    def open(self, plan: bytes, flops: Mapping[str, float], shape: tuple[int, ...]) -> None:
        """Load the plan, allocate all it needs, run it once, and capture it as a CUDA graph."""
        self._runtime, self._engine = deserialized(plan, self._batch_size)
        self.achieved = achieved(inspected(self._engine), flops)
        with heard() as lines:
            self._context = self._engine.create_execution_context()
            if self._context is None:
                raise no_context(self._engine, self.engine_bytes, self._batch_size, lines)
            self._stream = driver.Stream()
            for end in self._found(shape):
                self._allocate(end)
            if not self._context.execute_async_v3(stream_handle=self._stream.handle):
                fail("the first inference failed", self._batch_size, lines)
            self._stream.synchronize()
        try:
            self._graph = _cuda.Graph(self._stream, self._execute)
        except (_cuda.CudaError, BuildError) as error:
            self.graph_fault = str(error)
        self.enqueue()
        self.synchronize()

    def needs(self) -> int | None:
        """Return the device memory that the plan needs in bytes, or None before it is loaded."""
        return None if self._engine is None else needed(self._engine, self.engine_bytes)

    def copy_in(self, batch: NDArray[np.float32]) -> None:
        """Copy normalised images, float32 [B, 1, H, W], to the device as the plan takes them; synchronizes."""
        end, array, buffer = self._ends[0]
        end.put(as_batch(batch, end.shape), array)
        driver.memcpy_htod_async(buffer, array, self._stream)
        self._stream.synchronize()

    def enqueue(self) -> None:
        """Start one inference on the batch last copied in; returns before it ends."""
        if self._graph is not None:
            self._graph.launch()
        else:
            self._execute()

    def synchronize(self) -> None:
        """Return once no device work of this engine is pending."""
        self._stream.synchronize()

    def copy_out(self) -> NDArray[np.float32]:
        """Return the last inference's logits, float32 [B, classes, H, W]; of masks, 1 for the class; synchronizes."""
        end, array, buffer = self._ends[1]
        driver.memcpy_dtoh_async(array, buffer, self._stream)
        self._stream.synchronize()
        return end.get(array)

    def close(self) -> None:
        """Release everything the engine holds; calling it again does nothing."""
        try:
            if self._stream is not None:
                self._stream.synchronize()
        finally:
            if self._graph is not None:
                self._graph.close()
            # In this order: a context may use its engine until it is gone, an engine its runtime.
            self._graph = self._context = None
            self._engine = None
            self._runtime = None
            for _, array, buffer in self._ends:
                if buffer is not None:
                    buffer.free()
                array.base.free()
            self._ends = []
            self._stream = None

    def _found(self, shape: tuple[int, ...]) -> tuple[End, End]:
        """Return the input and the output, after proving that the images fit."""
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        if len(inputs) != 1 or len(outputs) != 1:
            msg = f"the plan does not map one tensor to another: {', '.join(names)}"
            raise BuildError(msg)
        image, output = self._end(inputs[0]), self._end(outputs[0])
        if image.shape != shape:
            msg = f"the plan takes images {image.shape}, and the case needs {shape}"
            raise BuildError(msg)
        return image, output

    def _end(self, name: str) -> End:
        form = self._engine.get_tensor_format(name)
        if form not in (trt.TensorFormat.LINEAR, trt.TensorFormat.HWC8):
            msg = f"{name}: no way to fill or read the layout {form}"
            raise BuildError(msg)
        dtype = np.dtype(trt.nptype(self._engine.get_tensor_dtype(name)))
        shape = tuple(self._engine.get_tensor_shape(name))
        return End(name, shape, dtype, packed=form == trt.TensorFormat.HWC8)

    def _allocate(self, end: End) -> None:
        array = driver.pagelocked_empty(end.stored_shape, end.dtype)
        self._ends.append((end, array, None))
        array[...] = 0
        buffer = driver.mem_alloc(array.nbytes)
        self._ends[-1] = (end, array, buffer)
        driver.memcpy_htod_async(buffer, array, self._stream)
        if not self._context.set_tensor_address(end.name, int(buffer)):
            msg = f"TensorRT refuses the buffer of {end.name}"
            raise BuildError(msg)

    def _execute(self) -> None:
        if not self._context.execute_async_v3(stream_handle=self._stream.handle):
            fail("TensorRT could not start an inference", self._batch_size, log().lines)
