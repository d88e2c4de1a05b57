"""A build that never looks hung: TensorRT's own progress where it tells, and the time that passed everywhere."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import tensorrt as trt

from bench.ending import held
from bench.timing import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

INTERVAL_S = 10.0


class Progress:
    """Inside its block, says every few seconds how long a build has taken and what it is at, and keeps Ctrl-C back."""

    def __init__(self, say: Callable[[str], None], name: str, interval_s: float = INTERVAL_S) -> None:
        self._say, self._name, self._interval_s = say, name, interval_s
        self._phases: dict[str, str] = {}
        self._ended: Callable[[], bool] = bool
        self._held = ExitStack()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def phase(self, name: str, state: str | None) -> None:
        """Note the state of a phase of the build, such as "3 of 8"; None ends it."""
        if state is None:
            self._phases.pop(name, None)
        else:
            self._phases[name] = state

    def text(self, elapsed_s: float) -> str:
        """Return the line to say now."""
        steps = "; ".join(f"{name} {state}".strip() for name, state in list(self._phases.items()))
        return f"{self._name}: TensorRT has been building for {elapsed_s:.0f} s" + (f" ({steps})" if steps else "")

    @property
    def ended(self) -> bool:
        """Whether Ctrl-C asked for the build's end."""
        return self._ended()

    def __enter__(self) -> None:
        self._ended = self._held.enter_context(held(self._interrupted))
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._held.__exit__(kind, error, trace)

    def _interrupted(self) -> None:
        self._say(f"{self._name}: interrupted; ends once TensorRT gives control back, and at once where asked again")

    def _tick(self) -> None:
        watch = Stopwatch()
        while not self._over.wait(self._interval_s):
            self._say(self.text(watch.elapsed_s))


def monitor(progress: Progress) -> Any | None:  # noqa: ANN401 - TensorRT's classes have no types
    """Return a progress monitor for the builder's configuration, or None where TensorRT has none (8.6)."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc] # TensorRT's classes have no types
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:  # noqa: ARG002 - TensorRT's signature
            self._steps[phase_name] = num_steps
            progress.phase(phase_name, f"0 of {num_steps}")

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress.phase(phase_name, f"{step + 1} of {self._steps.get(phase_name, 0)}")
            return not progress.ended  # False cancels the build

        def phase_finish(self, phase_name: str) -> None:
            progress.phase(phase_name, None)

    return Monitor()
