"""A converter of this suite's, in place of one of torch2trt's that is wrong."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch2trt

if TYPE_CHECKING:
    from collections.abc import Iterator

TRANSPOSED = "torch.nn.functional.conv_transpose2d"


@contextmanager
def converters_mended() -> Iterator[None]:
    """Convert transposed convolutions by `convert_transposed` in the block.

    torch2trt's own converter of the function, which its releases up to 0.5 do not have, takes the channels that such a
    layer reads for those that it makes, which fails wherever the two differ, as on every way up of a U-Net; and it
    takes the output padding for the dilation, and uses neither.
    """
    own = torch2trt.CONVERTERS.get(TRANSPOSED)
    if own is None:
        yield
        return
    torch2trt.CONVERTERS[TRANSPOSED] = {**own, "converter": convert_transposed}
    try:
        yield
    finally:
        torch2trt.CONVERTERS[TRANSPOSED] = own


def convert_transposed(ctx: Any) -> None:  # noqa: ANN401 - torch2trt has no types
    """Add the transposed convolution that was called to torch2trt's network; `ValueError` where TensorRT has none."""
    names = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
    defaults = (None, None, None, 1, 0, 0, 1, 1)
    called = {
        name: torch2trt.get_arg(ctx, name, pos=place, default=default)
        for place, (name, default) in enumerate(zip(names, defaults, strict=True))
    }
    weight, bias, groups = called["weight"], called["bias"], called["groups"]
    padding, beyond = _pair(called["padding"]), _pair(called["output_padding"])
    if any(more > each for more, each in zip(beyond, padding, strict=True)):
        msg = f"TensorRT pads no output: output_padding {beyond} is more than padding {padding}"
        raise ValueError(msg)
    layer = ctx.network.add_deconvolution_nd(
        torch2trt.add_missing_trt_tensors(ctx.network, [called["input"]])[0],
        weight.shape[1] * groups,
        tuple(weight.shape[2:]),
        weight.detach().cpu().numpy(),
        **({} if bias is None else {"bias": bias.detach().cpu().numpy()}),
    )
    layer.stride_nd = _pair(called["stride"])
    layer.pre_padding = padding
    layer.post_padding = tuple(each - more for more, each in zip(beyond, padding, strict=True))
    layer.dilation_nd = _pair(called["dilation"])
    layer.num_groups = groups
    ctx.method_return._trt = layer.get_output(0)  # noqa: SLF001 - torch2trt's mark of a tensor


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)
