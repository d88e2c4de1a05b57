"""What binds a case: its time against the least that the ceilings allow, and its most expensive layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.case import Case
    from bench.roofline.counts import Work

VALUE_BYTES = {"fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.0}
MOST_LAYERS = 10
ABOVE = (
    "above 100 %: ceilings are the best that was measured, not the chip's peak. Such an engine was faster than every "
    "product tried here, or found in cache what counts as moved, or something else ran while ceilings were measured."
)
"""What to say under a table in which an engine passes its ceiling."""
_GAPS = 0.3
"""Share of the time outside all layers from which launching them is what binds."""
_NEAR = 0.5
"""Share of the ceiling from which that ceiling is what binds; below it the kernels are, which others may outrun."""


@runtime_checkable
class TimesLayers(Protocol):
    """An engine whose runtime can say how long each of its layers takes."""

    def layer_times(self) -> Mapping[str, float]:
        """Return the seconds of each layer, as the runtime names them, in one inference on the batch last copied in."""


def least_s(work: Work, case: Case, ceilings: Mapping[str, float]) -> tuple[float, float] | None:
    """Return the seconds that arithmetic and memory each need at least for one batch; None without a ceiling.

    After S. Williams, A. Waterman and D. Patterson, "Roofline", Communications of the ACM 52 (2009), layer by layer:
    a layer needs the longer of the two, and the sums are over the layers that each of them binds.
    """
    if case.arithmetic not in ceilings:
        return None
    arithmetic_s = memory_s = 0.0
    for layer in work.layers:
        computes_s = case.batch_size * layer.flops / ceilings[case.arithmetic]
        moves_s = layer.least_bytes(case.batch_size, VALUE_BYTES[case.arithmetic]) / ceilings["copy_bytes_per_s"]
        if computes_s >= moves_s:
            arithmetic_s += computes_s
        else:
            memory_s += moves_s
    return arithmetic_s, memory_s


def case_share(
    case: Case, work: Work, ceilings: Mapping[str, float], inference_s: float, layers_s: Mapping[str, float] | None,
    stages_s: Mapping[str, float] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the share of the ceiling that one inference reaches, what binds it, and its ten most expensive layers.

    A share may pass 1 (`ABOVE`). Winograd's convolution, which multiplies less than is counted, is no reason with the
    versions tried on an AMD EPYC: OpenVINO 2026.4 and PyTorch 2.13 ran direct ones by oneDNN's account, and no layer
    of ONNX Runtime 1.32 was faster than its product.
    """
    least = least_s(work, case, ceilings)
    return {
        "share_of_ceiling": None if least is None else sum(least) / inference_s,
        "bound_by": _bound_by(least, inference_s, layers_s, stages_s),
        "inference_s": inference_s,
        "outside_layers": outside(inference_s, layers_s),
        "layers": top(layers_s or {}),
    }


def passes(shares: Iterable[float | None]) -> bool:
    """Return whether any share is above 100 %."""
    return any(share is not None and share > 1 for share in shares)


def outside(inference_s: float, layers_s: Mapping[str, float] | None) -> float | None:
    """Return the share of an inference in which no layer runs: launches and gaps; None where no layer was timed."""
    return max(0.0, 1 - sum(layers_s.values()) / inference_s) if layers_s else None


def top(layers_s: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the most expensive layers with their share of all layers' time."""
    whole = sum(layers_s.values())
    ordered = sorted(layers_s.items(), key=lambda item: -item[1])[:MOST_LAYERS]
    return [{"name": name, "ms": seconds * 1e3, "share": seconds / whole} for name, seconds in ordered if whole]


def _bound_by(
    least: tuple[float, float] | None,
    inference_s: float,
    layers_s: Mapping[str, float] | None,
    stages_s: Mapping[str, float] | None,
) -> str:
    if stages_s and stages_s["copy_in"] + stages_s["copy_out"] > stages_s["infer"]:
        return "copies"
    if (outside(inference_s, layers_s) or 0.0) > _GAPS:
        return "launches"
    if least is None:
        return "unknown"
    if sum(least) / inference_s < _NEAR:
        return "kernels"
    return "arithmetic" if least[0] >= least[1] else "memory"
