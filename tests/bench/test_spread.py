"""The spread of stored runs is that of their seconds and Dice, told apart by builds, and printed in words to quote."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import chi2

import bench.commands.baseline
from bench.__main__ import main
from bench.baseline import save_baseline
from bench.case import parse_case
from bench.entries import Acceptance, Baseline, BaselineEntry, Record, StoredRun, Waiver
from bench.spread import pooled_fps, spread_of, uncertainty
from bench.spread_words import doubt, in_words
from bench.visits import Visit
from tests.bench.runs import MACHINE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INT8, FP32, FP16 = "openvino-int8-b4", "torch-fp32-b1", "torch-fp16-b1"
DICE = [[0.999, 0.995], [0.998, 0.99], [0.999, 0.992]]
FIRST = Acceptance("ada", "2030-06-01T12:00:00+00:00", "first light", "c0ffee")
LATER = Acceptance("bob", "2030-07-01T12:00:00+00:00", "batch 4", "decade")


def ran(
    fps: float, engine: str = "e1", case: str = INT8, fp32: list[list[float]] = DICE, truth: list[list[float]] = DICE
) -> StoredRun:
    """Return a run of so many images per second, by its own block medians and no canary."""
    seconds = parse_case(case).batch_size / fps
    return StoredRun("2030-06-01", (Visit((seconds, seconds * 1.01, seconds * 0.99), None),), fp32, truth, engine)


def entry_of(*runs: StoredRun, case: str = INT8, accepted: Acceptance = FIRST, **changes: object) -> BaselineEntry:
    """Return an entry of these runs."""
    plain = BaselineEntry(
        case, "tiny", "m1", "built-in held-out", "i1", "c1", 2, {"openvino": "1.0"}, Record(accepted, tuple(runs))
    )
    return replace(plain, **changes)  # type: ignore[arg-type] # any field


def baseline_of(*entries: BaselineEntry) -> Baseline:
    """Return these entries as one baseline."""
    return Baseline(dict(MACHINE), {entry.key: entry for entry in entries})


def changed(image: int, label: int, by: float) -> list[list[float]]:
    """Return Dice that differ from the usual for one image and class."""
    return [
        [score + by * ((at, kind) == (image, label)) for kind, score in enumerate(row)] for at, row in enumerate(DICE)
    ]


def judged(kind: str, engine: str, scores: list[list[float]]) -> StoredRun:
    """Return a run of a build with these Dice, against the FP32 masks or the truth."""
    return ran(100.0, engine, **{"fp32": DICE, "truth": DICE, kind: scores})  # type: ignore[arg-type] # Dice, all of them


def logs(*fps: float) -> list[float]:
    """Return logarithms of images per second, computed apart from the code under test."""
    return [math.log(value) for value in fps]


def test_spread_within_a_build_is_the_standard_deviation_between_its_runs() -> None:
    found = spread_of(entry_of(ran(100.0), ran(101.0), ran(103.0)))
    assert (found.runs, found.builds, found.between, found.chance, found.untold) == (3, 1, None, None, None)
    assert found.within is not None
    assert found.within.fps == pytest.approx(statistics.stdev(logs(100, 101, 103)))
    assert found.within.fps == pytest.approx(
        statistics.stdev([100, 101, 103]) / statistics.mean([100, 101, 103]), rel=0.01
    )
    assert (found.within.freedom, found.within.dice) == (2, 0)


def test_builds_are_pooled_by_their_degrees_of_freedom_and_their_own_speeds_are_no_spread_within() -> None:
    slow, fast, once = (100.0, 102.0, 103.0), (200.0, 210.0), (400.0,)
    runs = [ran(fps, engine) for engine, group in zip("abc", (slow, fast, once), strict=True) for fps in group]
    found = spread_of(entry_of(*runs[::-1]))
    variance = (2 * statistics.variance(logs(*slow)) + statistics.variance(logs(*fast))) / 3
    assert found.within is not None
    assert (found.runs, found.builds, found.within.freedom) == (6, 3, 3)
    assert found.within.fps == pytest.approx(variance**0.5)


def test_spread_between_builds_is_of_their_means_and_chance_is_what_their_runs_would_make_of_it() -> None:
    groups = ((100.0, 102.0, 104.0), (110.0, 111.0), (120.0,))
    found = spread_of(
        entry_of(*(ran(fps, engine) for engine, group in zip("abc", groups, strict=True) for fps in group))
    )
    means = [statistics.fmean(logs(*group)) for group in groups]
    variance = (2 * statistics.variance(logs(*groups[0])) + statistics.variance(logs(*groups[1]))) / 3
    assert found.between is not None
    assert found.between.fps == pytest.approx(statistics.stdev(means))
    assert found.between.freedom == 2
    assert found.chance == pytest.approx((variance * (1 / 3 + 1 / 2 + 1) / 3) ** 0.5)


def test_builds_that_do_not_differ_lie_apart_by_chance_alone() -> None:
    noise = np.random.default_rng(7)
    squares = []
    for _ in range(400):
        runs = [ran(100 * math.exp(noise.normal(0, 0.01)), engine) for engine in "aaaabbc"]
        found = spread_of(entry_of(*runs))
        assert found.between is not None
        assert found.chance is not None
        squares.append((found.between.fps**2, found.chance**2))
    seen, expected = np.mean(squares, axis=0)
    assert seen == pytest.approx(expected, rel=0.1)
    assert seen == pytest.approx(0.01**2 * (1 / 4 + 1 / 2 + 1) / 3, rel=0.1)


def test_builds_that_ran_once_each_have_no_spread_within() -> None:
    found = spread_of(entry_of(ran(100.0, "a"), ran(101.0, "b"), ran(104.0, "c")))
    assert (found.within, found.chance, found.builds) == (None, None, 3)
    assert found.between is not None
    assert found.between.fps == pytest.approx(statistics.stdev(logs(100, 101, 104)))


@pytest.mark.parametrize("engines", [("", "", ""), ("a", "", "b")])
def test_runs_that_do_not_tell_their_builds_are_neither_within_nor_between(engines: Sequence[str]) -> None:
    found = spread_of(entry_of(*(ran(fps, engine) for fps, engine in zip((100.0, 101.0, 104.0), engines, strict=True))))
    assert (found.builds, found.within, found.between, found.chance) == (0, None, None, None)
    assert found.untold is not None
    assert found.untold.fps == pytest.approx(statistics.stdev(logs(100, 101, 104)))


def test_fastest_visit_speaks_for_a_run() -> None:
    disturbed = replace(ran(102.0), visits=(Visit((4 / 50,) * 3, None), Visit((4 / 102,) * 3, None)))
    found = spread_of(entry_of(ran(100.0), disturbed))
    assert found.within is not None
    assert found.within.fps == pytest.approx(statistics.stdev(logs(100, 102)))


@pytest.mark.parametrize("kind", ["fp32", "truth"])
def test_dice_apart_is_that_of_the_worst_image_and_class_not_of_their_mean(kind: str) -> None:
    one, other = (changed(1, 1, by) for by in (0.0005, -0.002))
    within = spread_of(entry_of(judged(kind, "a", one), ran(100.0, "a"), judged(kind, "a", other))).within
    assert within is not None
    assert within.dice == pytest.approx(0.0025)
    builds = (ran(100.0, "a"), ran(100.0, "a"), judged(kind, "b", other), judged(kind, "b", other))
    apart = spread_of(entry_of(*builds))
    assert apart.within is not None
    assert apart.between is not None
    assert apart.within.dice == 0
    assert apart.between.dice == pytest.approx(0.002)


def test_run_without_truth_is_compared_by_the_fp32_masks() -> None:
    runs = [replace(ran(100.0, fp32=changed(2, 0, by)), dice_truth=None) for by in (0.0, 0.0001)]
    within = spread_of(entry_of(*runs)).within
    assert within is not None
    assert within.dice == pytest.approx(0.0001)


def test_cases_are_pooled_by_degrees_of_freedom() -> None:
    three, two = (100.0, 102.0, 103.0), (50.0, 55.0)
    parts = [spread_of(entry_of(*map(ran, each))).within for each in (three, two)]
    found = pooled_fps([part for part in parts if part])
    variance = (2 * statistics.variance(logs(*three)) + statistics.variance(logs(*two))) / 3
    assert found.fps == pytest.approx(variance**0.5)
    assert found.freedom == 3


@pytest.mark.parametrize("freedom", [1, 2, 9])
def test_uncertainty_of_a_standard_deviation_is_the_chi_square_s(freedom: int) -> None:
    low, high = uncertainty(freedom)
    assert freedom / low**2 == pytest.approx(chi2.ppf(0.975, freedom))
    assert freedom / high**2 == pytest.approx(chi2.ppf(0.025, freedom))


def test_words_give_range_median_pool_and_the_case_whose_dice_differs_most() -> None:
    quiet = entry_of(*(ran(fps, engine) for engine, fps in zip("aabb", (100, 101, 100, 101), strict=True)))
    other = {"fp32": changed(0, 1, -0.003)}
    noisy = [
        ran(100.0, "a", FP32),
        ran(104.0, "a", FP32),
        ran(110.0, "b", FP32, **other),
        ran(112.0, "b", FP32, **other),
    ]
    spreads = [spread_of(quiet), spread_of(entry_of(*noisy, case=FP32))]
    within = [statistics.stdev(logs(100, 101)),
              ((statistics.variance(logs(100, 104)) + statistics.variance(logs(110, 112))) / 2) ** 0.5]  # fmt: skip
    pool = (sum(value**2 for value in within) / 2) ** 0.5
    mean_of = [statistics.fmean(logs(*pair)) for pair in ((100, 104), (110, 112))]
    between = statistics.stdev(mean_of)
    first, second = in_words(spreads)
    assert first == (
        f"Between process runs of one build a case's FPS differed by {within[0]:.2%} to {within[1]:.2%} (standard "
        f"deviation; median {sum(within) / 2:.2%}, pooled {pool:.2%}; 2 cases of 4 runs and 2 builds), and no Dice "
        "differed."
    ).replace("%", " %").replace(" % to", " to")
    assert second == (
        f"Between builds a case's FPS differed by 0.00 to {between:.2%} (standard deviation; median {between / 2:.2%}, "
        f"pooled {between / 2**0.5:.2%}; 2 cases of 4 runs and 2 builds), and an image's Dice by at most 0.003000 "
        f"({FP32}), the noise of their runs included: by that alone it would be {pool / 2**0.5:.2%} where "
        f"{between / 2**0.5:.2%} was seen (pooled)."
    ).replace("%", " %")
    assert doubt(spreads) == (
        "A standard deviation of 1 degree of freedom may in truth be 0.45 to 32 times as large (95 %): the range over "
        "cases is wider by that than the cases differ."
    )


def test_words_say_what_is_not_known() -> None:
    alone = spread_of(entry_of(ran(100.0), ran(101.0), ran(102.0)))
    untold = spread_of(entry_of(ran(100.0, ""), ran(101.0, ""), case=FP32))
    fresh = spread_of(entry_of(ran(100.0, "a"), ran(101.0, "b")))
    words = in_words([alone, fresh, untold])
    assert [line.partition(" differed")[0] for line in words[:3]] == [
        f"Between process runs of one build the FPS of {INT8}",
        f"Between builds the FPS of {INT8}",
        f"Between process runs the FPS of {FP32}",
    ]
    assert words[1].endswith("included: no build ran twice, which would tell how much that is.")
    assert words[2].endswith("these runs do not tell their builds, of which there may be several.")
    assert words[3] == "1 case ran as one build alone: how far builds lie apart is not known of them."
    assert doubt([spread_of(entry_of(ran(100.0)))]) == "No case has two runs to compare."


def show(path: Path, capsys: pytest.CaptureFixture[str], *entries: BaselineEntry) -> list[str]:
    """Return the lines that the command prints of a file with these entries."""
    save_baseline(baseline_of(*entries), path)
    assert main(["baseline", "show", "--baseline", str(path)]) == 0
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def row(lines: Sequence[str], case: str) -> list[str]:
    """Return the cells of a case's line."""
    (found,) = [line.split() for line in lines if line.startswith(f"{case} ")]
    return found[1:]


