"""A neighbour computes from when it is told to until the block ends; where it ends by itself, that is an error."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest

from bench.neighbour import Neighbour, beside
from bench.recording import Recorder
from bench.visits import Visit
from bench.workers import WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Acts = Callable[[str], None]


@pytest.fixture
def acts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Acts:
    """What has neighbours do this from now on."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").touch()
    monkeypatch.setattr("bench.neighbour.ROOT", tmp_path)

    def act(text: str) -> None:
        (tmp_path / "bench" / "neighbour.py").write_text(f"import sys\n{text}")

    return act


READY = "print('ready', flush=True)\n"
UNTIL_BEGUN = f"{READY}sys.stdin.readline()\n"


def test_neighbour_waits_computes_and_ends_with_the_block() -> None:
    with beside("cpu", "steady") as other:
        child = next(each for each in psutil.Process().children() if "bench.neighbour" in " ".join(each.cmdline()))
        before_s = child.cpu_times().user
        other.begin()
        while child.cpu_times().user < before_s + 0.2:
            assert child.is_running()
        other.check()
    assert not child.is_running()


@pytest.mark.parametrize("text", ["sys.exit('no GPU')", "print('no GPU', file=sys.stderr)\nprint('what?')"])
def test_neighbour_that_does_not_get_ready_is_told_with_its_last_words(acts: Acts, text: str) -> None:
    acts(text)
    with pytest.raises(WorkerError, match=r"^the neighbour ended with status \d:\nno GPU$"), beside("cpu", "steady"):
        pytest.fail("the block began")


def during(*steps: Callable[[Neighbour], object]) -> None:
    """Take these steps beside a neighbour."""
    with beside("cpu", "steady") as other:
        for step in steps:
            step(other)


def wait(other: Neighbour) -> None:
    """Wait until a neighbour has ended by itself."""
    other._process.wait()


def fail(_: Neighbour) -> None:
    raise KeyError


def test_neighbour_that_ends_before_it_is_told_to_begin_is_an_error(acts: Acts) -> None:
    acts(READY)
    with pytest.raises(WorkerError, match=r"^the neighbour ended with status 0$"):
        during(wait, Neighbour.begin, fail)


def test_block_whose_neighbour_ended_meanwhile_is_an_error(acts: Acts) -> None:
    acts(f"{UNTIL_BEGUN}sys.exit('killed')")
    with pytest.raises(WorkerError, match="ended with status 1:\nkilled"):
        during(Neighbour.check, Neighbour.begin, wait)


def test_what_the_block_raises_is_not_hidden_by_a_neighbour_that_ended(acts: Acts) -> None:
    acts(READY)
    with pytest.raises(KeyError):
        during(wait, fail)


def test_disturbed_run_whose_neighbour_ended_is_left_out(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def worker(place: object, spec: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(left_out={}, visit=lambda *_: Visit((0.5, 0.25), None))

    monkeypatch.setattr("bench.recording.worker", worker)
    said: list[str] = []
    recording = Recorder({"cases": ["a"], "device": "cpu"}, passes=2, seconds=0.1, say=said.append)
    acts("sys.exit('no GPU')")
    assert recording.run() is not None
    assert recording.run(disturbed=True) is None
    assert said[-1] == "a run died and is left out: no GPU"
