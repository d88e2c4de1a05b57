"""A baseline takes only enough whole, like runs, asks why where they are worse, and remembers what was before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.accept import AcceptError, accept, dropped, narrowed, pinned, waived
from bench.entries import Acceptance, Waiver
from bench.gate import Status, judge_run
from tests.bench.runs import MACHINE, baseline_of, row_json, run_of, scores

if TYPE_CHECKING:
    from bench.results import Run

ROOT = Path(__file__).parents[2]
INT8, FP32 = "openvino-int8-b4", "torch-fp32-b1"
KEY = (INT8, "m1", "i1")


def runs(fps: float = 100.0, **suite: Any) -> list[Run]:
    """Return three runs of two cases, a little apart."""
    return [
        run_of(row_json(INT8, fps=fps * factor), row_json(FP32), **{"checksum": str(factor), **suite})
        for factor in (0.998, 1.0, 1.002)
    ]


def because(why: str, when: str = "2030-06-01T12:00:00+00:00") -> Acceptance:
    """Return an acceptance for a reason."""
    return Acceptance("ada", when, why, "c0ffee")


def test_three_runs_become_the_baseline_that_later_runs_pass() -> None:
    found = accept(None, runs(), because(""))
    assert found.machine == MACHINE
    assert {verdict.status for verdict in judge_run(runs()[1], found)} == {Status.PASS}
    entry = found.entries[KEY]
    assert (len(entry.current.runs), entry.previous, entry.anchor) == (3, None, None)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda found: found[:2], "2 runs: at least 3 are needed"),
        (lambda found: [found[0], found[1], found[1]], "the same run is given twice"),
        (lambda found: [*found[:2], replace(found[2], failed={FP32: "boom"})], r"run 3 has a failed case, .*boom"),
        (lambda found: [*found[:2], replace(found[2], rows={})], "run 3 measured nothing"),
        (
            lambda found: [*found[:2], replace(found[2], rows={INT8: found[2].rows[INT8]})],
            f"runs 1 and 3 did not measure the same cases: {FP32}",
        ),
        (
            lambda found: [*found[:2], runs(machine={**MACHINE, "cpu": "Xeon"})[2]],
            r"runs 1 and 3 differ in more than noise: CPU AMD EPYC -> Xeon",
        ),
        (lambda found: [*found[:2], runs(threads=1)[2]], "threads 2 -> 1"),
        (lambda found: [*found[:2], runs(calibration={"digest": "c2"})[2]], "calibration images changed"),
        (lambda found: [*found[:2], runs(model={"name": "tiny", "digest": "m2"})[2]], "runs 1 and 3 differ .* model"),
    ],
)
def test_runs_that_are_too_few_broken_or_unlike_are_refused(change: Any, what: str) -> None:
    with pytest.raises(AcceptError, match=what):
        accept(None, change(runs()), because("I say so"))


def test_worse_runs_are_refused_unless_somebody_says_why() -> None:
    before = accept(None, runs(), because(""))
    with pytest.raises(AcceptError, match=rf"(?s)worse than the baseline.*--reason.*{INT8}: FPS 100\.0 -> 80\.0"):
        accept(before, runs(80.0), because(""))
    after = accept(before, runs(80.0), because("safer kernel"))
    assert after.entries[KEY].fps == pytest.approx(80, rel=1e-3)
    assert after.entries[KEY].current.accepted.why == "safer kernel"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_masks_that_one_of_the_runs_lost_are_worse_whichever_run_it_is(number: int) -> None:
    before, found = accept(None, runs(), because("")), runs()
    lost = run_of(row_json(INT8, dice_fp32=scores([[0.99, 0.5]] * 3)), row_json(FP32), checksum="lost")
    found[number] = lost
    with pytest.raises(AcceptError, match=rf"(?s)worse than the baseline.*{INT8}: Dice against FP32 0\.5000, floor"):
        accept(before, found, because(""))
    assert accept(before, found, because("meant")).entries[KEY].current.accepted.why == "meant"


def test_runs_of_another_machine_do_not_replace_a_baseline() -> None:
    before = accept(None, runs(), because(""))
    with pytest.raises(AcceptError, match=r"of another machine than the baseline \(cores 2 -> 8\)"):
        accept(before, runs(machine={**MACHINE, "cores": 8}), because("new"))


def test_gpu_engines_are_held_against_those_of_a_host_with_other_cores() -> None:
    gpu = {**MACHINE, "gpu": "NVIDIA H100", "driver": "580"}
    before = accept(None, runs(machine=gpu), because(""))
    verdicts = judge_run(runs(machine={**gpu, "cores": 8}, threads=8)[1], before)
    assert {verdict.status for verdict in verdicts} == {Status.PASS}
    assert all("cores 2 -> 8; threads 2 -> 8" in verdict.evidence.replace(", ", "; ") for verdict in verdicts)
    other = judge_run(runs(machine={**gpu, "gpu": "NVIDIA A10"})[1], before)
    assert {verdict.status for verdict in other} == {Status.NOT_COMPARABLE}


def test_named_cases_alone_are_taken_whatever_else_the_runs_measured() -> None:
    more = runs(120.0)
    more[1] = replace(more[1], rows={INT8: more[1].rows[INT8]}, failed={FP32: "boom"})
    found = accept(accept(None, runs(), because("")), narrowed(more, [INT8]), because("faster"))
    assert {entry.case: entry.current.accepted.why for entry in found.entries.values()} == {INT8: "faster", FP32: ""}
    with pytest.raises(AcceptError, match=r"run 2 has a failed case"):
        accept(None, narrowed(more, [FP32]), because("I say so"))
    with pytest.raises(AcceptError, match=r"run 1 did not measure torch-bf16-b1; it holds openvino-int8-b4, torch-fp3"):
        narrowed(more, ["torch-bf16-b1"])


def test_former_record_is_kept_and_the_first_stays_the_anchor_until_another_is_pinned() -> None:
    steps = [accept(None, runs(100.0), because("one"))]
    for fps, why in ((96.0, "two"), (92.0, "three")):
        steps.append(accept(steps[-1], runs(fps), because(why)))
    entry = steps[-1].entries[KEY]
    assert entry.previous is not None
    assert entry.anchor is not None
    whys = [record.accepted.why for record in (entry.current, entry.previous, entry.anchor)]
    assert whys == ["three", "two", "one"]
    assert pinned(steps[-1], [INT8]).entries[KEY].anchor is None


def test_small_accepted_losses_add_up_to_a_regression() -> None:
    baseline = accept(None, runs(), because("first"))
    fps = 100.0
    noticed = []
    for _ in range(10):
        fps *= 0.96
        noticed += [verdict.evidence for verdict in judge_run(runs(fps)[1], baseline) if "anchor" in verdict.evidence]
        baseline = accept(baseline, runs(fps), because("small"))
    assert len(noticed) >= 6
    assert "FPS 100.0 -> 66.5 since the anchor of 2030-06-01" in noticed[-1]


def test_entries_of_other_cases_and_waivers_are_kept() -> None:
    before = waived(
        baseline_of(row_json(INT8), row_json("torch-fp16-b1")), Waiver(INT8, 0.1, "known", "2031-01-01", "a")
    )
    after = accept(before, runs(), because("more"))
    assert {entry.case for entry in after.entries.values()} == {INT8, FP32, "torch-fp16-b1"}
    assert after.waivers == before.waivers


def test_dropped_case_is_no_longer_missed() -> None:
    before = waived(accept(None, runs(), because("")), Waiver(FP32, 0.1, "known", "2031-01-01", "a"))
    run = run_of(row_json(INT8), selected=[INT8, FP32])
    assert Status.MISSING in {verdict.status for verdict in judge_run(run, before)}
    after = dropped(before, [FP32])
    assert Status.MISSING not in {verdict.status for verdict in judge_run(run, after)}
    assert after.waivers == ()


def test_case_that_the_baseline_does_not_hold_is_refused_by_name() -> None:
    held = baseline_of(row_json(INT8))
    for change in (dropped, pinned):
        with pytest.raises(AcceptError, match=rf"holds no torch-fp16-b1; it holds {INT8}"):
            change(held, ["torch-fp16-b1"])


def test_waiver_replaces_the_former_one_of_its_case() -> None:
    first = waived(baseline_of(row_json(INT8)), Waiver(INT8, 0.1, "a", "2030-01-01", "ada"))
    again = waived(first, Waiver(INT8, 0.2, "b", "2031-01-01", "ada"))
    assert [waiver.limit for waiver in again.waivers] == [0.2]


def test_first_runs_below_their_floor_need_a_reason() -> None:
    poor = [run_of(row_json(INT8, dice_fp32=scores([[0.5, 0.5]] * 3)), checksum=name) for name in "abc"]
    with pytest.raises(AcceptError, match=rf"too far from FP32; accept them with --reason .*\n  {INT8}: Dice against"):
        accept(None, poor, because(""))
    assert accept(None, poor, because("a first trial")).entries
