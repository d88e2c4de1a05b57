"""Input and masks written in place are bit for bit those of the accuracy path."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stream.masks import LabelWriter, normalise_into
from models.dice import labels
from models.images import normalise


def test_every_grey_level_normalises_to_the_same_bits() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    out = np.empty((16, 16), np.float32)
    normalise_into(levels[0], out)
    assert out.tobytes() == normalise(levels)[0, 0].tobytes()


@pytest.mark.parametrize("classes", [1, 2, 3, 5])
def test_labels_are_those_of_the_accuracy_path_ties_included(classes: int) -> None:
    # Few distinct values, so that logits tie often, in the highest value too.
    logits = np.random.default_rng(classes).integers(-2, 3, (4, classes, 16, 32)).astype(np.float32)
    out = np.full((4, 16, 32), 77, np.uint8)
    writer = LabelWriter()
    for part in (logits, -logits):
        assert writer.write(part, out) is None
        np.testing.assert_array_equal(out, labels(part))
    assert out.max() == max(1, classes - 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_image_with_a_logit_that_is_not_finite_is_found(value: float) -> None:
    logits = np.zeros((4, 2, 16, 32), np.float32)
    logits[2, 0, 5, 5] = value
    assert LabelWriter().write(logits, np.empty((4, 16, 32), np.uint8)) == 2


def test_channels_last_logits_are_read_right() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 16, 32, 3)).astype(np.float32).transpose(0, 3, 1, 2)
    out = np.empty((2, 16, 32), np.uint8)
    LabelWriter().write(logits, out)
    np.testing.assert_array_equal(out, labels(logits))
