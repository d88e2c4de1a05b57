"""A state dict of torch2trt's loaded into a `TRTModule`, run on its own stream, as a CUDA graph where that works."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch2trt

from bench.backend import BuildError, as_batch
from bench.backends import _cuda
from bench.backends._achieved import achieved
from bench.backends._memory import guarded, opened
from bench.backends._torch2trt_build import STATE, messages_kept
from bench.backends._trt_build import inspected
from bench.backends._trt_log import checked, fail, heard
from bench.backends._trt_profile_run import layer_seconds
from bench.backends._trt_run import no_context
from bench.stream.cuda_lane import CudaLane, OnDevice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from bench.backend import Source
    from bench.case import Case


def load(source: Source, case: Case, folder: Path) -> Torch2trtEngine:
    """Return the engine of the state dict in `folder` after its first inference; `BuildError`, `OutOfMemoryError`."""
    _cuda.context()
    path = folder / STATE
    engine = Torch2trtEngine(case.batch_size, path.stat().st_size)
    shape = (case.batch_size, 1, *source.image_size)
    return opened(engine, source, case, lambda: engine.open(path, shape), lambda: None)


class Torch2trtEngine:
    """One `TRTModule` with a stream, an input on the device, and page-locked buffers of its input and output."""

    def __init__(self, batch_size: int, engine_bytes: int) -> None:
        self.engine_bytes = engine_bytes
        self.achieved: Mapping[str, float] = {}
        self.graph_fault: str | None = None
        """Why enqueueing does not replay a CUDA graph, or None when it does."""
        self._batch_size = batch_size
        self._module: Any = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream: torch.cuda.Stream | None = None
        self._input: Tensor | None = None
        self._output: Tensor | None = None
        self._host: tuple[Tensor, Tensor] | None = None
        self._copied: torch.cuda.Event | None = None
        _cuda.tracked(self)

    def open(self, path: Path, shape: tuple[int, ...]) -> None:
        """Load the state dict, allocate all it needs, run it once, and capture it as a CUDA graph."""
        self._module = _module(path, self._batch_size)
        self.achieved = achieved(inspected(self._module.engine), {})
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._input = torch.zeros(shape, device="cuda")
        torch.cuda.synchronize()
        self._run()
        self._stream.synchronize()
        output = self._output
        if output is None or output.dtype is not torch.float32 or output.shape[0] != shape[0]:
            given = None if output is None else (output.dtype, tuple(output.shape))
            msg = f"torch2trt's engine gives {given} for {shape}"
            raise BuildError(msg)
        self._host = (torch.empty(shape, pin_memory=True), torch.empty(output.shape, pin_memory=True))
        self._capture()
        self.enqueue()
        self.synchronize()

    def copy_in(self, batch: NDArray[np.float32]) -> None:
        """Copy normalised images, float32 [B, 1, H, W], to the device; `ValueError` for anything else."""
        assert self._host is not None and self._input is not None and self._copied is not None  # noqa: S101, PT018 - open
        # The previous copy may still be reading the page-locked buffer.
        self._copied.synchronize()
        np.copyto(self._host[0].numpy(), as_batch(batch, tuple(self._host[0].shape)))
        with torch.cuda.stream(self._stream):
            self._input.copy_(self._host[0], non_blocking=True)
            self._copied.record()

    def enqueue(self) -> None:
        """Start one inference on the batch last copied in; returns before it ends."""
        if self._graph is not None:
            with torch.cuda.stream(self._stream):
                self._graph.replay()
        else:
            self._run()

    def synchronize(self) -> None:
        """Return once no device work of this engine is pending."""
        if self._stream is not None:
            self._stream.synchronize()

    def copy_out(self) -> NDArray[np.float32]:
        """Return the logits of the last inference as a new array, float32 [B, classes, H, W]; synchronizes."""
        assert self._host is not None and self._output is not None  # noqa: S101, PT018 - open
        with torch.cuda.stream(self._stream):
            self._host[1].copy_(self._output, non_blocking=True)
        self.synchronize()
        return np.array(self._host[1].numpy())

    def open_lane(self, buffers: int) -> CudaLane:
        """Return a lane that normalises and takes the argmax on the device, with a ring of at least `buffers`."""
        assert self._stream is not None and self._input is not None  # noqa: S101, PT018 - open
        infer = functools.partial(self._module, self._input)
        shared = OnDevice(self._stream, self._input, infer, capturable=self._graph is not None)
        return guarded(self._batch_size, lambda: CudaLane(shared, buffers))

    def layer_times(self) -> dict[str, float]:
        """Return the seconds of each layer in one inference on the batch last copied in."""
        assert self._stream is not None and self._input is not None and self._output is not None  # noqa: S101, PT018 - open
        names = (*self._module.input_names, *self._module.output_names)
        addresses = dict(zip(names, (self._input.data_ptr(), self._output.data_ptr()), strict=True))
        handle = self._stream.cuda_stream
        return layer_seconds(self._module.engine, addresses, handle, self.synchronize, self._batch_size)

    def close(self) -> None:
        """Release everything the engine holds; calling it again does nothing."""
        if self._module is None and self._stream is None:
            return
        try:
            self.synchronize()
        finally:
            # In this order: a captured graph replays the module's kernels into the output it was captured with.
            self._graph = None
            self._module = None
            self._input = self._output = self._host = self._stream = self._copied = None
            _cuda.tidy()

    def _run(self) -> None:
        with torch.cuda.stream(self._stream), torch.no_grad():
            self._output = self._module(self._input)

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        # The outer block gives the current stream back, which torch does not do where ending a capture fails.
        with torch.cuda.stream(self._stream), torch.no_grad():
            self._try_to_capture(graph)

    def _try_to_capture(self, graph: torch.cuda.CUDAGraph) -> None:
        try:
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                output = self._module(self._input)
        except RuntimeError as error:
            self.graph_fault = str(error).partition("\n")[0]
        else:
            self._graph, self._output = graph, output


def _module(path: Path, batch_size: int) -> Any:  # noqa: ANN401 - torch2trt has no types
    state = torch.load(path, weights_only=True)
    module = torch2trt.TRTModule()
    with heard() as lines, messages_kept():
        try:
            module.load_state_dict(state)
        except AttributeError:  # torch2trt goes on with the None that TensorRT returned
            fail("torch2trt's state dict holds a plan that does not load", batch_size, lines)
        if module.context is None:
            raise no_context(module.engine, len(state["engine"]), batch_size, lines)
    module.context = _Checked(module.context, batch_size)
    return module


class _Checked:
    """An execution context that raises where it cannot start an inference: torch2trt does not ask, and would go on."""

    def __init__(self, context: Any, batch_size: int) -> None:  # noqa: ANN401 - TensorRT's classes have no types
        self._context, self._batch_size = context, batch_size

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        found = getattr(self._context, name)
        if not name.startswith("execute"):
            return found
        return lambda *given, **named: checked(lambda: found(*given, **named), self._batch_size)
