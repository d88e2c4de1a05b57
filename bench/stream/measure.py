"""The figures of one case's stream: engine alone, stream and plain loop in one run, ready for the JSON."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.stream.lane import open_lane
from bench.stream.loop import stream
from bench.stream.plain import plain
from bench.timing import Stopwatch, round_s, rounds_s, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bench.engines import OpenEngine
    from bench.stream.images import Images
    from bench.stream.loop import Consumer, Streamed
    from bench.stream.plain import Plain

ENGINE_S = 0.25
"""Seconds that the engine is timed alone at least, before the stream and again after it."""
_ENGINE_SHARE, _MOST_ENGINE_S = 0.05, 5.0
"""A longer stream, whose machine has time to change, has its engine timed for a share of it, up to so many seconds."""
_ROUNDS = 3
"""Rounds of that: an allocator that must find its memory again slows the first ones (torch FP32 at batch 8)."""
PLAIN_SAMPLES = 100
"""Images that the plain loop runs at most: its FPS settles early."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a stream is run."""

    device: Literal["cpu", "cuda"]
    threads: int
    on_bad: Literal["skip", "stop"] = "skip"
    tick: Callable[[int], None] = lambda _: None

    def workers(self, images: Images) -> int:
        """Return how many threads read: as many as cores, but one for the consumer where the engine is on a GPU."""
        return min(images.most_workers, self.threads if self.device == "cpu" else max(1, self.threads - 1))


@dataclass(frozen=True, slots=True)
class Figures:
    """What one case's stream showed."""

    streamed: Streamed
    engine_fps: float
    cold_start_s: dict[str, float]
    peak_memory_bytes: int | None
    plain: Plain | None

    @property
    def share_of_engine(self) -> float:
        """The stream's FPS over the engine's own, timed just before and after."""
        return self.streamed.fps / self.engine_fps


def measure(
    opened: OpenEngine, images: Images, way: Way, consume: Consumer, plain_samples: int = PLAIN_SAMPLES
) -> Figures:
    """Time the engine alone, stream all images to `consume`, and run the plain loop over the first of them."""
    engine, batch_size = opened.engine, opened.case.batch_size
    watch = Stopwatch()
    warm_up(engine)
    warm_up_s = watch.elapsed_s
    before_s = _engine_s(opened, len(images))
    watch = Stopwatch()
    workers = way.workers(images)
    lane = open_lane(engine, batch_size, images.size, workers + 2)
    lane_s = watch.elapsed_s
    try:
        streamed = stream(
            images, lane, consume, workers=workers, humble=way.device == "cpu", on_bad=way.on_bad, tick=way.tick
        )
        opened.memory.sample()
    finally:
        lane.close()
    after_s = _engine_s(opened, len(images))
    peak_bytes = opened.memory.peak_bytes
    samples = min(plain_samples, len(images))
    slow = plain(engine, images, batch_size, samples) if samples and not streamed.partial else None
    cold_s = {"load": opened.load_s, "first": lane_s + streamed.first_s, "warm_up": warm_up_s}
    return Figures(streamed, 2 * batch_size / (before_s + after_s), cold_s, peak_bytes, slow)


def as_json(opened: OpenEngine, images: Images, figures: Figures) -> dict[str, Any]:
    """Return the figures as the JSON holds them, under `stream` of a row's `extra_info`."""
    case, streamed = opened.case, figures.streamed
    return {
        "case": case.id,
        "backend": case.backend,
        "precision": case.precision,
        "batch_size": case.batch_size,
        "samples": streamed.samples,
        "done": streamed.done,
        "partial": streamed.partial,
        "bad_images": [{"name": image.name, "reason": image.reason} for image in streamed.bad_images],
        "source": images.kind,
        "runtime_s": streamed.runtime_s,
        "fps": streamed.fps,
        "engine_fps": figures.engine_fps,
        "share_of_engine": figures.share_of_engine,
        "latency_ms": latency_ms(streamed.latencies_s),
        "cold_start_s": figures.cold_start_s,
        "peak_memory_bytes": figures.peak_memory_bytes,
        "stages_s": streamed.stages_s,
        "workers": streamed.workers,
        "workers_read": streamed.workers_read,
        "workers_s": streamed.workers_s,
        "plain": None if figures.plain is None else figures.plain.as_dict(),
    }


def latency_ms(latencies_s: NDArray[np.float64]) -> dict[str, float] | None:
    """Return the median, 90th and 99th percentile and the highest latency in milliseconds, None without any."""
    if not latencies_s.size:
        return None
    p50, p90, p99 = np.percentile(latencies_s, (50, 90, 99)) * 1e3
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "max": float(latencies_s.max() * 1e3)}


def _engine_s(opened: OpenEngine, samples: int) -> float:
    """Return seconds per inference of the engine alone: the median of rounds, `_ROUNDS` of which take `ENGINE_S`."""
    once_s = min(round_s(opened.engine, 1) for _ in range(2))
    each = max(1, round(ENGINE_S / _ROUNDS / once_s))
    stream_s = samples / opened.case.batch_size * once_s
    return median(rounds_s(opened.engine, each, min(_ENGINE_SHARE * stream_s, _MOST_ENGINE_S), _ROUNDS))
