"""What PyTorch's engines say they ran in, where PyTorch's own types do not tell."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from bench.backend import OutOfMemoryError
from bench.backends import _torch, _torch_formats, onnxruntime, torch_compile
from bench.backends import torch as eager
from bench.backends._torch_profile_run import operator_seconds
from bench.case import Case
from bench.engines import open_engine
from tests.bench.networks import quick, tiny_source
from tests.bench.test_trt_run import no_room

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType


class Ran:
    """An engine that says what PyTorch's types say."""

    def __init__(self, achieved: Mapping[str, float]) -> None:
        self.achieved = achieved

    def enqueue(self) -> None:
        """Run nothing."""


@pytest.mark.parametrize(
    ("device", "before", "share", "after"),
    [
        ("cuda", {"fp32": 1.0}, 0.0, {"fp32": 1.0}),
        ("cuda", {"fp32": 1.0}, 0.75, {"fp32": 0.25, "tf32": 0.75}),
        ("cuda", {"fp32": 1.0}, 1.0, {"tf32": 1.0}),
        ("cuda", {"fp16": 1.0}, 0.75, {"fp16": 1.0}),
        ("cuda", {"fp16": 0.75, "fp32": 0.25}, 0.0, {"fp16": 0.75, "fp32": 0.25}),
        ("cuda", {"fp32": 0.5, "fp16": 0.5}, 0.5, {"fp16": 0.5, "fp32": 0.25, "tf32": 0.25}),
        ("cpu", {"fp32": 1.0}, 0.75, {"fp32": 1.0}),
    ],
)
def test_tf32_is_told_from_fp32_by_the_kernels_and_no_format_is_named_that_did_not_run(
    monkeypatch: pytest.MonkeyPatch, device: str, before: dict[str, float], share: float, after: dict[str, float]
) -> None:
    monkeypatch.setattr(_torch_formats, "_tf32_share", lambda _: share)
    engine: Any = Ran(before)
    _torch_formats.prove_tf32(engine, "tf32", device)
    assert engine.achieved == after


def ten_bits(values: torch.Tensor) -> torch.Tensor:
    """Return float32 values with as many bits as TF32's factors have."""
    return (values.view(torch.int32) & ~0x1FFF).view(torch.float32)


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_where_the_profiler_sees_no_kernel_the_rounding_tells_tf32_from_fp32(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    seen: list[SimpleNamespace] = [SimpleNamespace(key="elementwise", device_time_total=9.0)]
    profile = SimpleNamespace(key_averages=lambda: seen)
    monkeypatch.setattr(torch.profiler, "profile", lambda **_: nullcontext(profile))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)

    def convolution(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        rounds = torch.backends.cudnn.allow_tf32 and image.dtype is torch.float32
        return torch.conv2d(ten_bits(image), ten_bits(weight)) if rounds else torch.conv2d(image, weight)

    monkeypatch.setattr(torch.nn.functional, "conv2d", convolution)
    by_rounding = _torch_formats.format_by_rounding
    monkeypatch.setattr(_torch_formats, "format_by_rounding", lambda _: by_rounding("cpu"))
    engine: Any = Ran({"fp32": 1.0})
    _torch_formats.prove_tf32(engine, precision, "cuda")
    assert engine.achieved == {precision: 1.0}
    seen.append(SimpleNamespace(key="implicit_convolve_sgemm", device_time_total=9.0))
    engine = Ran({"fp32": 1.0})
    _torch_formats.prove_tf32(engine, precision, "cuda")
    assert engine.achieved == {"fp32": 1.0}


def test_compiled_engines_need_triton_on_a_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: Any = torch_compile
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    case = Case("torch_compile", "fp32", 1)
    monkeypatch.setattr(compiled, "find_spec", {"triton": None}.get)
    reason = "PyTorch's compiler writes its GPU kernels in Triton, which is not installed (install triton)"
    assert compiled.supports(case, "cuda") == reason
    assert compiled.supports(case, "cpu") is None
    monkeypatch.setattr(compiled, "find_spec", lambda _: "found")
    assert compiled.supports(case, "cuda") is None


def test_an_upgrade_of_cudnn_or_triton_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: Any = torch_compile
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91900)
    monkeypatch.setattr(compiled, "find_spec", lambda _: "found")
    monkeypatch.setattr(compiled, "import_module", lambda _: SimpleNamespace(__version__="3.6.0"))
    assert eager.versions() == {"torch": torch.__version__, "cudnn": "91900"}
    assert {"torch": torch.__version__, "cudnn": "91900", "triton": "3.6.0"}.items() <= compiled.versions().items()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert eager.versions() == {"torch": torch.__version__}
    assert not {"cudnn", "triton"} & compiled.versions().keys()


