"""PyTorch as written: eager FP32, TF32, and mixed precision by autocast."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal

import torch

from bench.backends._torch import (
    HALF,
    PRECISIONS,
    TorchEngine,
    arithmetic,
    memory_errors,
    unsupported,
    versions,
)
from bench.backends._torch_formats import ConvolutionFlops, as_shares, prove_tf32

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from bench.backend import Engine, Source
    from bench.case import Case

READS: Literal["module", "graph"] = "module"

__all__ = ["PRECISIONS", "READS", "build", "eager", "load", "recipe", "supports", "versions"]


def supports(case: Case, device: str) -> str | None:
    """Return why this machine cannot run the case, or None."""
    return unsupported(case, device)


def recipe(case: Case, device: str) -> dict[str, str]:  # noqa: ARG001 - the contract's signature
    """Return what decides the engine beside weights and version."""
    return {"mode": "eager", "memory_format": "contiguous"}


def build(source: Source, case: Case, folder: Path) -> None:
    """Leave nothing: an eager engine is the module itself."""


def load(source: Source, case: Case, folder: Path) -> Engine:  # noqa: ARG001 - the contract's signature
    """Return the module on its device, run once."""
    return eager(source, case, torch.contiguous_format, nullcontext)


def eager(
    source: Source, case: Case, layout: torch.memory_format, around: Callable[[], AbstractContextManager[None]]
) -> Engine:
    """Return the module on its device with weights and images in a layout, run once; each inference `around` itself."""
    torch.set_num_threads(source.threads)
    with memory_errors(case):
        module = source.module().to(source.device).requires_grad_(requires_grad=False)
        module = module.to(memory_format=layout)  # type: ignore[call-overload] # a keyword torch leaves untyped

        def run(image: torch.Tensor) -> torch.Tensor:
            with around(), _autocast(case.precision, source.device):
                logits: torch.Tensor = module(image)
            return logits

        engine = TorchEngine(case, source, run, layout)
        with arithmetic(case.precision), ConvolutionFlops() as flops:
            run(torch.zeros(1, 1, *source.image_size, device=source.device))
        engine.achieved = as_shares(flops.by_format)
        engine.engine_bytes = sum(tensor.nbytes for tensor in module.state_dict().values())
        engine.enqueue()
        engine.synchronize()
    prove_tf32(engine, case.precision, source.device)
    return engine


def _autocast(precision: str, device: str) -> torch.autocast:
    dtype = HALF.get(precision)
    # The weight cache would be dropped at every exit of the block, so it could only cost memory.
    return torch.autocast(device, dtype=dtype or torch.bfloat16, enabled=dtype is not None, cache_enabled=False)
