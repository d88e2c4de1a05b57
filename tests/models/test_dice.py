"""Labels and Dice agree with their definitions, on examples worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.dice import dice, labels


def test_label_is_the_class_with_the_largest_logit() -> None:
    logits = np.array([[[[0.0, 3.0]], [[1.0, 2.0]], [[-1.0, 2.5]]]], dtype=np.float32)
    found = labels(logits)
    assert found.dtype == np.uint8
    assert found.tolist() == [[[1, 0]]]


def test_single_channel_is_the_target_where_its_logit_is_positive() -> None:
    logits = np.array([[[[-0.5, 0.0, 0.5]]]], dtype=np.float32)
    assert labels(logits).tolist() == [[[0, 0, 1]]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_refused(bad: float) -> None:
    logits = np.zeros((1, 2, 4, 4), dtype=np.float32)
    logits[0, 1, 2, 3] = bad
    with pytest.raises(ValueError, match="1 of 32 logits are NaN or infinite"):
        labels(logits)


def test_logits_of_another_rank_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \[N, C, H, W\], got shape \[2, 4, 4\]"):
        labels(np.zeros((2, 4, 4), dtype=np.float32))


def test_dice_is_twice_the_overlap_over_the_sum_per_image_and_class() -> None:
    a = np.array([[[0, 0, 1, 1]], [[1, 1, 1, 1]]], dtype=np.uint8)
    b = np.array([[[0, 1, 1, 1]], [[0, 0, 0, 0]]], dtype=np.uint8)
    scores = dice(a, b, 2)
    assert scores.dtype == np.float64
    assert scores.tolist() == [[2 / 3, 4 / 5], [0.0, 0.0]]


def test_class_that_neither_map_holds_scores_one() -> None:
    empty = np.zeros((1, 2, 2), dtype=np.uint8)
    assert dice(empty, empty, 3).tolist() == [[1.0, 1.0, 1.0]]


def test_label_maps_that_cannot_be_compared_are_refused() -> None:
    maps = np.zeros((1, 2, 2), dtype=np.uint8)
    with pytest.raises(ValueError, match="one shape"):
        dice(maps, maps[:, :1], 2)
    with pytest.raises(ValueError, match="label 2 in maps of 2 classes"):
        dice(maps, maps + 2, 2)
