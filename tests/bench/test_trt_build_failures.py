"""What becomes of TensorRT's messages and failures in building."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from bench.backend import BuildError, OutOfMemoryError
from bench.case import Case
from tests.bench.test_trt_build import build
from tests.bench.trt_api.fakes import Fakes, FakeSource

if TYPE_CHECKING:
    from pathlib import Path


class Interrupted(str):
    """A message that Ctrl-C comes with, in the midst of TensorRT's call of the logger."""

    __slots__ = ()

    def __format__(self, _: str) -> str:
        signal.raise_signal(signal.SIGINT)
        return str(self)


def test_a_failing_build_repeats_tensorrts_errors(fakes: Fakes, tmp_path: Path) -> None:
    fakes.behaviour.builds = False
    fakes.behaviour.says = [
        ("WARNING", "odd"),
        ("VERBOSE", "chatter"),
        ("ERROR", "no implementation for node /inc/Conv"),
    ]
    with pytest.raises(BuildError) as caught:
        build(fakes, FakeSource(tmp_path), "fp16")
    assert str(caught.value).splitlines() == [
        "tensorrt_weak-fp16-b2: TensorRT 8.6.0 cannot build the engine",
        "TensorRT error: no implementation for node /inc/Conv",
    ]


def test_a_graph_that_does_not_parse_shows_the_parsers_message(fakes: Fakes, tmp_path: Path) -> None:
    fakes.behaviour.parses = False
    with pytest.raises(BuildError, match="cannot parse the graph fp32\nTensorRT error: No importer registered for op"):
        build(fakes, FakeSource(tmp_path), "fp16")


@pytest.mark.usefixtures("no_space")
@pytest.mark.parametrize(("precision", "file"), [("int8", "calibration-minmax-"), ("fp16", "timing-")])
def test_a_full_disk_fails_the_build_and_leaves_no_part_of_a_file(
    fakes: Fakes, tmp_path: Path, precision: str, file: str
) -> None:
    with pytest.raises(OSError, match=f"No space left on device.*{file}"):
        build(fakes, FakeSource(tmp_path), precision)
    left = [path.name for path in (tmp_path / "engines" / ".tensorrt").iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == []


def test_messages_of_one_case_do_not_show_up_in_the_next(fakes: Fakes, tmp_path: Path) -> None:
    fakes.behaviour.builds = False
    fakes.behaviour.says = [("ERROR", "first")]
    with pytest.raises(BuildError, match="first"):
        build(fakes, FakeSource(tmp_path), "fp16")
    fakes.behaviour.says = []
    with pytest.raises(BuildError, match="gave no message"):
        build(fakes, FakeSource(tmp_path), "fp16")


@pytest.mark.parametrize(
    ("message", "needs"),
    [
        (
            "Tactic Device request: 40960MB Available: 20480MB. Device memory is insufficient to use tactic.",
            "about 40.0",
        ),
        ("Skipping tactic 0 due to insufficient memory on requested size of 2147483648 detected", "about 2.0"),
        ("Error Code 2: OutOfMemory (no further information)", "more than the 1.0"),
    ],
)
def test_a_build_that_runs_out_of_memory_says_what_it_needs(
    fakes: Fakes, tmp_path: Path, message: str, needs: str
) -> None:
    fakes.behaviour.builds = False
    fakes.behaviour.says = [("ERROR", message)]
    with pytest.raises(OutOfMemoryError, match=rf"^out of memory at batch 2 \(needs {needs} GiB"):
        build(fakes, FakeSource(tmp_path), "fp16")


PASSED_OVER = (
    "WARNING",
    "Tactic Device request: 40960MB Available: 20480MB. Device memory is insufficient to use tactic.",
)
PASSED_OVER_AS_ERRORS = (
    ("ERROR", "[virtualMemoryBuffer.cpp::resizePhysical::145] Error Code 2: OutOfMemory (no further information)"),
    ("ERROR", "Error Code: 9: Skipping tactic 0x0 due to exception User allocator error allocating 40960-byte buffer"),
)


@pytest.mark.parametrize("passed_over", [[PASSED_OVER], PASSED_OVER_AS_ERRORS])
def test_a_kernel_passed_over_for_memory_does_not_hide_another_error(
    fakes: Fakes, tmp_path: Path, passed_over: list[tuple[str, str]]
) -> None:
    fakes.behaviour.builds = False
    fakes.behaviour.says = [*passed_over, ("ERROR", "Error Code 4: node /inc/Conv has an invalid weight")]
    with pytest.raises(BuildError, match="node /inc/Conv has an invalid weight"):
        build(fakes, FakeSource(tmp_path), "fp16")


NEEDED = 15461882265
REQUESTED = ("WARNING", f"Requested amount of GPU memory ({NEEDED} bytes) could not be allocated.")


@pytest.mark.parametrize(
    "said",
    [
        [("ERROR", "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)"), REQUESTED],
        [REQUESTED, ("ERROR", "Error Code 10: Could not find any implementation for node {ForeignNode[/up/Conv]}.")],
        [("ERROR", f"Error Code: 1: User allocator error allocating {NEEDED}-byte buffer")],
    ],
)
def test_what_tensorrt_10_says_of_a_build_that_runs_out_is_understood(
    fakes: Fakes, tmp_path: Path, said: list[tuple[str, str]]
) -> None:
    fakes.behaviour.builds = False
    fakes.behaviour.says = said
    with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 \(needs about 14.4 GiB\)$"):
        build(fakes, FakeSource(tmp_path), "fp16")


def test_no_kernel_left_after_some_were_passed_over_for_memory_is_out_of_memory(fakes: Fakes, tmp_path: Path) -> None:
    fakes.behaviour.builds = False
    fakes.behaviour.says = [PASSED_OVER, ("ERROR", "Error Code 10: Could not find any implementation for node {..}.")]
    with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 \(needs about 40.0 GiB\)$"):
        build(fakes, FakeSource(tmp_path), "fp16")


def test_a_calibration_batch_that_does_not_fit_is_out_of_memory_and_leaves_nothing(
    fakes: Fakes, tmp_path: Path
) -> None:
    fakes.device.limit_bytes = 100
    source = FakeSource(tmp_path)
    with pytest.raises(OutOfMemoryError, match="out of memory at batch 2"):
        build(fakes, source, "int8")
    assert fakes.device.used_bytes == 0
    assert list(source.engine_folder.iterdir()) == []


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("builds", [True, False])
def test_ctrl_c_in_tensorrts_call_of_the_logger_ends_the_build_after_it(
    fakes: Fakes,
    tmp_path: Path,
    builds: bool,  # noqa: FBT001 - a parameter
) -> None:
    source = FakeSource(tmp_path)
    fakes.behaviour.builds = builds
    fakes.behaviour.says = [("ERROR", Interrupted("odd"))]
    with pytest.raises(KeyboardInterrupt):
        build(fakes, source, "fp16")
    assert [text.partition(";")[0] for text in source.said] == ["tensorrt_weak-fp16-b2: interrupted"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not list(source.engine_folder.iterdir())


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_tensorrts_call_of_the_logger_ends_the_loading_of_a_plan(fakes: Fakes, tmp_path: Path) -> None:
    source = FakeSource(tmp_path)
    build(fakes, source, "fp16")
    fakes.behaviour.says = [("WARNING", Interrupted("odd"))]
    with pytest.raises(KeyboardInterrupt):
        fakes.backend("tensorrt_weak").load(source, Case("tensorrt_weak", "fp16", 2), source.engine_folder)
