"""A case that cannot run says exactly why, on every version of TensorRT and on machines without a GPU."""

from __future__ import annotations

import ctypes
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from bench.backend import UnavailableError, load_backend
from bench.case import Case
from tests.bench.conformance import Cell, allowed

if TYPE_CHECKING:
    from tests.bench.trt_api.fakes import Fakes


def version_11(fakes: Fakes) -> None:
    """Make the fake TensorRT 11: strongly typed, without flags and calibrators."""
    fakes.tensorrt.__version__ = "11.4.0.106"
    fakes.tensorrt.BuilderFlag = SimpleNamespace(TF32="TF32")
    fakes.tensorrt.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=0)
    fakes.tensorrt.DataType.BF16 = "BF16"
    del fakes.tensorrt.IInt8Calibrator, fakes.tensorrt.IInt8MinMaxCalibrator, fakes.tensorrt.IInt8EntropyCalibrator2


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt_weak"])
def test_memory_that_runs_out_does_not_end_the_process_as_tensorrt_would_have_it(fakes: Fakes, name: str) -> None:
    library = ctypes.CDLL("libstdc++.so.6")
    set_handler, get_handler = library._ZSt15set_new_handlerPFvvE, library._ZSt15get_new_handlerv
    set_handler.argtypes, get_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
    set_handler(ctypes.cast(library.abort, ctypes.c_void_p))
    try:
        fakes.backend(name)
        assert get_handler() is None
    finally:
        set_handler(None)


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt_weak"])
def test_a_run_on_the_cpu_has_no_tensorrt(fakes: Fakes, name: str) -> None:
    reason = fakes.backend(name).supports(Case(name, "fp16", 1), "cpu")
    assert reason == "TensorRT needs an NVIDIA GPU; this run is on cpu"


@pytest.mark.parametrize(
    ("name", "precisions"),
    [
        ("tensorrt_weak", {"fp32", "tf32", "fp16", "int8", "int8-entropy"}),
        ("tensorrt", {"fp32", "tf32", "fp16", "int8", "int8-entropy", "int8-percentile"}),
    ],
)
def test_each_backend_runs_its_precisions_on_8_6(fakes: Fakes, name: str, precisions: set[str]) -> None:
    backend = fakes.backend(name)
    every = ("fp32", "tf32", "fp16", "bf16", "int8", "int8-entropy", "int8-percentile", "int8-uncalibrated")
    assert {
        precision for precision in every if backend.supports(Case(name, precision, 1), "cuda") is None
    } == precisions


def test_a_precision_that_is_not_offered_is_named(fakes: Fakes) -> None:
    reason = fakes.backend("tensorrt_weak").supports(Case("tensorrt_weak", "bf16", 1), "cuda")
    assert reason == "tensorrt_weak offers fp32, tf32, fp16, int8, int8-entropy; not bf16"


def test_a_tensorrt_without_a_needed_feature_is_named_with_it(fakes: Fakes) -> None:
    fakes.tensorrt.__version__ = "8.4.3"
    del fakes.tensorrt.IExecutionContext.execute_async_v3, fakes.tensorrt.IBuilderConfig
    for name in ("tensorrt", "tensorrt_weak"):
        assert fakes.backend(name).supports(Case(name, "fp16", 1), "cuda") == (
            "TensorRT 8.4.3 has no IExecutionContext.execute_async_v3, IBuilderConfig.builder_optimization_level; "
            "8.6 and later do"
        )


def test_bf16_needs_a_version_that_has_it(fakes: Fakes) -> None:
    backend, case = fakes.backend("tensorrt"), Case("tensorrt", "bf16", 1)
    assert backend.supports(case, "cuda") == "TensorRT 8.6.0 has no BF16; 10 and later do"
    version_11(fakes)
    assert backend.supports(case, "cuda") is None


