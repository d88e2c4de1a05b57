"""torch2trt: a fresh input tensor each time, the images it needs in the form it needs, and its failures as errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from bench.backend import BuildError, OutOfMemoryError
from bench.case import Case
from tests.bench.test_trt_build_failures import Interrupted
from tests.bench.trt_api.fake_torch2trt import FakeTorch2trt, build
from tests.bench.trt_api.fakes import SIZE, Fakes, FakeSource

if TYPE_CHECKING:
    from pathlib import Path


def test_every_conversion_gets_a_fresh_input_tensor_of_the_cases_shape(
    fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path
) -> None:
    source = FakeSource(tmp_path)
    for precision in ("fp16", "int8", "fp16", "int8-uncalibrated"):
        build(fakes, source, precision)
    assert len({id(tensor) for tensor in converter.inputs}) == 4
    assert len({tensor.data_ptr() for tensor in converter.inputs}) == 4
    assert all(tuple(tensor.shape) == (2, 1, *SIZE) for tensor in converter.inputs)
    assert [path.name for path in (tmp_path / "engines" / ".tensorrt").glob("building-*")]  # alone on its GPU


@pytest.mark.parametrize(
    ("precision", "algorithm"), [("int8", "MINMAX_CALIBRATION"), ("int8-entropy", "ENTROPY_CALIBRATION_2")]
)
def test_calibration_images_come_as_torch2trt_needs_them(
    fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path, precision: str, algorithm: str
) -> None:
    build(fakes, FakeSource(tmp_path), precision)
    (options,) = converter.conversions
    assert options["int8_mode"] is options["fp16_mode"] is True
    assert options["int8_calib_algorithm"] == algorithm
    dataset = options["int8_calib_dataset"]
    assert [[int(value) for value in item[0][:, 0, 0, 0]] for item in dataset] == [[0, 1], [2, 3], [4, 0]]
    for (images,) in dataset:
        assert images.dtype is torch.float32
        assert images.is_contiguous()
        assert tuple(images.shape) == (2, 1, *SIZE)


def test_uncalibrated_int8_gets_no_images_and_fp16_no_int8(
    fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path
) -> None:
    for precision in ("int8-uncalibrated", "fp16"):
        build(fakes, FakeSource(tmp_path), precision)
    uncalibrated, half = converter.conversions
    assert uncalibrated["int8_mode"] is True
    assert not {"int8_calib_dataset", "int8_calib_algorithm"} & set(uncalibrated)
    assert half["fp16_mode"] is True
    assert "int8_mode" not in half


def test_a_conversion_keeps_no_gradients_and_leaves_the_tensor_class_as_it_was(
    fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path
) -> None:
    build(fakes, FakeSource(tmp_path), "fp16")
    assert converter.gradients == [False]
    assert not hasattr(torch.Tensor, "_of_torch2trt")


def test_the_builder_is_set_up_as_for_the_other_rows(fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path) -> None:
    build(fakes, FakeSource(tmp_path), "fp16")
    (config,) = converter.configs
    assert config.profiling_verbosity == "DETAILED"
    assert config.tactic_sources == 0b11000
    assert config.pools["WORKSPACE"] == converter.conversions[0]["max_workspace_size"]
    assert list((tmp_path / "engines" / ".tensorrt").glob("timing-*.cache"))


def test_failures_show_tensorrts_messages_and_the_loggers_class_comes_back(
    fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path
) -> None:
    original = fakes.tensorrt.Logger
    fakes.behaviour.builds = False
    fakes.behaviour.says = [("ERROR", "no implementation")]
    with pytest.raises(BuildError, match=r"got no engine from TensorRT 8\.6\.0\nTensorRT error: no implementation"):
        build(fakes, FakeSource(tmp_path), "fp16")
    fakes.behaviour.says = [("ERROR", "Error Code 2: OutOfMemory")]
    with pytest.raises(OutOfMemoryError, match="out of memory at batch 2"):
        build(fakes, FakeSource(tmp_path), "fp16")
    converter.error = AttributeError("'Tensor' object has no attribute '_trt'")
    fakes.behaviour.says = []
    with pytest.raises(BuildError, match=r"the network \(tensorrt_weak may\): AttributeError: 'Tensor' object has no"):
        build(fakes, FakeSource(tmp_path), "fp16")
    converter.error = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has")
    with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 \(needs about 20.0 GiB\)$"):
        build(fakes, FakeSource(tmp_path), "fp16")
    assert fakes.tensorrt.Logger is original


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_a_conversion_ends_it_after_it(fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path) -> None:
    source = FakeSource(tmp_path)
    fakes.behaviour.says = [("ERROR", Interrupted("odd"))]
    with pytest.raises(KeyboardInterrupt):
        build(fakes, source, "fp16")
    assert len(converter.conversions) == 1
    assert source.said[0].startswith("torch2trt-fp16-b2: interrupted; ")


@pytest.mark.parametrize("error", [TypeError("(): no such argument\nInvoked with: all"), ValueError("__len__() >= 0")])
def test_converter_that_fails_is_told_with_the_layer_and_what_tensorrt_said(
    fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path, error: Exception
) -> None:
    converter.fault = error
    fakes.behaviour.says = [("ERROR", "kernel weights count mismatch")]
    with pytest.raises(BuildError) as failure:
        build(fakes, FakeSource(tmp_path), "fp16")
    told, said = str(failure.value).split("\n")
    why = f"{type(error).__name__}: {error}".partition("\n")[0]
    where = "at its layer up.last in its convert_max_pool2d (tensorrt_weak may)"
    assert told == f"torch2trt-fp16-b2: torch2trt cannot convert the network {where}: {why}"
    assert said == "TensorRT error: kernel weights count mismatch"


def test_recipe_names_the_algorithm_that_torch2trt_takes_by_itself(fakes: Fakes, converter: FakeTorch2trt) -> None:
    assert converter is not None
    recipe = fakes.backend("torch2trt").recipe(Case("torch2trt", "int8-uncalibrated", 1), "cuda")
    assert recipe["calibrator"].startswith("torch2trt's default (ENTROPY_CALIBRATION) on the example input alone")
