"""What ONNX Runtime fails with is told as what it is: memory that ran out, or a provider that does not start."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

import bench.backends.onnxruntime as backend
from bench.backend import BuildError, OutOfMemoryError
from bench.backends import _ort
from bench.case import Case
from bench.engines import open_engine
from tests.bench.networks import tiny_source

if TYPE_CHECKING:
    from pathlib import Path

    from bench.source import NetworkSource


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> NetworkSource:
    return tiny_source(tmp_path_factory.mktemp("onnxruntime"))


def test_silent_fall_back_from_the_gpu_is_an_error(source: NetworkSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_ort.PROVIDERS, "cuda", ["CPUExecutionProvider"])
    options = _ort.session_options(1)
    model = str(source.graph("fp32"))
    assert _ort.open_session(model, "cpu", options)
    with pytest.raises(BuildError, match="could not load its CUDA provider"):
        _ort.open_session(model, "cuda", options)


def test_a_provider_that_does_not_start_is_told_with_its_own_reason(
    source: NetworkSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("onnxruntime", "fp32", 4)
    with open_engine(source, case) as opened:
        folder = opened.folder
    real = ort.InferenceSession._create_inference_session

    def create(self: Any, providers: Any, *options: Any) -> None:
        if providers == _ort.PROVIDERS["cuda"]:
            raise RuntimeError(reasons[-1])
        real(self, providers, *options)

    reasons = ["CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"]
    monkeypatch.setattr(ort.InferenceSession, "_create_inference_session", create)
    on_gpu = SimpleNamespace(device="cuda", threads=1, image_size=source.image_size)
    with pytest.raises(BuildError, match=r"could not start a session on cuda: CUDA failure 35: CUDA driver version"):
        backend.load(on_gpu, case, folder)
    reasons.append("CUDA failure 2: out of memory ; GPU=0 ; expr=cudaStreamCreateWithFlags(&stream, ...)")
    with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 4 \("):
        backend.load(on_gpu, case, folder)


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        (
            "BFCArena::AllocateRawInternal Available memory of 9 is smaller than requested bytes of 3221225472",
            "3.0 GiB",
        ),
        ("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 1610612736", "1.5 GiB"),
        ("bad allocation", "(bad allocation)"),
    ],
)
def test_memory_that_ran_out_is_told_with_what_it_needs(
    source: NetworkSource, monkeypatch: pytest.MonkeyPatch, text: str, needs: str
) -> None:
    case = Case("onnxruntime", "fp32", 4)
    with open_engine(source, case) as opened:
        folder = opened.folder

    def refuse(*_: object) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(backend, "open_session", refuse)
    with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 4 \(") as caught:
        backend.load(source, case, folder)
    assert needs in str(caught.value)
    monkeypatch.setattr(backend, "open_session", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        backend.load(source, case, folder)


def test_memory_that_runs_out_in_a_profiled_run_is_told_at_building_and_at_timing_layers(
    source: NetworkSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    case = Case("onnxruntime", "fp32", 4)
    with open_engine(source, case) as opened:
        monkeypatch.setattr(backend, "profile", starved)
        for work in (lambda: backend.build(source, case, tmp_path), opened.engine.layer_times):  # type: ignore[attr-defined] # beyond the contract
            with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 4 \(needs about 262144.0 GiB more\)$"):
                work()


def starved(*_: object, **_options: object) -> None:
    """Have ONNX Runtime run a graph that needs more bytes than a process has addresses."""
    graph = helper.make_graph(
        [helper.make_node("Expand", ["x", "shape"], ["y"])],
        "too large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("shape", TensorProto.INT64, [3], [1 << 16, 1 << 15, 1 << 15])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = _ort.session_options(1)
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    _ort.open_session(model.SerializeToString(), "cpu", options).run(None, {"x": np.ones(1, np.float32)})
