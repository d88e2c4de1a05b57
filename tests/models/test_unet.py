"""The U-Net has the size, the shapes and the limits that its docstrings state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from models.unet import SizeError, UNet, check_size, unet, unet_small

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(("make", "parameters"), [(unet, 17_261_890), (unet_small, 1_080_658)])
def test_named_models_have_their_stated_number_of_parameters(make: Callable[[], UNet], parameters: int) -> None:
    assert sum(weight.numel() for weight in make().parameters()) == parameters


@pytest.mark.parametrize("bilinear", [True, False])
def test_logits_have_two_classes_at_the_input_resolution(*, bilinear: bool) -> None:
    module = UNet(4, bilinear=bilinear).eval()
    with torch.inference_mode():
        logits = module(torch.zeros(2, 1, 32, 48))
    assert logits.shape == (2, 2, 32, 48)
    assert logits.dtype == torch.float32


def test_transposed_convolution_takes_the_place_of_upsampling() -> None:
    kinds = {type(part).__name__ for part in UNet(4, bilinear=False).modules()}
    assert "ConvTranspose2d" in kinds
    assert "Upsample" not in kinds


@pytest.mark.parametrize(("height", "width"), [(500, 512), (512, 8), (0, 16), (-16, 16)])
def test_size_that_cannot_be_halved_four_times_is_refused_with_the_rule(height: int, width: int) -> None:
    with pytest.raises(SizeError, match=rf"multiples of 16: got {height}x{width} \(crop or resize the image\)"):
        check_size(height, width)


def test_forward_pass_refuses_such_a_size_too() -> None:
    with pytest.raises(SizeError, match="got 40x32"):
        unet_small()(torch.zeros(1, 1, 40, 32))
