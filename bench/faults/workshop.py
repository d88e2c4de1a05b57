"""Where engines are built for the proof: small images, a cache of their own, and a place to break each stage."""

from __future__ import annotations

import dataclasses
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from bench.backend import UnavailableError, load_backend, names
from bench.backends._onnx import cpu_graph
from bench.cache import Cache
from bench.case import Case
from bench.fidelity import Reference, judge, predict
from bench.reference import reference_case
from bench.source import NetworkSource
from models.images import builtin, normalise
from models.network import Network, load_network
from models.weights import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import nn

    from bench.backend import Engine
    from models.images import ImageSet

    Feed = Callable[[NDArray[np.float32]], NDArray[np.float32]]

BATCH = 4
_CALIBRATION = 8


@dataclass(frozen=True, slots=True)
class Build:
    """How to build an engine: each part honest unless it is given."""

    precision: str = "fp32"
    module: Callable[[nn.Module], object] | None = None
    """Breaks the network in place."""
    calibration: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
    """Changes the normalised calibration images, [N, 1, H, W]."""
    graph: Callable[[onnx.ModelProto], None] | None = None
    """Breaks the graph that the backend reads, in place."""
    feed: Feed | None = None
    """Changes the normalised images that the engine is fed, [B, 1, H, W]."""
    threads: int | None = None
    batch_size: int = BATCH
    backend: str | None = None


@dataclass(slots=True)
class _Source(NetworkSource):
    """A source whose calibration images and last graph can be changed on the way."""

    build: Build = dataclasses.field(default_factory=Build)

    def calibration(self) -> NDArray[np.float32]:
        images = normalise(self.calibration_set.images)
        return self.build.calibration(images) if self.build.calibration else images

    def graph(self, kind: str) -> Path:
        path = NetworkSource.graph(self, kind)
        if self.build.graph is None or kind != cpu_graph(Case("any", self.build.precision, BATCH)):
            return path
        model = onnx.load(path)
        self.build.graph(model)
        changed = path.with_name("changed.onnx")
        onnx.save(model, changed)
        return changed


class _Fed:
    """An engine whose images are changed on their way in."""

    def __init__(self, engine: Engine, feed: Feed) -> None:
        self._engine, self._feed = engine, feed

    def copy_in(self, batch: NDArray[np.float32]) -> None:
        """Copy in what the batch is changed into."""
        self._engine.copy_in(np.ascontiguousarray(self._feed(batch)))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the engine has
        """Return what the engine has."""
        return getattr(self._engine, name)


class Workshop:
    """A network, images and the FP32 masks that engines are judged by.

    Raises `ImageError` for a size it cannot have, and `UnavailableError` where no backend runs graphs in INT8.
    """

    def __init__(self, size: int, count: int) -> None:
        self._size = (size, size)
        self._network = load_network("unet-small")
        self.images = builtin("held-out", self._size, count)
        self._calibration: ImageSet = builtin("calibration", self._size, _CALIBRATION)
        with self._source(Build()) as source:
            self.fp32 = reference_case(source, BATCH).backend
        if not self.backends("int8"):
            msg = "no backend here runs graphs in INT8 on a CPU: install onnxruntime or openvino (requirements.txt)"
            raise UnavailableError(msg)
        with self.engine(Build()) as engine:
            self._reference = Reference(*predict(engine, self.images, BATCH))

    def backends(self, precision: str) -> list[str]:
        """Return the backends that run this precision here and read graphs, and for FP32 the reference's own."""
        found = []
        for name in names():
            try:
                backend = load_backend(name)
            except UnavailableError:
                continue
            if precision in backend.PRECISIONS and backend.supports(Case(name, precision, BATCH), "cpu") is None:
                found += [name] if backend.READS == "graph" or name == self.fp32 else []
        return found

    def measure(self, build: Build) -> dict[str, Any]:
        """Return the Dice of an engine as a row holds it; `NonFiniteError` where it puts out NaN or infinities."""
        with self.engine(build) as engine:
            return judge(engine, self.images, build.batch_size, self._reference).as_dict()

    @contextmanager
    def engine(self, build: Build) -> Iterator[Engine]:
        """Build an engine from nothing, load it, and release it."""
        with self._source(build) as source, tempfile.TemporaryDirectory() as folder:
            name = build.backend or (self.fp32 if build.precision == "fp32" else self.backends(build.precision)[0])
            case, backend = Case(name, build.precision, build.batch_size), load_backend(name)
            backend.build(source, case, Path(folder))
            engine = backend.load(source, case, Path(folder))
            try:
                yield _Fed(engine, build.feed) if build.feed else engine
            finally:
                engine.close()

    @contextmanager
    def _source(self, build: Build) -> Iterator[NetworkSource]:
        """Yield a source with an empty cache, so that nothing of another build is found again."""
        with tempfile.TemporaryDirectory() as folder:
            network, cache = self._changed(build), Cache(Path(folder), lambda _: None)
            source = _Source(network, self._calibration, self._size, "cpu", cache, build=build)
            source.threads = build.threads or source.threads
            yield source

    def _changed(self, build: Build) -> Network:
        if build.module is None:
            return self._network
        module = self._network.module()
        build.module(module)
        return Network("broken", digest(module), "broken on purpose", None, _prototype=module)
