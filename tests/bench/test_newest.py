"""Of a case that several runs hold, tables show the newest figure that is whole, and keep count of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bench.newest import newest
from bench.results import Run, parse_run
from tests.bench.runs import row_json, run_json, run_of
from tests.bench.tabled import stream

if TYPE_CHECKING:
    from collections.abc import Mapping

CASE = "torch-fp16-b1"


def run(fps: float, hour: int, **suite: Any) -> Run:
    """Return a run of one case that began at an hour."""
    return run_of(row_json(CASE, fps), measured=f"2030-06-15T{hour:02}:00:00+00:00", **suite)


def streamed(fps: float, hour: int, failed: Mapping[str, str] | None = None, **changes: Any) -> Run:
    """Return a run of one stream that began at an hour."""
    data = run_json(measured=f"2030-06-15T{hour:02}:00:00+00:00", failed=failed or {})
    data["benchmarks"] = [stream(CASE, fps, **changes)]
    return parse_run(data, "a test's run")


def shown(*runs: Run) -> list[float | None]:
    """Return the FPS of the only figure that is shown, and the ratios to it of those that are not."""
    found = newest([(str(number), each) for number, each in enumerate(runs)])
    timed = [row.fps for each in found for row in each.rows.values()]
    (fps,) = timed + [stream["fps"] for each in found for stream in each.streams.values()]
    return [fps, *(other.fps_ratio for each in found for other in each.others)]


@pytest.mark.parametrize("hours", [(9, 10, 8), (10, 23, 1)])
def test_the_newest_is_shown_wherever_it_stands(hours: tuple[int, int, int]) -> None:
    runs = [run(fps, hour) for fps, hour in zip((110.0, 100.0, 90.0), hours, strict=True)]
    assert shown(*runs) == pytest.approx([100.0, 1.1, 0.9])
    assert shown(*reversed(runs)) == pytest.approx([100.0, 0.9, 1.1])


def test_of_the_same_second_the_first_given_is_shown() -> None:
    assert shown(run(100.0, 9), run(200.0, 9)) == pytest.approx([100.0, 2.0])


def test_a_run_that_does_not_say_when_it_began_is_the_oldest() -> None:
    undated = run(100.0, 9)
    del undated.suite["measured"]  # type: ignore[attr-defined]
    assert shown(undated, run(200.0, 1)) == pytest.approx([200.0, 0.5])


def test_a_case_that_failed_in_its_session_gives_way_to_one_that_did_not() -> None:
    half = run(100.0, 10, failed={CASE: "RuntimeError: the stream broke"})
    assert shown(run(200.0, 9), half) == pytest.approx([200.0, 0.5])
    assert shown(half) == pytest.approx([100.0])
    assert shown(run(200.0, 9, failed=half.failed), half) == pytest.approx([100.0, 2.0])
    assert shown(streamed(200.0, 9), streamed(100.0, 10, half.failed)) == pytest.approx([200.0, 0.5])


def test_a_stream_that_was_cut_gives_way_to_a_whole_one() -> None:
    cut = streamed(100.0, 10, done=400, partial=True)
    assert shown(streamed(200.0, 9), cut) == pytest.approx([200.0, 0.5])
    assert shown(cut) == pytest.approx([100.0])


def test_a_stream_that_did_no_image_gives_way_to_any_other() -> None:
    empty = streamed(0.0, 11)
    stopped = streamed(0.0, 10, partial=True)
    assert shown(streamed(200.0, 8), empty, stopped) == pytest.approx([200.0, 0.0, 0.0])
    assert shown(streamed(200.0, 8, done=400, partial=True), empty) == pytest.approx([200.0, 0.0])


def test_there_is_no_ratio_to_a_stream_that_did_no_image() -> None:
    assert shown(streamed(0.0, 9), streamed(0.0, 10, partial=True)) == [0.0, None]


def test_streams_of_other_lengths_or_places_are_other_cells() -> None:
    runs = [streamed(100.0, 9), streamed(100.0, 10, samples=2000), streamed(100.0, 11, source="PNG files")]
    found = newest([(str(number), each) for number, each in enumerate(runs)])
    assert [len(each.streams) for each in found] == [1, 1, 1]


def test_a_stream_that_does_not_say_so_asked_for_what_it_did_from_memory() -> None:
    silent = streamed(100.0, 9, done=2000)
    del silent.streams[0]["samples"]  # type: ignore[attr-defined]
    assert shown(silent, streamed(50.0, 10, samples=2000, source="memory")) == pytest.approx([50.0, 2.0])


def test_a_row_and_a_stream_of_one_case_are_two_cells() -> None:
    found = newest([("row", run(100.0, 9)), ("stream", streamed(90.0, 10))])
    assert [(len(each.rows), len(each.streams), len(each.others)) for each in found] == [(1, 0, 0), (0, 1, 0)]


def test_how_far_another_figure_s_dice_is_from_the_one_shown_is_kept() -> None:
    far = row_json(CASE, 100.0)
    far["extra_info"]["dice_fp32"]["mean"] -= 0.25
    for hour in (8, 10):
        lower = run_of(far, measured=f"2030-06-15T{hour:02}:00:00+00:00")
        found = newest([("far", lower), ("near", run(100.0, 9))])
        assert [other.dice_apart for each in found for other in each.others] == pytest.approx([0.25])
    older, _ = newest([("old", streamed(80.0, 8)), ("new", streamed(100.0, 9))])
    assert [(other.fps_ratio, other.dice_apart) for other in older.others] == [(0.8, None)]
