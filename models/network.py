"""The network a run is about: one of the named models, a user's factory, or a user's ONNX file."""

from __future__ import annotations

import copy
import hashlib
import importlib
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from models.architecture import classes, everything
from models.onnx_file import PROBABILITIES, ModelError, describe
from models.unet import UNet, unet, unet_small
from models.weights import digest, load_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["MODELS", "WEIGHTS_FOLDER", "ModelError", "Network", "load_network", "untrained"]

MODELS: dict[str, Callable[[], nn.Module]] = {"unet": unet, "unet-small": unet_small}
"""The named models."""

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
"""Where the weights of the named models are, as NAME.safetensors."""

_SUITE = Path(__file__).parents[1]
_RANK = 4
_LOUD = 100.0
"""Standard deviation of the noise that modules are tried on; that of images is near 1."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network with its weights, as PyTorch module or as ONNX file, and the digest that identifies both.

    `fixed_batch` and `input_size` (height, width) are what an ONNX graph fixes, None where it leaves them open.
    """

    name: str
    digest: str
    weights_origin: str
    parameters: int | None = None
    onnx_path: Path | None = None
    fixed_batch: int | None = None
    input_size: tuple[int, int] | None = None
    _prototype: nn.Module | None = field(default=None, repr=False, compare=False)

    def module(self) -> nn.Module:
        """Return the network as a fresh FP32 module in eval mode on the CPU; `ModelError` for an ONNX file."""
        if self._prototype is None:
            msg = f"{self.onnx_path}: an ONNX file cannot become a PyTorch module; choose a backend that reads ONNX"
            raise ModelError(msg)
        return copy.deepcopy(self._prototype)

    def check(self, size: tuple[int, int]) -> None:
        """Raise `ModelError` unless images of `size` (height, width) in pixels become logits of that size.

        A module is run once, on noise loud enough that a single logit would leave 0 to 1, where a probability stays; an
        ONNX file was checked when it was read, but for the size, and the suite's own networks need no trial.
        """
        if self.input_size not in {None, size}:
            height, width = self.input_size or size
            wanted = f"{height}x{width}"
            # Every command takes a number for a square, not every one takes two.
            given = height if height == width else wanted
            msg = f"{self.onnx_path}: the graph takes {wanted} images only: give such, or --image-size {given}"
            raise ModelError(msg)
        if self._prototype is None or self.name in MODELS:
            return
        noise = _LOUD * torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(0))
        try:
            with torch.inference_mode():
                logits = self.module()(noise)
        except Exception as error:
            asked = f"for a grey image, float32 {[1, 1, *size]}"
            msg = f"--model {self.name}: the module failed with {type(error).__name__} {asked}: {error}"
            raise ModelError(msg) from error
        is_tensor = isinstance(logits, torch.Tensor)
        if not is_tensor or logits.ndim != _RANK or (logits.shape[0], *logits.shape[2:]) != (1, *size):
            found = f"shape {list(logits.shape)}" if is_tensor else f"a {type(logits).__name__}"
            wanted = f"logits [1, classes, {size[0]}, {size[1]}]"
            msg = f"--model {self.name}: the module returned {found}; it must return {wanted} for an image of that size"
            raise ModelError(msg)
        if logits.shape[1] == 1 and 0 <= float(logits.min()) <= float(logits.max()) <= 1:
            msg = f"--model {self.name}: the module returned values from 0 to 1 only: {PROBABILITIES}"
            raise ModelError(msg)


def load_network(model: str, weights: Path | None = None) -> Network:
    """Return the network that `--model` and `--weights` name; raises `ModelError`, or `WeightsError` for the weights.

    `model` is a name in `MODELS` (weights from `WEIGHTS_FOLDER` by default), `package.module:factory` (its own initial
    weights by default) or `FILE.onnx` (which brings its weights along).
    """
    if model.lower().endswith(".onnx"):
        if weights is not None:
            msg = f"{model}: an ONNX file holds its own weights, so leave out --weights {weights}"
            raise ModelError(msg)
        path = Path(model)
        graph = describe(path)
        origin = f"in {model}"
        return Network(path.stem, graph.digest, origin, None, path, graph.fixed_batch, graph.input_size)
    module = untrained(model)
    origin = f"initial weights of {model}"
    if weights is None and model in MODELS:
        weights = WEIGHTS_FOLDER / f"{model}.safetensors"
        origin = f"models/weights/{model}.safetensors"
    elif weights is not None:
        origin = str(weights)
    if weights is not None:
        load_weights(module, weights)
    module = module.cpu().float().eval().requires_grad_(requires_grad=False)
    identity = hashlib.sha256(f"{_architecture(model, module)}\n{digest(module)}".encode()).hexdigest()
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Network(model, identity, origin, parameters, _prototype=module)


def untrained(model: str, seed: int = 0) -> nn.Module:
    """Return a new module of a named model or factory, its initial weights drawn with `seed`; else `ModelError`."""
    factory = MODELS.get(model) or _import_factory(model)
    with torch.random.fork_rng(devices=[]), _current_folder_importable():
        torch.manual_seed(seed)
        try:
            module = factory()
        except Exception as error:
            msg = f"--model {model}: the factory failed with {type(error).__name__}: {error}"
            raise ModelError(msg) from error
    if not isinstance(module, nn.Module):
        msg = f"--model {model}: the factory returned a {type(module).__name__}; it must return a torch.nn.Module"
        raise ModelError(msg)
    if isinstance(module, torch.jit.ScriptModule):
        msg = (
            f"--model {model}: the factory returned a {type(module).__name__}, which backends cannot change: return "
            "the module that torch.jit was given, or give an ONNX file of it"
        )
        raise ModelError(msg)
    return module


def _architecture(model: str, module: nn.Module) -> str:
    """Return what tells networks with equal weights apart; of the suite's own, whoever made them, their classes do."""
    if model in MODELS:
        return classes(module)
    found = everything(module)
    own = isinstance(module, UNet) and found in {everything(untrained(name)) for name in MODELS}
    return classes(module) if own else found


def _import_factory(model: str) -> Callable[[], nn.Module]:
    """Return the callable that `package.module:factory` names."""
    name, _, attribute = model.partition(":")
    if not (attribute.isidentifier() and all(part.isidentifier() for part in name.split("."))):
        msg = f"no model {model!r}: give {', '.join(MODELS)}, package.module:factory or FILE.onnx"
        raise ModelError(msg)
    _check_not_hidden(model, name.partition(".")[0])
    with _current_folder_importable():
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            msg = f"--model {model}: cannot import {name} from the current folder or the installed packages ({error})"
            raise ModelError(msg) from error
        except Exception as error:
            msg = f"--model {model}: importing {name} failed with {type(error).__name__}: {error}"
            raise ModelError(msg) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        names = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        msg = f"--model {model}: {name} has no callable {attribute!r}; it has {', '.join(names) or 'none'}"
        raise ModelError(msg)
    return factory  # type: ignore[no-any-return]


def _check_not_hidden(model: str, package: str) -> None:
    """Raise `ModelError` where the suite's package of that name would be imported, and not the current folder's."""
    own, here = _SUITE / package, Path.cwd() / package
    found = [path for path in (here, here.with_suffix(".py")) if path.exists()]
    if own.is_dir() and found and found[0].resolve() != own.resolve():
        msg = f"--model {model}: {found[0]} is called like this suite's own {package}, which hides it: rename it"
        raise ModelError(msg)


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    """Let imports find the current folder first, as `python -m` does."""
    folder = str(Path.cwd())
    importlib.invalidate_caches()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
