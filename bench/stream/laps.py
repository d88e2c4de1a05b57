"""Where one thread's time goes: every moment since the start belongs to exactly one stage."""

from __future__ import annotations

from threading import Lock

from bench.timing import Stopwatch

STAGES = ("decode", "normalise", "copy_in", "infer", "copy_out", "post_process", "wait")
"""The stages of an image's way; `post_process` holds argmax and the consumer, `wait` is for images to be ready."""


class Laps:
    """Seconds per stage of one thread; as laps leave no gap, they sum to the time between the first and the last."""

    def __init__(self) -> None:
        self.stages_s = dict.fromkeys(STAGES, 0.0)
        self._watch = Stopwatch()
        self._last_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self._watch.elapsed_s

    def lap(self, stage: str) -> float:
        """Give the time since the last lap to a stage, and return the seconds since the start."""
        now_s = self._watch.elapsed_s
        self.stages_s[stage] += now_s - self._last_s
        self._last_s = now_s
        return now_s


class SharedSeconds:
    """Seconds per stage added up over worker threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._stages_s: dict[str, float] = {}

    def add(self, stages_s: dict[str, float]) -> None:
        """Add one thread's seconds."""
        with self._lock:
            for stage, seconds in stages_s.items():
                if seconds:
                    self._stages_s[stage] = self._stages_s.get(stage, 0.0) + seconds

    def as_dict(self) -> dict[str, float]:
        """Return a copy."""
        with self._lock:
            return dict(self._stages_s)
