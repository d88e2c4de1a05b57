"""What an engine must keep to be recommended, and which one that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.status import BAD, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.page.values import CaseFacts

_MOST_FASTER = 3
_PASSED = {Status.PASS.value, Status.IMPROVED.value}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that somebody stated; None where nobody did."""

    min_dice: float | None = None
    max_latency_ms: float | None = None
    max_memory_mib: float | None = None

    def broken_by(self, case: CaseFacts) -> str:
        """Return how a case breaks a limit, or nothing; memory that is unknown keeps none."""
        if self.min_dice is not None and case.dice_worst < self.min_dice:
            return f"worst image {case.dice_worst:.4f}"
        if self.max_latency_ms is not None and case.latency_ms > self.max_latency_ms:
            return f"{case.latency_ms:.2f} ms a batch"
        if self.max_memory_mib is None:
            return ""
        if case.memory_mib is None:
            return "its memory is unknown"
        return f"{case.memory_mib:.0f} MiB" if case.memory_mib > self.max_memory_mib else ""

    def words(self) -> str:
        """Return the limits as a person reads them; nothing where there are none."""
        named = (
            ("worst image's Dice against FP32 at least", self.min_dice, ""),
            ("latency of a batch at most", self.max_latency_ms, " ms"),
            ("peak memory at most", self.max_memory_mib, " MiB"),
        )
        return ", ".join(f"{what} {value:g}{unit}" for what, value, unit in named if value is not None)


def recommend(cases: Sequence[CaseFacts], limits: Limits) -> tuple[str | None, str]:
    """Return the case to ship and the reason in words: the fastest that the gate did not fail, within the limits."""
    bad = {status.value for status in BAD}
    refused = {case.case: case.status if case.status in bad else limits.broken_by(case) for case in cases}
    kept = [case for case in cases if not refused[case.case]]
    if not kept:
        wanted = limits.words()
        return None, f"No engine can be recommended: none passed the gate{' and kept ' + wanted if wanted else ''}."
    judged = "passed the gate" if all(case.status in _PASSED for case in kept) else "the gate did not fail"
    best = max(kept, key=lambda case: case.fps)
    within = f" with {limits.words()}" if limits.words() else ""
    cost = f"{best.latency_ms:.2f} ms a batch" + ("" if best.memory_mib is None else f", {best.memory_mib:.0f} MiB")
    faster = sorted((case for case in cases if case.fps > best.fps), key=lambda case: -case.fps)
    named = ", ".join(f"{case.case} ({refused[case.case]})" for case in faster[:_MOST_FASTER])
    more = f" and {len(faster) - _MOST_FASTER} more" if len(faster) > _MOST_FASTER else ""
    return best.case, (
        f"{best.case}, with {best.fps:.1f} FPS the fastest of {len(kept)} that {judged}{within}; "
        f"Dice against FP32 {best.dice:.4f}, worst image {best.dice_worst:.4f}, {cost}."
        + (f" Faster, and left out: {named}{more}." if faster else "")
    )
