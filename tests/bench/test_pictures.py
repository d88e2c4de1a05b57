"""A run keeps the worst image of each engine, once and small, and its JSON is refused when a picture was changed."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from bench.accept import accept
from bench.case import Case
from bench.entries import Acceptance
from bench.fidelity import Fidelity, Reference
from bench.pictures import MOST_CHARACTERS, MOST_PIXELS, Pictures, densest
from bench.results import RunFileError, parse_run, read_run
from models.images import ImageSet
from models.synthetic import section
from tests.bench.runs import row_json, run_json, write

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

INT8, FP32 = Case("openvino", "int8", 1), Case("openvino", "fp32", 1)


def image_set(count: int, size: tuple[int, int] = (64, 64)) -> tuple[ImageSet, Reference]:
    """Return images of noise whose truth and FP32 mask are their left halves."""
    images = np.random.default_rng(0).integers(0, 255, (count, *size), dtype=np.uint8)
    masks = np.zeros(images.shape, np.uint8)
    masks[:, :, : size[1] // 2] = 1
    names = tuple(f"image-{index}" for index in range(count))
    return ImageSet(names, images, masks.astype(np.bool_), "a test's"), Reference(masks, 2)


def fidelity(image: int, labels: NDArray[np.uint8], dice: float = 0.5, count: int = 3) -> Fidelity:
    """Return what judging says where one image is the worst."""
    scores = np.ones((count, 2))
    scores[image, 1] = dice
    return Fidelity(tuple(map(str, range(count))), scores, None, image, labels)


def decoded(text: str) -> NDArray[np.uint8]:
    """Return the pixels of a picture."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_masks_come_back_bit_for_bit_beside_input_truth_and_fp32_mask() -> None:
    images, reference = image_set(3)
    wrong = reference.labels[1].copy()
    wrong[10:20, 40:50] = 1
    kept = Pictures()
    kept.keep(INT8, fidelity(1, wrong))
    found = kept.as_dict(images, reference)
    (mask,) = found["masks"].values()
    assert list(found["masks"]) == [INT8.id]
    assert mask["image"] == "image-1"
    shared = found["images"]["image-1"]
    assert shared["window"] == [0, 0, 64, 64]
    np.testing.assert_array_equal(decoded(mask["differs"]), wrong != reference.labels[1])
    np.testing.assert_array_equal(decoded(shared["fp32"]), reference.labels[1] > 0)
    np.testing.assert_array_equal(decoded(shared["truth"]), reference.labels[1] > 0)
    blurred = np.abs(decoded(shared["input"]).astype(float) - images.images[1])
    # JPEG blurs noise; another image of it would be 85 levels away.
    assert blurred.mean() < 40


def test_smallest_batch_speaks_for_an_engine_and_equal_masks_need_no_picture() -> None:
    images, reference = image_set(3)
    kept = Pictures()
    for batch_size in (4, 2, 8):
        labels = np.full((64, 64), batch_size % 3 > 0, np.uint8)
        kept.keep(Case("openvino", "int8", batch_size), fidelity(batch_size % 3, labels))
    kept.keep(FP32, fidelity(0, reference.labels[0].copy(), 1.0))
    assert list(kept.as_dict(images, reference)["masks"]) == ["openvino-int8-b2"]


def test_image_of_several_engines_is_stored_once_the_worst_mask_first() -> None:
    images, reference = image_set(3)
    kept = Pictures()
    for dice, backend in ((0.9, "torch"), (0.7, "openvino"), (0.8, "onnxruntime")):
        kept.keep(Case(backend, "int8", 1), fidelity(2, np.zeros((64, 64), np.uint8), dice))
    found = kept.as_dict(images, reference)
    assert list(found["images"]) == ["image-2"]
    assert list(found["masks"]) == ["openvino-int8-b1", "onnxruntime-int8-b1", "torch-int8-b1"]


def test_window_of_a_large_image_holds_where_masks_differ_at_full_size() -> None:
    images, reference = image_set(1, (1024, 1536))
    wrong = reference.labels[0].copy()
    wrong[900:910, 1400:1410] = 1
    kept = Pictures()
    kept.keep(INT8, fidelity(0, wrong, count=1))
    found = kept.as_dict(images, reference)
    top, left, height, width = found["images"]["image-0"]["window"]
    assert (height, width) == (MOST_PIXELS, MOST_PIXELS)
    shown = decoded(found["masks"][INT8.id]["differs"])
    np.testing.assert_array_equal(shown, (wrong != reference.labels[0])[top : top + height, left : left + width])
    assert shown.sum() == 100


