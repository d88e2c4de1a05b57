"""The faults: each a way in which an engine has been built wrong somewhere, as the change that builds it so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from onnx import numpy_helper
from torch import nn

from bench.faults.workshop import Build
from models.images import MEAN, STD

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    Images = NDArray[np.float32]


def _scale_off(factor: float, model: onnx.ModelProto) -> None:
    """Give one convolution's weights another scale, their integers as they are: the middle one in the graph."""
    pairs = _weight_pairs(model)
    names = set(pairs[len(pairs) // 2][0].input[:2])
    for tensor in model.graph.initializer:
        if tensor.name in names:
            changed = numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))


def _per_tensor(model: onnx.ModelProto) -> None:
    """Give every channel of a convolution's weights the scale of its largest."""
    names = {node.input[1] for _, node in _weight_pairs(model)}
    for tensor in model.graph.initializer:
        if tensor.name in names:
            scale = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(scale, scale.max()), tensor.name))


def _weight_pairs(model: onnx.ModelProto) -> list[tuple[onnx.NodeProto, onnx.NodeProto]]:
    """Return the Q and DQ nodes on convolutions' weights, in the graph's order."""
    weights = {tensor.name for tensor in model.graph.initializer}
    quantizers = {node.output[0]: node for node in model.graph.node if node.op_type == "QuantizeLinear"}
    quantizers = {name: node for name, node in quantizers.items() if node.input[0] in weights}
    dequantizers = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    return [(quantizers[node.input[0]], node) for node in dequantizers if node.input[0] in quantizers]


def _upsampling(module: nn.Module, mode: str, *, align: bool | None) -> None:
    for part in module.modules():
        if isinstance(part, nn.Upsample):
            part.mode, part.align_corners = mode, align


def _epsilon(module: nn.Module, value: float) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = value


class _BatchStatistics(nn.BatchNorm2d):
    """Normalises by the batch at hand, whatever mode it is put into."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values, normalised by their own statistics."""
        return nn.functional.batch_norm(values, None, None, self.weight, self.bias, training=True, eps=self.eps)


def _training_mode(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.__class__ = _BatchStatistics


class _Half(nn.Module):
    """Passes its input through FP16 at a magnitude that the range of FP16 does not hold."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return (values * 2**15).half().float() / 2**15


def _overflow(module: nn.Module) -> None:
    first = module.get_submodule("inc")
    module.add_module("inc", nn.Sequential(first, _Half()))


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def _swap_classes(module: nn.Module) -> None:
    last = _convolutions(module)[-1]
    with torch.no_grad():
        last.weight.copy_(last.weight.flip(0))
        if last.bias is not None:
            last.bias.copy_(last.bias.flip(0))


def _zero_channel(module: nn.Module) -> None:
    last = _convolutions(module)[-1]
    with torch.no_grad():
        last.weight[:, int(last.weight.abs().sum(dim=(0, 2, 3)).argmax())] = 0


def _previous_weights(module: nn.Module) -> None:
    """Move every weight by 3 % of its layer's spread, as far as a few more steps of training would."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in _convolutions(module):
            noise = torch.randn(part.weight.shape, generator=generator)
            part.weight.add_(noise * 0.03 * part.weight.std())


def _wrong_slot(batch: Images) -> Images:
    return np.concatenate([batch[:-1], batch[:1]])


def _grey(batch: Images) -> Images:
    """Return grey levels from 0 to 1 again."""
    return np.asarray(batch * np.float32(STD) + np.float32(MEAN), np.float32)


FAULTS: dict[str, Build] = {
    "one layer's weight scale off by 2 %": Build("int8", graph=lambda model: _scale_off(1.02, model)),
    "one layer's weight scale off by 20 %": Build("int8", graph=lambda model: _scale_off(1.2, model)),
    "per-tensor weights in place of per-channel": Build("int8", graph=_per_tensor),
    "calibrated on blank images": Build("int8", calibration=np.zeros_like),
    "calibrated on unnormalised images": Build("int8", calibration=lambda images: _grey(images) * np.float32(255)),
    "calibrated on two images": Build("int8", calibration=lambda images: images[:2]),
    "entropy in place of MinMax": Build("int8-entropy"),
    "INT8, and the mean and spread swapped": Build(
        "int8", feed=lambda batch: (_grey(batch) - np.float32(STD)) / np.float32(MEAN)
    ),
    "input normalisation dropped": Build(feed=_grey),
    "mean and spread swapped": Build(feed=lambda batch: (_grey(batch) - np.float32(STD)) / np.float32(MEAN)),
    "image shifted by one pixel": Build(feed=lambda batch: np.roll(batch, 1, axis=3)),
    "INT8, and the image shifted by one pixel": Build("int8", feed=lambda batch: np.roll(batch, 1, axis=3)),
    "bilinear without align_corners": Build(module=lambda module: _upsampling(module, "bilinear", align=False)),
    "nearest in place of bilinear": Build(module=lambda module: _upsampling(module, "nearest", align=None)),
    "batch norm's epsilon 1e-3 for 1e-5": Build(module=lambda module: _epsilon(module, 1e-3)),
    "batch norm's epsilon 1e-4 for 1e-5": Build(module=lambda module: _epsilon(module, 1e-4)),
    "batch norm in training mode": Build(module=_training_mode),
    "classes swapped": Build(module=_swap_classes),
    "FP16 overflow after the first block": Build(module=_overflow),
    "one channel zeroed": Build(module=_zero_channel),
    "engine of the weights before the last steps": Build(module=_previous_weights),
    "INT8 engine of the weights before the last steps": Build("int8", module=_previous_weights),
    "wrong image in slot 3 of a batch of 4": Build("int8", feed=_wrong_slot),
}
"""By what went wrong; those without a precision are FP32 engines."""
