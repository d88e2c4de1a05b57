"""Running a plan: the right logits, a CUDA graph where it works, all memory back, and errors with their reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from bench.backend import BuildError, OutOfMemoryError
from bench.backends._torch import memory_errors
from bench.case import Case
from tests.bench.trt_api.fakes import SIZE, Fakes, FakeSource

if TYPE_CHECKING:
    from pathlib import Path

CASE = Case("tensorrt_weak", "fp32", 2)
IMAGES = np.random.default_rng(0).normal(size=(2, 1, *SIZE)).astype(np.float32)


@pytest.fixture
def source(tmp_path: Path) -> FakeSource:
    return FakeSource(tmp_path)


def loaded(fakes: Fakes, source: FakeSource, case: Case = CASE) -> Any:
    """Build and load a case."""
    backend = fakes.backend("tensorrt_weak")
    backend.build(source, CASE, source.engine_folder)
    return backend.load(source, case, source.engine_folder)


def test_logits_of_the_last_batch_come_back_as_a_new_array(fakes: Fakes, source: FakeSource) -> None:
    engine = loaded(fakes, source)
    results = []
    for images in (IMAGES, IMAGES + 1):
        engine.copy_in(images)
        engine.enqueue()
        results.append(engine.copy_out())
    np.testing.assert_array_equal(results[0], np.concatenate([IMAGES, -IMAGES], axis=1))
    np.testing.assert_array_equal(results[1], np.concatenate([IMAGES + 1, -IMAGES - 1], axis=1))
    assert results[0].dtype == np.float32


def test_inferences_replay_one_captured_graph(fakes: Fakes, source: FakeSource) -> None:
    engine = loaded(fakes, source)
    before = len(fakes.library.calls)
    engine.enqueue()
    engine.enqueue()
    assert fakes.library.calls[before:] == ["cuGraphLaunch", "cuGraphLaunch"]
    assert engine.graph_fault is None
    engine.close()
    assert fakes.library.calls.count("cuGraphExecDestroy") == fakes.library.calls.count("cuGraphDestroy") == 1


@pytest.mark.parametrize("call", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"])
def test_where_capture_fails_the_engine_runs_without_and_says_so(fakes: Fakes, source: FakeSource, call: str) -> None:
    fakes.library.fails = call
    engine = loaded(fakes, source)
    engine.copy_in(IMAGES)
    engine.enqueue()
    np.testing.assert_array_equal(engine.copy_out()[:, :1], IMAGES)
    assert source.said == [f"{CASE}: runs without a CUDA graph: {call}: CUDA_ERROR_FAKE (901)"]
    assert "cuGraphLaunch" not in fakes.library.calls
    engine.close()


def test_work_that_fails_inside_a_capture_leaves_capture_mode(fakes: Fakes) -> None:
    cuda = fakes.backend("_cuda")
    with pytest.raises(ZeroDivisionError):
        cuda.Graph(cuda.driver.Stream(), lambda: 1 / 0)
    assert fakes.library.calls == ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphDestroy"]


def test_layers_are_timed_by_tensorrts_profiler_in_seconds_of_one_inference(fakes: Fakes, source: FakeSource) -> None:
    engine = loaded(fakes, source)
    used = fakes.device.used_bytes
    assert engine.layer_times() == {"/inc/Conv": pytest.approx(2e-3)}
    assert fakes.device.used_bytes == used
    fakes.behaviour.runs = False
    with pytest.raises(BuildError, match="the inference to profile failed"):
        engine.layer_times()


def test_closing_gives_back_all_memory_and_may_be_repeated(fakes: Fakes, source: FakeSource) -> None:
    engine = loaded(fakes, source)
    assert fakes.device.used_bytes == 4 * IMAGES.size * 3
    assert fakes.device.page_locked == 2
    engine.close()
    engine.close()
    assert (fakes.device.used_bytes, fakes.device.page_locked) == (0, 0)


def test_an_engine_left_open_is_closed_before_the_context_goes(fakes: Fakes, source: FakeSource) -> None:
    engine = loaded(fakes, source)
    cuda = fakes.backend("_cuda")
    gone: list[int] = []
    cuda._leave(type("Context", (), {"pop": lambda _: gone.append(fakes.device.used_bytes)})())
    assert gone == [0]
    engine.close()


def test_the_achieved_precision_and_the_plans_size_are_known(fakes: Fakes, source: FakeSource) -> None:
    engine = loaded(fakes, source)
    assert engine.achieved == {"fp32": 1.0}
    assert engine.engine_bytes == (source.engine_folder / "engine.plan").stat().st_size


def test_buffers_that_do_not_fit_are_out_of_memory_and_leave_the_device_clean(fakes: Fakes, source: FakeSource) -> None:
    fakes.device.limit_bytes = 4 * IMAGES.size + 10
    with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 \(needs about 5.0 GiB\)$"):
        loaded(fakes, source)
    assert (fakes.device.used_bytes, fakes.device.page_locked) == (0, 0)
    fakes.device.limit_bytes = 1 << 30
    loaded(fakes, source).close()


def test_an_engine_without_a_context_is_out_of_memory(fakes: Fakes, source: FakeSource) -> None:
    fakes.behaviour.makes_context = False
    with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 \(needs about 5.0 GiB\)$"):
        loaded(fakes, source)


def test_a_plan_that_does_not_load_shows_tensorrts_message(fakes: Fakes, source: FakeSource) -> None:
    loaded(fakes, source).close()
    fakes.behaviour.deserializes = False
    fakes.behaviour.says = [("ERROR", "The engine plan file is not compatible with this version of TensorRT")]
    backend = fakes.backend("tensorrt_weak")
    with pytest.raises(BuildError, match=r"does not load the plan.*\nTensorRT error: The engine plan file is not"):
        backend.load(source, CASE, source.engine_folder)
    assert fakes.device.used_bytes == 0


def test_a_plan_of_another_batch_size_is_refused(fakes: Fakes, source: FakeSource) -> None:
    with pytest.raises(BuildError, match=r"takes images \(2, 1, 16, 32\), and the case needs \(4, 1, 16, 32\)"):
        loaded(fakes, source, Case("tensorrt_weak", "fp32", 4))


def test_an_inference_that_fails_shows_why(fakes: Fakes, source: FakeSource) -> None:
    fakes.behaviour.runs = False
    with pytest.raises(BuildError, match="the first inference failed"):
        loaded(fakes, source)
    assert (fakes.device.used_bytes, fakes.device.page_locked) == (0, 0)


def test_an_inference_that_cannot_start_repeats_no_other_engines_messages(fakes: Fakes, source: FakeSource) -> None:
    engine = loaded(fakes, source)
    engine._graph = None
    log = fakes.backend("_trt_log").log()
    log.lines.append("error: Error Code 2: OutOfMemory, as another engine had it")
    fakes.behaviour.runs = False
    with pytest.raises(BuildError, match=r"^TensorRT could not start an inference\nTensorRT gave no message$"):
        engine.enqueue()


def test_a_lane_that_does_not_fit_is_out_of_memory(
    fakes: Fakes, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = loaded(fakes, source)
    run = fakes.backend("_trt_run")
    monkeypatch.setattr(run, "CudaLane", no_room)
    monkeypatch.setattr(run, "_as_tensor", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "ExternalStream", lambda _: None)
    with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 \(needs about 5.0 GiB\)$"):
        engine.open_lane(2)
    engine.close()


def no_room(*_: object) -> None:
    """Stand for a lane whose buffers do not fit."""
    message = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB"
    raise torch.OutOfMemoryError(message)


def test_memory_that_runs_out_beside_pytorch_s_allocator_is_told_as_such(fakes: Fakes) -> None:
    fakes.backend("_cuda")
    memory = fakes.backend("_memory")

    def fail(message: str) -> None:
        raise RuntimeError(message)

    ended = "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call"
    with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 "):
        memory.guarded(2, lambda: fail(ended))
    with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 "), memory_errors(CASE):
        fail(ended)
    with pytest.raises(RuntimeError, match="misaligned"):
        memory.guarded(2, lambda: fail("CUDA error: misaligned address"))
    with pytest.raises(RuntimeError, match="misaligned"), memory_errors(CASE):
        fail("CUDA error: misaligned address")
