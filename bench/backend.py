"""What a backend file must offer, what it gets to build from, and how backend files are found."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import nn

    from bench.case import Case
    from models.network import Network

_FOLDER = Path(__file__).parent / "backends"
_OURS = ("bench", "models")


class UnavailableError(RuntimeError):
    """A backend whose library is not installed or does not load; the text is the reason."""


class OutOfMemoryError(RuntimeError):
    """A case that does not fit the device's memory; the text says at which batch and what it needs."""


class BuildError(RuntimeError):
    """An engine that cannot be built or loaded; the text holds the runtime's own messages."""


class Source(Protocol):
    """What engines are built from: the network, its graphs and its calibration images."""

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where engines run."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""

    @property
    def threads(self) -> int:
        """CPU threads an engine may use: the physical cores of this process."""

    def module(self) -> nn.Module:
        """Return the network as a fresh FP32 module in eval mode on the CPU."""

    def graph(self, kind: str) -> Path:
        """Return the ONNX file of one kind of graph, made on first use (kinds: `models.graphs.KINDS`)."""

    def calibration(self) -> NDArray[np.float32]:
        """Return the normalised calibration images, float32 [N, 1, H, W]."""

    def say(self, text: str) -> None:
        """Tell the person who waits how a build gets on, one line."""


class Engine(Protocol):
    """A network built for one case, ready to run; owns its device memory until `close`."""

    @property
    def achieved(self) -> Mapping[str, float]:
        """Share of the convolution FLOPs run in each number format, read off the runtime; sums to 1."""

    @property
    def engine_bytes(self) -> int:
        """Size of the built engine: the plan file, or the weights as the runtime holds them."""

    def copy_in(self, batch: NDArray[np.float32]) -> None:
        """Copy normalised images, float32 [B, 1, H, W], to the device."""

    def enqueue(self) -> None:
        """Start one inference on the batch last copied in; may return before it ends."""

    def synchronize(self) -> None:
        """Return once no device work of this engine is pending."""

    def copy_out(self) -> NDArray[np.float32]:
        """Return the logits of the last inference as a new array, float32 [B, classes, H, W]; synchronizes."""

    def close(self) -> None:
        """Release everything the engine holds; calling it again does nothing."""


class Backend(Protocol):
    """The names that a file under `bench/backends/` defines at module level."""

    READS: Literal["module", "graph"]
    """What it builds from: the PyTorch module, or an ONNX graph."""
    PRECISIONS: tuple[str, ...]
    """The precisions it offers on some machine; `supports` says which run on this one."""

    def supports(self, case: Case, device: str) -> str | None:
        """Return why this machine cannot run the case, or None when it can; quick, and builds nothing large."""

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that the engine depends on."""

    def recipe(self, case: Case, device: str) -> dict[str, str]:
        """Return what else decides the engine: graph kind, flags, options. Part of the engine's key on disk.

        `recipe["graph"]` names the kind of graph that `build` and `load` read, when they read one.
        """

    def build(self, source: Source, case: Case, folder: Path) -> None:
        """Build the engine and leave its files in `folder`, which is empty; raise on failure."""

    def load(self, source: Source, case: Case, folder: Path) -> Engine:
        """Return the engine that `build` left in `folder`, ready to run (first inference included)."""


def as_batch(batch: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the batch as contiguous memory; `ValueError` unless it is float32 of exactly this shape."""
    if batch.shape != shape or batch.dtype != np.float32:
        msg = f"the engine takes float32 {list(shape)}, not {batch.dtype} {list(batch.shape)}"
        raise ValueError(msg)
    return np.ascontiguousarray(batch)


def names() -> tuple[str, ...]:
    """Return the backends there are files for, sorted, without importing any."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.py") if not path.stem.startswith("_")))


def load_backend(name: str) -> Backend:
    """Import and return one backend; `UnavailableError` says what is missing, a fault of our own is raised as is."""
    if name not in names():
        msg = f"no backend {name!r}; there are: {', '.join(names())}"
        raise ValueError(msg)
    try:
        return cast("Backend", importlib.import_module(f"bench.backends.{name}"))
    except ImportError as error:
        if (error.name or "").partition(".")[0] in _OURS:
            raise
        msg = f"{name}: {error}"
        raise UnavailableError(msg) from error
    except (AttributeError, OSError, RuntimeError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        if Path(frames[-1].filename).is_relative_to(_FOLDER.parent):
            raise
        msg = f"{name}: its library does not load: {type(error).__name__}: {error}"
        raise UnavailableError(msg) from error


def why_not(backend: Backend, case: Case, device: str, network: Network) -> str | None:
    """Return why a case cannot run on this machine with this network, or None."""
    if backend.READS == "module" and network.onnx_path is not None:
        return f"{case.backend} builds from a PyTorch module, and --model gave the ONNX graph {network.onnx_path.name}"
    if network.fixed_batch not in {None, case.batch_size}:
        return f"the ONNX graph {network.name} takes batches of {network.fixed_batch} only"
    return backend.supports(case, device)