def test_densest_window_is_found() -> None:
    counts = np.zeros((10, 12), np.int64)
    counts[7:9, 3:5] = 1
    top, left = densest(counts, (2, 2))
    assert (top, left) == (7, 3)


def test_more_classes_than_two_keep_their_numbers() -> None:
    images, reference = image_set(1)
    labels = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) % 5
    kept = Pictures()
    kept.keep(INT8, fidelity(0, labels, count=1))
    found = kept.as_dict(images, Reference(reference.labels, 5))
    differs = decoded(found["masks"][INT8.id]["differs"])
    np.testing.assert_array_equal((reference.labels[0] + differs) % found["classes"], labels)


def test_pictures_of_20_engines_of_real_sections_fit_whole() -> None:
    drawn = [section(2000 + index) for index in range(4)]
    masks = np.stack([each[1] for each in drawn])
    images = ImageSet(tuple("abcd"), np.stack([each[0] for each in drawn]), masks, "drawn")
    kept = Pictures()
    for index in range(20):
        # An INT8 engine of the built-in network differs in some 400 pixels, most of them at the edge of a target.
        edge = np.flatnonzero(masks[index % 4] != np.roll(masks[index % 4], 1, axis=0))
        wrong = masks[index % 4].astype(np.uint8)
        wrong.flat[np.random.default_rng(index).choice(edge, 400)] ^= 1
        kept.keep(Case(f"backend{index}", "int8", 1), fidelity(index % 4, wrong, 0.9, 4))
    found = kept.as_dict(images, Reference(masks.astype(np.uint8), 2))
    assert len(found["masks"]) == 20
    assert found["left_out"] == []
    assert len(json.dumps(found)) < 400_000


def test_room_is_kept_by_leaving_out_the_best_masks() -> None:
    images, reference = image_set(8, (512, 512))
    kept = Pictures()
    for index in range(8):
        wrong = reference.labels[index] ^ np.uint8(1)
        kept.keep(Case(f"backend{index}", "int8", 1), fidelity(index, wrong, 0.9 + index / 100, 8))
    found = kept.as_dict(images, reference)
    assert len(json.dumps(found)) < MOST_CHARACTERS + 2000
    assert list(found["masks"]) == [f"backend{index}-int8-b1" for index in range(len(found["masks"]))]
    assert found["left_out"] == [f"backend{index}-int8-b1" for index in range(len(found["masks"]), 8)]
    assert 0 < len(found["left_out"]) < 8


def stored() -> dict[str, Any]:
    """Return a small run's pictures."""
    images, reference = image_set(3)
    kept = Pictures()
    kept.keep(INT8, fidelity(1, np.zeros((64, 64), np.uint8)))
    return kept.as_dict(images, reference)


def test_checksum_covers_pictures(tmp_path: Path) -> None:
    path = write(tmp_path / "run.json", run_json(row_json(INT8.id), pictures=stored()))
    assert read_run(path).suite["pictures"]["masks"]
    data = json.loads(path.read_text())
    data["suite"]["pictures"]["images"]["image-1"]["truth"] = None
    path.write_text(json.dumps(data))
    with pytest.raises(RunFileError, match="checksum"):
        read_run(path)


def test_what_is_no_base64_is_refused() -> None:
    pictures = stored()
    pictures["masks"][INT8.id]["differs"] = '"><script>'
    with pytest.raises(RunFileError, match="at pictures/masks"):
        parse_run(run_json(row_json(INT8.id), pictures=pictures), "a run")


def test_baseline_holds_no_picture() -> None:
    runs = [
        parse_run(run_json(row_json(INT8.id), pictures=stored(), checksum=str(number)), "a run") for number in range(3)
    ]
    made = accept(None, runs, Acceptance("ada", "2030-06-01T12:00:00+00:00", "first", "c0ffee"))
    assert stored()["masks"][INT8.id]["differs"] not in repr(made)
