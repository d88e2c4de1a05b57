"""INT8 on the CPU runtimes of U-Nets built otherwise than the shipped ones: other blocks, other ways up, gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

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


class Levels(nn.Module):
    """A U-Net of two levels, whose maps may pass a gate (Oktay et al., 2018) before they are joined."""

    def __init__(self, after: Callable[[], nn.Module], up: nn.Module, *, gated: bool = False) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), after())
        self.deep = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1), after())
        self.up, self.gated = up, gated
        self.gate = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 1, 1), nn.Sigmoid())
        self.of_maps, self.of_upper = nn.Conv2d(16, 8, 1), nn.Conv2d(16, 8, 1)
        self.middle = nn.Sequential(nn.Conv2d(32, 16, 3, padding=1), after(), nn.Conv2d(16, 16, 3, padding=1), after())
        self.last = nn.Conv2d(16, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits [B, 2, H, W] for images [B, 1, H, W]."""
        maps = self.first(image)
        upper = self.up(self.deep(maps))
        if self.gated:
            maps = maps * self.gate(self.of_maps(maps) + self.of_upper(upper))
        logits: torch.Tensor = self.last(self.middle(torch.cat([maps, upper], 1)))
        return logits


class Nested(nn.Module):
    """A U-Net whose maps are joined more than once, as in a U-Net++ (Zhou et al., 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.deep = convolved(1), convolved(16)
        self.middle, self.upper, self.joined = convolved(32), convolved(32), convolved(48)
        self.last = nn.Conv2d(16, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits [B, 2, H, W] for images [B, 1, H, W]."""
        maps = self.first(image)
        middle = self.middle(torch.cat([interpolate(self.deep(max_pool2d(maps, 2)), scale_factor=2), maps], 1))
        upper = self.upper(torch.cat([middle, maps], 1))
        logits: torch.Tensor = self.last(self.joined(torch.cat([middle, upper, maps], 1)))
        return logits


class FullScale(nn.Module):
    """A U-Net that joins its deepest maps at two levels, as a U-Net 3+ does (Huang et al., 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = convolved(1), convolved(16), convolved(16)
        self.middle, self.joined, self.last = convolved(32), convolved(48), nn.Conv2d(16, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits [B, 2, H, W] for images [B, 1, H, W]."""
        maps = self.first(image)
        half = self.second(max_pool2d(maps, 2))
        deep = self.third(max_pool2d(half, 2))
        middle = self.middle(torch.cat([interpolate(deep, scale_factor=2), half], 1))
        upper = [interpolate(middle, scale_factor=2), interpolate(deep, scale_factor=4)]
        logits: torch.Tensor = self.last(self.joined(torch.cat([maps, *upper], 1)))
        return logits


def convolved(channels: int) -> nn.Module:
    """Return a convolution from a number of channels to 16, and a ReLU."""
    return nn.Sequential(nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU())


def raised() -> nn.Module:
    """Return what doubles maps and convolves them, as U-Nets with gates do."""
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())


def linear() -> nn.Module:
    """Return what doubles maps, and no more."""
    return nn.Upsample(scale_factor=2, mode="bilinear")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: Blocks(lambda: nn.LeakyReLU(0.1)),
        lambda: Blocks(nn.SiLU),
        lambda: Blocks(lambda: nn.Sequential(nn.GroupNorm(4, 16), nn.ReLU())),
        lambda: Blocks(nn.ReLU, residual=True),
        lambda: Levels(nn.ReLU, nn.ConvTranspose2d(16, 16, 2, stride=2)),
        lambda: Levels(lambda: nn.LeakyReLU(0.1), linear()),
        lambda: Levels(nn.SiLU, linear()),
        lambda: Levels(nn.ReLU, raised()),
        lambda: Levels(nn.ReLU, raised(), gated=True),
        lambda: Levels(nn.SiLU, nn.Sequential(nn.Conv2d(16, 16, 7, padding=3), nn.ReLU(), linear())),
        Nested,
        FullScale,
    ],
    ids=[
        *("LeakyReLU", "SiLU", "GroupNorm", "residual"),
        *("transposed", "LeakyReLU joined", "SiLU joined", "upsampled and convolved", "gated"),
        *("ReLU resized and joined with SiLU", "nested", "joined at two levels"),
    ],
)
def test_cpu_runtimes_run_it_in_integers_near_fp32(tmp_path: Path, make: Callable[[], nn.Module], backend: str) -> None:
    pytest.importorskip(backend)
    case = Case(backend, "int8", 2)
    with torch.random.fork_rng(devices=[]), quick():
        torch.manual_seed(0)
        network = make().eval().requires_grad_(requires_grad=False)
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


def test_openvino_runs_transposed_convolutions_of_signed_maps_in_integers(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    case = Case("openvino", "int8", 2)
    with torch.random.fork_rng(devices=[]), quick():
        torch.manual_seed(0)
        network = Levels(lambda: nn.LeakyReLU(0.1), nn.ConvTranspose2d(16, 16, 4, stride=2, padding=1)).eval()
        source = tiny_source(tmp_path, as_network(network.requires_grad_(requires_grad=False)))
        with open_engine(source, case) as opened:
            assert opened.engine.achieved["int8"] == 1
