"""Which tensor's range costs the Dice: INT8 engines with one set of ranges, but for a tensor that has another's."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import models.symmetric
from bench.reference import mean_dice
from bench.source import FORM_FILES, NetworkSource, plain_name, source_digest
from models.graphs import to_int8, to_int8_typed, to_int8_unsigned
from models.symmetric import symmetric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.cache import Entry
    from bench.case import Case
    from bench.fidelity import Reference
    from models.images import ImageSet

_FORMS = {"-typed": to_int8_typed, "-unsigned": to_int8_unsigned}


@dataclass(slots=True)
class GivenRanges(NetworkSource):
    """A source whose INT8 graphs have ranges that it is given, by tensor."""

    limits: Mapping[str, float] = field(kw_only=True)
    plain: NetworkSource = field(kw_only=True)

    @property
    def label(self) -> str:
        """A name of its own for each set of ranges, so that the cache takes none for a change of another."""
        return hashlib.sha256(json.dumps(dict(self.limits), sort_keys=True).encode()).hexdigest()[:8]

    def graph_entry(self, kind: str) -> Entry:
        """Return the cache entry of one kind of graph, an INT8 one with the given ranges."""
        if not kind.startswith("int8"):
            return self.plain.graph_entry(kind)
        fp32 = self.plain.graph_entry("fp32")
        form = next((form for form in _FORMS if kind.endswith(form)), None)
        code = source_digest(Path(str(models.symmetric.__file__)), *FORM_FILES)
        key = {"fp32": fp32.digest, "kind": kind, "limits": dict(self.limits), "code": code}
        name = f"{plain_name(self.network.name)}-{kind}-{self.label}"
        if form is None:
            ranges = symmetric(self.limits)
            return self.cache.entry(
                "given", name, key, lambda folder: to_int8(fp32.folder / "model.onnx", ranges, folder / "model.onnx")
            )
        signed = self.graph(kind.removesuffix(form))
        return self.cache.entry("given", name, key, lambda folder: _FORMS[form](signed, folder / "model.onnx"))


def dice_of_swaps(
    source: NetworkSource,
    case: Case,
    sets: tuple[Mapping[str, float], Mapping[str, float]],
    tensors: Sequence[str],
    judged_by: tuple[ImageSet, Reference],
) -> Iterator[tuple[str, float]]:
    """Yield the mean Dice against FP32 with the first set of ranges, with the second, and with each tensor swapped.

    A swapped tensor has the second set's range and all others the first's; what only one set holds keeps that.
    """
    base = {**sets[1], **sets[0]}
    other = {**sets[0], **sets[1]}
    swaps = [(tensor, {**base, tensor: other[tensor]}) for tensor in tensors]
    for name, limits in (("all by the first", base), ("all by the second", other), *swaps):
        given = GivenRanges(*source.parts, limits=limits, plain=source)
        yield name, mean_dice(given, case, f"{case.id}-given-{given.label}", judged_by)
