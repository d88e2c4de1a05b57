"""Converting a module with torch2trt, with the same builder settings that the other TensorRT rows have."""

from __future__ import annotations

import traceback
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import tensorrt as trt
import torch
import torch2trt

from bench.backends import _cuda
from bench.backends._calibrators import batches
from bench.backends._memory import guarded
from bench.backends._torch2trt_converters import convert_transposed, converters_mended
from bench.backends._torch2trt_tensor import tensor_kept
from bench.backends._trt_config import (
    WORKSPACE_BYTES,
    alone_on_gpu,
    configure,
    keep_transposed,
    save_timings,
    timing_path,
)
from bench.backends._trt_log import fail, heard, log
from bench.backends._trt_progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import nn

    from bench.backend import Source
    from bench.case import Case

STATE = "engine.pt"


def build(source: Source, case: Case, folder: Path, options: Mapping[str, Any], *, calibrated: bool) -> None:
    """Convert the network with torch2trt's `options` and leave the state dict in `folder`.

    `calibrated` gives it the calibration images; else INT8 is calibrated on the example input alone.
    """
    _cuda.context()
    _cuda.tidy()
    with alone_on_gpu(folder, source.say, str(case)):
        guarded(case.batch_size, lambda: _convert(source, case, folder, options, calibrated=calibrated))
    _cuda.tidy()


@contextmanager
def messages_kept() -> Iterator[None]:
    """Have torch2trt's loggers be the log that keeps TensorRT's messages, and its deprecation warnings hidden."""
    original = trt.Logger
    trt.Logger = lambda *_: log()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        trt.Logger = original


def _convert(source: Source, case: Case, folder: Path, options: Mapping[str, Any], *, calibrated: bool) -> None:
    module = source.module().cuda().eval()
    images = batches(source.calibration(), case.batch_size)
    calibration: dict[str, Any] = {}
    if calibrated:
        # torch2trt reads the addresses of what it is given: on the device, contiguous, float32, the engine's shape.
        calibration["int8_calib_dataset"] = [[torch.from_numpy(batch).cuda()] for batch in images]
    # torch2trt marks the example input and never clears the mark: every conversion gets a tensor of its own.
    example = torch.from_numpy(images[0].copy()).cuda()
    settings = _Settings(timing_path(folder), integers=case.arithmetic == "int8")
    module.register_forward_pre_hook(settings.before)
    module.register_forward_hook(settings.after)
    with (
        heard() as lines,
        messages_kept(),
        tensor_kept(),
        converters_mended(),
        torch.no_grad(),
        Progress(source.say, str(case)),
    ):
        try:
            converted = torch2trt.torch2trt(
                module, [example], max_workspace_size=WORKSPACE_BYTES, keep_network=False, **options, **calibration
            )
        # A layer without a converter leaves a tensor without torch2trt's mark; a converter's own faults are the others.
        except (AttributeError, LookupError, NotImplementedError, TypeError, ValueError) as error:
            where = f"{settings.place()}{_converter(error)}"
            told = f"{type(error).__name__}: {error}".partition("\n")[0]
            what = f"{case}: torch2trt cannot convert the network{where} (tensorrt_weak may): {told}"
            fail(what, case.batch_size, lines)
        torch.cuda.synchronize()
        if converted.engine is None:
            fail(f"{case}: torch2trt got no engine from TensorRT {trt.__version__}", case.batch_size, lines)
        settings.save()
    torch.save(converted.state_dict(), folder / STATE)


def _converter(error: Exception) -> str:
    """Return the converter that an error came from, and whose it is, as words."""
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__) if frame.name.startswith("convert_")]
    whose = "this suite's" if convert_transposed.__name__ in names else "its"
    return f" in {whose} {names[-1]}" if names else ""


class _Settings:
    """Forward hooks: while torch2trt converts, its builder's configuration can be reached from the module's call."""

    def __init__(self, timing_file: Path, *, integers: bool) -> None:
        self._timing_file, self._integers = timing_file, integers
        self._conversion: Any = None

    def before(self, module: nn.Module, inputs: Any) -> None:  # noqa: ARG002, ANN401 - torch's signature
        """Configure the builder before the first layer is converted."""
        conversion = torch2trt.get_conversion_context()
        if conversion is not None:
            self._conversion = conversion
            configure(conversion.builder_config, self._timing_file)

    def after(self, module: nn.Module, inputs: Any, outputs: Any) -> None:  # noqa: ARG002, ANN401 - as above
        """Keep transposed convolutions out of INT8 once all layers are converted."""
        if self._conversion is not None and self._integers:
            # What torch2trt wraps around a network names each layer that it hands out anew.
            network = self._conversion.network._network  # noqa: SLF001 - there is no other way to it
            keep_transposed(network, self._conversion.builder_config)

    def place(self) -> str:
        """Return the layer that a conversion which failed had come to, as words."""
        reached: Any = getattr(self._conversion, "module_stack", ())
        return f" at its layer {self._conversion.get_module_name(reached[-1])}" if len(reached) > 1 else ""

    def save(self) -> None:
        """Keep the timings of the conversion that is over."""
        if self._conversion is not None:
            save_timings(self._conversion.builder_config, self._timing_file)
