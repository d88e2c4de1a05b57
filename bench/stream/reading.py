"""What a stream's reading threads took for an image, and whether the stream waited for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORTH_A_LINE = 0.1
"""Share of the time spent waiting for images from which reading is called the limit."""
_IDLE = 2.0
"""How many times faster than the stream threads read where the wait is not theirs: a short stream's start, say."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reading threads of a stream took, each beside the others and the engine."""

    workers: int
    stages_ms: dict[str, float]
    """Milliseconds that one worker takes for an image, by stage."""

    @property
    def image_ms(self) -> float:
        """Milliseconds that one worker takes for an image."""
        return sum(self.stages_ms.values())

    @property
    def fps(self) -> float:
        """Images per second that all threads can read."""
        return 1e3 * self.workers / self.image_ms if self.image_ms else float("inf")

    def __str__(self) -> str:
        return f"{self.workers} x {self.image_ms:.2f} ms"


def reading(row: Mapping[str, Any]) -> Reading | None:
    """Return what the reading threads took, from a stream's JSON; None where it does not tell, as older files."""
    count = row.get("workers_read")
    if not count:
        return None
    return Reading(row["workers"], {stage: 1e3 * seconds / count for stage, seconds in row["workers_s"].items()})


def limit(row: Mapping[str, Any]) -> str | None:
    """Return in a sentence that a stream waited for its images, and how many could be read; None where it did not.

    Threads that read far faster than the stream ran were not the limit, whatever it waited.
    """
    waited = row["stages_s"]["wait"] / row["runtime_s"] if row["runtime_s"] else 0.0
    found = reading(row)
    if waited <= _WORTH_A_LINE or (found is not None and found.fps > _IDLE * row["workers_read"] / row["runtime_s"]):
        return None
    what = "copying them from memory" if row.get("source") == "memory" else "decoding"
    return f"{row['case']}: {waited:.0%} of the time went by waiting for images: {what} is the limit{_figures(row)}"


def keeps_up(row: Mapping[str, Any]) -> str | None:
    """Return in a sentence that files were decoded in time; None where they were not, or come from memory."""
    if row.get("source", "memory") == "memory" or reading(row) is None or limit(row) is not None:
        return None
    return f"{row['case']}: decoding kept up{_figures(row)}"


def _figures(row: Mapping[str, Any]) -> str:
    found = reading(row)
    if found is None:
        return ""
    most = "" if not found.image_ms else f", {found.fps:.0f} images/s in all"
    return f" ({found.workers} workers, {found.image_ms:.2f} ms an image each{most})"
