"""What rebuilding an engine does to its speed by luck: known answers, error rates by simulation, and the verdicts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.__main__ import main
from bench.builds import Builds, builds_of
from bench.case import parse_case
from bench.change import ALPHA
from bench.gate import Status, judge_run
from bench.intervals import compare
from bench.limits import BUILD_FREEDOM, BUILD_SPREAD, BUILD_SPREADS
from bench.speed import ENOUGH_RUNS, changes, is_slower, is_undecided
from bench.visits import Visit
from tests.bench.runs import baseline_of, row_json, run_json, run_of, scores, stored, write

if TYPE_CHECKING:
    from pathlib import Path

    from bench.change import Change
    from bench.entries import BaselineEntry
    from bench.figures import Matrix

CASES = [f"case{index}" for index in range(20)]
TRT = "tensorrt-int8-b1"
COMPILED = ["torch_compile-tf32-b1", *(f"torch_compile-{each}-b{size}" for each in ("fp16", "bf16") for size in (1, 4))]
WITHIN, APART = 0.002, 0.008
"""Standard deviations between process runs of one build and between builds, as TensorRT's are on a GPU."""


@pytest.mark.parametrize(
    ("old", "new", "share"),
    [
        ("aaa", "a", 0),  # the same build
        ("aaa", "b", 2),  # one and one
        ("aaa", "bbbb", 2),  # however many runs
        ("aabbcc", "d", 1 + 1 / 3),
        ("aabbcc", "a", 1 - 1 / 3),
        ("aaaaab", "c", 2),  # the median is of the build that most are of
        ("aab", "b", 2),
        ("aab", "a", 0),
        ("aaa", "bcd", 1 + 1 / 3),
    ],
)
def test_builds_add_the_variance_of_a_difference_of_their_medians(old: str, new: str, share: float) -> None:
    builds = Builds(tuple(old), tuple(new), 0.01, math.inf)
    assert builds.variance == pytest.approx(share * 0.01**2)
    generator = np.random.default_rng(0)
    luck = 0.01 * generator.normal(size=(40_000, 5))
    middles = [np.median(luck[:, ["abcde".index(digest) for digest in digests]], axis=1) for digests in (old, new)]
    # Of three builds alike the median varies by a third more than the mean: at most a fifth of what builds add in all.
    assert float((middles[1] - middles[0]).var()) == pytest.approx(builds.variance, rel=0.2)


def matrices(generator: np.random.Generator, builds: int, runs: int, loss: float = 0.0) -> list[Matrix]:
    """Return runs of all cases, so many of each build; the first case lost this share of its FPS."""
    found: list[Matrix] = []
    for _ in range(builds):
        engine = APART * generator.normal(size=len(CASES))
        for _ in range(runs):
            seconds = 0.01 * np.exp(engine + WITHIN * generator.normal(size=len(CASES)))
            seconds[0] /= 1 - loss
            found.append(
                {case: (Visit((value,) * 3, (0.01, 0.01)),) for case, value in zip(CASES, seconds, strict=True)}
            )
    return found


