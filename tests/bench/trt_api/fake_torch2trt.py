"""A torch2trt without converters, as strict about its inputs as the real one."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from bench.case import Case
from tests.bench.trt_api.fake_builder import Config, speak

if TYPE_CHECKING:
    import pytest

    from tests.bench.trt_api.fakes import Fakes, FakeSource

TRANSPOSED = "torch.nn.functional.conv_transpose2d"


def installed(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> FakeTorch2trt:
    """Put one in place of torch2trt, on a torch whose GPU is the CPU."""
    made = FakeTorch2trt(fakes)
    monkeypatch.setitem(sys.modules, "torch2trt", made.module())
    for owner in (torch.nn.Module, torch.Tensor):
        monkeypatch.setattr(owner, "cuda", lambda it: it)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    return made


def build(fakes: Fakes, source: FakeSource, precision: str) -> None:
    """Convert at batch 2."""
    fakes.backend("torch2trt").build(source, Case("torch2trt", precision, 2), source.engine_folder)


class FakeTorch2trt:
    """A torch2trt that marks its input tensors for ever, as the real one does, and keeps what it was given."""

    def __init__(self, fakes: Fakes) -> None:
        self.fakes = fakes
        self.conversions: list[dict[str, Any]] = []
        self.inputs: list[torch.Tensor] = []
        self.configs: list[Any] = []
        self.context: Any = None
        self.error: Exception | None = None
        self.fault: Exception | None = None
        """What the converter of a layer named up.last raises."""
        self.converters: dict[str, dict[str, Any]] = {TRANSPOSED: {"converter": "torch2trt's", "is_real": True}}
        self.used: list[Any] = []
        """What transposed convolutions were converted by."""
        self.called: Any = None
        """A transposed convolution that the network calls."""
        self.gradients: list[bool] = []
        """Whether gradients were kept."""
        kinds = fakes.tensorrt.LayerType
        self.layers = [SimpleNamespace(type=kind) for kind in (kinds.CONVOLUTION, kinds.DECONVOLUTION)]

    def module(self) -> ModuleType:
        """Return `torch2trt` as a module to put into `sys.modules`."""
        fake: Any = ModuleType("torch2trt")
        fake.__file__ = __file__
        fake.get_conversion_context = lambda: self.context
        fake.torch2trt = self.convert
        fake.TRTModule = lambda: _TRTModule(self.fakes)
        fake.CONVERTERS = self.converters
        fake.DEFAULT_CALIBRATION_ALGORITHM = SimpleNamespace(name="ENTROPY_CALIBRATION")
        fake.get_arg = _argument
        fake.add_missing_trt_tensors = lambda _, tensors: [SimpleNamespace(of=tensor) for tensor in tensors]
        return fake  # type: ignore[no-any-return]

    def convert_max_pool2d(self, fault: Exception) -> None:
        """Fail as a converter does."""
        raise fault

    def convert(self, module: torch.nn.Module, inputs: list[torch.Tensor], **options: Any) -> Any:
        """Convert as the real one does: the module runs once plainly and once inside the conversion."""
        logger = self.fakes.tensorrt.Logger("ERROR")
        speak(self.fakes.behaviour, logger)
        if self.error is not None:
            raise self.error
        (example,) = inputs
        assert not hasattr(example, "_trt"), "containsTensor(inputTensor)"
        module(example)
        config = Config(logger)
        names = {module: "", (last := torch.nn.Identity()): "up.last"}
        layers = SimpleNamespace(num_layers=len(self.layers), get_layer=self.layers.__getitem__)
        self.context = SimpleNamespace(
            builder_config=config,
            module_stack=[],
            get_module_name=names.__getitem__,
            network=SimpleNamespace(_network=layers),
        )
        self.used.append(self.converters.get(TRANSPOSED))
        self.gradients.append(torch.is_grad_enabled())
        torch.Tensor._of_torch2trt = "left behind"  # type: ignore[attr-defined]
        module(example)
        if self.called is not None:
            self.converters[TRANSPOSED]["converter"](self.called)
        if self.fault is not None:
            self.context.module_stack += [module, last]
            self.convert_max_pool2d(self.fault)
        self.context = None
        example._trt = "marked"  # type: ignore[attr-defined]
        self.inputs.append(example)
        self.conversions.append(options)
        self.configs.append(config)
        engine = object() if self.fakes.behaviour.builds else None
        return SimpleNamespace(engine=engine, state_dict=lambda: {"engine": bytearray(b"plan"), "input_names": ["x"]})


def _argument(ctx: Any, name: str, pos: int, default: Any) -> Any:
    return ctx.method_kwargs.get(name, ctx.method_args[pos] if pos < len(ctx.method_args) else default)


class _TRTModule:
    def __init__(self, fakes: Fakes) -> None:
        self._fakes = fakes
        self.engine: Any = None
        self.context: Any = None

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state["engine"] == bytearray(b"plan")
        plan = b'{"shape": [2, 1, 16, 32], "layers": ["inc:0:CONVOLUTION:GPU"]}'
        self.engine = self._fakes.tensorrt.Runtime(self._fakes.tensorrt.Logger()).deserialize_cuda_engine(plan)
        self.context = self.engine.create_execution_context()
        if self.context is not None:
            self.context.execute_async_v2 = lambda *_: self._fakes.behaviour.runs

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        # The real one drops what this returns, and hands back memory in which nothing was written.
        self.context.execute_async_v2([images.data_ptr()], 0)
        return torch.cat([images, -images], dim=1)
