"""Each runtime's convolutions weigh what they multiply and add, by sums done by hand."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from torch import nn

from bench.case import Case
from bench.engines import open_engine
from tests.bench.networks import SIZE, as_network, quick, tiny_source

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@pytest.mark.parametrize(("backend", "module"), [("onnxruntime", "_ort"), ("openvino", "openvino")])
def test_transposed_and_grouped_convolutions_weigh_what_they_multiply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, module: str
) -> None:
    pytest.importorskip(backend)
    # Channels in whole blocks of 16, which ONNX Runtime's FP32 kernels compute at once: others are filled up to them.
    layers = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 2, stride=2),
    )
    counted: list[tuple[str, float]] = []

    def keep(work: Iterable[tuple[str, float]]) -> dict[str, float]:
        counted.extend(work)
        return {"fp32": 1.0}

    monkeypatch.setattr(import_module(f"bench.backends.{module}"), "shares", keep)
    source = tiny_source(tmp_path, as_network(layers.eval().requires_grad_(requires_grad=False)))
    with quick(), open_engine(source, Case(backend, "fp32", 3)):
        pixels = 3 * SIZE[0] * SIZE[1]
        quarter = pixels / 4
    by_hand = [pixels * 16 * 9, quarter * 32 * 8 * 9, quarter * 32 * 16 * 4]
    assert [work for _, work in counted] == by_hand
