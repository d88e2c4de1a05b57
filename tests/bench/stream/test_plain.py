"""The plain loop runs every image once, step by step, and accounts for its time."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stream.laps import STAGES
from bench.stream.plain import plain
from models.images import normalise
from tests.bench.fake_engines import FakeEngine
from tests.bench.stream.helpers import Numbered, picture


def test_every_batch_is_copied_in_inferred_and_copied_out_in_turn() -> None:
    engine = FakeEngine()
    result = plain(engine, Numbered(10, (4,)), 4, 7)
    step = ["copy_in", "synchronize", "enqueue", "synchronize", "copy_out"]
    assert engine.calls == step * 2
    np.testing.assert_array_equal(engine.batches[0], normalise(np.stack([picture(index) for index in range(4)])))
    # Number 4 is damaged: two images are left, and the last of them fills the batch.
    np.testing.assert_array_equal(engine.batches[1], normalise(np.stack([picture(index) for index in (5, 6, 6, 6)])))
    assert result.samples == 6
    assert set(result.stages_s) == set(STAGES)
    assert sum(result.stages_s.values()) == pytest.approx(result.runtime_s, rel=1e-9)
    assert result.stages_s["wait"] == 0
    assert result.fps == pytest.approx(6 / result.runtime_s)


def test_images_that_are_all_bad_are_0_masks_per_second() -> None:
    result = plain(FakeEngine(), Numbered(2, (0, 1)), 1, 2)
    assert (result.samples, result.fps) == (0, 0.0)


def test_reading_bad_images_takes_the_loop_s_time_wherever_they_stand() -> None:
    result = plain(FakeEngine(), Numbered(8, (4, 5, 6, 7)), 4, 8)
    assert result.samples == 4
    assert sum(result.stages_s.values()) == pytest.approx(result.runtime_s, rel=1e-9)
