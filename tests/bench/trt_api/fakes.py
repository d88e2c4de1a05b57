"""The fakes put together: backends imported anew on them, and a source of a small graph to build from."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper
from torch import nn

from bench import backends
from tests.bench.trt_api import fake_pycuda, fake_tensorrt

if TYPE_CHECKING:
    import pytest
    from numpy.typing import NDArray

SIZE = (16, 32)


@dataclass
class Fakes:
    """A fake machine with one GPU, TensorRT 8.6 and pycuda."""

    monkeypatch: pytest.MonkeyPatch
    device: fake_pycuda.Device = field(default_factory=fake_pycuda.Device)
    behaviour: fake_tensorrt.Behaviour = field(default_factory=fake_tensorrt.Behaviour)
    library: fake_pycuda.FakeCudaLibrary = field(default_factory=fake_pycuda.FakeCudaLibrary)

    def __post_init__(self) -> None:
        self.tensorrt: Any = fake_tensorrt.module(self.behaviour, self.device)
        self.library.relaunch = self.behaviour.replay
        for name, module in {"tensorrt": self.tensorrt, **fake_pycuda.modules(self.device)}.items():
            self.monkeypatch.setitem(sys.modules, name, module)
        for path in Path(backends.__path__[0]).glob("*.py"):
            if any(word in path.stem for word in ("trt", "tensorrt", "cuda", "memory", "nvidia", "calibrators")):
                self._forget(path.stem)

    def _forget(self, name: str) -> None:
        """Have a backend's module imported anew in this test, and again in the next one."""
        # What is set here is undone at the test's end, and with it what the test's own imports put in its place.
        for place, key in ((sys.modules, f"bench.backends.{name}"), (vars(backends), name)):
            self.monkeypatch.setitem(place, key, ModuleType(name))
            del place[key]

    def backend(self, name: str) -> Any:
        """Return a module of `bench.backends`, imported on the fakes."""
        cuda = importlib.import_module("bench.backends._cuda")
        self.monkeypatch.setattr(cuda, "_library", lambda: self.library)
        self.monkeypatch.setattr(cuda, "atexit", SimpleNamespace(register=lambda *_: None))
        return importlib.import_module(f"bench.backends.{name}")


@dataclass
class FakeSource:
    """A `Source` of a graph with one convolution, and of five calibration images."""

    folder: Path
    device: Literal["cpu", "cuda"] = "cuda"
    image_size: tuple[int, int] = SIZE
    threads: int = 1
    images: int = 5
    said: list[str] = field(default_factory=list)

    @property
    def engine_folder(self) -> Path:
        """An empty folder for one engine, in a folder of its own for engines."""
        folder = self.folder / "engines" / "one"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def module(self) -> nn.Module:
        """Return a network of one convolution."""
        return nn.Conv2d(1, 2, 3, padding=1).eval()

    def graph(self, kind: str) -> Path:
        """Return a graph of one convolution, with a free batch, whatever its kind."""
        path = self.folder / f"{kind}.onnx"
        if not path.exists():
            onnx.save(graph(), path)
        return path

    def calibration(self) -> NDArray[np.float32]:
        """Return images whose first value is their number."""
        images = np.zeros((self.images, 1, *self.image_size), np.float32)
        images[:, 0, 0, 0] = np.arange(self.images)
        return images

    def say(self, text: str) -> None:
        """Keep what is said."""
        self.said.append(text)


def graph(batch: str | int = "batch") -> onnx.ModelProto:
    """Return a model of one 3x3 convolution of 1 to 2 channels, named `/inc/Conv`."""
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [2, 1, 3, 3], [0.5] * 18)
    node = helper.make_node("Conv", ["image", "weight"], ["logits"], name="/inc/Conv", pads=[1, 1, 1, 1])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 1, *SIZE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 2, *SIZE])
    made = helper.make_graph([node], "one convolution", [image], [logits], [weight])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
