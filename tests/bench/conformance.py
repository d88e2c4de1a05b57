"""The engines that the conformance suite runs over: one of every kind that loads and runs on this machine."""

from __future__ import annotations

import gc
import inspect
import sys
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import torch

import models.quantize
from bench.backend import Backend, UnavailableError, load_backend, names
from bench.case import Case
from bench.engines import open_engine
from bench.source import NetworkSource
from models.images import normalise
from tests.bench.networks import WIDTH, as_network, sections, tiny_source, trained, two_convolutions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.backend import Engine

    Array = NDArray[np.float32]

SIZE = (32, 32)
BATCH_SIZES = (1, 3)
DEVICES: tuple[Literal["cpu", "cuda"], ...] = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
COMPILES_FOR_LONG = {"torch_compile"}
"""Backends whose build takes tens of seconds: one small network at one precision and batch size stands for all."""
WIDTHS = {"cpu": WIDTH, "cuda": 8}
"""Channels of the network. TensorRT 8.6 fills 4 of FP16 up to 8 for its pooling, at times with what gives NaN."""
NEAR = {"fp32": 1e-5, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2, "int8": 5e-2}
"""How far two runs of one image may be apart, as a share of the logits' range: another slot may round otherwise."""

_CONFIGURES = ("bench.backends._trt_build", "bench.backends._torch2trt_build")
"""Modules that set the builder's effort, where TensorRT is installed."""
_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Cell:
    """One engine of this suite."""

    device: Literal["cpu", "cuda"]
    case: Case


def loaded(name: str) -> Backend | str:
    try:
        return load_backend(name)
    except UnavailableError as error:
        return str(error)


def _cells() -> tuple[list[Any], list[Any]]:
    """Return the cells that run here, and those that do not with the reason."""
    runs: list[Any] = []
    refused: list[Any] = []
    for name in names():
        backend = loaded(name)
        if isinstance(backend, str):
            refused.append(pytest.param(backend, id=name))
            continue
        for device in DEVICES:
            for precision in backend.PRECISIONS:
                # Calibrations differ in their scales alone, which no batch size changes.
                for batch_size in BATCH_SIZES[: 1 if "-" in precision else None]:
                    case = Case(name, precision, batch_size)
                    if name in COMPILES_FOR_LONG and (precision, batch_size) != ("fp32", BATCH_SIZES[-1]):
                        continue
                    reason = backend.supports(case, device)
                    marks = [pytest.mark.gpu] if device == "cuda" else []
                    if reason is None:
                        runs.append(pytest.param(Cell(device, case), id=f"{device}-{case}", marks=marks))
                    else:
                        refused.append(pytest.param(reason, id=f"{device}-{case}"))
    return runs, refused


RUNS, REFUSED = _cells()


@dataclass
class Lives:
    """An engine in use, and what became of an earlier one of the same case."""

    cell: Cell
    source: NetworkSource
    engine: Engine
    before: Array
    """The earlier one's logits of the first images."""
    found: bool
    """Whether this one was found on disk."""
    parts: list[str]
    """What the earlier one held while it was open."""
    survivors: list[str]
    """What of that is still alive since it was closed, twice."""
    kept_bytes: int
    """Device memory that closing it did not give back."""

    @property
    def size(self) -> int:
        """The engine's batch size."""
        return self.cell.case.batch_size

    def run(self, batch: Array) -> Array:
        """Return the logits of a batch."""
        self.engine.copy_in(batch)
        self.engine.enqueue()
        return self.engine.copy_out()

    def near(self, logits: Array, wanted: Array) -> bool:
        """Whether two results are one, but for rounding."""
        return bool(np.abs(logits - wanted).max() <= NEAR[self.cell.case.arithmetic] * np.ptp(wanted))


def allowed(cell: Cell) -> set[str]:
    """Return the formats that an engine may compute in: its label's alone, or where that is a leave, several.

    TF32 and what a weakly typed builder's flags allow are leaves: on a network this small, FP32 may be as fast.
    """
    case = cell.case
    flags = load_backend(case.backend).recipe(case, cell.device).get("flags", "none")
    leaves = {"tf32"} if case.precision == "tf32" else {flag.lower() for flag in flags.split()} - {"none"}
    return {"fp32", "tf32", *leaves} if leaves else {case.arithmetic}


def images(count: int, first: int = 0) -> Array:
    """Return different normalised images."""
    return normalise(sections("held-out", 6, SIZE).images[first : first + count])


def _references(engine: Engine) -> dict[str, weakref.ref[Any]]:
    """Return weak references to the engine's own parts: sessions, buffers, modules; not to what it was given."""
    given = (Case, NetworkSource, str, int, float, dict, tuple)
    # Until PyTorch's pull request 183403 a freed CUDA stream or event left weak references to it dangling: a crash.
    dangling = (torch.cuda.Stream, torch.cuda.Event)
    held = {}
    for name, part in vars(engine).items():
        shared = inspect.isroutine(part) and not getattr(part, "__closure__", None)
        if not isinstance(part, given + dangling) and not shared:
            try:
                held[name] = weakref.ref(part)
            except TypeError:
                continue
    return held


@contextmanager
def short_histograms() -> Iterator[None]:
    """Let an entropy calibration search a short histogram in the block: seconds, not tens of them."""
    method, options = models.quantize.CALIBRATIONS["int8-entropy"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.quantize.CALIBRATIONS, "int8-entropy", (method, {**options, "num_bins": 160}))
        yield


@contextmanager
def quick_builds() -> Iterator[None]:
    """Let TensorRT time few kernels in the block, a third of the seconds: no engine's speed is tested here."""
    with pytest.MonkeyPatch.context() as patch:
        for module in filter(None, map(sys.modules.get, _CONFIGURES)):
            configure = module.configure
            patch.setattr(module, "configure", lambda config, file, *_, real=configure: real(config, file, _LEVEL))
        yield


@contextmanager
def both_lives(cell: Cell, folder: Path) -> Iterator[Lives]:
    """Open a cell's engine after earlier ones of it were built, run and closed."""
    module = two_convolutions() if cell.case.backend in COMPILES_FOR_LONG else trained(WIDTHS[cell.device])
    source = tiny_source(folder, as_network(module), size=SIZE, device=cell.device)
    used = []
    # The first engine on a GPU leaves the driver's and the libraries' own memory behind, so it takes two to compare.
    for _ in range(1 if cell.device == "cpu" else 2):
        with open_engine(source, cell.case) as earlier:
            engine = earlier.engine
            engine.copy_in(images(cell.case.batch_size))
            engine.enqueue()
            before = engine.copy_out()
            held = _references(engine)
        engine.close()
        gc.collect()
        alive = [name for name, reference in held.items() if reference() is not None]
        used.append(_device_bytes(cell.device))
        del engine, earlier
    with open_engine(source, cell.case) as opened:
        yield Lives(cell, source, opened.engine, before, not opened.built, list(held), alive, used[-1] - used[0])


def _device_bytes(device: str) -> int:
    if device == "cpu":
        return 0
    free, total = torch.cuda.mem_get_info()
    return total - free
