"""ONNX Runtime's INT8 sums do not saturate, whatever the CPU, and proving the precision costs the engine no memory."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import bench.backends.onnxruntime as backend
from bench.backends import _ort
from bench.backends._onnx import narrow_weights
from bench.case import Case
from bench.engines import open_engine
from bench.machine import this_machine
from bench.roofline.counts import Work
from bench.roofline.share import case_share
from models.images import ImageSet, normalise
from tests.bench.networks import as_network, quick, sections, tiny_source
from tests.models.test_graphs import run

if TYPE_CHECKING:
    from pathlib import Path

    from bench.source import NetworkSource

CASE = Case("onnxruntime", "int8", 2)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> NetworkSource:
    return tiny_source(tmp_path_factory.mktemp("onnxruntime"))


@pytest.mark.parametrize(
    ("features", "bits"),
    [
        (("avx2",), "7"),
        (("avx2", "avx512f"), "7"),
        (("avx2", "avx512f", "avx512_vnni"), "8"),
        (("avx_vnni",), "8"),
        (("i8mm",), "8"),
    ],
)
def test_weights_have_7_bits_where_the_cpu_sums_products_in_16(
    features: tuple[str, ...], bits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = replace(this_machine("cpu"), features=features)
    monkeypatch.setattr(backend, "this_machine", lambda device: machine)
    assert backend.recipe(CASE, "cpu")["weight bits"] == bits
    assert backend.recipe(Case("onnxruntime", "fp32", 1), "cpu")["weight bits"] == "8"


def test_narrow_weights_stay_within_7_bits_and_near_what_they_were(source: NetworkSource) -> None:
    wide, narrow = (onnx.load(source.graph("int8-unsigned")) for _ in range(2))
    narrow_weights(narrow)
    before, after = _weights(wide), _weights(narrow)
    assert before.keys() == after.keys()
    assert len(before) > 10
    for name, (weight, scale) in after.items():
        quantized = np.round(weight / scale)
        assert np.abs(quantized).max() == 64  # 127 / 2, to even
        assert np.abs(quantized * scale - weight).max() <= before[name][1].max() * 1.001


def test_concatenations_join_bytes(source: NetworkSource) -> None:
    batch = np.zeros((2, 1, *source.image_size), np.float32)
    with quick(), open_engine(source, CASE) as opened:
        events = _ort.profile(str(opened.folder / "model.ort"), "cpu", 1, batch)
    names = [str(event.get("args", {}).get("op_name")) for event in events if event["name"].endswith("_kernel_time")]
    assert names.count("QLinearConcat") == 4
    assert "Concat" not in names


def _weights(model: onnx.ModelProto) -> dict[str, tuple[Any, Any]]:
    """Return each quantized weight with its scale, shaped to divide it."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in tensors:
            weight, scale = tensors[node.input[0]], tensors[node.input[1]]
            found[node.input[0]] = (weight, scale.reshape(-1, *[1] * (weight.ndim - 1)))
    return found


def test_largest_products_do_not_saturate(tmp_path: Path) -> None:
    layers = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 2, 3, padding=1)).eval()
    for parameter in layers.parameters():
        nn.init.constant_(parameter, 0.1)  # every weight and every bright activation is the largest of its range
    bright = ImageSet(("a", "b"), np.full((2, 32, 32), 250, np.uint8), None, "bright")
    source = tiny_source(tmp_path, as_network(layers), calibration=bright, size=(32, 32))
    batch = normalise(bright.images)
    with quick(), open_engine(source, CASE) as opened:
        opened.engine.copy_in(batch)
        opened.engine.enqueue()
        logits = opened.engine.copy_out()
    np.testing.assert_allclose(logits, run(source.graph("fp32"), batch), rtol=0.02)


def test_loading_an_engine_runs_no_second_session(source: NetworkSource, monkeypatch: pytest.MonkeyPatch) -> None:
    with quick(), open_engine(source, CASE) as opened:
        achieved = dict(opened.engine.achieved)
    sessions: list[Path] = []
    real = ort.InferenceSession

    def counted(model: Any, *arguments: Any, **options: Any) -> Any:
        sessions.append(model)
        return real(model, *arguments, **options)

    monkeypatch.setattr(ort, "InferenceSession", counted)
    with quick(), open_engine(source, CASE) as opened:
        assert not opened.built
        assert dict(opened.engine.achieved) == achieved
        assert achieved["int8"] > 0.9
    assert len(sessions) == 1


def test_launches_of_kernels_on_a_gpu_are_not_taken_for_the_layers_times(source: NetworkSource) -> None:
    case = Case("onnxruntime", "fp32", 1)
    with quick(), open_engine(source, case) as opened:
        engine: Any = opened.engine
        assert sum(engine.layer_times().values()) > 0
        engine._device = "cuda"
        launches = engine.layer_times()
    assert launches == {}
    work = Work(())
    found = case_share(case, work, {"fp32": 1.0, "copy_bytes_per_s": 1.0}, 1.0, launches)
    assert (found["outside_layers"], found["bound_by"]) == (None, "kernels")


def test_the_logits_of_a_cpu_lie_at_one_address_and_copies_are_the_caller_s(source: NetworkSource) -> None:
    batch = np.ones((CASE.batch_size, 1, *source.image_size), np.float32)
    with open_engine(source, CASE) as opened:
        engine: Any = opened.engine
        engine.copy_in(batch)
        engine.enqueue()
        engine.synchronize()
        shown, copied = engine.view_out(), engine.copy_out()
        np.testing.assert_array_equal(shown, copied)
        engine.copy_in(-batch)
        engine.enqueue()
        engine.synchronize()
        assert engine.view_out() is shown
        assert not np.array_equal(shown, copied)


def test_on_pytorch_s_tensors_the_logits_are_those_of_the_accuracy_path(source: NetworkSource) -> None:
    waits: list[str] = []
    stream: Any = SimpleNamespace(synchronize=lambda: waits.append("for the stream"))
    batch = normalise(sections("held-out", CASE.batch_size).images)
    with open_engine(source, CASE) as opened:
        engine: Any = opened.engine
        shared = engine._shared_with(stream)
        assert not waits
        found = []
        for images in (batch, -batch):
            shared.image.copy_(torch.from_numpy(images))
            engine.copy_in(images)
            engine.enqueue()
            found.append(shared.infer())
            np.testing.assert_array_equal(found[-1].numpy(), engine.copy_out())
        assert found[0].data_ptr() == found[1].data_ptr()
        assert len(waits) == 2
        assert not shared.capturable