def judged(
    generator: np.random.Generator, builds: int, loss: float = 0.0, *, runs: int = 1, told: bool = True
) -> dict[str, Change]:
    """Return what a rebuilt matrix is told to have changed by, against a baseline of three runs of each build."""
    old, new = matrices(generator, builds, 3), matrices(generator, 1, runs, loss)
    # As a baseline of so many builds of twenty cases would estimate it, but for one: there it is assumed.
    freedom = math.inf if builds == 1 else (builds - 1) * len(CASES)
    apart = APART * (1 if builds == 1 else math.sqrt(generator.chisquare(freedom) / freedom))
    labels = tuple(str(index // 3) for index in range(len(old)))
    known = Builds(labels, ("new",) * runs, apart, freedom)
    return compare(old, new, CASES, dict.fromkeys(CASES, known) if told else None)


@pytest.mark.parametrize("runs", [1, ENOUGH_RUNS])
@pytest.mark.parametrize("builds", [1, 3])
def test_rebuilt_engines_raise_few_alarms_and_losses_beyond_luck_are_seen(builds: int, runs: int) -> None:
    generator = np.random.default_rng(7)
    unchanged = [judged(generator, builds, runs=runs) for _ in range(300)]
    assert sum(any(change.p_slower < ALPHA for change in found.values()) for found in unchanged) <= 300 * 2 * ALPHA
    covered = [found[case].interval for found in unchanged for case in CASES]
    assert 0.98 < sum(each.low <= 1 <= each.high for each in covered) / len(covered) < 1
    lost = [judged(generator, builds, 0.08, runs=runs)[CASES[0]] for _ in range(100)]
    assert all(change.by_builds for change in lost)
    assert [is_undecided(change) for change in lost] == [runs < ENOUGH_RUNS] * 100
    if runs == ENOUGH_RUNS:
        assert sum(change.p_slower < ALPHA for change in lost) > 90


def test_the_same_matrices_raise_alarms_where_builds_are_not_told() -> None:
    generator = np.random.default_rng(7)
    unchanged = [judged(generator, 1, told=False) for _ in range(100)]
    assert sum(any(change.p_slower < ALPHA for change in found.values()) for found in unchanged) > 50


def test_runs_of_a_build_each_are_not_told_apart_from_their_builds() -> None:
    generator = np.random.default_rng(3)
    old, new = matrices(generator, 10, 1), matrices(generator, 1, 1)
    fresh = dict.fromkeys(CASES, Builds(tuple("abcdefghij"), ("new",), APART, 9.0))
    assert compare(old, new, CASES, fresh) == compare(old, new, CASES)
    assert not any(change.apart for change in compare(old, new, CASES, fresh).values())


def entry_of(case: str, digests: str, apart: tuple[float, ...]) -> BaselineEntry:
    (entry,) = stored([run_of(row_json(case, engine_digest=each)) for each in digests], apart).entries.values()
    return entry


def test_spread_between_builds_is_the_baseline_s_own_by_backend_or_what_is_assumed() -> None:
    known = entry_of("tensorrt-int8-b4", "aabb", (1.0, 1.0, 1.02, 1.02))
    steady = entry_of("tensorrt-int8-b8", "aabb", (1.0,) * 4)
    cases = {case: entry_of(case, "aaa", (1.0,) * 3) for case in (TRT, "torch2trt-fp16-b1", *COMPILED)}
    again = [{"samples_s": [0.01, 0.01], "canary_s": [0.01, 0.01]}] * 2
    rows = [row_json(case, engine_digest="z") for case in cases if case != TRT]
    run = run_of(row_json(TRT, engine_digest="z", reruns=again), *rows)
    found = builds_of([run], cases, [known, steady, *cases.values()])
    own = math.log(1.02) / math.sqrt(2)
    assert found[TRT] == Builds(("a",) * 3, ("z",) * 3, found[TRT].apart, BUILD_FREEDOM + 2)
    together = (BUILD_FREEDOM * BUILD_SPREAD**2 + own**2) / (BUILD_FREEDOM + 2)
    assert found[TRT].apart == pytest.approx(math.sqrt(together))
    for case, assumed in (
        ("torch2trt-fp16-b1", BUILD_SPREAD),
        ("torch_compile-tf32-b1", BUILD_SPREAD),
        ("torch_compile-fp16-b1", BUILD_SPREADS["torch_compile-fp16"]),
    ):
        assert found[case] == Builds(("a",) * 3, ("z",), found[case].apart, BUILD_FREEDOM)
        assert found[case].apart == pytest.approx(assumed)
    (noisier,) = builds_of(
        [run_of(row_json(known.case, engine_digest="z"))], {known.case: known}, [known, steady]
    ).values()
    assert noisier.apart == pytest.approx(own)
    assert builds_of([run_of(row_json(TRT))], {TRT: cases[TRT]}, []) == {}


def test_files_that_differ_are_no_other_build_where_no_kernels_are_searched() -> None:
    case = "onnxruntime-int8-b1"
    fresh = entry_of(case, "abcde", (0.97, 0.98, 1.0, 1.02, 1.03))
    again = [{"samples_s": [0.01, 0.01], "canary_s": [0.01, 0.01]}] * 6
    (found,) = changes([run_of(row_json(case, engine_digest="z", reruns=again))], {case: fresh}).values()
    assert (found.apart, found.by_builds) == (0.0, False)


def test_two_builds_of_one_case_do_not_make_the_gate_blind_to_losses_of_the_others() -> None:
    cases = [f"tensorrt-{precision}-b{size}" for precision in ("fp32", "fp16", "int8") for size in (1, 2, 4, 8)]
    entries = {case: entry_of(case, "aaaaa", (0.998, 0.999, 1.0, 1.001, 1.002)) for case in cases}
    entries[cases[-1]] = entry_of(cases[-1], "aaabb", (0.999, 1.0, 1.001, 1.015, 1.016))
    rows = [row_json(case, 85.0 if case == cases[0] else 100.0, engine_digest="z") for case in cases]
    again = [{"samples_s": [1 / 85] * 2, "canary_s": [0.01, 0.01]}] * (ENOUGH_RUNS - 1)
    rows[0]["extra_info"]["reruns"] = again
    assert [case for case, found in changes([run_of(*rows)], entries).items() if is_slower(found)] == cases[:1]


def test_compiled_engines_whose_kernels_are_searched_raise_few_alarms_when_built_anew() -> None:
    generator = np.random.default_rng(1)
    alarms = 0
    for _ in range(200):
        old, new = ({case: math.exp(0.052 * generator.normal()) for case in COMPILED} for _ in "on")
        entries = {
            case: entry_of(case, "aaaaa", tuple(old[case] * np.exp(WITHIN * generator.normal(size=5))))
            for case in COMPILED[1:]
        }
        rows = []
        for case in COMPILED[1:]:
            first, *more = (new[case] * np.exp(WITHIN * generator.normal(size=ENOUGH_RUNS))).tolist()
            size = parse_case(case).batch_size
            again = [{"samples_s": [size / 100 * each] * 2, "canary_s": [0.01, 0.01]} for each in more]
            rows.append(row_json(case, 100 / first, engine_digest="z", reruns=again))
        alarms += any(map(is_slower, changes([run_of(*rows)], entries).values()))
    assert alarms <= 200 * 2 * ALPHA


@pytest.mark.parametrize(
    ("case", "digest", "fps", "status"),
    [
        (TRT, "a", 98.0, Status.REGRESSION),
        (TRT, "b", 98.0, Status.PASS),
        (TRT, "b", 80.0, Status.REGRESSION),
        ("torch_compile-fp16-b1", "a", 95.7, Status.REGRESSION),
        ("torch_compile-fp16-b1", "b", 95.7, Status.INCONCLUSIVE),
        ("onnxruntime-int8-b1", "b", 97.0, Status.REGRESSION),  # it searches no kernels
    ],
)
def test_loss_that_rebuilding_explains_is_no_regression(case: str, digest: str, fps: float, status: Status) -> None:
    dice = scores([[0.9999, 0.9999]] * 3)
    baseline = baseline_of(row_json(case, engine_digest="a", dice_fp32=dice), apart=(0.999, 1.0, 1.0, 1.0, 1.001))
    (found,) = judge_run(run_of(row_json(case, fps, engine_digest=digest, dice_fp32=dice)), baseline)
    assert found.status is status
    apart = BUILD_SPREADS.get(case.rpartition("-")[0], 0.0 if case.startswith("onnx") else BUILD_SPREAD)
    named = f"of another build: builds lie {apart:.1%} apart (standard deviation; of this case's nothing is known"
    assert (named in found.evidence) is (digest == "b" and apart > 0 and status is not Status.PASS)


@pytest.mark.parametrize(("anchor", "status"), [("a", Status.REGRESSION), ("b", Status.PASS), ("", Status.REGRESSION)])
def test_luck_of_the_anchor_s_build_is_no_loss_since_it(anchor: str, status: Status) -> None:
    case, dice = "torch_compile-fp16-b1", scores([[0.9999, 0.9999]] * 3)
    first, now = (
        stored([run_of(row_json(case, fps, engine_digest=each, dice_fp32=dice))] * 3)
        for fps, each in ((100.0, anchor), (87.0, "a"))
    )
    ((key, entry),) = now.entries.items()
    drifted = replace(now, entries={key: replace(entry, anchor=first.entries[key].current)})
    (found,) = judge_run(run_of(row_json(case, 87.0, engine_digest="a", dice_fp32=dice)), drifted)
    assert (found.status, "since the anchor" in found.evidence) == (status, status is Status.REGRESSION)


def test_build_that_the_baseline_knows_is_not_called_another() -> None:
    rows = [row_json(TRT, engine_digest=each) for each in "aabbcc"]
    # Runs so far apart that two of a build would say less than all six.
    baseline = stored([run_of(row) for row in rows], (0.95, 1.05, 0.96, 1.04, 0.97, 1.03))
    (found,) = judge_run(run_of(row_json(TRT, 50.0, engine_digest="a")), baseline)
    assert found.evidence.startswith("FPS 100.1 -> 50.0, -50.0%")  # the median of all six
    assert "; one of the baseline's 3 builds: builds lie 0.7% apart (standard deviation)" in found.evidence


def test_comparison_of_other_builds_says_that_it_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (write(tmp_path / f"{each}.json", run_json(row_json(TRT, engine_digest=each))) for each in "ab")
    assert main(["compare", str(a), str(b)]) == 0
    assert "- 1 of 1 cases ran other builds" in capsys.readouterr().out
    again = write(tmp_path / "again.json", run_json(row_json(TRT, 99.0, engine_digest="a")))
    assert main(["compare", str(a), str(again)]) == 0
    assert "other builds" not in capsys.readouterr().out
