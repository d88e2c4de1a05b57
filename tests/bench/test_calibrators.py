"""Calibrators give TensorRT every image, in order, in whole batches, then end, and keep the ranges in a file."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.bench.trt_api.fakes import Fakes, FakeSource

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def calibrators(fakes: Fakes) -> Any:
    return fakes.backend("_calibrators")


def numbers(batch: Any) -> list[int]:
    """Return which images of `FakeSource` a batch holds."""
    return [int(number) for number in batch[:, 0, 0, 0]]


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (4, 2, [[0, 1], [2, 3]]),
        (5, 2, [[0, 1], [2, 3], [4, 0]]),
        (5, 4, [[0, 1, 2, 3], [4, 0, 1, 2]]),
        (2, 5, [[0, 1, 0, 1, 0]]),
        (3, 1, [[0], [1], [2]]),
    ],
)
def test_every_image_is_in_a_whole_batch_in_order(
    calibrators: Any, tmp_path: Path, count: int, size: int, expected: list[list[int]]
) -> None:
    given = calibrators.batches(FakeSource(tmp_path, images=count).calibration(), size)
    assert [numbers(batch) for batch in given] == expected
    assert all(batch.flags.c_contiguous and batch.dtype == np.float32 for batch in given)


def test_batches_go_to_one_device_buffer_until_the_end_of_the_data(
    fakes: Fakes, calibrators: Any, tmp_path: Path
) -> None:
    source = FakeSource(tmp_path)
    told: list[str | None] = []
    feed = calibrators.Feed(source.calibration(), 2, tmp_path / "cache", told.append)
    calibrator = calibrators.calibrator("MinMax", feed)
    assert calibrator.get_batch_size() == 2
    seen = []
    while (pointers := calibrator.get_batch(["image"])) is not None:
        assert len(fakes.device.live) == len(pointers) == 1
        seen += numbers(fakes.device.view(pointers[0], (2, 1, *source.image_size)))
    assert seen == [0, 1, 2, 3, 4, 0]
    assert calibrator.get_batch(["image"]) is None
    assert told[:4] == ["1 of 3", "2 of 3", "3 of 3", None]
    feed.close()
    feed.close()
    assert fakes.device.used_bytes == 0


def test_ranges_are_kept_in_a_file_and_read_from_it(calibrators: Any, tmp_path: Path) -> None:
    feed = calibrators.Feed(FakeSource(tmp_path).calibration(), 2, tmp_path / "kept" / "cache")
    calibrator = calibrators.calibrator("Entropy2", feed)
    assert calibrator.read_calibration_cache() is None
    calibrator.write_calibration_cache(memoryview(b"ranges"))
    assert calibrator.read_calibration_cache() == b"ranges"
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["cache"]


def test_an_empty_file_holds_no_ranges(calibrators: Any, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    feed = calibrators.Feed(FakeSource(tmp_path).calibration(), 2, tmp_path / "cache")
    assert calibrators.calibrator("MinMax", feed).read_calibration_cache() is None


def test_an_error_in_a_batch_ends_the_data_and_is_kept_and_no_ranges_are_written(
    fakes: Fakes, calibrators: Any, tmp_path: Path
) -> None:
    fakes.device.limit_bytes = 100
    feed = calibrators.Feed(FakeSource(tmp_path).calibration(), 2, tmp_path / "cache")
    calibrator = calibrators.calibrator("MinMax", feed)
    assert calibrator.get_batch(["image"]) is None
    assert "out of memory" in str(feed.error)
    calibrator.write_calibration_cache(memoryview(b"ranges of nothing"))
    assert not feed.cache.exists()


@pytest.mark.usefixtures("no_space")
def test_ranges_that_cannot_be_written_are_an_error_that_is_kept(calibrators: Any, tmp_path: Path) -> None:
    feed = calibrators.Feed(FakeSource(tmp_path).calibration(), 2, tmp_path / "kept" / "cache")
    calibrators.calibrator("MinMax", feed).write_calibration_cache(memoryview(b"ranges"))
    assert feed.error.errno == errno.ENOSPC
    assert list((tmp_path / "kept").iterdir()) == []


def test_ranges_belong_to_model_images_algorithm_and_version(fakes: Fakes, calibrators: Any, tmp_path: Path) -> None:
    images = FakeSource(tmp_path).calibration()
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    first.write_bytes(b"one network")
    second.write_bytes(b"another")
    names = [
        calibrators.cache_path(tmp_path, first, images, "MinMax"),
        calibrators.cache_path(tmp_path, second, images, "MinMax"),
        calibrators.cache_path(tmp_path, first, images + 1, "MinMax"),
        calibrators.cache_path(tmp_path, first, images[:4], "MinMax"),
        calibrators.cache_path(tmp_path, first, images, "Entropy2"),
    ]
    fakes.tensorrt.__version__ = "10.0"
    names.append(calibrators.cache_path(tmp_path, first, images, "MinMax"))
    assert len(set(names)) == len(names)
    fakes.tensorrt.__version__ = "8.6.0"
    assert calibrators.cache_path(tmp_path, first, images, "MinMax") == names[0]


@pytest.mark.parametrize(("algorithm", "base"), [("MinMax", "Extremes"), ("Entropy2", "Entropy")])
def test_each_algorithm_has_its_own_base_class(
    fakes: Fakes, calibrators: Any, tmp_path: Path, algorithm: str, base: str
) -> None:
    fakes.tensorrt.IInt8MinMaxCalibrator = type("Extremes", (), {})
    fakes.tensorrt.IInt8EntropyCalibrator2 = type("Entropy", (), {})
    feed = calibrators.Feed(FakeSource(tmp_path).calibration(), 2, tmp_path / "cache")
    assert type(calibrators.calibrator(algorithm, feed)).__mro__[1].__name__ == base


def test_the_second_batch_size_reuses_the_ranges_of_the_first(fakes: Fakes, tmp_path: Path) -> None:
    weak = fakes.backend("tensorrt_weak")
    source = FakeSource(tmp_path)
    for batch_size in (1, 2):
        case = SimpleNamespace(precision="int8", arithmetic="int8", batch_size=batch_size)
        weak.build(source, case, source.engine_folder)
    assert len(fakes.behaviour.batches) == source.images
