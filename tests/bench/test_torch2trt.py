"""torch2trt: a fresh input tensor each time, the images it needs in the form it needs, and its failures as errors."""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from bench.backend import BuildError, OutOfMemoryError
from bench.case import Case
from tests.bench.test_trt_build_failures import Interrupted
from tests.bench.test_trt_run import no_room
from tests.bench.trt_api.fake_torch2trt import TRANSPOSED, FakeTorch2trt
from tests.bench.trt_api.fakes import SIZE, Fakes, FakeSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    return Fakes(monkeypatch)


@pytest.fixture
def converter(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> FakeTorch2trt:
    made = FakeTorch2trt(fakes)
    monkeypatch.setitem(sys.modules, "torch2trt", made.module())
    for owner in (torch.nn.Module, torch.Tensor):
        monkeypatch.setattr(owner, "cuda", lambda it: it)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    return made


def build(fakes: Fakes, source: FakeSource, precision: str) -> None:
    """Convert at batch 2."""
    fakes.backend("torch2trt").build(source, Case("torch2trt", precision, 2), source.engine_folder)


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


def test_int8_keeps_transposed_convolutions_in_fp16(fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path) -> None:
    convolution, transposed = converter.layers
    for precision in ("fp16", "int8"):
        assert not hasattr(transposed, "precision")
        build(fakes, FakeSource(tmp_path), precision)
    assert (convolution.precision, transposed.precision) == (fakes.tensorrt.int8, fakes.tensorrt.float16)
    half, integers = (config.flags for config in converter.configs)
    assert "PREFER_PRECISION_CONSTRAINTS" in integers - half


@pytest.mark.parametrize("fault", [None, ValueError("no")])
def test_transposed_convolutions_are_converted_by_the_suites_own_converter(
    fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path, fault: Exception | None
) -> None:
    converter.fault = fault
    with pytest.raises(BuildError) if fault else nullcontext():
        build(fakes, FakeSource(tmp_path), "fp16")
    own = fakes.backend("_torch2trt_converters").convert_transposed
    assert converter.used == [{"converter": own, "is_real": True}]
    assert converter.converters == {TRANSPOSED: {"converter": "torch2trt's", "is_real": True}}


class Layer:
    """TensorRT's transposed convolution, as its documentation says what it computes."""

    def __init__(self, maps: torch.Tensor, outputs: int, kernel: tuple[int, ...], weights: Any, bias: Any) -> None:
        self._maps, self._outputs, self._kernel, self._weights, self._bias = maps, outputs, kernel, weights, bias
        self.stride_nd = self.pre_padding = self.post_padding = self.dilation_nd = (0, 0)
        self.num_groups = 0

    def get_output(self, place: int) -> torch.Tensor:
        """Return what it makes."""
        assert place == 0
        weight = torch.from_numpy(self._weights)
        assert self._outputs == weight.shape[1] * self.num_groups
        assert self._kernel == tuple(weight.shape[2:])
        whole = torch.nn.functional.conv_transpose2d(
            self._maps,
            weight,
            None if self._bias is None else torch.from_numpy(self._bias),
            self.stride_nd,
            groups=self.num_groups,
            dilation=self.dilation_nd,
        )
        (top, left), (bottom, right) = self.pre_padding, self.post_padding
        return whole[:, :, top : whole.shape[2] - bottom, left : whole.shape[3] - right]


@pytest.mark.usefixtures("converter")
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2, "stride": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
        {"kernel_size": (3, 5), "stride": (2, 3), "padding": (1, 2), "output_padding": (0, 2), "bias": False},
        {"kernel_size": 3, "stride": 2, "groups": 2, "dilation": 2},
    ],
)
def test_converted_transposed_convolution_computes_what_pytorchs_does(fakes: Fakes, options: dict[str, Any]) -> None:
    convert, called = fakes.backend("_torch2trt_converters").convert_transposed, SimpleNamespace(method_kwargs={})

    def add(maps: Any, outputs: int, kernel: tuple[int, ...], weights: Any, bias: Any = None) -> Layer:
        return Layer(maps, outputs, kernel, weights, bias)

    called.network = SimpleNamespace(add_deconvolution_nd=add)
    original = torch.nn.functional.conv_transpose2d

    def heard(*arguments: Any, **named: Any) -> torch.Tensor:
        called.method_args, called.method_kwargs = arguments, named
        called.method_return = original(*arguments, **named)
        return called.method_return  # type: ignore[no-any-return]

    torch.manual_seed(0)
    layer = torch.nn.ConvTranspose2d(4, 6, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "conv_transpose2d", heard)
        wanted = layer(torch.rand(2, 4, 5, 6))
    convert(called)
    torch.testing.assert_close(wanted._trt, wanted)


@pytest.mark.usefixtures("converter")
def test_output_padding_that_tensorrt_does_not_have_is_refused(fakes: Fakes) -> None:
    called = SimpleNamespace(method_kwargs={"output_padding": 1, "weight": torch.zeros(1, 1, 2, 2)}, method_args=())
    with pytest.raises(ValueError, match=r"output_padding \(1, 1\) is more than padding \(0, 0\)"):
        fakes.backend("_torch2trt_converters").convert_transposed(called)


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


def test_recipe_names_the_algorithm_that_torch2trt_takes_by_itself(fakes: Fakes, converter: FakeTorch2trt) -> None:
    assert converter is not None
    recipe = fakes.backend("torch2trt").recipe(Case("torch2trt", "int8-uncalibrated", 1), "cuda")
    assert recipe["calibrator"].startswith("torch2trt's default (ENTROPY_CALIBRATION) on the example input alone")


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
