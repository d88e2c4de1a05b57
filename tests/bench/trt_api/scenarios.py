"""Runs the TensorRT backends through all they do on stand-ins of one real version; a process of its own.

`python -m tests.bench.trt_api.scenarios BINDINGS [FOLDER]` prints, as JSON, what each scenario gave and which names of
TensorRT's were used; FOLDER is where `bench/` lies, this repository by default.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import tempfile
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tests.bench.trt_api import fake_pycuda
from tests.bench.trt_api.fake_torch2trt import TRANSPOSED
from tests.bench.trt_api.fakes import FakeSource
from tests.bench.trt_api.stand_ins import ApiError, Recorder, StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = (16, 32)
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8", "int8-entropy", "int8-percentile")


def main(bindings: str) -> dict[str, Any]:
    """Return what the scenarios gave on the bindings in a folder."""
    sys.path.insert(0, bindings)
    recorder = Recorder(importlib.import_module("tensorrt_bindings"))
    sys.modules["tensorrt"] = recorder.module()
    sys.modules.update(fake_pycuda.modules(fake_pycuda.Device()))
    _tell(recorder)
    results: dict[str, str] = {}
    for name in ("tensorrt_weak", "tensorrt"):
        for precision in PRECISIONS:
            results[f"{name}-{precision}"] = _outcome(name, precision)
    for name in ("tensorrt_weak", "tensorrt"):
        for precision in ("fp16", "int8"):
            results |= _trials(recorder, name, precision)
    for what, (where, value) in _FAULTS.items():
        before = recorder.overrides[where]
        recorder.overrides[where] = value
        results[what] = _outcome("tensorrt", "fp16")
        recorder.overrides[where] = before
    results["torch2trt"] = _torch2trt(recorder)
    return {"version": recorder.real.__version__, "results": results, "used": sorted(recorder.used)}


_FAULTS: dict[str, tuple[tuple[str, str], Any]] = {
    "parser refuses": (("OnnxParser", "parse"), False),
    "builder fails": (("Builder", "build_serialized_network"), None),
    "plan does not load": (("Runtime", "deserialize_cuda_engine"), None),
    "no context": (("ICudaEngine", "create_execution_context"), None),
    "timing cache refused": (("IBuilderConfig", "set_timing_cache"), False),
}


def _tell(recorder: Recorder) -> None:
    """Tell the stand-ins what a real engine would say where the code depends on it."""
    real = recorder.real
    names = ("image", "logits")
    shapes = {"image": (2, 1, *SIZE), "logits": (2, 2, *SIZE)}
    modes = {"image": real.TensorIOMode.INPUT, "logits": real.TensorIOMode.OUTPUT}
    recorder.overrides |= {
        ("OnnxParser", "parse"): True,
        ("Builder", "build_serialized_network"): lambda _, network, config: _build(recorder, network, config),
        ("Runtime", "deserialize_cuda_engine"): StandIn(recorder, real.ICudaEngine),
        ("ICudaEngine", "create_execution_context"): StandIn(recorder, real.IExecutionContext),
        ("IBuilderConfig", "set_timing_cache"): True,
        ("ICudaEngine", "num_io_tensors"): 2,
        ("ICudaEngine", "get_tensor_name"): lambda _, index: names[index],
        ("ICudaEngine", "get_tensor_shape"): lambda _, name: shapes[name],
        ("ICudaEngine", "get_tensor_mode"): lambda _, name: modes[name],
        ("ICudaEngine", "get_tensor_dtype"): real.float32,
        ("ICudaEngine", "get_tensor_format"): real.TensorFormat.LINEAR,
        ("EngineInspector", "get_engine_information"): '{"Layers": []}',
        ("INetworkDefinition", "get_layer"): _layer(recorder),
        ("ILayer", "type"): real.LayerType.CONVOLUTION,
        ("ITensor", "dtype"): real.float32,
    }


def _layer(recorder: Recorder) -> StandIn:
    return StandIn(recorder, recorder.real.ILayer)


def _trials(recorder: Recorder, name: str, precision: str) -> dict[str, str]:
    """Build and run each trial of a case; the typed networks of later versions find half types at their ends."""
    from bench.backend import BuildError, OutOfMemoryError  # noqa: PLC0415 - after the stand-ins are in place
    from bench.case import Case  # noqa: PLC0415 - as above

    case = Case(name, precision, 2)
    if importlib.import_module(f"bench.backends.{name}").supports(case, "cuda") is not None:
        return {}
    trials = importlib.import_module(f"bench.backends._trials_{name}")
    before = dict(recorder.overrides)
    results = {}
    for trial, steps in trials.offers(case, "cuda").items():
        kind = recorder.real.float16 if trial.startswith("io-") else recorder.real.float32
        recorder.overrides |= {("ICudaEngine", "get_tensor_dtype"): kind}
        if steps == ("half-io",):
            recorder.overrides |= {("ITensor", "dtype"): kind}
        if trial == "io-hwc8":
            recorder.overrides |= {("ICudaEngine", "get_tensor_format"): recorder.real.TensorFormat.HWC8}
        try:
            with _workplace() as source:
                importlib.import_module(f"bench.backends.{name}").build(source, case, source.engine_folder)
                trials.build(source, source, case, [trial], source.engine_folder)
                engine = trials.load(source, case, [trial], source.engine_folder)
                engine.copy_in(np.zeros((2, 1, *SIZE), np.float32))
                engine.enqueue()
                engine.copy_out()
                engine.close()
                trials.layers(source.engine_folder)
                results[f"{case} {trial}"] = "ran"
        except (BuildError, OutOfMemoryError) as error:
            results[f"{case} {trial}"] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        recorder.overrides = dict(before)
    return results


def _build(recorder: Recorder, _network: StandIn, config: StandIn) -> StandIn:
    """Do what the builder does with what it was given: report progress, calibrate."""
    real = recorder.real
    if "progress_monitor" in config._set:
        monitor = config.progress_monitor
        _overrides_only(monitor, real.IProgressMonitor)
        monitor.phase_start("build", "", 2)
        monitor.step_complete("build", 0)
        monitor.phase_finish("build")
    if "int8_calibrator" in config._set:
        calibrator = config.int8_calibrator
        _overrides_only(calibrator, type(calibrator).__mro__[1])
        if calibrator.read_calibration_cache() is None:
            while calibrator.get_batch(["image"]) is not None:
                pass
            calibrator.write_calibration_cache(memoryview(b"TRT-8600-MinMaxCalibration\nimage: 3f800000\n"))
    return StandIn(recorder, real.IHostMemory)


def _overrides_only(instance: Any, base: type) -> None:
    """Prove that a subclass defines no public method that TensorRT would never call."""
    for name in vars(type(instance)):
        if not name.startswith("_") and not hasattr(base, name):
            msg = f"{base.__name__} has no {name} to override"
            raise ApiError(msg)


def _outcome(name: str, precision: str) -> str:
    from bench.backend import BuildError, OutOfMemoryError  # noqa: PLC0415 - after the stand-ins are in place
    from bench.case import Case  # noqa: PLC0415 - as above

    backend = importlib.import_module(f"bench.backends.{name}")
    cuda: Any = importlib.import_module("bench.backends._cuda")
    cuda._library = fake_pycuda.FakeCudaLibrary
    case = Case(name, precision, 2)
    reason = backend.supports(case, "cuda")
    if reason is not None:
        return f"skipped: {reason}"
    with _workplace() as source:
        try:
            backend.recipe(case, "cuda")
            backend.build(source, case, source.engine_folder)
            engine = backend.load(source, case, source.engine_folder)
            engine.copy_in(np.zeros((2, 1, *SIZE), np.float32))
            engine.enqueue()
            engine.copy_out()
            engine.layer_times()
            engine.close()
        except (BuildError, OutOfMemoryError) as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return "ran"


def _torch2trt(recorder: Recorder) -> str:
    """Convert with a torch2trt of one converter: what the suite sets through its hook, and its own converter."""
    real = recorder.real
    config, network = StandIn(recorder, real.IBuilderConfig), StandIn(recorder, real.INetworkDefinition)
    package: Any = types.ModuleType("torch2trt")
    package.__file__ = __file__
    package.CONVERTERS = {TRANSPOSED: {}}
    package.get_arg = lambda ctx, name, pos, default: ctx.method_kwargs.get(name, default)
    package.add_missing_trt_tensors = lambda _, tensors: [StandIn(recorder, real.ITensor) for _ in tensors]
    called = types.SimpleNamespace(
        network=network,
        method_kwargs={"weight": torch.zeros(2, 3, 2, 2), "bias": torch.zeros(3)},
        method_return=types.SimpleNamespace(),
    )
    context = types.SimpleNamespace(builder_config=config, network=types.SimpleNamespace(_network=network))
    package.get_conversion_context = lambda: context
    converted = types.SimpleNamespace(engine=StandIn(recorder, real.ICudaEngine), state_dict=dict)

    def convert(module: torch.nn.Module, inputs: list[torch.Tensor], **_: Any) -> Any:
        package.CONVERTERS[TRANSPOSED]["converter"](called)
        module(*inputs)
        return converted

    package.torch2trt = convert
    sys.modules["torch2trt"] = package
    # No GPU here: what is asked to go there stays.
    for owner, name in ((torch.nn.Module, "cuda"), (torch.Tensor, "cuda"), (torch.cuda, "synchronize")):
        setattr(owner, name, _stays)
    try:
        backend = importlib.import_module("bench.backends.torch2trt")
    except ImportError as error:
        return f"skipped: {error}"
    from bench.case import Case  # noqa: PLC0415 - after the stand-ins are in place

    with _workplace() as source:
        for precision in ("fp16", "int8", "int8-entropy", "int8-uncalibrated"):
            backend.build(source, Case("torch2trt", precision, 2), source.engine_folder)
    return "ran"


def _stays(it: Any = None) -> Any:
    return it


@contextlib.contextmanager
def _workplace() -> Iterator[FakeSource]:
    with tempfile.TemporaryDirectory() as folder:
        yield FakeSource(Path(folder))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))  # noqa: T201 - this process's answer
