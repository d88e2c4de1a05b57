"""What engines are built from: one network, its graphs on disk and its calibration images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

import models.graphs
import models.nodes
import models.padding
import models.quantize
import models.tracing
import models.unsigned
import models.variants
from bench.machine import physical_cores, runtimes
from models.graphs import GraphError
from models.images import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from bench.cache import Cache, Entry
    from models.images import ImageSet
    from models.network import Network


FORM_FILES = tuple(
    Path(str(module.__file__))
    for module in (
        models.nodes,
        models.padding,
        models.quantize,
        models.tracing,
        models.unsigned,
        models.variants,
    )
)
"""The code that decides a graph beside `models.graphs`, and an INT8 graph of given ranges."""
_MAKERS = {"torch", "onnx", "onnxruntime", "onnxruntime-gpu"}
"""Packages that make graphs; the last two install the same files, and either may be there without the other."""


@dataclass(slots=True)
class NetworkSource:
    """The `Source` that backends build from; graphs are made on first use and kept in the cache."""

    network: Network
    calibration_set: ImageSet
    image_size: tuple[int, int]
    device: Literal["cpu", "cuda"]
    cache: Cache
    threads: int = field(default_factory=physical_cores)

    @property
    def parts(self) -> tuple[Network, ImageSet, tuple[int, int], Literal["cpu", "cuda"], Cache, int]:
        """What a source of other graphs of the same is made from, in the order of the fields."""
        return self.network, self.calibration_set, self.image_size, self.device, self.cache, self.threads

    def say(self, text: str) -> None:
        """Tell the person who waits how a build gets on."""
        self.cache.say(text)

    def module(self) -> nn.Module:
        """Return the network as a fresh FP32 module in eval mode on the CPU."""
        return self.network.module()

    def calibration(self) -> NDArray[np.float32]:
        """Return the normalised calibration images, float32 [N, 1, H, W]."""
        return normalise(self.calibration_set.images)

    def graph(self, kind: str) -> Path:
        """Return the ONNX file of one of `models.graphs.KINDS`; `GraphError` when the network has none."""
        return self.graph_entry(kind).folder / "model.onnx"

    def graph_entry(self, kind: str) -> Entry:
        """Return the cache entry of one kind of graph, made on first use."""
        if kind not in models.graphs.KINDS:
            msg = f"no graph kind {kind!r}; there are: {', '.join(models.graphs.KINDS)}"
            raise GraphError(msg)
        key = {
            "network": self.network.digest,
            "kind": kind,
            "size": list(self.image_size),
            "code": source_digest(Path(str(models.graphs.__file__)), *FORM_FILES),
            "versions": {name: version for name, version in runtimes().items() if name in _MAKERS},
        }
        if kind.startswith("int8"):
            key["calibration"] = self.calibration_set.digest
        return self.cache.entry(
            "graph",
            f"{plain_name(self.network.name)}-{kind}",
            key,
            lambda folder: self._make(kind, folder / "model.onnx"),
        )

    def _make(self, kind: str, path: Path) -> None:
        if kind == "fp32":
            self._make_fp32(path)
        elif kind == "fp16":
            models.graphs.to_fp16(self.graph("fp32"), path)
        elif kind == "bf16":
            if self.network.onnx_path is not None:
                msg = f"{self.network.name}: a BF16 graph needs a PyTorch module, and --model gave an ONNX graph"
                raise GraphError(msg)
            models.graphs.export(self.module(), self.image_size, path, torch.bfloat16)
        elif kind.endswith("-typed"):
            models.graphs.to_int8_typed(self.graph(kind.removesuffix("-typed")), path)
        elif kind.endswith("-unsigned"):
            models.graphs.to_int8_unsigned(self.graph(kind.removesuffix("-unsigned")), path)
        else:
            fp32 = self.graph("fp32")
            images = self.calibration()
            self.say(f"calibrating {self.network.name} {kind} on {len(images)} images ({self.calibration_set.origin})")
            models.graphs.to_int8(fp32, models.graphs.calibration_ranges(fp32, images, kind), path)

    def _make_fp32(self, path: Path) -> None:
        if self.network.onnx_path is None:
            models.graphs.export(self.module(), self.image_size, path)
        else:
            models.graphs.adopt(self.network.onnx_path, self.image_size, path)


def source_digest(*files: Path) -> str:
    """Return a digest of source files: what the code there builds is rebuilt when the code changes."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def plain_name(name: str) -> str:
    """Return a network's name as the beginning of a folder's."""
    return "".join(letter if letter.isalnum() else "-" for letter in Path(name).name)
