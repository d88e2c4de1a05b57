"""A TensorRT that maps images x to logits (x, -x): the shape of version 8.6's API that the backends use."""

from __future__ import annotations

import json
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.bench.trt_api.fake_builder import Severity, builder, parser, speak

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.trt_api.fake_pycuda import Device

CONVOLUTION = {
    "LayerType": "CaskConvolution",
    "Inputs": [{"Format/Datatype": "Row major linear FP32"}],
    "Outputs": [{"Format/Datatype": "Row major linear FP32"}],
    "ParameterType": "Convolution",
    "TacticName": "sm80_xmma_fprop_implicit_gemm_f32f32_f32f32_f32_nhwckrsc_nhwc_tilesize128x32x8",
}
REFORMAT: dict[str, Any] = {"LayerType": "Reformat", "Name": "Reformatting CopyNode for Input Tensor 0 to /inc/Conv"}
FORMATS = {"LINEAR": 0, "HWC8": 2}


class Behaviour:
    """What the fake does and has seen; tests change the first and read the second."""

    def __init__(self) -> None:
        self.parses = self.builds = self.deserializes = self.makes_context = self.runs = True
        self.says: list[tuple[str, str]] = []
        """Severity and text of what the builder, or a plan that loads, says."""
        self.configs: list[Any] = []
        self.networks: list[Any] = []
        self.network_flags: list[int] = []
        self.batches: list[Any] = []
        """The calibration batches that the builder read."""
        self.ranges = "TRT-8600-MinMaxCalibration\nimage: 3f800000\n"
        """The calibration cache that the builder writes."""
        self.read: list[bytes | None] = []
        """The calibration caches that the builder was given."""
        self.while_building: Callable[[], None] = lambda: None
        self.device_memory_size = 5 << 30
        self.captured: Callable[[], object] = lambda: None
        """The inference that was last put on a stream."""

    def replay(self) -> None:
        """Do what a CUDA graph of the last inference does."""
        self.captured()


class _Logger:
    Severity = Severity

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...


class _Calibrator: ...


class _Profiler: ...


def _engine(behaviour: Behaviour, device: Device, plan: bytes) -> Any:
    content = json.loads(plan)
    batch, _, height, width = content["shape"]
    plain = {"dtype": "float32", "packed": False}
    found = (content.get("image", {"name": "image", **plain}), content.get("output", {"name": "logits", **plain}))
    ends = {end["name"]: end for end in found}
    image, output = ends
    logits = output if ends[output]["dtype"].startswith("float") else None
    shapes = {image: (batch, 1, height, width), output: (batch, 2 if logits else 1, height, width)}
    layers: list[dict[str, Any]] = [CONVOLUTION | {"Name": f"{name} + Relu"} for name in content["layers"]]
    layers += [REFORMAT for end in ends.values() if end["packed"]]
    addresses: dict[str, int] = {}

    def memory(name: str) -> Any:
        """Return a tensor where it lies, seen as [B, C, H, W]."""
        stored = shapes[name]
        if ends[name]["packed"]:
            stored = (batch, height, width, 8)
        found = device.view(addresses[name], stored, ends[name]["dtype"])
        return found[..., : shapes[name][1]].transpose(0, 3, 1, 2) if ends[name]["packed"] else found

    def execute(stream_handle: int) -> bool:
        if context.profiler is not None:
            for name in content["layers"]:
                context.profiler.report_layer_time(name, 2.0)
        values = memory(image).astype(np.float32)
        if ends[image]["dtype"] == "uint8":
            values = (values / 255 - 0.5) / 0.2
        memory(output)[:] = np.concatenate([values, -values], axis=1) if logits else -values > values
        behaviour.captured = lambda: execute(stream_handle)
        return behaviour.runs

    def set_tensor_address(name: str, address: int) -> bool:
        addresses[name] = address
        return True

    context = SimpleNamespace(set_tensor_address=set_tensor_address, execute_async_v3=execute, profiler=None)
    inspector = SimpleNamespace(get_engine_information=lambda _: json.dumps({"Layers": layers}))
    return SimpleNamespace(
        num_io_tensors=2,
        get_tensor_name=lambda index: (image, output)[index],
        get_tensor_shape=shapes.__getitem__,
        get_tensor_dtype=lambda name: ends[name]["dtype"],
        get_tensor_format=lambda name: FORMATS["HWC8" if ends[name]["packed"] else "LINEAR"],
        get_tensor_mode=lambda name: "INPUT" if name == image else "OUTPUT",
        device_memory_size=behaviour.device_memory_size,
        create_engine_inspector=lambda: inspector,
        create_execution_context=lambda: context if behaviour.makes_context else None,
    )


def _runtime(behaviour: Behaviour, device: Device, logger: Any) -> Any:
    def deserialize(plan: bytes) -> Any:
        speak(behaviour, logger)
        return _engine(behaviour, device, plan) if behaviour.deserializes else None

    return SimpleNamespace(deserialize_cuda_engine=deserialize)


def _words(text: str) -> SimpleNamespace:
    return SimpleNamespace(**{name: name for name in text.split()})


def module(behaviour: Behaviour, device: Device) -> ModuleType:
    """Return `tensorrt` as a module to put into `sys.modules`; tests take attributes away or add some."""
    fake = ModuleType("tensorrt")
    fake.__spec__ = ModuleSpec("tensorrt", None)  # libraries that look for TensorRT look for this
    fake.__dict__.update(
        {
            "__version__": "8.6.0",
            "ILogger": _Logger,
            "Logger": _Logger,
            "IInt8Calibrator": _Calibrator,
            "IProfiler": _Profiler,
            "IInt8MinMaxCalibrator": _Calibrator,
            "IInt8EntropyCalibrator2": _Calibrator,
            "CalibrationAlgoType": _words("MINMAX_CALIBRATION ENTROPY_CALIBRATION_2"),
            "BuilderFlag": _words("FP16 INT8 TF32 OBEY_PRECISION_CONSTRAINTS PREFER_PRECISION_CONSTRAINTS"),
            "DataType": _words("FLOAT HALF INT8"),
            "LayerInformationFormat": _words("JSON"),
            "MemoryPoolType": _words("WORKSPACE"),
            "NetworkDefinitionCreationFlag": SimpleNamespace(EXPLICIT_BATCH=0),
            "ProfilingVerbosity": _words("DETAILED"),
            "TacticSource": SimpleNamespace(EDGE_MASK_CONVOLUTIONS=3, JIT_CONVOLUTIONS=4),
            "TensorIOMode": _words("INPUT OUTPUT"),
            "ICudaEngine": _words("num_io_tensors"),
            "IExecutionContext": _words("execute_async_v3"),
            "IBuilderConfig": _words("builder_optimization_level"),
            "TensorFormat": SimpleNamespace(**FORMATS),
            "LayerType": _words("ACTIVATION CONVOLUTION DECONVOLUTION"),
            "float16": "float16",
            "int8": "int8",
            "float32": "float32",
            "nptype": np.dtype,
            "Builder": lambda logger: builder(behaviour, device, logger),
            "OnnxParser": lambda network, _: parser(behaviour, network),
            "Runtime": lambda logger: _runtime(behaviour, device, logger),
        }
    )
    return fake
