"""Other engines of a case, by what changes in its graph and in how it is built, and how each is opened."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import models.ends
import models.nodes
import models.variants
from bench.backend import load_backend
from bench.engines import open_engine
from bench.source import NetworkSource, plain_name, source_digest
from bench.trials import load_trials
from models.graphs import to_variant
from models.variants import VARIANTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.backend import Backend, Engine, Source
    from bench.cache import Entry
    from bench.case import Case
    from bench.engines import OpenEngine
    from bench.trials import Trials

PLAIN = "plain"
PERCENTILE = "percentile"
"""Ranges that leave out the outermost values, in place of MinMax's."""
_ANYWHERE = ("one-logit",)
"""Steps on a graph after which any backend's engine still gives float32 logits."""
_MINMAX = re.compile(r"^int8(?!-entropy|-percentile)")


@dataclass(slots=True)
class VariantSource(NetworkSource):
    """A source whose graphs are changed step by step, its INT8 graphs by other ranges or Q/DQ nodes as well."""

    steps: tuple[str, ...] = field(kw_only=True)
    plain: NetworkSource = field(kw_only=True)

    def graph_entry(self, kind: str) -> Entry:
        """Return the cache entry of one kind of graph with the steps that apply to it."""
        if PERCENTILE in self.steps:
            kind = _MINMAX.sub("int8-percentile", kind)
        entry = self.plain.graph_entry(kind)
        int8 = kind.startswith("int8")
        steps = [step for step in self.steps if step != PERCENTILE and (int8 or step not in VARIANTS)]
        if not steps:
            return entry
        key = {
            "plain": entry.digest,
            "variant": steps,
            "code": source_digest(
                *(Path(str(module.__file__)) for module in (models.variants, models.ends, models.nodes))
            ),
        }
        return self.cache.entry(
            "graph",
            f"{plain_name(self.network.name)}-{kind}-{'+'.join(steps)}",
            key,
            lambda folder: to_variant(entry.folder / "model.onnx", steps, folder / "model.onnx"),
        )


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to build a case: steps on its graph, and what its backend tries beside them."""

    name: str
    steps: tuple[str, ...] = ()
    trials: tuple[str, ...] = ()


def offered(case: Case, device: str) -> dict[str, Variant]:
    """Return the variants of a case by name; none where its backend reads no graph and offers no trials."""
    backend, trials = load_backend(case.backend), load_trials(case.backend)
    graph = backend.recipe(case, device).get("graph")
    found = {step: Variant(step, (step,)) for step in _ANYWHERE if graph is not None}
    if graph is not None and graph.startswith("int8"):
        # Graphs with unsigned activations join one scale as they are.
        joined = {"shared-concat"} if graph.endswith("-unsigned") else set()
        found |= {step: Variant(step, (step,)) for step in VARIANTS if step not in joined}
        if case.precision == "int8":
            found[PERCENTILE] = Variant(PERCENTILE, (PERCENTILE,))
    if trials is not None:
        found |= {name: Variant(name, steps, (name,)) for name, steps in trials.offers(case, device).items()}
    return found


def combined(text: str, known: dict[str, Variant]) -> Variant:
    """Return the variant that names joined by + mean together; `ValueError` names what is unknown and what is not."""
    parts = text.split("+")
    unknown = [part for part in parts if part not in known]
    if unknown:
        msg = f"no variant {unknown[0]!r} of this case; there are {', '.join(known)}, and several joined by +"
        raise ValueError(msg)
    steps = tuple(dict.fromkeys(step for part in parts for step in known[part].steps))
    return Variant(text, steps, tuple(dict.fromkeys(trial for part in parts for trial in known[part].trials)))


def variant_source(plain: NetworkSource, steps: tuple[str, ...]) -> NetworkSource:
    """Return the source of graphs changed by steps; without any it is the source itself."""
    if not steps:
        return plain
    return VariantSource(*plain.parts, steps=steps, plain=plain)


@contextmanager
def open_variant(source: NetworkSource, case: Case, variant: Variant) -> Iterator[OpenEngine]:
    """Build or find one variant's engine, load it, and release it at the end of the block."""
    changed = variant_source(source, variant.steps)
    backend = None
    if variant.trials:
        trials = cast("Trials", load_trials(case.backend))
        backend = cast("Backend", _Tried(load_backend(case.backend), trials, source, variant.trials))
    name = None if variant.name == PLAIN else f"{case.id}-{variant.name}"
    with open_engine(changed, case, backend, name) as opened:
        yield opened


class _Tried:
    """A backend that builds its trials in place of its engines."""

    def __init__(self, backend: Backend, trials: Trials, plain: NetworkSource, names: tuple[str, ...]) -> None:
        self.READS, self.PRECISIONS = backend.READS, backend.PRECISIONS
        self.supports, self.versions = backend.supports, backend.versions
        self._trials, self._plain, self._names = trials, plain, names
        # The engine's key holds a digest of this file and of those it names.
        self.__file__ = str(getattr(trials, "__file__", ""))

    def recipe(self, case: Case, device: str) -> dict[str, str]:
        return self._trials.recipe(case, device, self._names)

    def build(self, source: Source, case: Case, folder: Path) -> None:
        self._trials.build(source, self._plain, case, self._names, folder)

    def load(self, source: Source, case: Case, folder: Path) -> Engine:
        return self._trials.load(source, case, self._names, folder)