CONV, LAUNCH, REGION = "aten::cudnn_convolution", "cudaGraphLaunch", "Torch-Compiled Region"


@pytest.mark.parametrize(
    ("operators", "found"),
    [
        # Each kernel is an event of the GPU, and its time that of the operator which launched it.
        ({CONV: 3000.0}, {f"{CONV} [[1, 8]]": 3e-3}),
        # A replayed graph's kernels have no operator.
        ({LAUNCH: 0.0}, {"fprop []": 2e-3, "relu []": 1e-3}),
    ],
)
def test_time_on_a_gpu_is_counted_once_by_operator_or_where_there_is_none_by_kernel(
    monkeypatch: pytest.MonkeyPatch, operators: dict[str, float], found: dict[str, float]
) -> None:
    events = [event(name, "CPU", micros, shapes=[[1, 8]]) for name, micros in operators.items()]
    events += [event("fprop", "CUDA", 2000.0), event("relu", "CUDA", 1000.0)]
    events += [event(REGION, "CUDA", 3000.0, annotation=True)]
    profile = SimpleNamespace(key_averages=lambda group_by_input_shape: events)
    monkeypatch.setattr(torch.profiler, "profile", lambda **_: nullcontext(profile))
    assert operator_seconds(lambda: None, on_gpu=True) == pytest.approx(found)


def event(key: str, kind: str, micros: float, *, shapes: Any = (), annotation: bool = False) -> SimpleNamespace:
    """Return what PyTorch's profiler says of an operator or a kernel."""
    return SimpleNamespace(
        key=key,
        device_type=SimpleNamespace(name=kind),
        self_device_time_total=micros,
        self_cpu_time_total=1.0,
        input_shapes=list(shapes),
        is_user_annotation=annotation,
    )


def test_a_convolution_whose_padding_is_a_word_is_counted() -> None:
    conv = torch.nn.Conv2d(1, 2, 3, padding="same")
    with _torch.arithmetic("fp32"), _torch_formats.ConvolutionFlops() as flops:
        conv(torch.zeros(1, 1, 32, 32))
    assert flops.by_format == {"fp32": 32 * 32 * 2 * 9}


def test_profiler_writes_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    operator_seconds(lambda: torch.ones(3) + 1, on_gpu=False)
    assert capfd.readouterr() == ("", "")


def test_time_on_a_cpu_is_each_operator_s_own() -> None:
    image = torch.zeros(1, 1, 32, 32)
    conv = torch.nn.Conv2d(1, 2, 3)
    found = operator_seconds(lambda: conv(image), on_gpu=False)
    assert any(name.startswith("aten::") and "[1, 1, 32, 32]" in name for name in found)
    assert all(seconds > 0 for seconds in found.values())


@pytest.mark.parametrize(("backend", "module"), [("torch", _torch), ("onnxruntime", onnxruntime)])
def test_a_lane_that_does_not_fit_is_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, module: ModuleType
) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", lambda: None)
    monkeypatch.setattr(module, "CudaLane", no_room)
    monkeypatch.setattr(onnxruntime._Engine, "_shared_with", lambda *_: None)
    with quick(), open_engine(tiny_source(tmp_path), Case(backend, "fp32", 2)) as opened:
        engine: Any = opened.engine
        engine._device = "cuda"
        with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 \(.*2\.0"):
            engine.open_lane(2)
        engine._device = "cpu"