def test_command_prints_a_line_per_case_with_its_spread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = entry_of(ran(100.0), ran(101.0), ran(103.0))
    builds = entry_of(
        *(ran(fps, engine, FP32, fp32=changed(0, 1, 0.001 * (engine == "b")))
          for engine, fps in zip("aab", (10.0, 10.1, 11.0), strict=True)), case=FP32,
    )  # fmt: skip
    untold = entry_of(ran(50.0, "", FP16), ran(51.0, "", FP16), case=FP16)
    lines = show(tmp_path / "machine.json", capsys, first, builds, untold)
    assert lines[0] == f"{MACHINE['id']}: 3 entries"
    assert "tiny on built-in held-out, accepted 2030-06-01 by ada from c0ffee: first light" in lines
    within = statistics.stdev(logs(100, 101, 103))
    assert row(lines, INT8) == ["101.0", "3", "1", f"{100 * within:.2f}", "-", "0", "-"]
    means = statistics.fmean(logs(10, 10.1)), math.log(11)
    apart = [f"{100 * value:.2f}" for value in (statistics.stdev(logs(10, 10.1)), statistics.stdev(means))]
    assert row(lines, FP32) == ["10.1", "3", "2", *apart, "0", "0.001000"]
    assert row(lines, FP16) == ["50.5", "2", "?", f"{100 * statistics.stdev(logs(50, 51)):.2f}", "-", "0", "-"]
    assert any(line.startswith("- Between builds the FPS of") for line in lines)


