"""Which number format each convolution of a TensorRT engine really runs in, from the engine inspector's JSON.

Seen in the wild, and parsed here:

- 8.6, and what later versions do not hand to Myelin: `LayerType` such as `CaskConvolution`, `Kernel`, `Groups`,
  `Weights: {"Type": "Int8", ...}`, `TacticName`, and a sentence for each tensor,
  `"Format/Datatype": "Channel major FP16 format where channel % 8 == 0"`;
- 10 and later, for the rest: `LayerType` `correlation`, `gemm` or `fusion`, a name that Myelin adds to or makes up
  (`/inc/Conv_myl0_4`), the ONNX nodes in `Metadata` as `[ONNX Layer: /inc/Conv]` where the network came from ONNX, and
  a word for each tensor, `"Format/Datatype": "Half"`, in 11 `"Datatype": "Half"`. What is no image, as for the cache,
  may stand among a layer's inputs, without such a word.

TF32 is not a storage format: a TF32 convolution reads and writes `Float`. Only the kernel's name
(`..._f32f32_tf32f32_f32_...`) tells, so a `Float` convolution counts as FP32 unless its kernel says TF32. That an FP32
engine was forbidden TF32 stands in its recipe.
"""

from __future__ import annotations

import json
import re
from math import prod
from statistics import mean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN = "unknown"

_WORDS = (
    (re.compile(r"bf16|bfloat16", re.IGNORECASE), "bf16"),
    (re.compile(r"fp8|e4m3|float8", re.IGNORECASE), "fp8"),
    (re.compile(r"fp16|half|float16", re.IGNORECASE), "fp16"),
    (re.compile(r"int8", re.IGNORECASE), "int8"),
    (re.compile(r"fp32|float", re.IGNORECASE), "fp32"),
)
_KERNELS = (
    (re.compile(r"_i8(i8|f32|f16)?_i8i32|i8816|int8|imma"), "int8"),
    (re.compile(r"_bf16bf16_|bf16816"), "bf16"),
    (re.compile(r"_f16f16_|h16816|h1688|h884|_f16f32_"), "fp16"),
    (re.compile(r"_f32f32_f32f32_|scudnn|sgemm"), "fp32"),
)
_MOVES = re.compile(r"reformat|noop|copy|shuffle|constant|signal|wait|slice|concat|resize|pool", re.IGNORECASE)
_CONVOLVES = re.compile(r"conv|correlation", re.IGNORECASE)
_MYELINS = re.compile(r"_myl\d+_\d+$")
"""What Myelin adds to a layer's name."""
_TRANSPOSED = re.compile(r"deconv", re.IGNORECASE)


def achieved(inspector_json: str, convolution_flops: Mapping[str, float]) -> dict[str, float]:
    """Return the share of the convolution FLOPs in each format ("fp32", "tf32", "fp16", "bf16", "int8", "unknown").

    `convolution_flops` are the graph's convolutions by node name; those that no layer names count as unknown. Where
    no layer names any of them (torch2trt names its layers its own way), the layers' own dimensions weigh them.
    """
    layers = [layer for layer in _layers(inspector_json) if _computes(str(layer.get("LayerType", "")))]
    weights = _by_name(layers, convolution_flops) or _by_dimensions(layers)
    total = sum(weights.values())
    return {name: value / total for name, value in sorted(weights.items())} if total else {UNKNOWN: 1.0}


def layer_precision(layer: Mapping[str, Any]) -> str:
    """Return the number format one convolution layer computes in."""
    kernel = str(layer.get("TacticName", ""))
    if "tf32" in kernel.lower():
        return "tf32"
    words = (_word(_tensor_format(tensor)) for tensor in layer.get("Inputs", []))
    data = next((word for word in words if word != UNKNOWN), UNKNOWN)
    weights = layer.get("Weights")
    stored = _word(str(weights.get("Type", ""))) if isinstance(weights, dict) else UNKNOWN
    if data == "int8" and stored not in ("int8", UNKNOWN):
        return stored  # quantized data alone: the arithmetic is in the weights' format
    if data != UNKNOWN:
        return data
    return next((name for pattern, name in _KERNELS if pattern.search(kernel)), stored)


def _layers(inspector_json: str) -> list[dict[str, Any]]:
    # TensorRT 8.6 writes control characters into the names of strings as they are.
    found = json.loads(inspector_json, strict=False).get("Layers", [])
    # Engines built without detailed verbosity list bare names, which prove nothing.
    return [layer for layer in found if isinstance(layer, dict)]


def _computes(layer_type: str) -> bool:
    return bool(_CONVOLVES.search(layer_type)) or not _MOVES.search(layer_type)


def _by_name(layers: list[dict[str, Any]], flops: Mapping[str, float]) -> dict[str, float]:
    """Sum the FLOPs of the graph's convolutions by format; empty where no layer names one."""
    # Convolution layers first, then products: what follows one may carry its name too, by fusion.
    ordered = sorted(layers, key=lambda layer: (not _is_convolution(layer), layer.get("LayerType") != "gemm"))
    texts = [
        (layer, f"{_MYELINS.sub('', str(layer.get('Name', '')))} {layer.get('Metadata', '')}") for layer in ordered
    ]
    shares: dict[str, float] = {}
    for name, value in flops.items():
        pattern = re.compile(rf"(?<![\w/.]){re.escape(name)}(?![\w/.])")
        layer = next((layer for layer, text in texts if pattern.search(text)), None)
        precision = UNKNOWN if layer is None else layer_precision(layer)
        shares[precision] = shares.get(precision, 0.0) + value
    return {} if set(shares) <= {UNKNOWN} else shares


def _by_dimensions(layers: list[dict[str, Any]]) -> dict[str, float]:
    """Sum the FLOPs of the convolution layers by format; what does not tell its own weighs as the others on average."""
    found = [(layer_precision(layer), _layer_flops(layer)) for layer in layers if _is_convolution(layer)]
    told = [flops for _, flops in found if flops]
    shares: dict[str, float] = {}
    for precision, flops in found:
        shares[precision] = shares.get(precision, 0.0) + (flops or (mean(told) if told else 1.0))
    return shares


def _layer_flops(layer: Mapping[str, Any]) -> float:
    """Return the FLOPs that a layer's own dimensions give, or 0 where it does not tell them."""
    inputs, outputs, kernel = layer.get("Inputs", []), layer.get("Outputs", []), layer.get("Kernel", [])
    if not inputs or not outputs or not kernel:
        return 0.0
    data, result = inputs[0].get("Dimensions", []), outputs[0].get("Dimensions", [])
    if len(data) != len(result) or len(data) < len(kernel) + 2:
        return 0.0
    # Each of a convolution's results sums over the kernel; each value that a transposed one reads is added to as many.
    summed = prod(data) * result[1] if _TRANSPOSED.search(_kind(layer)) else prod(result) * data[1]
    return float(2 * summed * prod(kernel) / max(1, int(layer.get("Groups", 1))))


def _is_convolution(layer: Mapping[str, Any]) -> bool:
    return bool(_CONVOLVES.search(_kind(layer)))


def _kind(layer: Mapping[str, Any]) -> str:
    return f"{layer.get('LayerType', '')} {layer.get('ParameterType', '')}"


def _tensor_format(tensor: Mapping[str, Any]) -> str:
    return " ".join(str(value) for key, value in tensor.items() if "format" in key.lower() or "datatype" in key.lower())


def _word(text: str) -> str:
    return next((name for pattern, name in _WORDS if pattern.search(text)), UNKNOWN)