def test_tf32_and_bf16_need_a_gpu_that_has_them(fakes: Fakes) -> None:
    fakes.tensorrt.DataType.BF16 = "BF16"
    fakes.device.capability = (7, 5)
    for name, precision in (("tensorrt", "tf32"), ("tensorrt", "bf16"), ("tensorrt_weak", "tf32")):
        reason = fakes.backend(name).supports(Case(name, precision, 1), "cuda")
        assert reason == f"{precision} needs an NVIDIA GPU of compute capability 8.0 or later"
    for precision in ("fp32", "fp16", "int8"):
        assert fakes.backend("tensorrt").supports(Case("tensorrt", precision, 1), "cuda") is None


def test_flags_and_calibrators_are_gone_on_11(fakes: Fakes) -> None:
    version_11(fakes)
    for precision in ("fp32", "int8"):
        reason = fakes.backend("tensorrt_weak").supports(Case("tensorrt_weak", precision, 1), "cuda")
        assert reason is not None
        assert reason.startswith("TensorRT 11.4.0.106 has no precision flags and calibrators any more")
    backend, case = fakes.backend("tensorrt"), Case("tensorrt", "int8", 1)
    assert backend.supports(case, "cuda") is None
    assert backend.recipe(case, "cuda")["graph"] == "int8-typed"
    assert backend.recipe(case, "cuda")["network"] == "strongly typed"


def test_torch2trt_on_11_is_not_available_with_that_reason(fakes: Fakes) -> None:
    version_11(fakes)
    fakes.backend("_cuda")
    with pytest.raises(UnavailableError, match="torch2trt: torch2trt needs the precision flags and calibrators that "):
        load_backend("torch2trt")


def test_a_machine_without_a_gpu_or_driver_says_so(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, case = fakes.backend("tensorrt"), Case("tensorrt", "fp16", 1)
    fakes.device.gpus = 0
    assert backend.supports(case, "cuda") == "no NVIDIA GPU in this machine"
    driver = fakes.backend("_cuda").driver

    def refuse() -> None:
        message = "cuInit failed: no CUDA-capable device is detected"
        raise driver.Error(message)

    monkeypatch.setattr(driver, "init", refuse)
    reason = backend.supports(case, "cuda")
    assert reason == "no NVIDIA driver that works: cuInit failed: no CUDA-capable device is detected"
    assert backend.versions() == {"tensorrt": "8.6.0", "pycuda": "fake", "cuda_driver": "13.0"}


def test_recipes_tell_all_that_decides_an_engine_apart(fakes: Fakes) -> None:
    weak = fakes.backend("tensorrt_weak")
    precisions = ("fp32", "tf32", "fp16", "int8", "int8-entropy")
    recipes = [weak.recipe(Case("tensorrt_weak", precision, 1), "cuda") for precision in precisions]
    assert len({tuple(recipe.items()) for recipe in recipes}) == len(recipes)
    assert [recipe["tf32"] for recipe in recipes] == ["cleared", "allowed", "allowed", "allowed", "allowed"]
    assert all(recipe["tactic_sources"] == "EDGE_MASK_CONVOLUTIONS JIT_CONVOLUTIONS" for recipe in recipes)


def test_conformance_asks_for_the_exact_label_where_the_builder_has_no_leave(fakes: Fakes) -> None:
    def formats(name: str, precision: str) -> set[str]:
        fakes.backend(name)
        return allowed(Cell("cuda", Case(name, precision, 1)))

    for name in ("tensorrt", "tensorrt_weak"):
        assert formats(name, "fp32") == {"fp32"}
        assert formats(name, "tf32") == {"fp32", "tf32"}
        assert formats(name, "fp16") == {"fp32", "tf32", "fp16"}
        assert formats(name, "int8-entropy") == {"fp32", "tf32", "fp16", "int8"}
    fakes.monkeypatch.setitem(sys.modules, "torch2trt", ModuleType("torch2trt"))
    assert formats("torch2trt", "int8") == {"fp32", "tf32", "fp16", "int8"}
    version_11(fakes)
    assert [formats("tensorrt", precision) for precision in ("fp16", "bf16", "int8")] == [{"fp16"}, {"bf16"}, {"int8"}]
