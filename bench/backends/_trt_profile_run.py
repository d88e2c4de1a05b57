"""How long each layer of a TensorRT engine takes, from TensorRT's own profiler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorrt as trt

from bench.backends._trt_log import fail, heard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_RUNS = 5


def layer_seconds(
    engine: Any,  # noqa: ANN401 - TensorRT's classes have no types
    addresses: Mapping[str, int],
    stream_handle: int,
    synchronize: Callable[[], None],
    batch_size: int,
) -> dict[str, float]:
    """Return the mean seconds of each layer in one inference on the tensors at `addresses`.

    On an execution context of its own: one with a profiler waits for every layer and cannot be captured. Raises
    `BuildError` with TensorRT's messages, or `OutOfMemoryError`, where it cannot run.
    """
    seconds: dict[str, float] = {}

    class Profiler(trt.IProfiler):  # type: ignore[misc] # TensorRT's classes have no types
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            seconds[layer_name] = seconds.get(layer_name, 0.0) + ms / 1e3

    with heard() as lines:
        context = engine.create_execution_context()
        if context is None:
            fail("TensorRT makes no execution context to profile", batch_size, lines)
        for name, address in addresses.items():
            context.set_tensor_address(name, address)
        if not context.execute_async_v3(stream_handle=stream_handle):
            fail("the inference to profile failed", batch_size, lines)
        synchronize()
        profiler = Profiler()
        context.profiler = profiler
        for _ in range(_RUNS):
            if not context.execute_async_v3(stream_handle=stream_handle):
                fail("the profiled inference failed", batch_size, lines)
            synchronize()
        del context
    return {name: total / _RUNS for name, total in seconds.items()}
