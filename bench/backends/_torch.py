"""What the two PyTorch backends share: precision, buffers, and proof of the number format that ran."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.backend import OutOfMemoryError, as_batch
from bench.stream.cuda_lane import CudaLane, OnDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from bench.backend import Source
    from bench.case import Case

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
_AMPERE = 8
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16", torch.float64: "fp64"}


def unsupported(case: Case, device: str) -> str | None:
    """Return why PyTorch cannot run this precision on this device, or None."""
    if case.precision not in PRECISIONS:
        return f"PyTorch runs {', '.join(PRECISIONS)} here, not {case.precision}"
    return _unsupported_on_gpu(case.precision) if device == "cuda" else _unsupported_on_cpu(case.precision)


def _unsupported_on_gpu(precision: str) -> str | None:
    if not torch.cuda.is_available():
        return "PyTorch sees no CUDA device"
    if precision in {"tf32", "bf16"} and torch.cuda.get_device_capability()[0] < _AMPERE:
        return f"{precision} needs an NVIDIA GPU of compute capability 8.0 or later"
    return None


def _unsupported_on_cpu(precision: str) -> str | None:
    if precision == "tf32":
        return "TF32 is an NVIDIA GPU format"
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():  # noqa: SLF001 - no public query
        return "this CPU has no vector units that oneDNN uses for BF16"
    if precision == "fp16" and not torch.ops.mkldnn._is_mkldnn_fp16_supported():  # noqa: SLF001 - no public query
        return "this CPU has no FP16 arithmetic (AVX512-FP16 or AMX-FP16); emulated, it is about 100 times slower"
    return None


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Run the block without gradients, with TF32 only where it is asked for: FP32 means FP32."""
    before = (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
    )
    # "highest" also keeps oneDNN from computing FP32 convolutions in BF16 or TF32 on CPUs that could.
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_float32_matmul_precision(before[2])
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before[:2]


def add_work(by_format: dict[str, float], dtype: torch.dtype, output: torch.Tensor, weight: torch.Tensor) -> None:
    """Add one convolution's multiply-adds to those of its input's number format."""
    name = _NAMES.get(dtype, str(dtype))
    by_format[name] = by_format.get(name, 0.0) + float(output.numel()) * float(weight[0].numel())


def as_shares(by_format: Mapping[str, float]) -> dict[str, float]:
    """Return each format's share of the work; empty when nothing ran."""
    total = sum(by_format.values())
    return {name: work / total for name, work in by_format.items()}


