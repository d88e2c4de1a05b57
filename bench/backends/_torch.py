"""What the two PyTorch backends share: precisions, buffers and errors."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from bench.backend import OutOfMemoryError, as_batch
from bench.backends._torch_profile_run import operator_seconds
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
_IN_GIB = {"GiB": 1, "MiB": 2**10, "bytes": 2**30}


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


def versions() -> dict[str, str]:
    """Return PyTorch's version and, where there is a GPU, that of cuDNN, which chooses its convolutions' kernels."""
    cudnn = torch.backends.cudnn.version() if torch.cuda.is_available() else None  # type: ignore[no-untyped-call] # torch's own
    return {"torch": str(torch.__version__), **({} if cudnn is None else {"cudnn": str(cudnn)})}


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
        with memory_errors(self._case):
            return CudaLane(OnDevice(stream, self._input, self._inferred, capturable=False), buffers)

    def _inferred(self) -> torch.Tensor:
        self.enqueue()
        assert self._output is not None  # noqa: S101 - enqueued
        return self._output.float()

    def layer_times(self) -> dict[str, float]:
        """Return the seconds of each operator and input shape in one inference, from PyTorch's profiler."""
        self.enqueue()

        def run() -> None:
            self.enqueue()
            self.synchronize()

        return operator_seconds(run, on_gpu=self._device == "cuda")

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


@contextmanager
def memory_errors(case: Case) -> Iterator[None]:
    """Turn PyTorch's out-of-memory error into the suite's, with the device left clean."""
    try:
        yield
    except RuntimeError as error:
        # What runs out while torch.compile compiles comes as a compiler's error that names it, and what runs out beside
        # PyTorch's own allocator, as for page-locked memory or a CUDA graph, as CUDA's error. A CPU's has no class.
        named = ("OutOfMemoryError: ", "CUDA error: out of memory", "DefaultCPUAllocator: ")
        if not isinstance(error, torch.OutOfMemoryError) and not any(name in str(error) for name in named):
            raise
        asked = re.search(r"[Tt]ried to allocate ([\d.]+) (GiB|MiB|bytes)", str(error))
        wanted = float(asked[1]) / _IN_GIB[asked[2]] if asked else 0.0
        needed = torch.cuda.memory_allocated() / 2**30 + wanted
        torch.cuda.empty_cache()
        msg = f"out of memory at batch {case.batch_size} (needs about {needed:.1f} GiB or more)"
        raise OutOfMemoryError(msg) from error
