"""A long build on TensorRT: what is said meanwhile, and what Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.bench.trt_api.fakes import Fakes, FakeSource

if TYPE_CHECKING:
    from pathlib import Path


def test_a_long_build_tells_the_time_and_the_step(fakes: Fakes) -> None:
    progress = fakes.backend("_trt_progress")
    said = threading.Event()
    shown = progress.Progress(lambda _: said.set(), "a case", interval_s=0.01)
    shown.phase("calibration batch", "3 of 8")
    assert shown.text(61.4) == "a case: TensorRT has been building for 61 s (calibration batch 3 of 8)"
    with shown:
        assert said.wait(timeout=10)
    assert progress.monitor(shown) is None


def test_tensorrts_own_progress_is_shown_where_it_has_one(fakes: Fakes, tmp_path: Path) -> None:
    fakes.tensorrt.IProgressMonitor = type("IProgressMonitor", (), {})
    progress = fakes.backend("_trt_progress")
    shown = progress.Progress(FakeSource(tmp_path).say, "a case")
    monitor = progress.monitor(shown)
    monitor.phase_start("Timing", "Building", 8)
    assert monitor.step_complete("Timing", 2) is True
    assert shown.text(5).endswith("(Timing 3 of 8)")
    monitor.phase_finish("Timing")
    assert shown.text(5).endswith("for 5 s")


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_cancels_a_build_where_tensorrt_asks_whether_to_go_on(fakes: Fakes, tmp_path: Path) -> None:
    fakes.tensorrt.IProgressMonitor = type("IProgressMonitor", (), {})
    progress = fakes.backend("_trt_progress")
    source = FakeSource(tmp_path)
    shown = progress.Progress(source.say, "a case")
    answers = []

    def block() -> None:
        monitor = progress.monitor(shown)
        with shown:
            answers.append(monitor.step_complete("Timing", 2))
            signal.raise_signal(signal.SIGINT)
            answers.append(monitor.step_complete("Timing", 3))

    with pytest.raises(KeyboardInterrupt):
        block()
    assert answers == [True, False]
    assert source.said == ["a case: interrupted; ends once TensorRT gives control back, and at once where asked again"]