class ConvolutionFlops(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's class is untyped
    """Counts the multiply-adds of every convolution that runs, by the number format of its input."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's class is untyped
        self.by_format: dict[str, float] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's signature
        """Run the operator and count it when it is a convolution."""
        result = func(*args, **(kwargs or {}))
        # Inference mode keeps conv2d whole; elsewhere it arrives decomposed.
        if func in {torch.ops.aten.conv2d.default, torch.ops.aten.convolution.default}:
            add_work(self.by_format, args[0].dtype, result, args[1])
        elif func is torch.ops.aten.conv_transpose2d.input:
            add_work(self.by_format, args[0].dtype, args[0], args[1])
        return result


def _tf32_share(run: Callable[[], object]) -> float:
    """Return the share of the convolution kernels' time on the GPU spent in kernels that are named as TF32."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    times: dict[bool, float] = {True: 0.0, False: 0.0}
    for event in profile.key_averages():
        name = event.key.lower()
        if any(word in name for word in ("conv", "fprop", "gemm", "winograd", "cutlass")):
            times["tf32" in name or "s1688" in name] += float(event.device_time_total)
    total = sum(times.values())
    return times[True] / total if total else 0.0


class TorchEngine:
    """A PyTorch callable with fixed input and output buffers on one device."""

    def __init__(
        self,
        case: Case,
        source: Source,
        run: Callable[[torch.Tensor], torch.Tensor],
        memory_format: torch.memory_format,
        release: Callable[[], object] = lambda: None,
    ) -> None:
        self._release = release
        self._case, self._device, self._run = case, source.device, run
        shape = (case.batch_size, 1, *source.image_size)
        self._input: torch.Tensor | None = torch.zeros(shape, device=source.device).contiguous(
            memory_format=memory_format
        )
        self._output: torch.Tensor | None = None
        self.achieved: Mapping[str, float] = {}
        self.engine_bytes = 0

    def copy_in(self, batch: NDArray[np.float32]) -> None:
        """Copy normalised images, float32 [B, 1, H, W], to the device."""
        if self._input is None:
            msg = f"{self._case}: the engine is closed"
            raise RuntimeError(msg)
        self._input.copy_(torch.from_numpy(as_batch(batch, tuple(self._input.shape))))

    def enqueue(self) -> None:
        """Start one inference on the batch last copied in."""
        with arithmetic(self._case.precision):
            self._output = self._run(self._input)  # type: ignore[arg-type] # closed engines fail inside

    def synchronize(self) -> None:
        """Return once the device has no work left."""
        if self._device == "cuda":
            torch.cuda.synchronize()

    def copy_out(self) -> NDArray[np.float32]:
        """Return the logits of the last inference, float32 [B, classes, H, W]."""
        if self._output is None:
            msg = f"{self._case}: nothing was run yet"
            raise RuntimeError(msg)
        logits: NDArray[np.float32] = self._output.float().contiguous().cpu().numpy().copy()
        return logits

    def view_out(self) -> NDArray[np.float32]:
        """Return the logits of the last inference, float32 [B, classes, H, W]; on the CPU without a copy."""
        if self._output is None or self._device != "cpu":
            return self.copy_out()
        logits: NDArray[np.float32] = self._output.float().numpy()
        return logits

    def open_lane(self, buffers: int) -> CudaLane | None:
        """Return a lane that normalises and takes the argmax on a GPU, with a ring of at least `buffers`."""
        if self._input is None or self._device == "cpu":
            return None
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        return CudaLane(OnDevice(stream, self._input, self._inferred, capturable=False), buffers)

    def _inferred(self) -> torch.Tensor:
        self.enqueue()
        assert self._output is not None  # noqa: S101 - enqueued
        return self._output.float()

    def layer_times(self) -> dict[str, float]:
        """Return the seconds of each operator and input shape in one inference, from PyTorch's profiler."""
        activity = torch.profiler.ProfilerActivity
        on_gpu = self._device == "cuda"
        self.enqueue()
        with torch.profiler.profile(
            activities=[activity.CPU, *([activity.CUDA] if on_gpu else [])], record_shapes=True
        ) as profile:
            self.enqueue()
            self.synchronize()
        times = {}
        for event in profile.key_averages(group_by_input_shape=True):
            micros = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            if micros:
                times[f"{event.key} {event.input_shapes[:2]}"] = micros / 1e6
        return times

    def close(self) -> None:
        """Release the buffers and the network."""
        self._input = self._output = None
        self._run = _closed
        self._release()
        if self._device == "cuda":
            torch.cuda.empty_cache()


def _closed(_: torch.Tensor) -> torch.Tensor:
    msg = "the engine is closed"
    raise RuntimeError(msg)


def prove_tf32(engine: TorchEngine, device: str) -> None:
    """Split a GPU engine's FP32 share into FP32 and TF32, which PyTorch's own types do not tell apart."""
    if device == "cuda" and "fp32" in engine.achieved:
        share = _tf32_share(engine.enqueue)
        engine.achieved = {name: part for name, part in (("fp32", 1 - share), ("tf32", share)) if part > 0}


@contextmanager
def memory_errors(case: Case) -> Iterator[None]:
    """Turn PyTorch's out-of-memory error into the suite's, with the device left clean."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        asked = re.search(r"Tried to allocate ([\d.]+) (GiB|MiB)", str(error))
        wanted = float(asked[1]) / (1 if asked[2] == "GiB" else 2**10) if asked else 0.0
        needed = torch.cuda.memory_allocated() / 2**30 + wanted
        torch.cuda.empty_cache()
        msg = f"out of memory at batch {case.batch_size} (needs about {needed:.1f} GiB or more)"
        raise OutOfMemoryError(msg) from error
