"""The engine alone is timed at both ends of its stream, for longer where the stream is long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bench.case import Case
from bench.memory import PeakMemory
from bench.stream import measure as module
from bench.stream.measure import Way, measure
from tests.bench.fake_engines import FakeEngine
from tests.bench.stream.helpers import Numbered


@pytest.mark.parametrize(
    ("inference_s", "samples", "inferences", "seconds"),
    [(0.01, 16, 8, 0.004), (0.01, 800, 8, 0.2), (1.0, 4, 1, 0.1), (1.0, 803, 1, 5.0)],
)
def test_the_engine_is_timed_for_a_share_of_the_stream(
    monkeypatch: pytest.MonkeyPatch, inference_s: float, samples: int, inferences: int, seconds: float
) -> None:
    asked: list[tuple[int, float, int]] = []

    def timed(engine: object, each: int, for_s: float, least: int) -> list[float]:
        asked.append((each, for_s, least))
        return [0.5, 2.0, 9.0][: least if len(asked) == 1 else 1]

    monkeypatch.setattr(module, "round_s", lambda *_: inference_s)
    monkeypatch.setattr(module, "rounds_s", timed)
    monkeypatch.setattr(module, "warm_up", lambda _: None)
    opened: Any = SimpleNamespace(
        engine=FakeEngine(), case=Case("torch", "fp32", 2), load_s=0.0, memory=PeakMemory("cpu")
    )
    figures = measure(opened, Numbered(samples), Way("cpu", 1), lambda *_: None, plain_samples=0)
    assert [each[0] for each in asked] == [inferences] * 2
    assert [each[1] for each in asked] == pytest.approx([seconds] * 2)
    assert {each[2] for each in asked} == {3}
    # Medians of 2 s before and 0.5 s after, two images an inference.
    assert figures.engine_fps == pytest.approx(2 * 2 / (2.0 + 0.5))
    assert figures.streamed.done == samples
