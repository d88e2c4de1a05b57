"""The building half of the fake TensorRT: configuration, parser, builder."""

from __future__ import annotations

import enum
import json
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto

if TYPE_CHECKING:
    from tests.bench.trt_api.fake_pycuda import Device
    from tests.bench.trt_api.fake_tensorrt import Behaviour


class Severity(enum.Enum):
    """As TensorRT's."""

    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


KINDS: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.UINT8: "uint8",
    TensorProto.INT32: "int32",
    TensorProto.BOOL: "bool",
}


class Tensor:
    """An input or output of a network: its type can be set, and the formats it may have."""

    def __init__(self, value: onnx.ValueInfoProto) -> None:
        self.name = value.name
        self.dtype = KINDS[value.type.tensor_type.elem_type]
        self.allowed_formats = 1

    def as_json(self) -> dict[str, Any]:
        """Return what a plan keeps of it: its type, and whether it lies channels last."""
        return {"name": self.name, "dtype": np.dtype(self.dtype).name, "packed": self.allowed_formats == 1 << 2}


class _Memory:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def __bytes__(self) -> bytes:
        return self.content


class Timings:
    """A timing cache that writes down what it is made of."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def combine(self, others: bytes, ignore_mismatch: bool) -> bool:  # noqa: FBT001 - TensorRT's signature
        """Take in what another cache has beyond this one."""
        if others not in self._content:
            self._content += b"&" + others
        return not ignore_mismatch

    def serialize(self) -> _Memory:
        """Return the cache as memory."""
        return _Memory(self._content)


class Config:
    """A builder's configuration that remembers what it was told."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self.flags: set[str] = {"TF32"}
        self.cleared: set[str] = set()
        self.int8_calibrator: Any = None
        self.timings = b""
        self.pools: dict[str, int] = {}

    def set_flag(self, flag: str) -> None:
        """Allow a format."""
        self.flags.add(flag)

    def clear_flag(self, flag: str) -> None:
        """Forbid one."""
        self.flags.discard(flag)
        self.cleared.add(flag)

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        """Keep a limit."""
        self.pools[pool] = size

    def set_tactic_sources(self, mask: int) -> bool:
        """Keep the mask."""
        self.tactic_sources = mask
        return True

    def create_timing_cache(self, content: bytes) -> bytes | None:
        """Take the content for a cache, unless it is damaged."""
        if content == b"damaged":
            self._logger.log(Severity.ERROR, "the timings do not parse")
            return None
        return content

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:  # noqa: FBT001 - TensorRT's signature
        """Take a cache, unless it is another machine's."""
        self.timings = cache
        return not ignore_mismatch and cache != b"foreign"

    def get_timing_cache(self) -> Any:
        """Return the cache with what the build added."""
        return Timings(self.timings + b"+built")


def speak(behaviour: Behaviour, logger: Any) -> None:
    """Say what the test wants said; as TensorRT does, go on whatever the logger raises."""
    for severity, text in behaviour.says:
        with suppress(BaseException):
            logger.log(Severity[severity], text)


def _calibrate(behaviour: Behaviour, device: Device, calibrator: Any, shape: tuple[int, ...]) -> None:
    behaviour.read.append(calibrator.read_calibration_cache())
    if behaviour.read[-1] is not None:
        return
    while pointers := calibrator.get_batch(["image"]):
        behaviour.batches.append(device.view(pointers[0], shape).copy())
    calibrator.write_calibration_cache(memoryview(behaviour.ranges.encode()))


def builder(behaviour: Behaviour, device: Device, logger: Any) -> Any:
    """Return a builder whose plans are JSON: the input's shape and the names of the convolutions."""

    def build(network: Any, config: Config) -> _Memory | None:
        behaviour.configs.append(config)
        behaviour.while_building()
        speak(behaviour, logger)
        if config.int8_calibrator is not None:
            _calibrate(behaviour, device, config.int8_calibrator, network.shape)
        behaviour.networks.append(network)
        plan = {
            "shape": network.shape,
            "layers": network.layers,
            "image": network.image.as_json(),
            "output": network.output.as_json(),
        }
        return _Memory(json.dumps(plan).encode()) if behaviour.builds else None

    def create_network(flags: int) -> Any:
        behaviour.network_flags.append(flags)
        return SimpleNamespace(shape=None, layers=[], num_inputs=1, num_outputs=1)

    return SimpleNamespace(
        create_network=create_network,
        create_builder_config=lambda: Config(logger),
        build_serialized_network=build,
    )


def parser(behaviour: Behaviour, network: Any) -> Any:
    """Return a parser that reads the input's shape and the names of the convolutions out of an ONNX graph."""

    def parse(content: bytes) -> bool:
        graph = onnx.ModelProto.FromString(content).graph
        network.shape = tuple(dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim)
        network.layers = [node.name for node in graph.node if node.op_type == "Conv"]
        network.image, network.output = Tensor(graph.input[0]), Tensor(graph.output[0])
        network.get_input = lambda _: network.image
        network.get_output = lambda _: network.output
        kinds = {"Conv": "CONVOLUTION", "ConvTranspose": "DECONVOLUTION", "Relu": "ACTIVATION"}
        layers = [SimpleNamespace(type=kinds.get(node.op_type, "other"), precision=None) for node in graph.node]
        network.num_layers, network.get_layer = len(layers), layers.__getitem__
        return behaviour.parses

    fault = SimpleNamespace(desc=lambda: "No importer registered for op: Fold")
    return SimpleNamespace(parse=parse, num_errors=1, get_error=lambda _: fault)
