"""A tiny network that has learnt something, and images for it: enough for every backend in seconds."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, cross_entropy, max_pool2d, pad

from bench.backend import UnavailableError, load_backend
from bench.cache import Cache
from bench.machine import this_machine
from bench.source import NetworkSource
from models.images import builtin, normalise
from models.network import Network
from models.unet import UNet
from models.weights import digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.case import Case
    from models.images import ImageSet

SIZE = (64, 64)
WIDTH = 4
_STEPS = 60
_RATE = 1e-2


_SHORT: dict[str, Any] = {
    "bench.contest._ROUND_S": 0.01,
    "bench.again._VISIT_S": 0.1,
    "bench.stream.measure.ENGINE_S": 0.02,
    "bench.timing.warm_up.__defaults__": (0.02,),
    "bench.roofline.ceilings._SIZES": {"cpu": (256, 512), "cuda": (2048,)},
    "bench.roofline.ceilings._COPY_BYTES": {"cpu": 1 << 24, "cuda": 1 << 24},
}
"""How long things are timed, in seconds, and on how much, where the figures are not what is tested."""


@contextmanager
def quick() -> Iterator[None]:
    """Run the block with one PyTorch thread, timing things for a moment only.

    At these sizes threads wait for each other longer than they compute.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _SHORT.items():
            patch.setattr(name, value)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@contextmanager
def one_core() -> Iterator[None]:
    """Let this process take its machine for one of a single core in the block, and know better after it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
        this_machine.cache_clear()
        try:
            yield
        finally:
            this_machine.cache_clear()


def skip_unless_it_runs(case: Case) -> None:
    """Skip the test, with the reason, where this machine's GPU cannot run a case."""
    try:
        reason = load_backend(case.backend).supports(case, "cuda")
    except UnavailableError as error:
        reason = str(error)
    if reason is not None:
        pytest.skip(reason)


@cache
def sections(split: str, count: int, size: tuple[int, int] = SIZE) -> ImageSet:
    """Return the first built-in sections of a split."""
    return builtin(split, size, count)


@cache
def trained(width: int = WIDTH) -> UNet:
    """Return a network that marks the darker regions of a section, sure enough of them for INT8 to agree with it."""
    with quick(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(width)
        images = torch.from_numpy(normalise(sections("train", 8).images))
        target = (avg_pool2d(images, 5, 1, 2, count_include_pad=False)[:, 0] < 0).long()
        optimizer = torch.optim.Adam(network.parameters())
        for step in range(_STEPS):
            optimizer.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
            optimizer.zero_grad()
            cross_entropy(network(images), target).backward()  # type: ignore[no-untyped-call] # torch's own
            optimizer.step()
    return network.eval().requires_grad_(requires_grad=False)


def two_convolutions() -> nn.Module:
    """Return the least network with U-Net's ends, for backends whose build takes tens of seconds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    return layers.eval().requires_grad_(requires_grad=False)


def as_network(module: nn.Module, name: str = "tiny") -> Network:
    """Return a module as the network of a run."""
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Network(name, digest(module), "a test's", parameters, _prototype=module)


def tiny_source(
    root: Path,
    network: Network | None = None,
    *,
    calibration: ImageSet | None = None,
    size: tuple[int, int] = SIZE,
    device: Literal["cpu", "cuda"] = "cpu",
) -> NetworkSource:
    """Return a source of engines of the trained network, its cache in `root`, on one thread."""
    return NetworkSource(
        network or as_network(trained()),
        calibration or sections("calibration", 4, size),
        size,
        device,
        Cache(root, lambda _: None),
        threads=1,
    )


class Padding(nn.Module):
    """Pads what it upsampled to the size of what it joins it with, and its input to a multiple of 32, when it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.up = nn.Conv2d(1, 4, 3, padding=1), nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.middle, self.last = nn.Conv2d(8, 4, 3, padding=1), nn.Conv2d(4, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits [B, 2, H, W] for images [B, 1, H, W]."""
        high, wide = image.shape[2], image.shape[3]
        maps = self.first(pad(image, (0, -wide % 32, 0, -high % 32)))
        upper = self.up(max_pool2d(maps, 2))
        rows, columns = maps.size(2) - upper.size(2), maps.size(3) - upper.size(3)
        padded = pad(upper, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        logits: torch.Tensor = self.last(self.middle(torch.cat([maps, padded], 1)))
        return logits[..., :high, :wide]


def padding_graph(path: Path) -> None:
    """Write `Padding` as a user's ONNX graph with free count and size of images."""
    free = {0: "count", 2: "high", 3: "wide"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Padding().eval(), (torch.zeros(1, 1, 32, 64),), str(path), dynamo=False,
            input_names=["image"], output_names=["logits"], dynamic_axes={"image": free, "logits": free},
        )  # fmt: skip
