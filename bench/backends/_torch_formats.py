"""The number formats that PyTorch's convolutions really run in: counted, or read off the kernels that ran."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.backends._torch import arithmetic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.backends._torch import TorchEngine

_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16", torch.float64: "fp64"}

_TF32_ERROR = 2e-5
"""Relative error between that of a convolution in FP32, about 1e-7, and in TF32, whose products have 10 bits: 3e-4."""

TRANSPOSED = 6
"""Where `aten.convolution`, which all convolutions become outside inference mode, is told that it is transposed."""
_PLAIN = {torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding}
"""Inference mode keeps these whole, the second where padding is a word."""


def add_work(
    by_format: dict[str, float], image: torch.Tensor, weight: torch.Tensor, output: torch.Tensor, *, transposed: bool
) -> None:
    """Add one convolution's multiply-adds, a count, to those of its input's number format.

    `image` is [N, C_in, H, W], `output` [N, C, H, W] and `weight` [C, C_in / groups, kH, kW], of a transposed
    convolution [C_in, C / groups, kH, kW].

    Every weight takes part once at each place of the output, or of a transposed convolution's input: in whatever order
    a library has packed the weights.
    """
    maps = image if transposed else output
    channels = maps.shape[1 - len(weight.shape)]
    name = _NAMES.get(image.dtype, str(image.dtype))
    by_format[name] = by_format.get(name, 0.0) + maps.numel() / channels * math.prod(weight.shape)


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
        if func in _PLAIN:
            add_work(self.by_format, args[0], args[1], result, transposed=False)
        elif func is torch.ops.aten.conv_transpose2d.input:
            add_work(self.by_format, args[0], args[1], result, transposed=True)
        elif func is torch.ops.aten.convolution.default:
            add_work(self.by_format, args[0], args[1], result, transposed=args[TRANSPOSED])
        return result


def _tf32_share(run: Callable[[], object]) -> float | None:
    """Return the share of the convolution kernels' time on the GPU spent in kernels that are named as TF32.

    None where the profiler saw no such kernel: then nothing is known.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True) as profile:
        run()
        torch.cuda.synchronize()
    times: dict[bool, float] = {True: 0.0, False: 0.0}
    for event in profile.key_averages():
        name = event.key.lower()
        if any(word in name for word in ("conv", "fprop", "gemm", "winograd", "cutlass")):
            times["tf32" in name or "s1688" in name] += float(event.device_time_total)
    total = sum(times.values())
    return times[True] / total if total else None


def format_by_rounding(device: str) -> str:
    """Return `tf32` or `fp32`, by how far a convolution of FP32 tensors on the device is from that in FP64."""
    draw = torch.Generator().manual_seed(0)
    image, weight = torch.randn(1, 64, 32, 32, generator=draw), torch.randn(64, 64, 3, 3, generator=draw)
    exact = torch.nn.functional.conv2d(image.double(), weight.double())
    found = torch.nn.functional.conv2d(image.to(device), weight.to(device)).cpu().double()
    return "tf32" if float((found - exact).norm() / exact.norm()) > _TF32_ERROR else "fp32"


def prove_tf32(engine: TorchEngine, precision: str, device: str) -> None:
    """Split a GPU engine's FP32 share into FP32 and TF32, which PyTorch's own types do not tell apart.

    By the kernels that ran, or, where the profiler may see none, as in a container without CUPTI, by how a convolution
    under the same switches rounds.
    """
    if device != "cuda" or "fp32" not in engine.achieved:
        return
    share = _tf32_share(engine.enqueue)
    if share is None:
        with arithmetic(precision):
            share = float(format_by_rounding(device) == "tf32")
    whole = engine.achieved["fp32"]
    others = {name: part for name, part in engine.achieved.items() if name != "fp32"}
    split = {"fp32": 1 - share, "tf32": share}
    engine.achieved = others | {name: whole * part for name, part in split.items() if part > 0}
