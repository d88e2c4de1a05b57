"""PyTorch's TorchScript exporter, kept from what it leaves out, warns of and prints."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import nn


def trace(module: nn.Module, size: tuple[int, int], path: Path, opset: int) -> None:
    """Write a module as ONNX, `image` [batch, 1, H, W] to `logits`; raises whatever the module or the exporter does."""
    with warnings.catch_warnings(), _plain_attention(), _no_dumps():
        # The TorchScript exporter is deprecated, but it alone writes opset 17 without a decomposition pass.
        warnings.simplefilter("ignore", DeprecationWarning)
        # PyTorch's own layers ask for sizes, which are fixed here; where the user's do, that is told.
        kind = torch.jit.TracerWarning  # type: ignore[attr-defined] # torch leaves it unexported
        warnings.filterwarnings("ignore", category=kind, module=r"torch\.")
        torch.onnx.export(
            module,
            (torch.zeros(1, 1, *size),),
            str(path),
            opset_version=opset,
            dynamo=False,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        )


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Run the block with attention layers made of operators that ONNX has, not of PyTorch's own for inference."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _no_dumps() -> Iterator[None]:
    """Run the block without the process's standard output, where the exporter's C++ prints the graph that failed."""
    sys.stdout.flush()  # what was printed before would go the same way
    kept = os.dup(1)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - no file of a folder
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
