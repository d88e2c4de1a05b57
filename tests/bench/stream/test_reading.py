"""A stream tells what its workers took for an image, and that decoding is the limit where it waited for them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from rich.console import Console

from bench.stream.images import FileImages
from bench.stream.lane import HostLane
from bench.stream.loop import stream
from bench.stream.reading import keeps_up, limit, reading
from bench.stream.show import remarks, stage_table
from tests.bench.fake_engines import FakeEngine
from tests.bench.stream.helpers import SIZE, Kept, Numbered, run

CASE = "openvino-int8-b8"


def row(waited_s: float, **changes: Any) -> dict[str, Any]:
    """Return the figures of a stream of 5000 files in 4 s, which 15 workers read in 50 s of theirs."""
    return {
        "case": CASE,
        "source": "PNG files",
        "done": 5000,
        "bad_images": [],
        "runtime_s": 4.0,
        "stages_s": {"infer": 4.0 - waited_s, "wait": waited_s},
        "plain": {"samples": 100, "stages_s": {"decode": 0.5}},
        "workers": 15,
        "workers_read": 5000,
        "workers_s": {"decode": 45.0, "normalise": 5.0},
        **changes,
    }


def without_workers(waited_s: float) -> dict[str, Any]:
    """Return a stream's figures as older files hold them."""
    return {name: value for name, value in row(waited_s).items() if not name.startswith("workers")}


def test_workers_are_told_by_the_images_they_read() -> None:
    found = reading(row(2.0, workers_read=10_000))
    assert found is not None
    assert found.stages_ms == {"decode": pytest.approx(4.5), "normalise": pytest.approx(0.5)}
    assert str(found) == "15 x 5.00 ms"
    assert reading(row(2.0, workers_read=0)) is None
    assert reading(without_workers(2.0)) is None


def test_decoding_is_the_limit_where_the_stream_waited_for_images() -> None:
    told = (
        f"{CASE}: 50% of the time went by waiting for images: decoding is the limit"
        " (15 workers, 10.00 ms an image each, 1500 images/s in all)"
    )
    assert limit(row(2.0)) == told
    assert remarks([row(2.0)]) == [told]
    assert limit(without_workers(2.0)) == told.partition(" (")[0]
    memory = limit(row(2.0, source="memory"))
    assert memory is not None
    assert "copying them from memory is the limit (15 workers" in memory


def test_reading_is_no_limit_where_it_is_far_faster_than_the_stream() -> None:
    start = row(0.5, workers_read=20, workers_s={"decode": 0.6})
    assert limit(start) is None
    assert keeps_up(start) == f"{CASE}: decoding kept up (15 workers, 30.00 ms an image each, 500 images/s in all)"
    assert limit(row(0.5, workers_read=20, workers_s={})) is None


def test_files_that_were_decoded_in_time_are_told_with_the_same_figures() -> None:
    told = f"{CASE}: decoding kept up (15 workers, 10.00 ms an image each, 1500 images/s in all)"
    assert limit(row(0.3)) is None
    assert keeps_up(row(0.3)) == told
    assert remarks([row(0.3)]) == [told]
    for quiet in (row(0.3, source="memory"), without_workers(0.3)):
        assert remarks([quiet]) == []


def test_table_of_stages_has_a_line_for_a_worker_beside_the_stream() -> None:
    text = io.StringIO()
    Console(file=text, width=120).print(stage_table([row(2.0)]))
    lines = [line.split("  ") for line in text.getvalue().splitlines()]
    figures = {line[0] or line[1]: [part.strip() for part in line if part.strip()][1:] for line in lines}
    assert figures[CASE] == ["0.00", "0.00", "0.00", "0.40", "0.00", "0.00", "0.40", "0.80"]
    assert figures["each of 15 workers"] == ["9.00", "1.00", "0.00", "0.00", "0.00", "0.00", "0.00", "10.00"]
    assert figures["plain loop"] == ["5.00", "0.00", "0.00", "0.00", "0.00", "0.00", "0.00", "5.00"]


def test_bad_images_count_as_read_for_they_take_time_too() -> None:
    result = run(Numbered(20, bad=(3, 4, 5, 6, 7, 17)), 4, Kept(), workers=3)
    assert (result.done, result.workers, result.workers_read) == (14, 3, 20)


@pytest.mark.parametrize(
    ("names", "samples", "kind"),
    [
        (("a.png",), 9, "PNG files"),
        (("a.JPG", "b.jpeg"), None, "JPEG files"),
        (("a.tif", "b.tiff", "c.png"), None, "PNG and TIFF files"),
        (("a.tif", "b.png", "c.jpg"), None, "JPEG, PNG and TIFF files"),
        (("a.tif", "b.png", "c.jpg"), 1, "TIFF files"),
    ],
)
def test_files_are_called_what_they_are(names: tuple[str, ...], samples: int | None, kind: str) -> None:
    assert FileImages([Path(name) for name in names], SIZE, samples).kind == kind


def test_files_with_odd_metadata_are_read_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    odd = PngInfo()
    odd.add(b"sBIT", b"\x20")
    Image.fromarray(np.full(SIZE, 200, np.uint8)).save(tmp_path / "a.png", pnginfo=odd)
    images, kept = FileImages([tmp_path / "a.png"], SIZE, 9), Kept()
    result = stream(images, HostLane(FakeEngine(), 4, SIZE, 4), kept, workers=2, humble=True)
    assert (result.done, caplog.records, list(recwarn)) == (9, [], [])
    images.read(0)
    assert "sBIT" in caplog.text
