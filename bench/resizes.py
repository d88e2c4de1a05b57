"""What an INT8 resize costs that hands its integers on, as if its output had its input's range."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bench.ranges import STEPS
from bench.reference import mean_dice
from bench.source import NetworkSource, plain_name, source_digest
from models.nodes import Nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.cache import Entry
    from bench.case import Case
    from bench.fidelity import Reference
    from bench.ranges import Ranges
    from models.images import ImageSet


@dataclass(frozen=True, slots=True)
class Resized:
    """One resize of a graph and the ranges at its ends, in the tensors' own units."""

    tensor: str
    """What it makes."""
    source: str
    """What it reads."""
    read: float
    """Range of what it reads."""
    made: float
    """Range of what it makes."""

    @property
    def factor(self) -> float:
        """What its values are multiplied by where its integers, made with one range, are read with the other."""
        return self.made / self.read


def resizes(graph: Path, ranges: Ranges) -> list[Resized]:
    """Return the resizes of a graph, in order, whose two ends both have a range."""
    nodes = Nodes(onnx.load(graph, load_external_data=False)).of("Resize")
    ends = [(node.output[0], node.input[0]) for node in nodes]
    return [
        Resized(made, read, ranges[read], ranges[made]) for made, read in ends if ranges.get(made) and ranges.get(read)
    ]


def with_read_ranges(cache: bytes, found: Sequence[Resized]) -> bytes:
    """Return a TensorRT calibration cache in which what a resize makes has the range of what it reads.

    Linear interpolation makes no value beyond those it reads: nothing is clipped. Of a cubic one, what overshoots is.
    """
    scales = {each.tensor: struct.pack("!f", each.read / STEPS).hex() for each in found}
    lines = cache.decode().split("\n")
    for index, line in enumerate(lines[1:], 1):
        name, colon, _ = line.rpartition(": ")
        if colon and name in scales:
            lines[index] = f"{name}: {scales[name]}"
    return "\n".join(lines).encode()


def handed_on(graph: Path, factors: Mapping[str, float], path: Path) -> None:
    """Write a graph with the maps that its resizes make, by name, multiplied by their factors."""
    model = onnx.load(graph)
    nodes = Nodes(model)
    for number, (tensor, factor) in enumerate(factors.items()):
        constant, scaled = f"handed_on_{number}", f"{tensor}_handed_on"
        for reader in nodes.readers(tensor):
            reader.input[:] = [scaled if name == tensor else name for name in reader.input]
        model.graph.initializer.append(numpy_helper.from_array(np.float32(factor), constant))
        place = list(model.graph.node).index(nodes.producers[tensor]) + 1
        model.graph.node.insert(place, helper.make_node("Mul", [tensor, constant], [scaled]))
    onnx.save(model, path)


@dataclass(slots=True)
class HandedOn(NetworkSource):
    """A source whose FP32 graph has resizes that hand their integers' worth on."""

    factors: Mapping[str, float] = field(kw_only=True)
    plain: NetworkSource = field(kw_only=True)

    def graph_entry(self, kind: str) -> Entry:
        """Return the cache entry of one kind of graph, the FP32 one with its resizes' maps multiplied."""
        entry = self.plain.graph_entry(kind)
        if kind != "fp32":
            return entry
        key = {"fp32": entry.digest, "factors": dict(self.factors), "code": source_digest(Path(__file__))}
        return self.cache.entry(
            "resizes",
            plain_name(self.network.name),
            key,
            lambda folder: handed_on(entry.folder / "model.onnx", self.factors, folder / "model.onnx"),
        )


def dice_handed_on(
    source: NetworkSource, case: Case, found: Sequence[Resized], judged_by: tuple[ImageSet, Reference]
) -> float:
    """Return the mean Dice against FP32 of an FP32 engine that differs in its resizes alone."""
    changed = HandedOn(*source.parts, factors={each.tensor: each.factor for each in found}, plain=source)
    return mean_dice(changed, case, f"{case.id}-resizes", judged_by)