def test_cases_accepted_apart_or_of_other_models_are_shown_and_summed_up_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = [entry_of(ran(100.0, case=case), ran(100.1, case=case), case=case) for case in (INT8, FP32)]
    late = entry_of(ran(90.0), ran(99.0), accepted=LATER, model_digest="m2")
    lines = show(tmp_path / "machine.json", capsys, late, *quiet)
    heads = [line for line in lines if "accepted" in line]
    assert heads == [
        "tiny (m1) on built-in held-out, accepted 2030-06-01 by ada from c0ffee: first light",
        "tiny (m2) on built-in held-out, accepted 2030-07-01 by bob from decade: batch 4",
    ]
    assert lines.index(heads[0]) < lines.index(heads[1]) < lines.index("All together:")
    text = " ".join(lines)
    assert "FPS differed by 0.07 to 0.07 %" in text.partition(heads[1])[0]
    assert f"FPS differed by 0.07 to {100 * statistics.stdev(logs(90, 99)):.2f} %" in text.partition("All together:")[2]


@pytest.mark.parametrize(
    ("changes", "head"),
    [
        ({"model_digest": "m2"}, "tiny (m2) on built-in held-out,"),
        ({"model": "unet", "model_digest": "m2"}, "unet on built-in held-out,"),
        ({"images_digest": "i2"}, "tiny on built-in held-out (i2),"),
    ],
)
def test_models_and_images_that_were_accepted_together_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], head: str
) -> None:
    plain = entry_of(ran(100.0), ran(101.0))
    entries = [plain, replace(plain, **changes)]  # type: ignore[arg-type] # texts, all of them
    heads = [line for line in show(tmp_path / "machine.json", capsys, *entries) if "accepted" in line]
    assert len(heads) == 2
    assert any(line.startswith(head) for line in heads)


