"""INT8 of networks whose convolutions end in something else than ReLU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from bench.case import Case
from bench.engines import check_label, open_engine
from models.images import normalise
from tests.bench.networks import as_network, quick, sections, tiny_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Blocks(nn.Module):
    """Three convolutions, a block between them, and one to the classes."""

    def __init__(self, after: Callable[[], nn.Module], *, residual: bool = False) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), after())
        self.second = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), after())
        self.third, self.last = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 2, 1)
        self.after, self.residual = after(), residual

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits [B, 2, H, W] for images [B, 1, H, W]."""
        maps = self.first(image)
        deep = self.third(self.second(maps))
        logits: torch.Tensor = self.last(self.after(deep + maps if self.residual else deep))
        return logits


@pytest.mark.parametrize(
    ("after", "residual"),
    [
        (lambda: nn.LeakyReLU(0.1), False),
        (nn.SiLU, False),
        (lambda: nn.Sequential(nn.GroupNorm(4, 16), nn.ReLU()), False),
        (nn.ReLU, True),
    ],
    ids=["LeakyReLU", "SiLU", "GroupNorm", "residual"],
)
def test_onnxruntime_runs_them_in_integers_near_fp32(
    tmp_path: Path,
    after: Callable[[], nn.Module],
    residual: bool,  # noqa: FBT001 - a parameter
) -> None:
    pytest.importorskip("onnxruntime")
    case = Case("onnxruntime", "int8", 2)
    with torch.random.fork_rng(devices=[]), quick():
        torch.manual_seed(0)
        network = Blocks(after, residual=residual).eval().requires_grad_(requires_grad=False)
        source = tiny_source(tmp_path, as_network(network))
        batch = normalise(sections("held-out", 2).images)
        with open_engine(source, case) as opened:
            check_label(case, opened.engine)
            opened.engine.copy_in(batch)
            opened.engine.enqueue()
            logits = opened.engine.copy_out()
        with torch.inference_mode():
            wanted = network(torch.from_numpy(batch)).numpy()
    assert np.corrcoef(logits.ravel(), wanted.ravel())[0, 1] > 0.99
