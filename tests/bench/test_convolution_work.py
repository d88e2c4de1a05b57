"""Each runtime's convolutions weigh what they multiply and add, by sums done by hand."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch._inductor import config

from bench.backends import torch_compile
from bench.backends._torch_formats import ConvolutionFlops
from bench.case import Case
from bench.engines import open_engine
from tests.bench.networks import SIZE, as_network, quick, tiny_source

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Channels in whole blocks of 16, which ONNX Runtime's FP32 kernels compute at once: others are filled up to them.
LAYERS = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1, groups=2),
    nn.ReLU(),
    nn.ConvTranspose2d(32, 16, 2, stride=2),
)
LAYERS.eval().requires_grad_(requires_grad=False)
PIXELS = SIZE[0] * SIZE[1]
BY_HAND = [PIXELS * 16 * 9, PIXELS / 4 * 32 * 8 * 9, PIXELS / 4 * 32 * 16 * 4]


@pytest.mark.parametrize(("backend", "module"), [("onnxruntime", "_ort"), ("openvino", "openvino")])
def test_transposed_and_grouped_convolutions_weigh_what_they_multiply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, module: str
) -> None:
    pytest.importorskip(backend)
    counted: list[tuple[str, float]] = []

    def keep(work: Iterable[tuple[str, float]]) -> dict[str, float]:
        counted.extend(work)
        return {"fp32": 1.0}

    monkeypatch.setattr(import_module(f"bench.backends.{module}"), "shares", keep)
    source = tiny_source(tmp_path, as_network(LAYERS))
    with quick(), open_engine(source, Case(backend, "fp32", 3)):
        assert [work for _, work in counted] == [3 * work for work in BY_HAND]


@pytest.mark.parametrize("inference", [True, False])
def test_they_do_in_pytorch_with_inference_mode_and_without(inference: bool) -> None:  # noqa: FBT001 - a parameter
    with torch.inference_mode(inference), ConvolutionFlops() as flops:
        LAYERS(torch.zeros(1, 1, *SIZE))
    assert flops.by_format == {"fp32": sum(BY_HAND)}


@pytest.mark.parametrize("freezing", [True, False])
def test_they_do_in_what_torch_compile_compiles(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    freezing: bool,  # noqa: FBT001 - a parameter
) -> None:
    counted: list[dict[str, float]] = []

    def keep(work: dict[str, float]) -> dict[str, float]:
        counted.append(work)
        return {"fp32": 1.0}

    monkeypatch.setattr(torch_compile, "as_shares", keep)
    with quick(), config.patch(freezing=freezing):
        torch_compile.build(tiny_source(tmp_path, as_network(LAYERS)), Case("torch_compile", "fp32", 1), tmp_path)
    assert counted == [{"fp32": sum(BY_HAND)}]
