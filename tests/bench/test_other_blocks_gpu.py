"""TensorRT's three roads with transposed convolutions, whose channels differ before and after, in FP16 and INT8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from bench.case import Case
from bench.engines import open_engine
from models.images import normalise
from tests.bench.networks import as_network, sections, skip_unless_it_runs, tiny_source
from tests.bench.test_other_blocks import Levels

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt_weak", "torch2trt"])
def test_it_runs_near_fp32(tmp_path: Path, backend: str, precision: str) -> None:
    case = Case(backend, precision, 2)
    skip_unless_it_runs(case)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        up = nn.Sequential(nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1), nn.Conv2d(8, 16, 1))
        network = Levels(nn.ReLU, up).eval().requires_grad_(requires_grad=False)
    source = tiny_source(tmp_path, as_network(network), device="cuda")
    batch = normalise(sections("held-out", 2).images)
    with open_engine(source, case) as opened:
        opened.engine.copy_in(batch)
        opened.engine.enqueue()
        logits = opened.engine.copy_out()
        assert ("int8" in opened.engine.achieved) == (precision == "int8")
    with torch.inference_mode():
        wanted = network(torch.from_numpy(batch)).numpy()
    assert np.corrcoef(logits.ravel(), wanted.ravel())[0, 1] > 0.99