def test_drift_since_the_anchor_and_waivers_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anchor = Record(FIRST, (ran(125.0), ran(125.0)))
    entry = entry_of(ran(100.0), ran(100.0), anchor=anchor, accepted=LATER)
    path = tmp_path / "machine.json"
    baseline = baseline_of(entry, entry_of(ran(9.0), ran(9.0), case=FP32))
    save_baseline(replace(baseline, waivers=(Waiver(INT8, 0.1, "known", "2031-01-01", "ada"),)), path)
    assert main(["baseline", "show", "--baseline", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert row(lines, INT8)[-1] == "-20.0%"
    assert row(lines, FP32)[-1] == "-"
    assert lines[-1] == f"waived: {INT8} to -10% until 2031-01-01 by ada: known"


def test_nothing_is_cut_off_or_wider_than_100_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = "torch2trt-int8-uncalibrated-b64"
    runs = [ran(fps, engine, case, fp32=changed(0, 1, by))
            for fps, engine, by in ((12621.2, "a", 0), (22621.2, "a", 0.001), (9621.0, "b", 0.002))]  # fmt: skip
    long = replace(FIRST, why="because of a reason that takes more than a line of any terminal " * 3)
    entry = entry_of(*runs, case=case, accepted=long, anchor=Record(FIRST, (ran(10000.0, case=case),)))
    lines = show(tmp_path / "machine.json", capsys, entry)
    assert max(map(len, lines)) <= 100
    cells = row(lines, case)
    assert len(cells) == 8
    assert (cells[0], cells[-2], cells[-1]) == ("12621.2", "0.001500", "+26.2%")


def test_every_stored_file_is_shown_where_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.commands.baseline, "_BASELINES", tmp_path)
    assert main(["baseline", "show"]) == 2
    assert capsys.readouterr().err == f"refused: no baseline file in {tmp_path}: name one (--baseline FILE)\n"
    for name, machine in (("c", "third"), ("a", "first"), ("d", "fourth"), ("b", "second")):
        found = baseline_of(entry_of(ran(100.0), ran(101.0)))
        save_baseline(replace(found, machine={**MACHINE, "id": machine}), tmp_path / f"{name}.json")
    assert main(["baseline", "show"]) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if line.endswith(": 1 entry")]
    assert heads == [f"{name}: 1 entry" for name in ("first", "second", "third", "fourth")]
    (tmp_path / "b.json").write_text("{}")
    assert main(["baseline", "show"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"refused: {tmp_path / 'b.json'}: breaks the baseline schema")


def test_empty_baseline_is_shown_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(tmp_path / "machine.json", capsys) == [f"{MACHINE['id']}: 0 entries"]
