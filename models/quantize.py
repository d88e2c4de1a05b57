"""INT8 by explicit Q/DQ nodes: calibrate activation ranges, then place the nodes where every runtime wants them."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx
from onnx import version_converter
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QDQQuantizer,
    QuantType,
    create_calibrator,
    quant_pre_process,
)
from onnxruntime.quantization.calibrate import HistogramCollector

from models.nodes import PAIR, Nodes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ranges: TypeAlias = Any
    """Ranges by tensor name, as the quantizer's library holds them (`TensorsData`)."""

CALIBRATIONS: dict[str, tuple[CalibrationMethod, dict[str, Any]]] = {
    "int8": (CalibrationMethod.MinMax, {}),
    "int8-entropy": (CalibrationMethod.Entropy, {"num_bins": 512, "num_quantized_bins": 128}),
    "int8-percentile": (CalibrationMethod.Percentile, {"num_bins": 2048, "percentile": 99.99}),
}
"""How each INT8 kind finds its ranges; symmetric about zero in all."""

_GRID = 128

_CHANNELS_OPSET = 13
"""The oldest opset whose Q/DQ operators take a scale per channel."""

LIMIT = "largest magnitude of "
"""What the graph's metadata call the calibrated range of a tensor that is quantized for some runtimes alone."""

QUANTIZED_OPS = ("Conv", "ConvTranspose", "MaxPool")
"""Only these operators' inputs get Q/DQ: TensorRT fuses Conv-ReLU, and wants none on Resize or Concat outputs.

ONNX Runtime has no transposed convolution of integers, but what it reads must be quantized for the one before it to be.
"""


class _OneBatch(CalibrationDataReader):  # type: ignore[misc]
    """Feeds one batch and ends, so that the calibrator never holds the activations of more than one."""

    def __init__(self, name: str, batch: NDArray[np.float32]) -> None:
        self._feeds = iter([{name: batch}])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._feeds, None)


def calibrate(fp32: Path, images: NDArray[np.float32], kind: str) -> Ranges:
    """Return the range of every quantized tensor over normalised images, float32 [N, 1, H, W].

    `kind` is one of `CALIBRATIONS`. MinMax keeps the extremes, entropy minimises the KL divergence of the
    quantized histogram (Migacz, GTC 2017), percentile keeps 99.99 % of the magnitudes. Images go through one by one, or
    in the batches that the graph fixes, the last of which is filled up with its own last image.
    """
    method, options = CALIBRATIONS[kind]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        prepared = _prepared(fp32, Path(folder))
        calibrator = create_calibrator(
            prepared,
            list(QUANTIZED_OPS),
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=method,
            extra_options={"symmetric": True, **options},
        )
        if method is not CalibrationMethod.MinMax:
            calibrator.collector = _thinned_collector(calibrator)
        graph_input = calibrator.model.graph.input[0]
        size = graph_input.type.tensor_type.shape.dim[0].dim_value or 1
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            batch = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
            calibrator.collect_data(_OneBatch(graph_input.name, batch))
        ranges: Ranges = calibrator.compute_data()
        return ranges


def _thinned_collector(calibrator: Any) -> Any:  # noqa: ANN401 - the library is untyped
    """Return the calibrator's histogram collector, fed a regular grid of at most 128 x 128 places of each map.

    Neighbouring activations say the same; all of them would take the histograms ten times as long.
    """
    fields = ("method", "symmetric", "num_bins", "num_quantized_bins", "percentile", "scenario")
    collector = HistogramCollector(**{field: getattr(calibrator, field) for field in fields})
    collect = collector.collect

    def collect_thinned(maps: dict[str, list[NDArray[np.float32]]]) -> None:
        collect({name: [thinned(found) for found in arrays] for name, arrays in maps.items()})

    collector.collect = collect_thinned
    return collector


def thinned(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a regular grid of maps [B, C, ...]: at most 128 values of each axis, since neighbours say the same."""
    steps = (slice(None, None, max(1, -(-size // _GRID))) for size in found.shape[2:])
    grid = (slice(None), slice(None), *steps)
    return found[grid]


def quantize(fp32: Path, ranges: Ranges) -> onnx.ModelProto:
    """Return the FP32 graph with symmetric INT8 Q/DQ on the inputs of its convolutions, weights per channel.

    Zero points are 0, biases stay float: what TensorRT, ONNX Runtime and OpenVINO all fuse.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = onnx.load(_prepared(fp32, Path(folder)))
    if next(each.version for each in prepared.opset_import if each.domain in {"", "ai.onnx"}) < _CHANNELS_OPSET:
        prepared = version_converter.convert_version(prepared, _CHANNELS_OPSET)
    quantizer = QDQQuantizer(
        prepared,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=ranges,
        nodes_to_quantize=[],
        nodes_to_exclude=[],
        op_types_to_quantize=list(QUANTIZED_OPS),
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "AddQDQPairToWeight": True,
            "QuantizeBias": False,
            "DedicatedQDQPair": False,
            "ForceQuantizeNoInputCheck": True,
            "OpTypesToExcludeOutputQuantization": sorted({node.op_type for node in prepared.graph.node}),
        },
    )
    quantizer.quantize_model()
    quantized: onnx.ModelProto = quantizer.model.model
    # Ranges that another calibrated, TensorRT for one, are of what it quantizes alone.
    for name in (name for name in _open_ends(Nodes(quantized)) if name in ranges):
        limit = float(np.max(np.abs(ranges[name].range_value)))
        quantized.metadata_props.add(key=f"{LIMIT}{name}", value=repr(limit))
    return quantized


def _open_ends(nodes: Nodes) -> list[str]:
    """Return the outputs of convolutions that no Q follows, directly or behind a ReLU, and that are not the graph's."""
    found = []
    for conv in (*nodes.of("Conv"), *nodes.of("ConvTranspose")):
        name = conv.output[0]
        readers = nodes.readers(name)
        if [node.op_type for node in readers] == ["Relu"]:
            readers = nodes.readers(readers[0].output[0])
        if name not in nodes.outputs and not {node.op_type for node in readers} & {PAIR[0], "Resize"}:
            found.append(name)
    return found


def _prepared(fp32: Path, folder: Path) -> Path:
    """Write the graph with batch norms folded and shapes inferred, as the quantizer wants it."""
    path = folder / "prepared.onnx"
    quant_pre_process(str(fp32), str(path), skip_symbolic_shape=True)
    return path
