"""What torch2trt built is loaded, run, captured where that works, and fails in words."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from bench.backend import BuildError, OutOfMemoryError
from bench.case import Case
from tests.bench.test_trt_run import no_room
from tests.bench.trt_api.fake_torch2trt import FakeTorch2trt, build
from tests.bench.trt_api.fakes import SIZE, Fakes, FakeSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def torch_on_cpu(fakes: Fakes, converter: FakeTorch2trt, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Give the running half a torch whose device is the CPU; returns what can be changed in it."""
    assert converter is not None
    fakes.backend("torch2trt")
    knobs = SimpleNamespace(captures=True)

    class Graph:
        replays = 0

        def replay(self) -> None:
            Graph.replays += 1

    def graph(*_: Any, **__: Any) -> Any:
        if not knobs.captures:
            message = "CUDA error: operation not permitted when stream is capturing\nmore"
            raise RuntimeError(message)
        return nullcontext()

    knobs.graph = Graph
    waits = type("Waits", (), {"synchronize": lambda _: None, "record": lambda _: None})
    cuda = SimpleNamespace(
        Stream=waits,
        Event=waits,
        CUDAGraph=Graph,
        graph=graph,
        stream=lambda _: nullcontext(),
        synchronize=lambda: None,
    )
    fake = SimpleNamespace(
        cuda=cuda,
        zeros=lambda shape, device: torch.zeros(shape) if device == "cuda" else None,
        empty=lambda shape, pin_memory: torch.empty(shape) if pin_memory else None,
        no_grad=torch.no_grad,
        load=torch.load,
        float32=torch.float32,
    )
    knobs.cuda = cuda
    monkeypatch.setattr(fakes.backend("_torch2trt_run"), "torch", fake)
    return knobs


def test_the_state_dict_is_loaded_and_run(fakes: Fakes, torch_on_cpu: SimpleNamespace, tmp_path: Path) -> None:
    torch_on_cpu.captures = False
    source, case = FakeSource(tmp_path), Case("torch2trt", "fp16", 2)
    build(fakes, source, "fp16")
    engine = fakes.backend("torch2trt").load(source, case, source.engine_folder)
    images = np.full((2, 1, *SIZE), 3, np.float32)
    engine.copy_in(images)
    engine.enqueue()
    np.testing.assert_array_equal(engine.copy_out(), np.concatenate([images, -images], axis=1))
    assert engine.engine_bytes == (source.engine_folder / "engine.pt").stat().st_size
    assert source.said == [
        f"{case}: runs without a CUDA graph: CUDA error: operation not permitted when stream is capturing"
    ]
    engine.close()
    engine.close()


def test_inferences_replay_a_graph_where_it_can_be_captured(
    fakes: Fakes, torch_on_cpu: SimpleNamespace, tmp_path: Path
) -> None:
    source = FakeSource(tmp_path)
    build(fakes, source, "fp16")
    engine = fakes.backend("torch2trt").load(source, Case("torch2trt", "fp16", 2), source.engine_folder)
    before = torch_on_cpu.graph.replays
    engine.enqueue()
    assert torch_on_cpu.graph.replays == before + 1
    assert source.said == []
    engine.close()


@pytest.mark.usefixtures("torch_on_cpu")
def test_an_inference_that_tensorrt_does_not_start_is_an_error(fakes: Fakes, tmp_path: Path) -> None:
    source, case = FakeSource(tmp_path), Case("torch2trt", "fp16", 2)
    build(fakes, source, "fp16")
    fakes.behaviour.runs = False
    with pytest.raises(BuildError, match=r"^TensorRT could not start an inference\n"):
        fakes.backend("torch2trt").load(source, case, source.engine_folder)


def test_an_engine_that_does_not_start_in_a_capture_runs_without_a_graph(
    fakes: Fakes, torch_on_cpu: SimpleNamespace, tmp_path: Path
) -> None:
    source, case = FakeSource(tmp_path), Case("torch2trt", "fp16", 2)
    build(fakes, source, "fp16")

    @contextmanager
    def capturing(*_: Any, **__: Any) -> Iterator[None]:
        fakes.behaviour.runs = False
        try:
            yield
        finally:
            fakes.behaviour.runs = True

    torch_on_cpu.cuda.graph = capturing
    engine = fakes.backend("torch2trt").load(source, case, source.engine_folder)
    assert source.said == [f"{case}: runs without a CUDA graph: TensorRT could not start an inference"]
    engine.close()


def test_a_plan_that_does_not_load_or_fit_is_an_error_with_its_reason(
    fakes: Fakes, torch_on_cpu: SimpleNamespace, tmp_path: Path
) -> None:
    assert torch_on_cpu.captures
    source, case = FakeSource(tmp_path), Case("torch2trt", "fp16", 2)
    build(fakes, source, "fp16")
    backend = fakes.backend("torch2trt")
    fakes.behaviour.makes_context = False
    with pytest.raises(OutOfMemoryError, match=r"needs about 5.0 GiB"):
        backend.load(source, case, source.engine_folder)
    fakes.behaviour.deserializes = False
    fakes.behaviour.says = [("ERROR", "Version tag does not match")]
    with pytest.raises(BuildError, match="a plan that does not load\nTensorRT error: Version tag does not match"):
        backend.load(source, case, source.engine_folder)


def test_a_lane_that_does_not_fit_is_out_of_memory(
    fakes: Fakes, torch_on_cpu: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert torch_on_cpu.captures
    source = FakeSource(tmp_path)
    build(fakes, source, "fp16")
    engine = fakes.backend("torch2trt").load(source, Case("torch2trt", "fp16", 2), source.engine_folder)
    monkeypatch.setattr(fakes.backend("_torch2trt_run"), "CudaLane", no_room)
    with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 \(needs about 2.0 GiB\)$"):
        engine.open_lane(2)
    engine.close()
