"""A TensorRT plan in memory, ready to run: pycuda's buffers and stream, replayed as a CUDA graph where that works."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import tensorrt as trt
import torch
from pycuda import driver

from bench.backend import BuildError, as_batch
from bench.backends import _cuda
from bench.backends._achieved import achieved
from bench.backends._memory import guarded, opened, out_of_memory, ran_out
from bench.backends._trt_build import FLOPS, PLAN, deserialized, inspected
from bench.backends._trt_log import checked, fail, failure, heard
from bench.backends._trt_profile_run import layer_seconds
from bench.stream.cuda_lane import CudaLane, OnDevice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from bench.backend import Source
    from bench.case import Case

E = TypeVar("E", bound="TensorRTEngine")


def load(source: Source, case: Case, folder: Path) -> TensorRTEngine:
    """Return the engine of the plan in `folder` after its first inference; `BuildError`, `OutOfMemoryError`."""
    return load_as(TensorRTEngine, source, case, folder)


def load_as(kind: type[E], source: Source, case: Case, folder: Path) -> E:
    """Return the plan in `folder` as an engine of one kind, as `load` does."""
    _cuda.context()
    plan = (folder / PLAN).read_bytes()
    flops = json.loads((folder / FLOPS).read_text(encoding="utf-8"))
    engine = kind(case.batch_size, len(plan))
    shape = (case.batch_size, 1, *source.image_size)
    return opened(engine, source, case, lambda: engine.open(plan, flops, shape), engine.needs)


class TensorRTEngine:
    """One plan with its execution context, its stream, and page-locked and device buffers of its input and output."""

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
        self._copied: Any = None
        self._tensors: tuple[str, ...] = ()
        """Names of the input and the output, in the order of the buffers."""
        self._host: list[Any] = []
        self._device: list[Any] = []
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
            self._copied = driver.Event(driver.event_flags.DISABLE_TIMING)
            self._tensors = self._names(shape)
            for name in self._tensors:
                self._allocate(name)
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
        """Copy normalised images, float32 [B, 1, H, W], to the device; `ValueError` for anything else."""
        # The previous copy may still be reading the page-locked buffer.
        self._copied.synchronize()
        np.copyto(self._host[0], as_batch(batch, self._host[0].shape))
        driver.memcpy_htod_async(self._device[0], self._host[0], self._stream)
        self._copied.record(self._stream)

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
        """Return the logits of the last inference as a new array, float32 [B, classes, H, W]; synchronizes."""
        driver.memcpy_dtoh_async(self._host[1], self._device[1], self._stream)
        self._stream.synchronize()
        return np.array(self._host[1])

    def open_lane(self, buffers: int) -> CudaLane | None:
        """Return a lane that normalises and takes the argmax on the device, with a ring of at least `buffers`."""
        image, logits = (_as_tensor(*pair) for pair in zip(self._device, self._host, strict=True))

        def infer() -> torch.Tensor:
            self._execute()
            return logits

        stream = torch.cuda.ExternalStream(self._stream.handle)  # type: ignore[no-untyped-call]
        shared = OnDevice(stream, image, infer, capturable=self._graph is not None)
        return guarded(self._batch_size, lambda: CudaLane(shared, buffers), self.needs)

    def layer_times(self) -> dict[str, float]:
        """Return the seconds of each layer in one inference on the batch last copied in."""
        addresses = {name: int(buffer) for name, buffer in zip(self._tensors, self._device, strict=True)}
        return layer_seconds(self._engine, addresses, self._stream.handle, self.synchronize, self._batch_size)

    def close(self) -> None:
        """Release everything the engine holds; calling it again does nothing."""
        try:
            if self._stream is not None:
                self._stream.synchronize()
        finally:
            self._release()

    def _release(self) -> None:
        if self._graph is not None:
            self._graph.close()
        # In this order: a context may use its engine until it is gone, an engine its runtime.
        self._graph = self._context = None
        self._engine = None
        self._runtime = None
        for buffer in self._device:
            buffer.free()
        for array in self._host:
            array.base.free()
        self._device, self._host = [], []
        self._copied = self._stream = None

    def _names(self, shape: tuple[int, ...]) -> tuple[str, str]:
        """Return the names of the input and the output, after proving that they are what the case needs."""
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        found = [(tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name)) for name in names]
        if len(inputs) != 1 or len(outputs) != 1 or any(dtype != trt.float32 for _, dtype in found):
            msg = f"the plan does not map one float32 tensor to another: {dict(zip(names, found, strict=True))}"
            raise BuildError(msg)
        given = tuple(engine.get_tensor_shape(inputs[0]))
        if given != shape:
            msg = f"the plan takes images {given}, and the case needs {shape}"
            raise BuildError(msg)
        return inputs[0], outputs[0]

    def _allocate(self, name: str) -> None:
        array = driver.pagelocked_empty(*self._stored(name))
        self._host.append(array)
        array[...] = 0
        buffer = driver.mem_alloc(array.nbytes)
        self._device.append(buffer)
        driver.memcpy_htod_async(buffer, array, self._stream)
        if not self._context.set_tensor_address(name, int(buffer)):
            msg = f"TensorRT refuses the buffer of {name}"
            raise BuildError(msg)

    def _stored(self, name: str) -> tuple[tuple[int, ...], DTypeLike]:
        """Return how a tensor lies in memory: its shape there, and its type."""
        return tuple(self._engine.get_tensor_shape(name)), np.float32

    def _execute(self) -> None:
        checked(lambda: self._context.execute_async_v3(stream_handle=self._stream.handle), self._batch_size)


@dataclass(frozen=True, slots=True)
class _Shared:
    """Device memory of pycuda's as others may look at it (CUDA array interface, version 2)."""

    __cuda_array_interface__: dict[str, Any]


def _as_tensor(buffer: Any, array: NDArray[np.float32]) -> torch.Tensor:  # noqa: ANN401 - pycuda has no types
    """Return a view of a device buffer with the shape of its host array, no copy."""
    shared = _Shared({"shape": array.shape, "typestr": "<f4", "data": (int(buffer), False), "version": 2})
    return torch.as_tensor(shared, device="cuda")


def needed(engine: Any, engine_bytes: int) -> int:  # noqa: ANN401 - TensorRT's classes have no types
    """Return the device memory that an engine needs in bytes: weights, activations, float32 input and output."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    values = sum(prod(tuple(engine.get_tensor_shape(name))) for name in names)
    # The older property is 32 bits wide at heart, and gone in TensorRT 11.
    version_2 = hasattr(engine, "device_memory_size_v2")
    activations = engine.device_memory_size_v2 if version_2 else engine.device_memory_size
    return int(engine_bytes + activations + values * np.dtype(np.float32).itemsize)


def no_context(engine: Any, engine_bytes: int, batch_size: int, lines: Sequence[str]) -> RuntimeError:  # noqa: ANN401
    """Return the error for an engine that gives no execution context.

    Making one does little but allocate: unless TensorRT says otherwise, memory ran out.
    """
    if lines and not ran_out(lines):
        return failure("TensorRT cannot make an execution context", batch_size, lines)
    return out_of_memory(batch_size, needed(engine, engine_bytes))
