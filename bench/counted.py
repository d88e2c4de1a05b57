"""What counts of a row's timings: its rounds or, where it was timed again, its fastest visit and other processes."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from bench.visits import Visit

if TYPE_CHECKING:
    from collections.abc import Mapping


def fps(samples_s: tuple[float, ...] | list[float], batch_size: int) -> float:
    """Return images per second by the median seconds per inference."""
    return batch_size / statistics.median(samples_s)


def counted_fps(info: Mapping[str, Any]) -> float:
    """Return the images per second of a row's `extra_info` that a verdict on it tells: from the median of what counts.

    Over processes the median is taken of logarithms, as the gate does.
    """
    found = counted_s(info)
    if "reruns" not in info:
        return fps(found, info["batch_size"])
    return float(info["batch_size"] / math.exp(statistics.median(map(math.log, found))))


def counted_s(info: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the seconds per inference that count: a value per round, or per process where several timed the case.

    A process that timed it several times counts by its fastest visit.
    """
    fastest = min((info, *info.get("again", ())), key=_median_s)
    if "reruns" not in info:
        return tuple(fastest["samples_s"])
    return tuple(map(_median_s, (fastest, *info["reruns"])))


def _median_s(item: Mapping[str, Any]) -> float:
    """Return the median seconds of a visit in JSON, as the gate's arithmetic has it."""
    return Visit(tuple(item["samples_s"]), None).in_blocks().median_s
