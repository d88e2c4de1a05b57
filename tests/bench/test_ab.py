"""Two workers timed in turns settle whether one is slower, seldom wrongly, and within the budget."""

from __future__ import annotations

import math
import random
import sys
from typing import TYPE_CHECKING

import pytest
from scipy.stats import trim_mean, ttest_ind

from bench.__main__ import main
from bench.abba import measure
from bench.sequential import look, trimmed
from bench.timing import Delayed, Stopwatch, rounds_s
from bench.visits import Visit
from tests.bench.test_timing import STEP_S, SlowEngine
from tests.bench.test_worker import _SPEAKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class FakeWatch(Stopwatch):
    """A clock that a test sets."""

    now_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds that the turns have taken."""
        return self.now_s


class Bench:
    """Two engines on a machine whose speed wanders and that other work interrupts."""

    def __init__(self, seed: int, loss: float, noise: float = 0.03) -> None:
        self.watch = FakeWatch()
        self._draw = random.Random(seed)  # noqa: S311 - not for secrets
        self._wander = 0.0
        self._loss, self._noise = loss, noise

    def turn(self, factor: float) -> Callable[[float], Visit]:
        """Return a function that times a turn."""

        def visit(seconds: float) -> Visit:
            self.watch.now_s += seconds
            self._wander += self._draw.gauss(0, self._noise / 5)
            burst = 0.8 if self._draw.random() < 0.05 else 0.0
            return Visit((0.01 * factor * math.exp(self._wander + self._draw.gauss(0, self._noise) + burst),), None)

        return visit

    def settle(self, budget_s: float = 120.0) -> str | None:
        """Return the verdict."""
        return measure(self.turn(1), self.turn(1 / (1 - self._loss)), 0.01, budget_s, self.watch).verdict


def test_small_loss_is_found_and_equal_engines_are_not_called_different() -> None:
    slower = [Bench(seed, 0.02).settle() for seed in range(60)]
    assert slower.count("slower") >= 57
    equal = [Bench(seed, 0.0).settle() for seed in range(150)]
    assert equal.count("slower") + equal.count("faster") <= 3
    assert Bench(1, -0.05).settle() == "faster"


def test_large_loss_is_found_quickly_and_a_small_budget_leaves_it_open() -> None:
    quick = Bench(0, 0.2)
    assert quick.settle() == "slower"
    assert quick.watch.now_s < 10
    assert Bench(0, 0.005, noise=0.2).settle(budget_s=3.0) is None


def test_equal_engines_on_a_quiet_machine_are_soon_called_the_same() -> None:
    bench = Bench(0, 0.0, noise=0.002)
    assert bench.settle() == "same"
    assert bench.watch.now_s < 60


def made_of(seed: int, factors: tuple[float, ...], busy: float = 0.0) -> Callable[[float], Visit]:
    """Return a function that times a turn of rounds with these factors, each hit by other work with a chance."""
    draw = random.Random(seed)  # noqa: S311 - not for secrets

    def visit(_: float) -> Visit:
        hits = [1 + draw.expovariate(5) if draw.random() < busy else 1.0 for _ in factors]
        return Visit(
            tuple(0.01 * each * hit * math.exp(draw.gauss(0, 0.002)) for each, hit in zip(factors, hits, strict=True)),
            None,
        )

    return visit


def test_other_work_that_hits_some_rounds_of_a_turn_delays_no_verdict() -> None:
    plain, slower = (1.0, 1.0, 1.0), (1.02, 1.02, 1.02)
    found = measure(made_of(1, plain, 0.5), made_of(2, slower, 0.5), 0.01, 10**6)
    assert (found.verdict, found.rounds) == ("slower", "fastest")
    assert found.pairs < 100
    equal = measure(made_of(3, plain, 0.3), made_of(4, plain, 0.3), 0.01, 10**6)
    assert (equal.verdict, equal.pairs < 100) == ("same", True)


def test_change_that_leaves_the_fastest_round_alone_is_found_by_the_median() -> None:
    found = measure(made_of(1, (1.0, 1.0, 1.0)), made_of(2, (1.0, 1.05, 1.05)), 0.01, 10**6)
    assert (found.verdict, found.rounds) == ("slower", "median")
    assert found.interval.ratio == pytest.approx(1 / 1.05, rel=0.01)
    opposed = measure(made_of(1, (1.0, 1.0, 1.0)), made_of(2, (0.9, 1.05, 1.05)), 0.01, 0.0)
    assert opposed.verdict is None


def test_later_looks_ask_for_more() -> None:
    values = [0.01 + 0.01 * math.sin(index) for index in range(20)]
    first, fifth = (look(values, number, 0.01).interval for number in (1, 5))
    assert fifth.low < first.low < first.ratio < first.high < fifth.high


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.0015, "same"), (0.0025, "slower"), (-0.0015, "same"), (-0.0025, "faster")]
)
def test_what_two_processes_of_one_engine_may_differ_by_is_no_difference(share: float, verdict: str) -> None:
    values = [math.log(1 + share) + 1e-5 * math.sin(index) for index in range(40)]
    assert look(values, 1, 0.01).verdict == verdict


def test_trimmed_mean_and_its_error_are_yuen_s() -> None:
    values = [math.sin(index) + (50 if index % 9 == 0 else 0) for index in range(30)]
    middle, error, freedom = trimmed(values)
    assert middle == pytest.approx(trim_mean(values, 0.2))
    theirs = ttest_ind(values, [value + 1 for value in values], equal_var=False, trim=0.2)
    assert 1 / abs(theirs.statistic) == pytest.approx(error * math.sqrt(2))
    assert freedom == 17


def test_delayed_engine_loses_about_its_share_and_is_otherwise_the_engine() -> None:
    engine = SlowEngine()
    delayed = Delayed(engine, 0.5)
    assert delayed.engine_bytes == engine.engine_bytes
    delayed.synchronize()
    (seconds,) = rounds_s(delayed, 3, 0.0, least=1)
    assert engine.calls.count("enqueue") == 3
    assert 2 * STEP_S <= seconds < 3 * STEP_S


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose worker answers without engines, and describes no machine."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").touch()
    text = _SPEAKS.replace('{"samples_s"', '{"machine": {"cpu": "x", "runtimes": {}}, "samples_s"')
    (tmp_path / "bench" / "worker.py").write_text(text)
    return tmp_path


def test_command_prints_a_verdict_per_case(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(checkout)
    assert main(["ab", "--a", place, "--b", place, "--cases", "openvino-fp32-b1,torch-fp32-b1"]) == 0
    text = capsys.readouterr().out
    assert text.count(" B is same: +0.0% FPS") == 2
    slower = (checkout / "slow").joinpath("bench")
    slower.mkdir(parents=True)
    (slower / "__init__.py").touch()
    worker = (checkout / "bench" / "worker.py").read_text()
    (slower / "worker.py").write_text(worker.replace("[0.5, 0.25]", "[0.52, 0.26]").replace('"x"', '"y"'))
    assert main(["ab", "--a", place, "--b", str(slower.parent), "--cases", "openvino-fp32-b1"]) == 1
    text = capsys.readouterr().out
    assert "B is slower: -3.8% FPS" in text
    assert "median" not in text
    assert "- CPU x -> y" in text
    assert "two builds" not in text
    assert main(["ab", "--a", place, "--b", str(slower.parent), "--cases", "tensorrt-fp32-b1"]) == 1
    assert (
        "if they are two builds, luck alone makes such differ by 0.8% (standard deviation)" in capsys.readouterr().out
    )
    (slower / "worker.py").write_text(worker.replace("[0.5, 0.25]", "[0.5, 0.25, 0.5]"))
    assert main(["ab", "--a", place, "--b", str(slower.parent), "--cases", "openvino-fp32-b1"]) == 1
    assert "B is slower: -25.0% FPS (-25.0% to -25.0%) by the median rounds, not by the f" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--a", "/gone", "--b", sys.executable, "--cases", "openvino-fp32-b1"), "/gone: neither"),
        (("--a", sys.executable, "--b", sys.executable, "--cases", "openvino"), "not a case id: 'openvino'"),
    ],
)
def test_command_refuses_what_it_cannot_run(
    arguments: tuple[str, ...], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ab", *arguments]) == 2
    assert what in capsys.readouterr().err


def test_case_that_a_place_cannot_open_ends_it_in_one_line(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = checkout / "other" / "bench"
    other.mkdir(parents=True)
    (other / "__init__.py").touch()
    text = (checkout / "bench" / "worker.py").read_text()
    without = '{"ready": True, "left_out": {"tensorrt-fp32-b1": "UnavailableError: no TensorRT"}}'
    (other / "worker.py").write_text(text.replace('{"ready": True}', without))
    given = ("ab", "--a", str(checkout), "--b", str(other.parent), "--cases", "tensorrt-fp32-b1")
    assert main([*given]) == 2
    told = f"tensorrt-fp32-b1 cannot be opened in B ({other.parent}): UnavailableError: no TensorRT"
    assert capsys.readouterr().err == f"cannot compare: {told}\n"


def test_difference_that_a_second_pair_of_processes_does_not_show_is_not_settled(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = checkout / "other" / "bench"
    other.mkdir(parents=True)
    (other / "__init__.py").touch()
    text = (checkout / "bench" / "worker.py").read_text()
    once = "import pathlib\nmark = pathlib.Path('mark')\nslow = not mark.exists()\nmark.touch()\n"
    (other / "worker.py").write_text(once + text.replace("[0.5, 0.25]", "[0.52, 0.26] if slow else [0.5, 0.25]"))
    given = ("ab", "--a", str(checkout), "--b", str(other.parent), "--cases", "openvino-fp32-b1")
    assert main([*given]) == 0
    assert "B is not settled: +0.0% FPS" in capsys.readouterr().out
    assert main([*given]) == 0
    assert "B is same" in capsys.readouterr().out


def test_trials_are_counted_with_their_interval(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (checkout / "bench" / "worker.py").read_text()
    slow = text.replace("[0.5, 0.25]", "[0.52, 0.26] if '@' in question['case'] else [0.5, 0.25]")
    (checkout / "bench" / "worker.py").write_text(slow)
    given = ("ab", "--a", str(checkout), "--b", str(checkout), "--cases", "openvino-fp32-b1", "--prove", "3")
    assert main([*given]) == 2
    assert "--prove needs --slow-b" in capsys.readouterr().err
    assert main([*given, "--slow-b", "sleep=0.04"]) == 0
    text = capsys.readouterr().out
    assert "called different in 0 of 3 trials (0%, 95 % interval 0% to 71%)" in text
    assert "@sleep=0.04: called slower within 240 s in 3 of 3 trials (100%, 95 % interval 29% to 100%)" in text
