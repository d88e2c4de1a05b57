"""Every image is judged once, in its own slot, and a worthless one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.fidelity import NonFiniteError, Reference, judge, predict, summary
from models.images import ImageSet, normalise
from tests.bench.fake_engines import FakeEngine, two_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture
def five() -> ImageSet:
    """Five images, the N-th with N bright rows of eight, its mask the rows themselves."""
    images = np.full((5, 8, 8), 20, np.uint8)
    for count in range(5):
        images[count, :count] = 220
    return ImageSet(tuple("abcde"), images, images > 128, "a test's")


def _wanted(images: ImageSet) -> Reference:
    return Reference((images.images > 128).astype(np.uint8), 2)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 8])
def test_masks_come_in_the_order_of_the_images_whatever_the_batch_size(five: ImageSet, batch_size: int) -> None:
    engine = FakeEngine()
    found, classes = predict(engine, five, batch_size)
    np.testing.assert_array_equal(found, five.images > 128)
    assert found.dtype == np.uint8
    assert classes == 2
    assert len(engine.batches) == -(-5 // batch_size)
    assert {batch.shape for batch in engine.batches} == {(batch_size, 1, 8, 8)}


def test_short_last_batch_is_filled_with_its_own_last_image(five: ImageSet) -> None:
    engine = FakeEngine()
    predict(engine, five, 3)
    last = normalise(five.images[[3, 4, 4]])
    np.testing.assert_array_equal(engine.batches[-1], last)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_worthless_logit_names_its_image(five: ImageSet, value: float) -> None:
    def broken(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = two_classes(batch)
        for slot, image in enumerate(batch):
            if np.array_equal(image, normalise(five.images[3:4])[0]):
                logits[slot, 1, 0, 0] = value
        return logits

    for batch_size in (1, 2, 4):
        with pytest.raises(NonFiniteError, match=r"NaN or infinite logits on image d$"):
            predict(FakeEngine(broken), five, batch_size)


def test_worthless_logits_of_the_filling_do_not_count(five: ImageSet) -> None:
    def broken(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = two_classes(batch)
        if np.array_equal(batch[-1], batch[-2]):
            logits[-1] = np.nan
        return logits

    assert len(predict(FakeEngine(broken), five, 3)[0]) == 5


def test_network_of_a_single_logit_has_two_classes(five: ImageSet) -> None:
    engine = FakeEngine(lambda batch: batch)
    found, classes = predict(engine, five, 2)
    assert classes == 2
    np.testing.assert_array_equal(found, five.images > 128)
    fidelity = judge(engine, five, 2, _wanted(five))
    assert fidelity.fp32.shape == (5, 2)
    assert fidelity.fp32.min() == 1


def test_dice_is_per_image_and_class(five: ImageSet) -> None:
    def misses_a_row(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return two_classes(np.concatenate([np.full_like(batch[:, :, :1], -1), batch[:, :, 1:]], axis=2))

    fidelity = judge(FakeEngine(misses_a_row), five, 2, _wanted(five))
    # Image N: N target rows of 8, one missed; Dice 2 (N - 1) / (2 N - 1), and of the background 2 (8 - N) / (17 - 2 N).
    target = [1.0, *(2 * (count - 1) / (2 * count - 1) for count in range(1, 5))]
    background = [1.0, *(2 * (8 - count) / (17 - 2 * count) for count in range(1, 5))]
    np.testing.assert_allclose(fidelity.fp32, np.transpose([background, target]))
    assert fidelity.truth is not None
    np.testing.assert_allclose(fidelity.truth, fidelity.fp32)


def test_every_class_but_the_background_is_the_target_of_masks_that_tell_no_classes(five: ImageSet) -> None:
    def three_classes(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = two_classes(batch)
        third = np.where(np.arange(8) < 4, logits[:, 1:] + 1, logits[:, 1:] - 1)
        return np.concatenate([logits, np.where(logits[:, 1:] > logits[:, :1], third, logits.min() - 1)], axis=1)

    found, classes = predict(FakeEngine(three_classes), five, 2)
    assert (set(np.unique(found)), classes) == ({0, 1, 2}, 3)
    fidelity = judge(FakeEngine(three_classes), five, 2, Reference(found, 3))
    assert fidelity.truth is not None
    assert (fidelity.fp32.shape, fidelity.truth.shape) == ((5, 3), (5, 2))
    assert fidelity.truth.min() == 1


def test_truth_is_left_out_where_there_are_no_masks(five: ImageSet) -> None:
    unmarked = ImageSet(five.names, five.images, None, five.origin)
    fidelity = judge(FakeEngine(), unmarked, 2, _wanted(five))
    assert fidelity.truth is None
    assert fidelity.as_dict()["dice_truth"] is None
    assert fidelity.as_dict()["dice_fp32"]["mean"] == 1


def test_summary_finds_the_worst_image_by_its_target_and_keeps_every_score() -> None:
    scores = np.array([[0.1, 0.9], [0.99, 0.5], [0.99, 0.8]])
    found = summary(scores, ("a", "b", "c"))
    assert found["worst_image"] == "b"
    assert found["worst"] == 0.5
    assert found["mean"] == pytest.approx((0.9 + 0.5 + 0.8) / 3)
    assert found["per_image"] == scores.tolist()


def test_summary_of_three_classes_leaves_out_the_background_alone() -> None:
    found = summary(np.array([[0.0, 0.8, 0.6]]), ("a",))
    assert found["mean"] == pytest.approx(0.7)
