"""Transposed convolutions, which torch2trt's own converter gets wrong, computed as PyTorch does, and never in INT8."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from bench.backend import BuildError
from tests.bench.trt_api.fake_torch2trt import TRANSPOSED, FakeTorch2trt, build
from tests.bench.trt_api.fakes import Fakes, FakeSource

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("precision", ["int8", "int8-entropy", "int8-uncalibrated"])
def test_int8_keeps_transposed_convolutions_in_fp16(
    fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path, precision: str
) -> None:
    convolution, transposed = converter.layers
    for each in ("fp16", precision):
        assert not hasattr(transposed, "precision")
        build(fakes, FakeSource(tmp_path), each)
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

    def __init__(self, maps: Any, outputs: int, kernel: tuple[int, ...], weights: Any, bias: Any = None) -> None:
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
            self._maps.of,
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
    called.network = SimpleNamespace(add_deconvolution_nd=Layer)
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
def test_a_call_that_gives_least_is_converted(fakes: Fakes) -> None:
    maps, weight = torch.rand(1, 2, 4, 4), torch.rand(2, 3, 2, 2)
    called = SimpleNamespace(method_args=(maps, weight), method_kwargs={}, method_return=SimpleNamespace())
    called.network = SimpleNamespace(add_deconvolution_nd=Layer)
    fakes.backend("_torch2trt_converters").convert_transposed(called)
    torch.testing.assert_close(called.method_return._trt, torch.nn.functional.conv_transpose2d(maps, weight))


def test_a_torch2trt_without_a_converter_of_the_function_keeps_its_own(
    fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path
) -> None:
    converter.converters.clear()
    build(fakes, FakeSource(tmp_path), "fp16")
    assert converter.used == [None]
    assert converter.converters == {}


def test_output_padding_that_tensorrt_does_not_have_is_refused(
    fakes: Fakes, converter: FakeTorch2trt, tmp_path: Path
) -> None:
    given = {"output_padding": 1, "weight": torch.zeros(1, 1, 2, 2)}
    converter.called = SimpleNamespace(method_kwargs=given, method_args=())
    where = r"the network in this suite's convert_transposed \(tensorrt_weak may\)"
    why = r"ValueError: TensorRT pads no output: output_padding \(1, 1\) is more than padding \(0, 0\)"
    with pytest.raises(BuildError, match=f"{where}: {why}"):
        build(fakes, FakeSource(tmp_path), "fp16")
